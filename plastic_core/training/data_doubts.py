"""What is odd about data of one's own, and is said before they are taken as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from plastic_core.api.plugin import Dataset
from plastic_core.plan.run_spec import RunSpec
from plastic_core.training.data_file import listed

# Names that a note shows.
_SHOWN: Final = 10

# Pixels are from 0 to 1, or of about that size where they are standardised.
_BRIGHT: Final = 20

# So many times more points of one class than of another are said.
_IMBALANCED: Final = 10

# Whole numbers of more kinds, with fewer points of each, may be no classes.
_MANY: Final = 20
_FEW: Final = 10


def doubts(data: Dataset, spec: RunSpec, columns: tuple[str, ...]) -> Iterator[str]:
    """Yield what is odd about points that are handed over, and taken as they are.

    Args:
        data: split, and not scaled yet.
        spec: of the run.
        columns: names of the inputs, where they have some.
    """
    if len(data.shape) == 3 and data.shape[0] > data.shape[2] in (1, 3):
        channels, rows, width = data.shape
        yield (
            f"images of {channels} channels, {rows} rows and {width} columns, as their shape "
            f"{list(data.shape)} says; where the channels stand last, move them: "
            "X.transpose(0, 3, 1, 2)"
        )
    if data.labels.ndim == 2 and data.shape[:-1] == data.labels.shape[1:]:
        yield (
            "y has a number for each row of a point, and this network answers once for all; where "
            "rows are steps, take a task whose network answers at each, such as delayed-xor"
        )
    largest = float(np.abs(data.inputs).max())
    if data.shape and largest > _BRIGHT and spec.scale == "none":
        yield (
            f"pixels reach {largest:g}, and thetas suit numbers from 0 to 1; divide them by "
            f"{largest:g}, or search for thetas"
        )
    if not data.shape and not data.steps:
        yield from _constant(data.inputs, columns)
        if largest > _BRIGHT and spec.scale == "none":
            yield (
                f"inputs reach {largest:g}, and thetas suit numbers of about 1; write --scale "
                "standard, or search for thetas"
            )
    if data.classes and not data.steps:
        yield from _of_classes(data, spec)


def _constant(inputs: NDArray[Any], columns: Sequence[str]) -> Iterator[str]:
    """Yield what is odd about the training points ``[N, n]`` of a table."""
    constant = np.flatnonzero((inputs == inputs[:1]).all(0)).tolist()
    if constant:
        names = columns or [str(i + 1) for i in range(inputs.shape[1])]
        one = "column" if len(constant) == 1 else "columns"
        yield (
            f"constant in all training points, so that nothing is learned of them: the {one} "
            f"{listed([names[i] for i in constant], 5)}"
        )


def _of_classes(data: Dataset, spec: RunSpec) -> Iterator[str]:
    counts = np.bincount(data.labels, minlength=data.classes)
    names = data.class_names
    most, fewest = int(counts.argmax()), int(counts.argmin())
    single = [names[i] for i in np.flatnonzero(counts == 1)]
    if single:
        yield f"of {listed(single, _SHOWN)} there is one training point alone"
    if counts[fewest] > 1 and counts[most] > _IMBALANCED * counts[fewest]:
        yield (
            f"the classes differ in size: {counts[most]} training points are of {names[most]}, "
            f"and {counts[fewest]} of {names[fewest]}"
        )
    if (
        spec.target_kind == "auto"
        and data.classes > _MANY
        and len(data.labels) < _FEW * data.classes
        and all(name.removeprefix("-").replace(".", "", 1).isdecimal() for name in names)
    ):
        yield (
            f"y holds whole numbers, {data.classes} different ones, which are taken for classes; "
            "where they are amounts, write --target-kind numbers"
        )
