"""MNIST, learned by a multi-layer perceptron (Figures 1 to 6 of the paper)."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from plastic_core.api import (
    AnyNetwork,
    DataDir,
    Dataset,
    NetworkOptions,
    Recommended,
    Task,
    TaskSpec,
)
from plastic_tasks.sources import IMAGES

# From grid searches with every arm as finely tuned, on the choosing half.
_WIDE: Final = (100,) * 9
RECOMMENDED: Final = (
    Recommended(thetas={"bp": 0.0126}, init="xavier", hidden=_WIDE),
    Recommended(thetas={"bp": 0.005, "oja": 1e-4}, init="xavier", hidden=_WIDE),
    Recommended(thetas={"bp": 0.0158}, depth=5, init="xavier"),
    # less of Oja's rule is better still, down to none of it
    Recommended(thetas={"bp": 0.0079, "oja": 3.16e-5}, depth=5, init="xavier"),
    Recommended(thetas={"bp": 0.01}, depth=10, init="xavier"),
    Recommended(thetas={"bp": 0.00215, "oja": 0.001}, depth=10, init="xavier"),
    Recommended(thetas={"bp": 0.0032, "oja": 0.0056}, depth=5, init="naive"),
    Recommended(thetas={"fa": 0.0032}, depth=5, init="xavier"),
    Recommended(thetas={"fa": 0.01, "oja": 1e-4}, depth=5, init="xavier"),
)


class MnistMlpOptions(NetworkOptions):
    """Options of mnist-mlp: the network's, and which images."""

    dataset: Literal["mnist", "fashion-mnist", "emnist-balanced"] = Field(
        "mnist", description="images of 28 x 28 pixels"
    )


class MnistMlp(Task[MnistMlpOptions]):
    """MNIST, Fashion-MNIST or EMNIST balanced, learned by a multi-layer perceptron.

    Inputs are pixels in [0, 1]. The networks are 784-170-130-100-70-10 (``layers=5``) and
    784-170-150-130-120-110-100-90-80-70-10 (``layers=10``), or any by ``sizes``.
    """

    spec = TaskSpec(
        name="mnist-mlp",
        summary="MNIST (or Fashion-MNIST, EMNIST) by a multi-layer perceptron",
        options=MnistMlpOptions,
        recommended=RECOMMENDED,
        data=IMAGES,
    )

    def load(self, data_dir: DataDir, options: MnistMlpOptions) -> Dataset:
        """Return the images; see `plastic_tasks.datasets`."""
        from plastic_tasks.datasets import load_image_set

        return load_image_set(options.dataset, data_dir)

    def network(self, options: MnistMlpOptions) -> AnyNetwork:
        """Return the network from 784 pixels to the classes."""
        return options.network_for(
            784, 47 if options.dataset == "emnist-balanced" else 10, image=(1, 28, 28)
        )
