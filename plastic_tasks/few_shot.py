"""Few-shot tasks: few images of few classes, drawn anew for each episode (Figure 8)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from plastic_core.api import (
    AnyNetwork,
    DataDir,
    Dataset,
    FewShotOptions,
    Task,
    TaskSpec,
    divide,
)
from plastic_tasks.sources import DIGITS, EMNIST, MNIST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class _FewShotImages(Task[FewShotOptions]):
    """Images with pixels in [0, 1], of which episodes are drawn."""

    side: ClassVar[int]
    classes: ClassVar[int]

    @abstractmethod
    def images(self, data_dir: DataDir) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return all images and their labels."""

    def load(self, data_dir: DataDir, options: FewShotOptions) -> Dataset:
        """Return the images, divided into those to meta-learn from and those to meta-test on."""
        pixels, labels = self.images(data_dir)
        images = pixels.reshape(-1, self.side, self.side)
        return divide(images, labels, self.classes, options)

    def network(self, options: FewShotOptions) -> AnyNetwork:
        """Return the network from the pixels to the outputs that `head` asks for."""
        return options.few_shot_network(self.side**2, self.classes, (1, self.side, self.side))


class EmnistFewShot(_FewShotImages):
    """Letters and digits of EMNIST balanced, 47 classes; its training images alone.

    An episode has 5 classes, 50 images to learn from and 10 queries of each, and a freshly
    initialised network 784-170-130-100-70-47, or 5 outputs with ``head="ways"``.
    """

    spec = TaskSpec(
        name="emnist-fewshot",
        summary="few EMNIST letters an episode, for meta-learning",
        options=FewShotOptions,
        data=(EMNIST,),
    )
    side, classes = 28, 47

    def images(self, data_dir: DataDir) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the training images; see `plastic_tasks.datasets`."""
        from plastic_tasks.datasets import load_training_images

        return load_training_images("emnist-balanced", data_dir)


class MnistFewShot(_FewShotImages):
    """Digits of MNIST, 10 classes; otherwise as emnist-fewshot."""

    spec = TaskSpec(
        name="mnist-fewshot",
        summary="few MNIST digits an episode, for meta-learning",
        options=FewShotOptions,
        data=(MNIST,),
    )
    side, classes = 28, 10

    def images(self, data_dir: DataDir) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the training images; see `plastic_tasks.datasets`."""
        from plastic_tasks.datasets import load_training_images

        return load_training_images("mnist", data_dir)


class DigitsFewShot(_FewShotImages):
    """The digits that come with scikit-learn, 10 classes; otherwise as emnist-fewshot."""

    spec = TaskSpec(
        name="digits-fewshot",
        summary="few embedded 8x8 digits an episode, for meta-learning; needs no download",
        options=FewShotOptions,
        data=(DIGITS,),
    )
    side, classes = 8, 10

    def images(self, data_dir: DataDir) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return all digits; `data_dir` is not used."""
        import numpy as np

        from plastic_tasks.datasets import load_digits

        digits = load_digits()
        inputs = np.concatenate([digits.inputs, digits.held_out_inputs])
        return inputs, np.concatenate([digits.labels, digits.held_out_labels])
