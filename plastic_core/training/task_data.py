"""The data of a plan: loaded, checked, and kept for the blocks that follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol, Self, TypeVar

import numpy as np

from plastic_core.api.layered_spec import LayeredSpec
from plastic_core.api.plugin import Dataset
from plastic_core.api.sequence_spec import SequenceSpec
from plastic_core.base.errors import PlasticError
from plastic_core.plan.plan import Plan, call_task, network_of
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.results.sources import digest_of
from plastic_core.training import datasets

# Labels that a note names; the record holds all of them.
_NAMED: Final = 10

# Pixels are from 0 to 1, or of about that size where they are standardised.
_BRIGHT: Final = 20

# The loss of numbers that are handed over, unless another is asked for.
_REGRESSION: Final = "squared-error"

_KEPT: Final[dict[tuple[str, str, str | None], tuple[Dataset, str]]] = {}


def load_data(
    plan: Plan, data: tuple[Any, Any] | None, data_dir: Any, notes: list[str]
) -> tuple[Dataset, Plan]:
    """Return the data, and the plan with the network that fits them.

    Raises:
        PlasticError: there are no data, or they fit neither themselves nor the network.
    """
    name, network = plan.task_entry.name, plan.network
    if data is not None:
        notes.append("trained on data handed over, which this record does not hold")
    if data is None:
        folders = datasets.data_folders(data_dir)
        dataset = call_task(plan.task_entry, "load", folders, plan.options)
        if not isinstance(dataset, Dataset):
            raise PlasticError(
                f"the task '{name}': load() returned {dataset!r}; expected a Dataset"
            )
        where = f"the data of {name}"
    else:
        dataset = datasets.split_arrays(data, isinstance(network, SequenceSpec))
        where = "the data given"
        notes.extend(_doubts(dataset))
        datasets.check_image(network, dataset, where)
        fitting = network.between(dataset.inputs.shape[1], dataset.outputs)
        if fitting != network and not plan.spec.options.get("sizes"):
            network = fitting
            notes.append(
                f"the network is {network.shape}: its first and last layer follow the data given"
            )
        if _unfit(plan, dataset) and "loss" not in plan.spec.options:
            network = network.model_copy(update={"loss": _REGRESSION})
            notes.append(f"the loss is {_REGRESSION}, for y holds numbers and no labels")
        if network != plan.network:
            plan = plan.on(network)
    datasets.check_dataset(dataset, where)
    datasets.check_image(network, dataset, where)
    datasets.check_fit(network, dataset, where)
    if _unfit(plan, dataset):
        raise PlasticError(
            f"the loss '{network.loss}' is for classes, and {where} are numbers; write "
            f"loss {_REGRESSION}"
        )
    if dataset.names:
        shown = ", ".join(dataset.names[:_NAMED]) + ", ..." * (len(dataset.names) > _NAMED)
        notes.append(f"the labels {shown} are the classes 0 to {dataset.classes - 1}")
    empty = sorted({*range(dataset.classes)} - {*np.unique(dataset.labels).tolist()})
    if empty:
        notes.append(f"no training point is of the classes {', '.join(map(str, empty))}")
    return dataset, plan


def _doubts(data: Dataset) -> Iterator[str]:
    """Yield what is odd about images that are handed over, and taken as they are."""
    if len(data.shape) == 3 and data.shape[0] > data.shape[2] in (1, 3):
        channels, rows, columns = data.shape
        yield (
            f"images of {channels} channels, {rows} rows and {columns} columns, as their shape "
            f"{list(data.shape)} says; where the channels stand last, move them: "
            "X.transpose(0, 3, 1, 2)"
        )
    if data.labels.ndim == 2 and data.shape[:-1] == data.labels.shape[1:]:
        yield (
            "y has a number for each row of a point, and this network answers once for all; where "
            "rows are steps, take a task whose network answers at each, such as delayed-xor"
        )
    largest = float(np.abs(data.inputs).max())
    if data.shape and largest > _BRIGHT:
        yield (
            f"pixels reach {largest:g}, and thetas suit numbers from 0 to 1; divide them by "
            f"{largest:g}, or search for thetas"
        )


class _Asked(Protocol):
    """A spec of a task with options."""

    @property
    def task(self) -> str: ...
    @property
    def options(self) -> dict[str, Any]: ...
    def model_copy(self, *, update: Mapping[str, Any]) -> Self: ...


Asked = TypeVar("Asked", bound=_Asked)


def with_image(spec: Asked, data: tuple[Any, Any] | None, catalogue: Catalogue) -> Asked:
    """Return a spec whose layers see the shape of images that are handed over.

    Raises:
        PlasticError: there is no such task, or it takes no such options.
    """
    try:
        shape: tuple[int, ...] = () if data is None else np.shape(data[0])[1:]
    except (ValueError, TypeError, LookupError):  # no arrays: said where they are read
        return spec
    if len(shape) not in (2, 3) or 0 in shape or "image" in spec.options:
        return spec
    _, network = network_of(catalogue.find("task", spec.task), spec.options, catalogue)
    if not isinstance(network, LayeredSpec):
        return spec
    return spec.model_copy(update={"options": {**spec.options, "image": list(shape)}})


def _unfit(plan: Plan, data: Dataset) -> bool:
    return not data.classes and plan.loss.spec.targets == "classes"


class Source:
    """Where the data of plans come from: their tasks, or arrays handed over.

    Args:
        folder: data folder in place of PLASTIC_DATA_DIR.
        arrays: ``(X, y)`` in place of a task's own data.

    Attributes:
        folder: as given.
        handed_over: whether they are arrays.
    """

    def __init__(self, folder: str | None = None, arrays: tuple[Any, Any] | None = None) -> None:
        self.folder, self._arrays, self.handed_over = folder, arrays, arrays is not None
        self._known: tuple[Dataset, str] | None = None

    def fitted(self, plan: Plan) -> Plan:
        """Return the plan with the network that fits the data.

        Raises:
            PlasticError: there are none, or they do not fit the network.
        """
        if not self.handed_over:
            return plan
        return load_data(plan, self._arrays, None, [])[1]

    def of(self, plan: Plan) -> tuple[Dataset, str]:
        """Return the data of a plan, and their digest.

        Raises:
            PlasticError: there are none, or they do not fit the network.
        """
        if not self.handed_over:
            return data_of(plan, self.folder)
        if self._known is None:
            dataset, _ = load_data(plan, self._arrays, None, [])
            self._known = dataset, digest_of(dataset)
        return self._known


def data_of(plan: Plan, data_dir: str | None) -> tuple[Dataset, str]:
    """Return the data of a plan's task, and their digest.

    Raises:
        PlasticError: there are none, or they do not fit the network.
    """
    key = (plan.task_entry.qualified, plan.options.model_dump_json(), data_dir)
    if key not in _KEPT:
        dataset, _ = load_data(plan, None, data_dir, [])
        while len(_KEPT) > 1:  # MNIST takes 220 MB
            _KEPT.pop(next(iter(_KEPT)))
        _KEPT[key] = dataset, digest_of(dataset)
    return _KEPT[key]
