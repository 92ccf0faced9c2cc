"""The points that each stage of a run trains on, and the parts that they are of."""

from __future__ import annotations

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
        before: that each saw of the same part in earlier stages.
        parts: of the whole run: places among the points that are evaluated, by name.
    """

    part: str
    training: NDArray[np.int64]
    samples: int
    before: int
    parts: Mapping[str, NDArray[np.int64]]

    def order(self, seeds: Sequence[int], seen: int) -> NDArray[np.int64]:
        """Return the points that the networks of `seeds` see, ``[R, samples]``.

        Args:
            seeds: of the networks.
            seen: of all points, by the networks of a run that they learn on from.
        """
        before = self.before + (0 if self.part else seen)
        orders = [training_order(seed, len(self.training), self.samples, before) for seed in seeds]
        return self.training[np.stack(orders)]


def points_of_stages(plan: Plan, dataset: Dataset, evaluated: NDArray[Any]) -> list[StagePoints]:
    """Return the points of each stage; of a run without stages those of the one that it is.

    Args:
        plan: of the run.
        dataset: of the task.
        evaluated: labels of the points that are evaluated.

    Raises:
        PlasticError: there are no such classes, or no points of them.
    """
    stages = plan.spec.stages
    asked = [(one.classes, one.samples) for one in stages] or [("", plan.spec.samples)]
    chosen = {text: _places(dataset, text, dataset.labels) for text, _ in asked}
    parts = {text: _places(dataset, text, evaluated) for text, _ in asked if text}
    found, seen = list[StagePoints](), dict[bytes, int]()
    for text, samples in asked:
        same = chosen[text].tobytes()  # however the classes were written
        found.append(StagePoints(text, chosen[text], samples, seen.get(same, 0), parts))
        seen[same] = seen.get(same, 0) + samples
    return found


def _places(dataset: Dataset, text: str, labels: NDArray[Any]) -> NDArray[np.int64]:
    if not text:
        return np.arange(len(labels))
    if not dataset.classes:
        raise PlasticError(
            f"stages: 'on {text}' names classes, and these data are numbers to predict"
        )
    names = dataset.names or tuple(map(str, range(dataset.classes)))
    try:
        classes = classes_of(text, names)
    except ValueError as error:
        raise PlasticError(f"stages: 'on {text}': {error}; there are {listed(names)}") from None
    of_classes = np.isin(labels, classes)
    # of sequences, whose steps have a label each, those with none of another class
    places = np.flatnonzero(of_classes.reshape(len(labels), -1).all(1))
    if not len(places):
        raise PlasticError(f"stages: 'on {text}': there are no points of these classes")
    return places
