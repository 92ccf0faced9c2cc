"""From a task's data to what the trainer needs: checked, halved, ordered."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Final, Literal

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

# The held-out images are permuted with this seed before they are halved: in file order the
# halves of MNIST's test set differ by five points of accuracy.
_HALVING_SEED: Final = 0


TargetKind = Literal["auto", "classes", "numbers"]


def data_folders(given: str | os.PathLike[str] | None = None) -> DataDir:
    """Return the data folder: `given`, else PLASTIC_DATA_DIR, else the user's cache folder.

    The first two may list several folders, separated as in PATH.
    """
    text = os.fspath(given) if given is not None else os.environ.get("PLASTIC_DATA_DIR", "")
    folders = [part for part in text.split(os.pathsep) if part]
    return DataDir(folders or [Path(platformdirs.user_cache_dir("plastic")) / "data"])


def split_arrays(
    data: Any,
    in_steps: bool = False,
    kind: TargetKind = "auto",
    held_out: Any = None,
    known: tuple[str, ...] = (),
) -> Dataset:
    """Return arrays handed over by the user as a data set, 30% of the points held out.

    Args:
        data: ``(X, y)`` as `read_arrays` takes it.
        in_steps: see there.
        kind: see there.
        held_out: arrays ``(X, y)`` of points that are held out in place of those 30%.
        known: see there.

    Raises:
        PlasticError: they are no such pair, do not fit each other, or are too small to split.
    """
    training = 0
    if held_out is not None:
        data, training = _joined(data, held_out)
    points, labels, names = read_arrays(data, in_steps, kind, known)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        inputs = points.reshape(len(points), -1).astype(np.float32)
    if np.isfinite(points).all() and not np.isfinite(inputs).all():
        raise PlasticError("data: X holds numbers that are too large for float32; scale them")
    count = 2 * round(0.15 * len(inputs))
    if count == 0:
        raise PlasticError(f"data: {len(inputs)} points are too few to split; give at least 4")
    order = np.random.default_rng(_HALVING_SEED).permutation(len(inputs))
    train, rest = order[count:], order[:count]
    if training:
        train, rest = np.split(np.arange(len(inputs)), [training])
    return Dataset(
        inputs[train],
        labels[train],
        inputs[rest],
        labels[rest],
        classes=len(names),
        names=names if names != tuple(map(str, range(len(names)))) else (),
        shape=points.shape[1:] if points.ndim > 2 else (),
    )


def _joined(data: Any, held_out: Any) -> tuple[tuple[NDArray[Any], ...], int]:
    """Return training points before held-out ones, and how many they are.

    Together their labels mean the same.

    Raises:
        PlasticError: they differ in shape, or there are too few to be halved.
    """
    for name, one, other in zip("Xy", data, held_out, strict=True):
        if one.shape[1:] != other.shape[1:]:
            raise PlasticError(
                f"data: {name} of a training point has shape {one.shape[1:]}, and of a held-out "
                f"one {other.shape[1:]}; give both the same"
            )
    for x, y in (data, held_out):
        if x.shape[:1] != y.shape[:1] or not x.ndim or len(x) < 2:
            raise PlasticError(
                f"data: X and y have the shapes {x.shape} and {y.shape}; expected as many points, "
                "and at least two to train on and two that are held out"
            )
    pairs = zip(data, held_out, strict=True)
    return tuple(np.concatenate(pair) for pair in pairs), len(data[0])


def read_arrays(
    data: Any,
    in_steps: bool = False,
    kind: TargetKind = "auto",
    known: tuple[str, ...] = (),
) -> tuple[NDArray[np.float64], NDArray[Any], tuple[str, ...]]:
    """Return points, what is to be predicted, and the labels that classes stand for.

    Points are ``[N, n]``, or images ``[N, H, W]`` or ``[N, C, H, W]``. What is to be predicted
    is y: classes ``[N]`` where it is ``[N]``, of any kind that can be told apart; and numbers
    ``[N, m]``, without labels, where it is ``[N, m]``, or ``[N]`` with fractions.

    Args:
        data: ``(X, y)``.
        in_steps: whether they are sequences, X ``[N, T, n]`` and y ``[N, T]`` or ``[N, T, m]``.
        kind: "classes" or "numbers" where y is one of both whatever it looks like.
        known: labels of classes, in an order that is kept where y holds no others.

    Raises:
        PlasticError: they are no such pair, or do not fit each other.
    """
    if not isinstance(data, tuple | list) or len(data) != 2:
        count = f" of {len(data)}" if isinstance(data, tuple | list) else ""
        raise PlasticError(f"data: is a {type(data).__name__}{count}; expected a pair (X, y)")
    inputs = _numbers("X", data[0])
    if inputs.ndim not in (2, 3, 4) or 0 in inputs.shape:
        raise PlasticError(
            f"data: X has shape {inputs.shape}; expected [N, n], or images [N, H, W] or "
            "[N, C, H, W], none of them 0"
        )
    try:
        given = _array(data[1])
    except (ValueError, TypeError, RuntimeError) as error:
        raise PlasticError(f"data: y holds no array of labels: {error}") from None
    points = len(inputs)
    steps = inputs.shape[:2]
    fits = inputs.ndim == 3 and given.shape[:2] == steps and given.ndim in (2, 3)
    if in_steps and not (fits and steps[1] > 1 and given.size):
        raise PlasticError(
            f"data: X has shape {inputs.shape} and y {given.shape}; this network answers at each "
            "step, and takes X of [N, steps, n] and y of [N, steps], a label a step, or "
            "[N, steps, m], m numbers a step, of two steps at least"
        )
    if in_steps:
        each = inputs.reshape(-1, inputs.shape[2]), given.reshape(-1, *given.shape[2:])
        _, labels, names = read_arrays(each, False, kind, known)
        return inputs, labels.reshape(*steps, *labels.shape[1:]), names
    fits = len(given) == points if given.ndim == 2 else given.shape == (points,)
    if not fits or 0 in given.shape:
        raise PlasticError(
            f"data: y has shape {given.shape}; expected [{points}], a label a point, or "
            f"[{points}, m], m numbers a point"
        )
    if kind == "classes" and given.ndim == 2:
        raise PlasticError(
            f"data: y has shape {given.shape}, and the target kind is classes; give one label a "
            "point"
        )
    fractions = given.dtype.kind == "f" and bool((given % 1 > 0).any())
    if kind == "numbers" or given.ndim == 2 or (fractions and kind == "auto"):
        return inputs, _targets(given), ()
    return inputs, *_encoded(given, known)


def read_points(given: Any, network: AnyNetwork) -> NDArray[np.float64]:
    """Return points that a network can be shown, ``[N, n_0]``.

    Args:
        given: ``[N, n_0]``, or of more dimensions and as many numbers.
        network: the network.

    Raises:
        PlasticError: they are no such array, do not fit, or are not finite.
    """
    points, inputs = _numbers("X", given), network.ends[0]
    if points.ndim < 2 or math.prod(points.shape[1:]) != inputs:
        raise PlasticError(
            f"data: X has shape {points.shape}; expected [N, {inputs}], or as many numbers a point "
            "in other dimensions"
        )
    if not np.isfinite(points).all():
        raise PlasticError("data: X holds numbers that are not finite")
    return points.reshape(len(points), inputs)


def _numbers(name: str, given: Any) -> NDArray[np.float64]:
    try:
        array = _array(given)
        if array.dtype.kind not in "biufO":  # complex numbers, times, texts
            raise TypeError(f"they are of type {array.dtype}")
        return array.astype(np.float64)
    except (ValueError, TypeError, RuntimeError) as error:
        raise PlasticError(f"data: {name} holds no array of real numbers: {error}") from None


def _targets(given: NDArray[Any]) -> NDArray[np.float32]:
    """Return numbers to be predicted, ``[N, m]``."""
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        numbers = _numbers("y", given).reshape(len(given), -1).astype(np.float32)
    if not np.isfinite(numbers).all():
        raise PlasticError("data: y holds numbers that are not finite in float32; leave them out")
    return numbers


def _encoded(
    labels: NDArray[Any], known: tuple[str, ...] = ()
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels as classes 0..K-1, in sorted or known order, and what each class is called."""
    values: list[Any] = labels.tolist()
    if any(value != value or (isinstance(value, float) and value % 1) for value in values):
        raise PlasticError(
            "data: y holds NaN, or fractions among other things; expected labels of classes, or "
            "numbers alone"
        )
    try:
        kinds = sorted(set(values))
    except TypeError:  # of kinds that have no common order
        kinds = list(dict.fromkeys(values))
    places = {one: known.index(name) for one in kinds for name in names_of(one) if name in known}
    if len(places) == len(kinds):
        return np.array([places[value] for value in values], np.int64), known
    if len(kinds) < 2:
        raise PlasticError(f"data: y holds {len(kinds)} label; expected two classes at least")
    number = {kind: i for i, kind in enumerate(kinds)}
    return np.array([number[value] for value in values], np.int64), tuple(map(str, kinds))


def names_of(label: Any) -> tuple[str, ...]:
    """Return what a class may be called; 1.0 is 1 too."""
    return (str(int(label)), str(label)) if isinstance(label, float) else (str(label),)


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
    """Return inputs and labels of the first `limit` points of one half of the held-out data.

    The points are permuted once with a fixed seed; the first half is "choose", for tuning, the
    second "report".
    """
    order = np.random.default_rng(_HALVING_SEED).permutation(len(data.held_out_labels))
    middle = len(order) // 2
    chosen = (order[:middle] if half == "choose" else order[middle:])[:limit]
    return data.held_out_inputs[chosen], data.held_out_labels[chosen]


def training_points(data: Dataset, limit: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return inputs and labels of the same `limit` training points for all networks."""
    chosen = np.random.default_rng(_HALVING_SEED).permutation(len(data.labels))[:limit]
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
