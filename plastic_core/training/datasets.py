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


def split_arrays(data: Any) -> Dataset:
    """Return arrays handed over by the user as a data set, 30% of the points held out.

    Args:
        data: ``(X [N, n], y [N])``; the labels y may be of any kind that can be told apart.

    Raises:
        PlasticError: they are no such pair, do not fit each other, or are too small to split.
    """
    inputs, labels, names = read_arrays(data)
    held_out = 2 * round(0.15 * len(inputs))
    if held_out == 0:
        raise PlasticError(f"data: {len(inputs)} points are too few to split; give at least 4")
    order = np.random.default_rng(_HALVING_SEED).permutation(len(inputs))
    train, rest = order[held_out:], order[:held_out]
    return Dataset(
        inputs[train].astype(np.float32),
        labels[train],
        inputs[rest].astype(np.float32),
        labels[rest],
        classes=len(names),
        names=names if names != tuple(map(str, range(len(names)))) else (),
    )


def read_arrays(data: Any) -> tuple[NDArray[np.float64], NDArray[np.int64], tuple[str, ...]]:
    """Return points ``[N, n]``, their classes ``[N]``, and the labels that these stand for.

    Raises:
        PlasticError: they are no such pair, or do not fit each other.
    """
    if not isinstance(data, tuple | list) or len(data) != 2:
        count = f" of {len(data)}" if isinstance(data, tuple | list) else ""
        raise PlasticError(f"data: is a {type(data).__name__}{count}; expected a pair (X, y)")
    inputs = _inputs(data[0])
    return inputs, *_encoded(data[1], len(inputs))


def _inputs(given: Any) -> NDArray[np.float64]:
    try:
        array = _array(given)
        if array.dtype.kind not in "biufO":  # complex numbers, times, texts
            raise TypeError(f"they are of type {array.dtype}")
        inputs = array.astype(np.float64)
    except (ValueError, TypeError, RuntimeError) as error:
        raise PlasticError(f"data: X holds no array of real numbers: {error}") from None
    if inputs.ndim != 2 or 0 in inputs.shape:
        raise PlasticError(f"data: X has shape {inputs.shape}; expected [N, n], neither of them 0")
    return inputs


def _encoded(given: Any, points: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels as classes 0..K-1, in sorted order, and what each class is called."""
    try:
        labels = _array(given)
    except (ValueError, TypeError, RuntimeError) as error:
        raise PlasticError(f"data: y holds no array of labels: {error}") from None
    if labels.shape != (points,):
        raise PlasticError(
            f"data: y has shape {labels.shape}; expected [{points}], a label a point"
        )
    values: list[Any] = labels.tolist()
    if any(value != value or (isinstance(value, float) and value % 1) for value in values):
        raise PlasticError("data: y holds fractions or NaN; expected the labels of classes")
    try:
        kinds = sorted(set(values))
    except TypeError:  # of kinds that have no common order
        kinds = list(dict.fromkeys(values))
    if len(kinds) < 2:
        raise PlasticError(f"data: y holds {len(kinds)} label; expected two classes at least")
    number = {kind: i for i, kind in enumerate(kinds)}
    return np.array([number[value] for value in values], np.int64), tuple(map(str, kinds))


def _array(given: Any) -> NDArray[Any]:
    """Return an array, of a tensor too where it requires gradients or lies on a GPU."""
    return np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)


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
