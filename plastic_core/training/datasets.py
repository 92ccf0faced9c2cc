"""From a task's data to what the trainer needs: checked, halved, ordered."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import platformdirs
import torch
from numpy.typing import NDArray
from torch import Tensor

from plastic_core.api.layered_spec import LayeredSpec
from plastic_core.api.network_spec import AnyNetwork, NetworkSpec
from plastic_core.api.plugin import DataDir, Dataset
from plastic_core.api.sequence_spec import SequenceSpec
from plastic_core.base.errors import PlasticError
from plastic_core.base.seeds import Purpose, seed_sequence

#: The held-out images are permuted with this seed before they are halved: in file order the
#: halves of MNIST's test set differ by five points of accuracy.
HALVING_SEED: Final = 0


def data_folders(given: str | os.PathLike[str] | None = None) -> DataDir:
    """Return the data folder: `given`, else PLASTIC_DATA_DIR, else the user's cache folder.

    The first two may list several folders, separated as in PATH.
    """
    text = os.fspath(given) if given is not None else os.environ.get("PLASTIC_DATA_DIR", "")
    folders = [part for part in text.split(os.pathsep) if part]
    return DataDir(folders or [Path(platformdirs.user_cache_dir("plastic")) / "data"])


def check_dataset(data: Dataset, where: str) -> None:
    """Check shapes and ranges of what a task loaded.

    Raises:
        PlasticError: naming the field, what was found and what is expected.
    """
    parts = {
        "": (data.inputs, data.labels),
        "held_out_": (data.held_out_inputs, data.held_out_labels),
    }
    for prefix, (inputs, labels) in parts.items():
        fitting = labels.ndim - (not data.classes) in (1, 2) and 0 not in labels.shape
        if inputs.ndim != 2 or not fitting or len(labels) != len(inputs):
            expected = "[N]" if data.classes else "[N, m], for classes is 0"
            expected += ", or as many at each of T steps, [N, T] or [N, T, m]"
            raise PlasticError(
                f"{where}: {prefix}inputs and {prefix}labels have the shapes {inputs.shape} and "
                f"{labels.shape}; expected [N, n] and {expected}"
            )
        if data.classes and (labels.min() < 0 or labels.max() >= data.classes):
            raise PlasticError(
                f"{where}: {prefix}labels reach from {labels.min()} to {labels.max()}; expected "
                f"0 to {data.classes - 1}"
            )
        for name, array in (("inputs", inputs), ("labels", labels)):
            if not np.isfinite(array).all():
                raise PlasticError(f"{where}: {prefix}{name} holds numbers that are not finite")
    _check_parts(data, where)
    if data.held_out_labels.shape[1:] != data.labels.shape[1:]:
        raise PlasticError(
            f"{where}: training points have {_counted(data.labels)} numbers to predict, held-out "
            f"ones {_counted(data.held_out_labels)}"
        )
    if data.held_out_inputs.shape[1] != data.inputs.shape[1]:
        raise PlasticError(
            f"{where}: training points have {data.inputs.shape[1]} features, held-out ones "
            f"{data.held_out_inputs.shape[1]}"
        )


def _check_parts(data: Dataset, where: str) -> None:
    """Check that each point is of a part, where there are any.

    Raises:
        PlasticError: it is not, or a part is called as a class is.
    """
    for prefix, part, points in (
        ("", data.part, len(data.labels)),
        ("held_out_", data.held_out_part, len(data.held_out_labels)),
    ):
        found = np.asarray([] if part is None else part)
        expected = (points,) if data.parts else (0,)
        if found.shape != expected or not np.isin(found, range(len(data.parts))).all():
            raise PlasticError(
                f"{where}: {prefix}part holds {found.size} numbers for {points} points; expected "
                f"one of each, of 0 to {len(data.parts) - 1}, the places of its part in parts"
                if data.parts
                else f"{where}: {prefix}part is given, and no parts; give their names"
            )
    twice = {*data.parts} & {*data.class_names}
    if twice or len({*data.parts}) < len(data.parts):
        raise PlasticError(
            f"{where}: the parts {', '.join(data.parts)} are not told apart, from each other or "
            "from the classes; give each a name of its own"
        )


def _counted(labels: NDArray[Any]) -> str:
    return " x ".join(map(str, labels.shape[1:])) or "single"


def check_image(network: AnyNetwork, data: Dataset, where: str) -> None:
    """Check that the rows and columns that a network takes are those of the data.

    Raises:
        PlasticError: they are not.
    """
    image = network.image if isinstance(network, LayeredSpec) else None
    if image is not None and math.prod(image) != data.inputs.shape[1] and not data.shape:
        raise PlasticError(
            f"the network takes images of {'x'.join(map(str, image))}, and those of {where} are "
            f"lists of {data.inputs.shape[1]} numbers; give an array [N, rows, columns], or write "
            "an image of as many pixels"
        )
    if image is not None and data.shape and image != (1, *data.shape)[-3:]:
        shown, wanted = ("x".join(map(str, shape)) for shape in (image, data.shape))
        raise PlasticError(
            f"the network takes images of {shown}, and those of {where} are {wanted}; write image "
            f"{wanted}"
        )


def check_fit(network: AnyNetwork, data: Dataset, where: str) -> None:
    """Check that the network's first and last layer fit the data.

    Raises:
        PlasticError: they do not; says the sizes that would.
    """
    steps = network.steps if isinstance(network, SequenceSpec) else 0
    if steps != data.steps:
        answers = [f"at each of {n} steps" if n else "once" for n in (steps, data.steps)]
        raise PlasticError(
            f"the network answers {answers[0]}, and {where} say what to answer {answers[1]}; "
            + (f"write steps {data.steps}" if steps and data.steps else "take another task")
        )
    ends = (data.inputs.shape[1], data.outputs)
    if network.ends != ends:
        fitting = network.between(*ends)
        written = fitting.shape
        if isinstance(fitting, NetworkSpec):
            written = f"sizes {','.join(map(str, fitting.sizes))}"
        raise PlasticError(
            f"sizes {network.shape} do not fit {where}, which has {ends[0]} inputs and {ends[1]} "
            f"{'classes' if data.classes else 'numbers to predict'}; write {written}"
        )


def held_out_half(data: Dataset, half: str, limit: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return inputs and labels of the first `limit` points of one half of the held-out data."""
    chosen = held_out_places(data, half, limit)
    return data.held_out_inputs[chosen], data.held_out_labels[chosen]


def held_out_places(data: Dataset, half: str, limit: int) -> NDArray[np.int64]:
    """Return which held-out points are the first `limit` of one half of them.

    They are permuted once with a fixed seed; the first half is "choose", for tuning, the
    second "report".
    """
    order = np.random.default_rng(HALVING_SEED).permutation(len(data.held_out_labels))
    middle = len(order) // 2
    return (order[:middle] if half == "choose" else order[middle:])[:limit]


def training_points(data: Dataset, limit: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return inputs and labels of the same `limit` training points for all networks."""
    chosen = np.random.default_rng(HALVING_SEED).permutation(len(data.labels))[:limit]
    return data.inputs[chosen], data.labels[chosen]


def targets_of(data: Dataset, labels: NDArray[Any], dtype: torch.dtype) -> Tensor:
    """Return the targets of some points, ``[N, outputs]``: one-hot for classes, else numbers.

    Where there is one at each step, ``[N, T, outputs]``.
    """
    if data.classes:
        return torch.eye(data.classes, dtype=dtype)[torch.from_numpy(labels)]
    return torch.from_numpy(labels).to(dtype)


def training_order(seed: int, points: int, samples: int, seen: int = 0) -> NDArray[np.int64]:
    """Return the indices of the training points that the network of `seed` sees.

    They are the `samples` that follow the first `seen`.

    Each seed draws its own points without replacement, reshuffled in passes where `samples`
    exceeds `points`. A longer run begins with the same points.
    """
    source = np.random.default_rng(seed_sequence(Purpose.TRAINING_ORDER, seed))
    first = seen // points
    for _ in range(first):
        source.permutation(points)
    last = -(-(seen + samples) // points)
    passes = np.concatenate([source.permutation(points) for _ in range(first, last)])
    begin = seen - first * points
    return passes[begin : begin + samples].astype(np.int64)
