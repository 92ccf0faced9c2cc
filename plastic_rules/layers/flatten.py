"""From rows and columns to one place."""

from __future__ import annotations

from plastic_core.api import CircuitBuilder, Layer, LayerSpec, Node, Spec


class FlattenOptions(Spec):
    """There are none."""


class FlattenLayer(Layer):
    """All units of an image as one population, by channel, row and column.

    A dense layer does this by itself.
    """

    spec = LayerSpec(
        name="flatten",
        summary="all channels, rows and columns as one population",
        reference="torch.nn.Flatten has the same order",
        options=FlattenOptions,
        example="flatten",
    )

    def build(self, net: CircuitBuilder, x: Node) -> Node:
        """Return y."""
        return net.flat(net.image(x))
