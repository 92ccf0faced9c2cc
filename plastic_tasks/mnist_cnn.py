"""MNIST, learned by a convolutional network."""

from __future__ import annotations

from typing import Final

from plastic_core.api import AnyNetwork, Recommended, TaskSpec
from plastic_tasks.mnist_mlp import MnistMlp, MnistMlpOptions
from plastic_tasks.sources import IMAGES

#: The layers unless ``net`` says others.
NET: Final = ("conv 16 5x5", "pool 2", "conv 32 5x5", "pool 2", "dense 100")

# From grids of five values for bp, and of three by three for bp and oja, five seeds, on the
# choosing half; the value for oja is the smallest that was tried.
RECOMMENDED: Final = (
    Recommended(thetas={"bp": 0.01}, init="xavier", hidden=(16, 16, 32, 32, 100)),
    Recommended(thetas={"bp": 0.02, "oja": 1e-7}, init="xavier", hidden=(16, 16, 32, 32, 100)),
)


class MnistCnn(MnistMlp):
    """MNIST, Fashion-MNIST or EMNIST balanced, learned by a convolutional network.

    Inputs are pixels in [0, 1]. The network is conv 16 5x5 / pool 2 / conv 32 5x5 / pool 2 /
    dense 100, or any by ``net``.
    """

    spec = TaskSpec(
        name="mnist-cnn",
        summary="MNIST (or Fashion-MNIST, EMNIST) by a convolutional network",
        options=MnistMlpOptions,
        recommended=RECOMMENDED,
        data=IMAGES,
    )

    def network(self, options: MnistMlpOptions) -> AnyNetwork:
        """Return the network from 28 x 28 pixels to the classes."""
        return super().network(options.with_net(NET))
