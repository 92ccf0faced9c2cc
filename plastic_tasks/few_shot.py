"""Few-shot tasks: few images of few classes, drawn anew for each episode (Figure 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from plastic_core.api import (
    DataDir,
    Dataset,
    FewShotOptions,
    NetworkSpec,
    Task,
    TaskSpec,
    divide,
)

if TYPE_CHECKING:
    from typing import Any


class _FewShotImages(Task):
    """Images of 28 x 28 pixels in [0, 1], of which episodes are drawn."""

    images: ClassVar[str]
    classes: ClassVar[int]

    def load(self, data_dir: DataDir, options: FewShotOptions) -> Dataset:  # type: ignore[override]
        """Return the training images of the data set, divided; its test images are not used."""
        from plastic_tasks.datasets import load_training_images

        inputs, labels = load_training_images(self.images, data_dir)
        return divide(inputs, labels, self.classes, options)

    def network(self, options: FewShotOptions) -> NetworkSpec:  # type: ignore[override]
        """Return the network from 784 pixels to the outputs that `head` asks for."""
        return options.few_shot_network(784, self.classes)


class EmnistFewShot(_FewShotImages):
    """Letters and digits of EMNIST balanced, 47 classes.

    An episode has 5 classes, 50 images to learn from and 10 queries of each, and a freshly
    initialised network 784-170-130-100-70-47, or 5 outputs with ``head="ways"``.
    """

    spec = TaskSpec(
        name="emnist-fewshot",
        summary="few EMNIST letters an episode, for meta-learning",
        options=FewShotOptions,
    )
    images, classes = "emnist-balanced", 47


class MnistFewShot(_FewShotImages):
    """Digits of MNIST, 10 classes; otherwise as emnist-fewshot."""

    spec = TaskSpec(
        name="mnist-fewshot",
        summary="few MNIST digits an episode, for meta-learning",
        options=FewShotOptions,
    )
    images, classes = "mnist", 10


class DigitsFewShot(Task):
    """The digits that come with scikit-learn, 10 classes; otherwise as emnist-fewshot."""

    spec = TaskSpec(
        name="digits-fewshot",
        summary="few embedded 8x8 digits an episode, for meta-learning; needs no download",
        options=FewShotOptions,
    )

    def load(self, data_dir: DataDir, options: FewShotOptions) -> Dataset:  # type: ignore[override]
        """Return the digits, divided; `data_dir` is not used."""
        import numpy as np

        from plastic_tasks.datasets import load_digits

        digits: Any = load_digits()
        inputs = np.concatenate([digits.inputs, digits.held_out_inputs])
        labels = np.concatenate([digits.labels, digits.held_out_labels])
        return divide(inputs, labels, 10, options)

    def network(self, options: FewShotOptions) -> NetworkSpec:  # type: ignore[override]
        """Return the network from 64 pixels to the outputs that `head` asks for."""
        return options.few_shot_network(64, 10)
