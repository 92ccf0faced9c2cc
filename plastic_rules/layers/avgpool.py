"""Average pooling."""

from __future__ import annotations

from pydantic import Field

from plastic_core.api import AveragePool, CircuitBuilder, Layer, LayerSpec, Node, Spec
from plastic_rules.layers.window import Window, check_window


class AvgPoolOptions(Spec):
    """Options of average pooling."""

    window: Window = Field(description="rows and columns of a window, such as 2x2")
    stride: Window | None = Field(
        None, description="rows and columns from one window to the next; its own if not given"
    )


class AvgPool(Layer):
    """The mean of each channel over each window."""

    spec = LayerSpec(
        name="avgpool",
        summary="the mean over each window",
        reference="LeCun et al. 1998, doi:10.1109/5.726791",
        options=AvgPoolOptions,
        example="avgpool 2",
    )

    def build(self, net: CircuitBuilder, x: Node) -> Node:
        """Return y."""
        options: AvgPoolOptions = self.options
        x = net.image(x)
        check_window(net, x, options.window)
        pooling = AveragePool(net.grid(x), options.window, options.stride or options.window)
        return net.apply(pooling, x, grid=pooling.grid)
