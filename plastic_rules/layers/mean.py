"""The mean over tokens."""

from __future__ import annotations

from plastic_core.api import CircuitBuilder, Layer, LayerSpec, Mean, Node, PlasticError, Spec


class MeanOptions(Spec):
    """There are none."""


class MeanLayer(Layer):
    """The mean of each unit over all tokens."""

    spec = LayerSpec(
        name="mean",
        summary="the mean over all tokens",
        reference="global average pooling: Lin, Chen, Yan 2014, arXiv:1312.4400",
        options=MeanOptions,
        example="tokens 3x2 6 / mean",
    )

    def build(self, net: CircuitBuilder, x: Node) -> Node:
        """Return y."""
        grid = net.grid(x)
        if len(grid) != 1:
            raise PlasticError(
                "it reads tokens, and there are none below it; put 'tokens PATCH UNITS' below, "
                "such as 'tokens 7x7 64', or pool an image by 'avgpool'"
            )
        return net.apply(Mean(grid[0]), x, grid=())
