"""The convolution."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt, PositiveInt

from plastic_core.api import (
    Add,
    CircuitBuilder,
    Layer,
    LayerSpec,
    Node,
    Normalise,
    Patches,
    PlasticError,
    Spec,
)
from plastic_rules.layers.window import Window, check_window


class ConvOptions(Spec):
    """Options of a convolution; what is not given is as the network says."""

    channels: PositiveInt = Field(le=10**6, description="units at each place")
    kernel: Window = Field(description="rows and columns of a patch, such as 5x5")
    stride: Window = Field((1, 1), description="rows and columns from one patch to the next")
    pad: NonNegativeInt = Field(0, le=10**4, description="rows and columns of 0 around the image")
    activation: str | None = Field(None, min_length=1, description="activation function")
    init: str | None = Field(None, min_length=1, description="initialisation of the weights")
    bias: bool | None = Field(None, description="whether the channels have biases")
    layer_norm: bool | None = Field(None, description="normalise z over the channels of a place")
    residual: bool | None = Field(None, description="add the input to the output")
    connections: float | None = Field(
        None, gt=0, le=1, description="fraction of the connections that there are; None for all"
    )


class Conv(Layer):
    r"""At each place the same weights see a patch, :math:`y_p = \sigma(W x_p [+ b]) [+ x]`.

    :math:`x_p` is the patch at place p, of n_pre = C k k units by channel, row and column. With
    `connections` each channel has round(connections n_pre) of them, the same at all places, as in a
    dense layer.
    """

    spec = LayerSpec(
        name="conv",
        summary="the same weights for every patch of an image",
        reference="LeCun et al. 1989, doi:10.1162/neco.1989.1.4.541",
        options=ConvOptions,
        example="conv 4 3x3 pad 1",
    )

    def build(self, net: CircuitBuilder, x: Node) -> Node:
        """Return y."""
        options: ConvOptions = self.options
        x = net.image(x)
        check_window(net, x, options.kernel, options.pad)
        patches = Patches(net.grid(x), options.kernel, options.stride, options.pad)
        rows, columns = options.kernel
        size = rows * columns
        pre = net.apply(patches, x, units=net.units(x) * size, grid=patches.grid)
        channels = options.channels
        mask = net.some_connections(pre, channels, options.connections)
        z = net.project(pre, channels, options.init, options.bias, mask, channels * size)
        if net.spec.layer_norm if options.layer_norm is None else options.layer_norm:
            z = net.apply(Normalise(), z)
        y = net.activate(z, options.activation)
        before, after = ((net.units(one), *net.grid(one)) for one in (x, y))
        if options.residual and before != after:
            shapes = ("x".join(map(str, shape)) for shape in (before, after))
            raise PlasticError(
                f"residual: {' channels, rows and columns cannot be added to '.join(shapes)}; give "
                "as many channels as below, and pad by half of the kernel"
            )
        residual = net.spec.residual if options.residual is None else options.residual
        return net.apply(Add(), y, x) if residual and before == after else y
