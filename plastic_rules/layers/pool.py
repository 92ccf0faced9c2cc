"""Maximum pooling."""

from __future__ import annotations

from pydantic import Field

from plastic_core.api import CircuitBuilder, Layer, LayerSpec, MaxPool, Node, Spec
from plastic_rules.layers.window import Window, check_window


class PoolOptions(Spec):
    """Options of maximum pooling."""

    window: Window = Field(description="rows and columns of a window, such as 2x2")
    stride: Window | None = Field(
        None, description="rows and columns from one window to the next; its own if not given"
    )


class Pool(Layer):
    """The largest of each channel in each window."""

    spec = LayerSpec(
        name="pool",
        summary="the largest of each window",
        reference="Ranzato, Huang, Boureau, LeCun 2007, doi:10.1109/CVPR.2007.383157",
        options=PoolOptions,
        example="pool 2",
    )

    def build(self, net: CircuitBuilder, x: Node) -> Node:
        """Return y."""
        options: PoolOptions = self.options
        x = net.image(x)
        check_window(net, x, options.window)
        pooling = MaxPool(net.grid(x), options.window, options.stride or options.window)
        return net.apply(pooling, x, grid=pooling.grid)
