"""The dense layer."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from plastic_core.api import (
    Add,
    CircuitBuilder,
    Layer,
    LayerSpec,
    Node,
    Normalise,
    PlasticError,
    Spec,
)


class DenseOptions(Spec):
    """Options of a dense layer; what is not given is as the network says."""

    units: PositiveInt = Field(le=10**6, description="units of the layer")
    activation: str | None = Field(None, min_length=1, description="activation function")
    init: str | None = Field(None, min_length=1, description="initialisation of the weights")
    bias: bool | None = Field(None, description="whether it has biases")
    layer_norm: bool | None = Field(None, description="normalise z before the activation")
    residual: bool | None = Field(None, description="add the input to the output")
    connections: float | None = Field(
        None, gt=0, le=1, description="fraction of the connections that there are; None for all"
    )


class Dense(Layer):
    r"""Every unit is connected to every unit below, :math:`y = \sigma(W x [+ b]) [+ x]`.

    An image below it is one population of all its channels, rows and columns; of tokens each has
    the same weights. With `connections` each unit has round(connections n_pre) inputs, at least
    one, drawn once by the place of the layer, the same for all seeds. All other weights stay 0,
    whatever learns, and so do those of feedback matrices of the layer.
    """

    spec = LayerSpec(
        name="dense",
        summary="every unit connected to every unit below",
        reference="Equation 1 of Shervani-Tabar, Mirhoseini, Rosenbaum 2024",
        options=DenseOptions,
        example="dense 20 bias",
    )

    def build(self, net: CircuitBuilder, x: Node) -> Node:
        """Return y."""
        options: DenseOptions = self.options
        if len(net.grid(x)) == 2:
            x = net.flat(x)
        mask = net.some_connections(x, options.units, options.connections)
        z = net.project(x, options.units, options.init, options.bias, mask)
        if net.spec.layer_norm if options.layer_norm is None else options.layer_norm:
            z = net.apply(Normalise(), z)
        y = net.activate(z, options.activation)
        fits = options.units == net.units(x)
        if options.residual and not fits:
            raise PlasticError(
                f"residual: the {net.units(x)} units that it reads cannot be added to its own "
                f"{options.units}; give both the same number"
            )
        residual = net.spec.residual if options.residual is None else options.residual
        return net.apply(Add(), y, x) if residual and fits else y
