"""From several places to one."""

from __future__ import annotations

from plastic_core.api import CircuitBuilder, Layer, LayerSpec, Node, Spec


class FlattenOptions(Spec):
    """There are none."""


class FlattenLayer(Layer):
    """All units of an image as one population, by channel, row and column; or of all tokens.

    A dense layer on an image does this by itself.
    """

    spec = LayerSpec(
        name="flatten",
        summary="all units of an image, or of all tokens, as one population",
        reference="torch.nn.Flatten has the same order",
        options=FlattenOptions,
        example="flatten",
    )

    def build(self, net: CircuitBuilder, x: Node) -> Node:
        """Return y."""
        return net.flat(x)
