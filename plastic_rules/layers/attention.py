"""Attention between tokens."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from plastic_core.api import (
    Add,
    Attend,
    CircuitBuilder,
    Layer,
    LayerSpec,
    Node,
    Normalise,
    PlasticError,
    Spec,
)


class AttentionOptions(Spec):
    """Options of attention; what is not given is as the network says."""

    heads: PositiveInt = Field(description="parts into which the units are divided")
    init: str | None = Field(None, min_length=1, description="initialisation of the weights")
    bias: bool | None = Field(None, description="whether the projections have biases")
    layer_norm: bool = Field(True, description="normalise each token before it is read")
    residual: bool = Field(True, description="add the tokens to what comes out")
    connections: float | None = Field(
        None, gt=0, le=1, description="fraction of the connections that there are; None for all"
    )


class Attention(Layer):
    r"""Each token reads the others, :math:`y = W_o\, \mathrm{attend}(W_q x, W_k x, W_v x) [+ x]`.

    The four projections have no activation function: their post is z. Before them the tokens are
    normalised. With `connections` each unit has a share of its inputs in each projection, as in a
    dense layer.
    """

    spec = LayerSpec(
        name="attention",
        summary="each token reads the others, in several heads",
        reference="Vaswani et al. 2017, arXiv:1706.03762",
        options=AttentionOptions,
        example="tokens 2x2 6 / attention 2 / mean",
    )

    def build(self, net: CircuitBuilder, x: Node) -> Node:
        """Return y."""
        options: AttentionOptions = self.options
        grid, units = net.grid(x), net.units(x)
        if len(grid) != 1:
            raise PlasticError(
                "it reads tokens, and there are none below it; put 'tokens PATCH UNITS' below, "
                "such as 'tokens 7x7 64'"
            )
        if units % options.heads:
            raise PlasticError(
                f"heads = {options.heads} does not divide the {units} units of a token; give one "
                "that does"
            )
        pre = net.apply(Normalise(), x) if options.layer_norm else x

        def project(x: Node, name: str) -> Node:
            mask = net.some_connections(x, units, options.connections)
            return net.project(x, units, options.init, options.bias, mask, name=name)

        sent = [project(pre, name) for name in ("query", "key", "value")]
        y = project(net.apply(Attend(grid[0], options.heads), *sent), "output")
        return net.apply(Add(), y, x) if options.residual else y
