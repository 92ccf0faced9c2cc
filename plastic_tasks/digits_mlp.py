"""The embedded digits of 8 x 8 pixels, learned by a multi-layer perceptron; no download."""

from __future__ import annotations

from typing import Final

from plastic_core.api import (
    AnyNetwork,
    DataDir,
    Dataset,
    NetworkOptions,
    Recommended,
    Task,
    TaskSpec,
)
from plastic_tasks.sources import DIGITS

# From a grid of six values for bp and four for oja, ten seeds, on the choosing half.
RECOMMENDED: Final = (
    Recommended(thetas={"bp": 0.0063}, depth=5, init="xavier"),
    Recommended(thetas={"bp": 0.0063, "oja": 1e-4}, depth=5, init="xavier"),
    Recommended(thetas={"bp": 0.016}, depth=10, init="xavier"),
    Recommended(thetas={"bp": 0.01, "oja": 3e-4}, depth=10, init="xavier"),
)


class DigitsMlp(Task[NetworkOptions]):
    """The digits that come with scikit-learn, learned by a multi-layer perceptron.

    1,297 training images, reshuffled in passes up to ``samples``; 250 images to choose by and
    250 to report. The hidden layers are those of mnist-mlp.
    """

    spec = TaskSpec(
        name="digits-mlp",
        summary="embedded 8x8 digits by a multi-layer perceptron; needs no download",
        options=NetworkOptions,
        recommended=RECOMMENDED,
        data=(DIGITS,),
    )

    def load(self, data_dir: DataDir, options: NetworkOptions) -> Dataset:
        """Return the digits; `data_dir` is not used."""
        from plastic_tasks.datasets import load_digits

        return load_digits()

    def network(self, options: NetworkOptions) -> AnyNetwork:
        """Return the network from 64 pixels to 10 classes."""
        return options.network_for(64, 10, image=(1, 8, 8))
