"""Arrays of one's own: read, encoded, and split into training and held-out points."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plastic_core.api.network_spec import AnyNetwork
from plastic_core.api.plugin import Dataset
from plastic_core.base.errors import PlasticError
from plastic_core.training.datasets import HALVING_SEED

TargetKind = Literal["auto", "classes", "numbers"]


def split_arrays(
    data: Any,
    in_steps: bool = False,
    kind: TargetKind = "auto",
    held_out: Any = None,
    known: tuple[str, ...] = (),
    exact: bool = False,
) -> Dataset:
    """Return arrays handed over by the user as a data set, 30% of the points held out.

    Args:
        data: ``(X, y)`` as `read_arrays` takes it.
        in_steps: see there.
        kind: see there.
        held_out: arrays ``(X, y)`` of points that are held out in place of those 30%.
        known: see there.
        exact: keep float64, for numbers that are still to be scaled.

    Raises:
        PlasticError: they are no such pair, do not fit each other, or are too small to split.
    """
    training = 0
    if held_out is not None:
        data, training = _joined(data, held_out)
    points, labels, names = read_arrays(data, in_steps, kind, known)
    inputs: Any = points.reshape(len(points), -1)
    if not exact:
        inputs = _single("X", inputs)
        labels = labels if names else _single("y", labels)
    count = 2 * round(0.15 * len(inputs))
    if count == 0:
        raise PlasticError(f"data: {len(inputs)} points are too few to split; give at least 4")
    order = np.random.default_rng(HALVING_SEED).permutation(len(inputs))
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


def _single(name: str, numbers: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        single = numbers.astype(np.float32)
    if np.isfinite(numbers).all() and not np.isfinite(single).all():
        raise PlasticError(f"data: {name} holds numbers that are too large for float32; scale them")
    return single


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


def read_points(
    given: Any, network: AnyNetwork, shape: tuple[int, ...] = ()
) -> NDArray[np.float64]:
    """Return points that a network can be shown, ``[N, n_0]``.

    Args:
        given: ``[N, n_0]``, or of more dimensions and as many numbers.
        network: the network.
        shape: of the points that it was trained on, where they were images or sequences.

    Raises:
        PlasticError: they are no such array, do not fit, or are not finite.
    """
    points, inputs = _numbers("X", given), network.ends[0]
    if points.ndim < 2 or math.prod(points.shape[1:]) != inputs:
        raise PlasticError(
            f"data: X has shape {points.shape}; expected [N, {inputs}], or as many numbers a point "
            "in other dimensions"
        )
    shape = shape or getattr(network, "image", None) or ()
    if (
        shape
        and points.ndim > 2
        and (1, *points.shape[1:])[-len(shape) :] != (1, *shape)[-len(shape) :]
    ):
        here, there = (" x ".join(map(str, one)) for one in (points.shape[1:], shape))
        raise PlasticError(
            f"data: X holds points of {here}, and these networks were trained on {there}; give "
            "points of that shape"
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


def _targets(given: NDArray[Any]) -> NDArray[np.float64]:
    """Return numbers to be predicted, ``[N, m]``."""
    numbers = _numbers("y", given).reshape(len(given), -1)
    if not np.isfinite(numbers).all():
        raise PlasticError("data: y holds numbers that are not finite; leave them out")
    return numbers


def _encoded(
    labels: NDArray[Any], known: tuple[str, ...] = ()
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels as classes 0..K-1, in sorted or known order, and what each class is called."""
    values: list[Any] = labels.tolist()
    for place, value in enumerate(values):
        if value is None or not isinstance(value, Hashable) or type(value).__name__ == "NAType":
            raise PlasticError(
                f"data: y of point {place + 1} is {value!r}, no label; expected one of each point, "
                "a number or a text"
            )
    if any(value != value or (isinstance(value, float) and value % 1) for value in values):
        raise PlasticError(
            "data: y holds NaN or fractions, which are no labels of classes; where they are "
            "amounts, leave target_kind to auto or write numbers"
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
    return np.array([number[value] for value in values], np.int64), tuple(
        names_of(kind)[0] for kind in kinds
    )


def names_of(label: Any) -> tuple[str, ...]:
    """Return what a class may be called; 1.0 is 1 too."""
    return (str(int(label)), str(label)) if isinstance(label, float) else (str(label),)


def _array(given: Any) -> NDArray[Any]:
    """Return an array, of a tensor too where it requires gradients or lies on a GPU."""
    return np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
