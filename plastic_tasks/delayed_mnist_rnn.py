"""MNIST to be kept in mind over a delay, learned by a recurrent network (Figure 7)."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from plastic_core.api import (
    DataDir,
    Dataset,
    Recommended,
    RecurrentOptions,
    RecurrentSpec,
    Task,
    TaskSpec,
)
from plastic_tasks.sources import IMAGES

# From a grid of 5 values for bp and 4 for oja, 10 seeds, on the choosing half.
RECOMMENDED: Final = (
    Recommended(thetas={"bp": 4e-4}),
    Recommended(thetas={"bp": 8e-4, "oja": 3.16e-4}),
)


class DelayedMnistRnnOptions(RecurrentOptions):
    """Options of delayed-mnist-rnn: the network's, and which images."""

    dataset: Literal["mnist", "fashion-mnist", "emnist-balanced"] = Field(
        "mnist", description="images of 28 x 28 pixels"
    )


class DelayedMnistRnn(Task[DelayedMnistRnnOptions]):
    """MNIST, shown for some steps; after a delay a recurrent network says what it was.

    Section 2.4 of the paper: the image for 5 steps (``present``), silence until T = 50
    (``delay``), cross-entropy at T, 100 hidden units. Inputs are pixels in [0, 1].
    """

    spec = TaskSpec(
        name="delayed-mnist-rnn",
        summary="MNIST (or Fashion-MNIST, EMNIST) after a delay, by a recurrent network",
        options=DelayedMnistRnnOptions,
        recommended=RECOMMENDED,
        data=IMAGES,
    )

    def load(self, data_dir: DataDir, options: DelayedMnistRnnOptions) -> Dataset:
        """Return the images; see `plastic_tasks.datasets`."""
        from plastic_tasks.datasets import load_image_set

        return load_image_set(options.dataset, data_dir)

    def network(self, options: DelayedMnistRnnOptions) -> RecurrentSpec:
        """Return the network from 784 pixels to the classes."""
        return options.network_for(784, 47 if options.dataset == "emnist-balanced" else 10)
