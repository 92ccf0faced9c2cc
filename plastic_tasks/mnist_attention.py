"""MNIST, learned by a network with attention."""

from __future__ import annotations

from typing import Final

from plastic_core.api import AnyNetwork, Recommended, TaskSpec
from plastic_tasks.mnist_mlp import MnistMlp, MnistMlpOptions
from plastic_tasks.sources import IMAGES

#: The layers unless ``net`` says others.
NET: Final = (
    "tokens 7x7 64",
    "attention 4",
    "dense 64 residual layer-norm",
    "attention 4",
    "dense 64 residual layer-norm",
    "mean",
)

# From a grid of five values for bp, five seeds, on the choosing half.
RECOMMENDED: Final = (Recommended(thetas={"bp": 0.005}, init="xavier", hidden=(64,) * 6),)


class MnistAttention(MnistMlp):
    """MNIST, Fashion-MNIST or EMNIST balanced, learned by a network with attention.

    Inputs are pixels in [0, 1]. The network is tokens 7x7 64, two blocks of
    attention 4 / dense 64 residual layer-norm, and mean, or any by ``net``.
    """

    spec = TaskSpec(
        name="mnist-attention",
        summary="MNIST (or Fashion-MNIST, EMNIST) by a network with attention",
        options=MnistMlpOptions,
        recommended=RECOMMENDED,
        data=IMAGES,
    )

    def network(self, options: MnistMlpOptions) -> AnyNetwork:
        """Return the network from 28 x 28 pixels to the classes."""
        return super().network(options.with_net(NET))
