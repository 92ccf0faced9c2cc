"""Images with their pixels in several orders, each a task of its own, for continual learning."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import ClassVar, Literal, TypeVar

import numpy as np
from pydantic import Field, PositiveInt

from plastic_core.api import AnyNetwork, DataDir, Dataset, NetworkOptions, Task, TaskSpec
from plastic_tasks.sources import DIGITS, IMAGES


class PermutedOptions(NetworkOptions):
    """Options of permuted-digits-mlp: the network's, and how many orders there are."""

    orders: PositiveInt = Field(3, le=100, description="orders of the pixels, o1 as they are")


class PermutedMnistOptions(PermutedOptions):
    """Options of permuted-mnist-mlp: those, which images, and how many."""

    dataset: Literal["mnist", "fashion-mnist"] = Field(
        "mnist", description="images of 28 x 28 pixels"
    )
    images: PositiveInt = Field(
        10_000, le=60_000, description="training images, the same in each order"
    )


Options = TypeVar("Options", bound=PermutedOptions)


class _Permuted(Task[Options]):
    """Images of 10 classes, in several orders of their pixels."""

    side: ClassVar[int]

    @abstractmethod
    def images(self, data_dir: DataDir, options: Options) -> Dataset:
        """Return the images as they are."""

    def load(self, data_dir: DataDir, options: Options) -> Dataset:
        """Return the images in each order, which are parts of the data, o1, o2, ..."""
        data, orders, pixels = self.images(data_dir, options), options.orders, self.side**2
        # each from a seed of its own, so that the first are the same however many follow
        permuted = [np.random.default_rng(one).permutation(pixels) for one in range(1, orders)]
        permuted = [np.arange(pixels), *permuted]
        return Dataset(
            np.concatenate([data.inputs.take(order, 1) for order in permuted]),
            np.concatenate([data.labels] * orders),
            np.concatenate([data.held_out_inputs.take(order, 1) for order in permuted]),
            np.concatenate([data.held_out_labels] * orders),
            data.classes,
            parts=tuple(f"o{order + 1}" for order in range(orders)),
            part=np.repeat(np.arange(orders), len(data.labels)),
            held_out_part=np.repeat(np.arange(orders), len(data.held_out_labels)),
        )

    def network(self, options: Options) -> AnyNetwork:
        """Return the network from the pixels to 10 classes."""
        return options.network_for(self.side**2, 10)


class PermutedMnist(_Permuted[PermutedMnistOptions]):
    """MNIST or Fashion-MNIST with its pixels in several orders, by a multi-layer perceptron.

    Each order is a part of the data, which a stage learns ``on``: ``--stage "5000 on o1" --stage
    "5000 on o2"``. The first is that of the images. The orders are the same for all networks
    (Goodfellow et al. 2013, arXiv:1312.6211; Kirkpatrick et al. 2017, doi:10.1073/pnas.1611835114).
    """

    spec = TaskSpec(
        name="permuted-mnist-mlp",
        summary="MNIST (or Fashion-MNIST) in several orders of its pixels, for stages",
        options=PermutedMnistOptions,
        data=IMAGES[:2],
    )
    side = 28

    def images(self, data_dir: DataDir, options: PermutedMnistOptions) -> Dataset:
        """Return the first training images, and all of the test; see `plastic_tasks.datasets`."""
        from plastic_tasks.datasets import load_image_set

        data = load_image_set(options.dataset, data_dir)
        inputs, labels = data.inputs[: options.images], data.labels[: options.images]
        return replace(data, inputs=inputs, labels=labels)


class PermutedDigits(_Permuted[PermutedOptions]):
    """The digits that come with scikit-learn, otherwise as permuted-mnist-mlp; no download."""

    spec = TaskSpec(
        name="permuted-digits-mlp",
        summary="embedded 8x8 digits in several orders of their pixels, for stages",
        options=PermutedOptions,
        data=(DIGITS,),
    )
    side = 8

    def images(self, data_dir: DataDir, options: PermutedOptions) -> Dataset:
        """Return the digits; `data_dir` is not used."""
        from plastic_tasks.datasets import load_digits

        return load_digits()
