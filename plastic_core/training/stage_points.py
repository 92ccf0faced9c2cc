"""The points that each stage of a run trains on, and the parts that they are of."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plastic_core.api.plugin import Dataset
from plastic_core.base.errors import PlasticError
from plastic_core.plan.plan import Plan
from plastic_core.plan.stage import classes_of
from plastic_core.training.data_file import listed
from plastic_core.training.datasets import training_order


@dataclass(frozen=True)
class StagePoints:
    """The points of one stage.

    Attributes:
        part: what they are called, such as "0-4"; empty for all points.
        training: their places among the training points.
        samples: that each network sees.
        before: that each saw of the same part in earlier stages, and in runs that it learns on
            from.
        parts: of the whole run: places among the points that are evaluated, by name.
    """

    part: str
    training: NDArray[np.int64]
    samples: int
    before: int
    parts: Mapping[str, NDArray[np.int64]]

    def order(self, seeds: Sequence[int]) -> NDArray[np.int64]:
        """Return the points that the networks of `seeds` see, ``[R, samples]``."""
        count = len(self.training)
        orders = [training_order(seed, count, self.samples, self.before) for seed in seeds]
        return self.training[np.stack(orders)]


def points_of_stages(
    plan: Plan, dataset: Dataset, evaluated: NDArray[np.int64]
) -> list[StagePoints]:
    """Return the points of each stage; of a run without stages those of the one that it is.

    Args:
        plan: of the run.
        dataset: of the task.
        evaluated: which of the held-out points are evaluated.

    Raises:
        PlasticError: there are no such classes or parts of the data, or no points of them.
    """
    stages = plan.spec.stages
    asked = [(one.classes, one.samples) for one in stages] or [("", plan.spec.samples)]
    chosen = {text: _places(dataset, text, dataset.labels, dataset.part) for text, _ in asked}
    for text, places in chosen.items():
        if not len(places):
            raise PlasticError(f"stages: 'on {text}': there are no training points of these")
    part = None if dataset.held_out_part is None else dataset.held_out_part[evaluated]
    labels = dataset.held_out_labels[evaluated]
    parts = {text: _places(dataset, text, labels, part) for text, _ in asked if text}
    found, seen = list[StagePoints](), Counter[bytes]()
    for text, samples in plan.parent.seen.items() if plan.parent else ():
        with contextlib.suppress(PlasticError):  # of other data
            seen[_places(dataset, text, dataset.labels, dataset.part).tobytes()] += samples
    for text, samples in asked:
        same = chosen[text].tobytes()  # however the classes were written
        found.append(StagePoints(text, chosen[text], samples, seen[same], parts))
        seen[same] += samples
    return found


def _places(
    dataset: Dataset, text: str, labels: NDArray[Any], part: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    if not text:
        return np.arange(len(labels))
    names = dataset.class_names
    if not names and not dataset.parts:
        raise PlasticError(
            f"stages: 'on {text}' names classes, and these data are numbers to predict"
        )
    try:
        named = classes_of(text, (*names, *dataset.parts))
    except ValueError as error:
        there = listed((*names, *dataset.parts))
        raise PlasticError(f"stages: 'on {text}': {error}; there are {there}") from None
    if named[0] < len(names) <= named[-1]:
        raise PlasticError(f"stages: 'on {text}' names classes and parts of the data; name either")
    if part is not None and named[0] >= len(names):
        labels, named = part, [one - len(names) for one in named]
    chosen = np.isin(labels, named)
    # of sequences, whose steps have a label each, those with none of another class
    return np.flatnonzero(chosen.reshape(len(labels), -1).all(1))
