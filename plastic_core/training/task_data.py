"""The data of a plan: loaded, split, scaled, checked, and kept for the blocks that follow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar

import numpy as np

from plastic_core.api.layered_spec import LayeredSpec
from plastic_core.api.network_spec import AnyNetwork
from plastic_core.api.plugin import Dataset
from plastic_core.api.sequence_spec import SequenceSpec
from plastic_core.base.errors import PlasticError
from plastic_core.base.files import expanded
from plastic_core.plan.parent import Parent
from plastic_core.plan.plan import Plan, call_task, network_of
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.training import arrays, datasets
from plastic_core.training.data_file import DataFile, listed, read_table
from plastic_core.training.data_objects import points_of
from plastic_core.training.loaded_data import Loaded, finished

# The loss of numbers that are handed over, unless another is asked for.
_REGRESSION: Final = "squared-error"


_KEPT: Final[dict[Any, Loaded]] = {}


class Source:
    """Where the data of plans come from: their tasks, the files that they name, or Python.

    Args:
        folder: data folder in place of PLASTIC_DATA_DIR.
        data: ``(X, y)``, or an object that `points_of` takes, in place of a task's own data.

    Attributes:
        folder: as given.
        handed_over: whether they come from Python.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, data: Any = None) -> None:
        self.folder = None if folder is None else os.fspath(folder)
        self._data, self.handed_over = data, data is not None
        self._loaded: dict[Any, Loaded] = {}

    def with_image(self, spec: RunSpec, catalogue: Catalogue) -> RunSpec:
        """Return a spec whose layers see the shape of images that do not come from the task.

        Raises:
            PlasticError: there is no such task, or it takes no such options; or there are no data.
        """
        if not self.handed_over and not spec.data:
            return spec
        _, network = network_of(catalogue.find("task", spec.task), spec.options, catalogue)
        if not isinstance(network, LayeredSpec):
            return spec
        return with_image(spec, self._given(spec, in_steps=False).dataset.shape, catalogue)

    def load(self, plan: Plan, notes: list[str]) -> tuple[Loaded, Plan]:
        """Return the data, and the plan with the network that fits them.

        Args:
            plan: whose data are wanted.
            notes: what was decided is added to them.

        Raises:
            PlasticError: there are none, or they fit neither themselves nor the network.
        """
        loaded = self._of(plan)
        dataset, where, network = loaded.dataset, loaded.where, plan.network
        notes.extend(loaded.notes)
        if loaded.follow:
            network = _following(plan, loaded, notes)
            if network != plan.network:
                try:
                    plan = plan.on(network)
                except PlasticError:  # of layers that need rows and columns
                    datasets.check_image(plan.network, dataset, where)
                    raise
        datasets.check_image(network, dataset, where)
        datasets.check_fit(network, dataset, where)
        if _unfit(plan, dataset):
            raise PlasticError(
                f"the loss '{network.loss}' is for classes, and {where} are numbers; write "
                f"loss {_REGRESSION}"
            )
        return loaded, plan

    def fitted(self, plan: Plan) -> Plan:
        """Return the plan with the network that fits the data.

        Raises:
            PlasticError: there are none, or they do not fit the network.
        """
        if not self.handed_over and not plan.spec.data:
            return plan
        return self.load(plan, [])[1]

    def of(self, plan: Plan) -> tuple[Dataset, str]:
        """Return the data of a plan, and their digest.

        Raises:
            PlasticError: there are none, or they do not fit the network.
        """
        loaded, _ = self.load(plan, [])
        return loaded.dataset, loaded.digest

    def _of(self, plan: Plan) -> Loaded:
        spec = plan.spec
        if self.handed_over or spec.data:
            return self._given(spec, isinstance(plan.network, SequenceSpec), plan.parent)
        if spec.target or spec.target_kind != "auto":
            raise PlasticError(
                "target: is for data of your own, and those of a task say what is predicted; give "
                "--data FILE"
            )
        options = plan.options.model_dump_json()
        # the class itself, for one that was edited or defined anew is another
        task = plan.task_entry.plugin
        key = (task, options, self.folder, spec.scale, _key_of(plan.parent))
        if key not in _KEPT:
            dataset = _of_task(plan, self.folder)
            where = f"the data of {plan.task_entry.name}"
            _keep(key, finished(dataset, where, spec, None, plan.parent))
        return _KEPT[key]

    def _given(self, spec: RunSpec, in_steps: bool, parent: Parent | None = None) -> Loaded:
        """Return data that do not come from a task; columns and classes are those of a parent.

        Raises:
            PlasticError: there are none, or they do not fit themselves.
        """
        if self.handed_over and spec.data:
            raise PlasticError(
                f"data: are handed over, and the spec names the file {spec.data} too; give one"
            )
        state = _state_of(spec.data) if spec.data else ()
        key = (state, spec.target, spec.target_kind, spec.scale, in_steps, _key_of(parent))
        kept = self._loaded if self.handed_over else _KEPT
        if key not in kept:
            if self.handed_over:
                points, where = points_of(self._data, spec.target), "the data given"
            else:
                points = read_table(spec.data, spec.target, labelled=True)
                where = f"the data of {spec.data}"
            try:
                points = _in_order(points, parent)
                dataset = arrays.split_arrays(
                    (points.inputs, points.labels),
                    in_steps,
                    spec.target_kind,
                    points.held_out,
                    () if parent is None else parent.labels,
                    exact=spec.scale != "none",
                )
            except PlasticError as error:
                if self.handed_over:
                    raise
                raise PlasticError(f"{spec.data}: {str(error).removeprefix('data: ')}") from None
            _keep(key, finished(dataset, where, spec, points, parent), kept)
        return kept[key]


def _keep(key: Any, loaded: Loaded, kept: dict[Any, Loaded] = _KEPT) -> None:
    while len(kept) > 1:  # MNIST takes 220 MB
        kept.pop(next(iter(kept)))
    kept[key] = loaded


def _state_of(path: str) -> tuple[Any, ...]:
    """Return a file, or the files of a folder by class, with what changes when they do."""
    place = expanded(path)
    files = [place]
    with contextlib.suppress(OSError, ValueError):  # said where it is read
        if place.is_dir():
            files = sorted(place.rglob("*"))
        elif place.suffix == ".npy":  # the y lies beside it
            files = sorted(place.parent.glob("*.npy"))
        found = [(str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files]
        return path, Path.cwd(), *found
    return path, Path.cwd()


def _of_task(plan: Plan, folder: str | None) -> Dataset:
    name, folders = plan.task_entry.name, datasets.data_folders(folder)
    dataset = call_task(plan.task_entry, "load", folders, plan.options)
    if not isinstance(dataset, Dataset):
        raise PlasticError(f"the task '{name}': load() returned {dataset!r}; expected a Dataset")
    return dataset


def _key_of(parent: Parent | None) -> str | None:
    return None if parent is None else parent.digest


def _in_order(points: DataFile, parent: Parent | None) -> DataFile:
    """Return points whose columns are those of a parent, in its order.

    Raises:
        PlasticError: one is not there.
    """
    columns = () if parent is None else tuple(parent.data.get("columns", ()))
    if parent is None or not columns or not points.columns or points.columns == columns:
        return points
    try:
        inputs = points.ordered(columns)
    except PlasticError as error:
        raise PlasticError(f"{error}; the networks of {parent.folder} take it") from None
    others = [name for name in points.columns if name not in columns]
    note = f"the columns are those of {parent.folder}, in its order"
    if others:
        note += f"; left out: {listed(others)}"
    return replace(points, inputs=inputs, columns=columns, notes=(*points.notes, note))


def _following(plan: Plan, loaded: Loaded, notes: list[str]) -> AnyNetwork:
    """Return the network of a plan between the inputs and outputs that data have."""
    dataset, options = loaded.dataset, plan.spec.options
    network = plan.network
    if "image" in options:
        datasets.check_image(network, dataset, loaded.where)
    fitting = network.between(dataset.inputs.shape[1], dataset.outputs)
    if fitting != network and not options.get("sizes"):
        network = fitting
        notes.append(
            f"the network is {network.shape}: its first and last layer follow the data given"
        )
    if _unfit(plan, dataset) and "loss" not in options:
        network = network.model_copy(update={"loss": _REGRESSION})
        notes.append(f"the loss is {_REGRESSION}, for y holds numbers and no labels")
    return network


class _Asked(Protocol):
    """A spec of a task with options."""

    @property
    def task(self) -> str: ...
    @property
    def options(self) -> dict[str, Any]: ...
    def model_copy(self, *, update: Mapping[str, Any]) -> Self: ...


Asked = TypeVar("Asked", bound=_Asked)


def with_image(spec: Asked, shape: tuple[int, ...], catalogue: Catalogue) -> Asked:
    """Return a spec whose layers see the shape of images that are handed over.

    Raises:
        PlasticError: there is no such task, or it takes no such options.
    """
    if len(shape) not in (2, 3) or 0 in shape or "image" in spec.options:
        return spec
    _, network = network_of(catalogue.find("task", spec.task), spec.options, catalogue)
    if not isinstance(network, LayeredSpec):
        return spec
    return spec.model_copy(update={"options": {**spec.options, "image": list(shape)}})


def shape_of(data: Any) -> tuple[int, ...]:
    """Return the shape of a point of ``(X, y)``; nothing where they are no arrays, said later."""
    try:
        return () if data is None else tuple(np.shape(data[0])[1:])
    except (ValueError, TypeError, LookupError):
        return ()


def _unfit(plan: Plan, data: Dataset) -> bool:
    return not data.classes and plan.loss.spec.targets == "classes"


def data_of(plan: Plan, data_dir: str | None) -> tuple[Dataset, str]:
    """Return the data of a plan's task, and their digest.

    Raises:
        PlasticError: there are none, or they do not fit the network.
    """
    return Source(data_dir).of(plan)
