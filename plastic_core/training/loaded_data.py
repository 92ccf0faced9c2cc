"""Data as networks are trained on them: checked, scaled, and what is to be said of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from plastic_core.api.plugin import Dataset
from plastic_core.plan.parent import Parent
from plastic_core.plan.run_spec import RunSpec
from plastic_core.results.run_record import DataRecord
from plastic_core.results.scaling import Scaling
from plastic_core.results.sources import digest_of
from plastic_core.training import datasets
from plastic_core.training.data_doubts import doubts
from plastic_core.training.data_file import DataFile, listed

# Labels that a note names; the record holds all of them.
_NAMED: Final = 10


@dataclass(frozen=True)
class Loaded:
    """Data as networks are trained on them.

    Attributes:
        dataset: split and scaled.
        digest: of it.
        where: what messages call it.
        record: what the record of a run says of data that no task has loaded as they are.
        follow: whether the first and last layer of a network follow it.
        notes: what is odd about it, or was decided.
    """

    dataset: Dataset
    digest: str
    where: str
    record: DataRecord | None
    follow: bool
    notes: tuple[str, ...]


def finished(
    dataset: Dataset, where: str, spec: RunSpec, points: DataFile | None, parent: Parent | None
) -> Loaded:
    """Return data checked and scaled, with what is to be said of them.

    Args:
        dataset: split.
        where: what messages call it.
        spec: of the run.
        points: what was read or handed over; None for those of a task.
        parent: the run whose networks learn on.

    Raises:
        PlasticError: they are not as they must be.
    """
    datasets.check_dataset(dataset, where)
    # points that do not lie together would be copied by each block
    dataset = replace(
        dataset,
        inputs=np.ascontiguousarray(dataset.inputs),
        held_out_inputs=np.ascontiguousarray(dataset.held_out_inputs),
    )
    notes, columns = list[str](), () if points is None else points.columns
    if points is not None:
        notes += [*points.notes, *doubts(dataset, spec, columns)]
        if not spec.data:
            notes.insert(0, "trained on data handed over, which this record does not hold")
    scaling = targets = None
    if spec.scale != "none":
        before = {} if parent is None else parent.data
        dataset, scaling, targets = _scaled(dataset, spec.scale, before, spec.target)
        datasets.check_dataset(dataset, f"{where}, scaled")
    scaled = None if parent is None else parent.data.get("scaling")
    if parent is not None and scaled:
        alike = scaling is not None and scaled == scaling.model_dump()
        notes.append(
            f"scaled as the points of {parent.folder} were"
            if alike
            else f"the points of {parent.folder} were scaled, and these are not as they were; "
            f"scale {scaled['way']} scales the same columns alike"
        )
    if dataset.names:
        shown = ", ".join(dataset.names[:_NAMED]) + ", ..." * (len(dataset.names) > _NAMED)
        notes.append(f"the labels {shown} are the classes 0 to {dataset.classes - 1}")
    empty = sorted({*range(dataset.classes)} - {*np.unique(dataset.labels).tolist()})
    if empty:
        few = listed([dataset.class_names[i] for i in empty], _NAMED)
        notes.append(f"no training point is of {len(empty)} of the classes: {few}")
    digest = digest_of(dataset)
    record = None
    if points is not None or scaling is not None:
        record = DataRecord(
            file=spec.data,
            digest=digest,
            columns=columns,
            target=spec.target,
            scaling=scaling,
            target_scaling=targets,
            shape=dataset.shape,
        )
    return Loaded(dataset, digest, where, record, points is not None, tuple(notes))


def _scaled(
    data: Dataset,
    way: Literal["unit", "standard"],
    before: Mapping[str, Any],
    target: tuple[str, ...],
) -> tuple[Dataset, Scaling, Scaling | None]:
    """Return data scaled by their training points: columns each by itself, pixels all alike.

    Networks that learn on have been scaled for before, where it was in the same way.
    """

    def fitted(points: Any, columns: int, kept: Any) -> Scaling:
        if kept and kept["way"] == way and len(kept["shift"]) == columns:
            return Scaling(**kept)
        return Scaling.fitted(points, way, columns)

    inputs = data.inputs.shape[1]
    columns = inputs // data.steps if data.steps else 1 if data.shape else inputs
    scaling = fitted(data.inputs, columns, before.get("scaling"))
    data = replace(
        data,
        inputs=scaling.apply(data.inputs),
        held_out_inputs=scaling.apply(data.held_out_inputs),
    )
    if data.classes:
        return data, scaling, None
    same = tuple(before.get("target", ())) == target
    targets = fitted(data.labels, data.outputs, before.get("target_scaling") if same else None)
    data = replace(
        data,
        labels=targets.apply(data.labels),
        held_out_labels=targets.apply(data.held_out_labels),
    )
    return data, scaling, targets
