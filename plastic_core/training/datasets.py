"""From a task's data to what the trainer needs: checked, halved, ordered."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import platformdirs
from numpy.typing import NDArray

from plastic_core.api.network_spec import AnyNetwork
from plastic_core.api.plugin import DataDir, Dataset
from plastic_core.base.errors import PlasticError
from plastic_core.base.seeds import Purpose, seed_sequence

# The held-out images are permuted with this seed before they are halved: in file order the
# halves of MNIST's test set differ by five points of accuracy.
_HALVING_SEED: Final = 0


def data_folders(given: str | os.PathLike[str] | None = None) -> DataDir:
    """Return the data folder: `given`, else PLASTIC_DATA_DIR, else the user's cache folder.

    The first two may list several folders, separated as in PATH.
    """
    text = os.fspath(given) if given is not None else os.environ.get("PLASTIC_DATA_DIR", "")
    folders = [part for part in text.split(os.pathsep) if part]
    return DataDir(folders or [Path(platformdirs.user_cache_dir("plastic")) / "data"])


def split_arrays(inputs: Any, labels: Any) -> Dataset:
    """Return arrays handed over by the user as a data set, 30% of the points held out.

    Raises:
        PlasticError: the arrays do not fit each other, or are too small to split.
    """
    try:
        inputs, labels = np.asarray(inputs, dtype=np.float64), np.asarray(labels)
    except (ValueError, TypeError) as error:
        raise PlasticError(f"data: X holds no array of numbers: {error}") from None
    if inputs.ndim != 2 or labels.shape != inputs.shape[:1]:
        raise PlasticError(
            f"data: X has shape {inputs.shape} and y {labels.shape}; expected [N, n] and [N]"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise PlasticError(
            f"data: y is of type {labels.dtype}; expected integers from 0 to classes - 1"
        )
    if len(labels) and labels.max() >= len(labels):
        raise PlasticError(
            f"data: y reaches to {labels.max()} with {len(labels)} points; expected integers "
            "from 0 to classes - 1, without gaps"
        )
    held_out = 2 * round(0.15 * len(inputs))
    if held_out == 0:
        raise PlasticError(f"data: {len(inputs)} points are too few to split; give at least 4")
    order = np.random.default_rng(_HALVING_SEED).permutation(len(inputs))
    train, rest = order[held_out:], order[:held_out]
    return Dataset(
        inputs[train].astype(np.float32),
        labels[train].astype(np.int64),
        inputs[rest].astype(np.float32),
        labels[rest].astype(np.int64),
        classes=int(labels.max()) + 1,
    )


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
        if inputs.ndim != 2 or labels.shape != inputs.shape[:1] or len(inputs) == 0:
            raise PlasticError(
                f"{where}: {prefix}inputs and {prefix}labels have the shapes {inputs.shape} and "
                f"{labels.shape}; expected [N, n] and [N]"
            )
        if labels.min() < 0 or labels.max() >= data.classes:
            raise PlasticError(
                f"{where}: {prefix}labels reach from {labels.min()} to {labels.max()}; expected "
                f"0 to {data.classes - 1}"
            )
        if not np.isfinite(inputs).all():
            raise PlasticError(f"{where}: {prefix}inputs holds numbers that are not finite")
    if data.held_out_inputs.shape[1] != data.inputs.shape[1]:
        raise PlasticError(
            f"{where}: training points have {data.inputs.shape[1]} features, held-out ones "
            f"{data.held_out_inputs.shape[1]}"
        )


def check_fit(network: AnyNetwork, data: Dataset, where: str) -> None:
    """Check that the network's first and last layer fit the data.

    Raises:
        PlasticError: they do not; says the sizes that would.
    """
    ends = (data.inputs.shape[1], data.classes)
    if (network.sizes[0], network.sizes[-1]) != ends:
        fitting = (ends[0], *network.sizes[1:-1], ends[1])
        raise PlasticError(
            f"sizes {network.shape} do not fit {where}, which has {ends[0]} inputs and {ends[1]} "
            f"classes; write sizes {','.join(map(str, fitting))}"
        )


def held_out_half(data: Dataset, half: str, limit: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return inputs and labels of the first `limit` points of one half of the held-out data.

    The points are permuted once with a fixed seed; the first half is "choose", for tuning, the
    second "report".
    """
    order = np.random.default_rng(_HALVING_SEED).permutation(len(data.held_out_labels))
    middle = len(order) // 2
    chosen = (order[:middle] if half == "choose" else order[middle:])[:limit]
    return data.held_out_inputs[chosen], data.held_out_labels[chosen]


def training_order(seed: int, points: int, samples: int) -> NDArray[np.int64]:
    """Return the indices of the `samples` training points that the network of `seed` sees.

    Each seed draws its own points without replacement, reshuffled in passes where `samples`
    exceeds `points`. A longer run begins with the same points.
    """
    source = np.random.default_rng(seed_sequence(Purpose.TRAINING_ORDER, seed))
    passes = [source.permutation(points) for _ in range(-(-samples // points))]
    return np.concatenate(passes)[:samples].astype(np.int64)
