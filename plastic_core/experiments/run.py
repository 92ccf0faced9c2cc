"""A whole run, from a spec to a result: the Python face of ``plastic run``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from plastic_core.api.observer import Observer
from plastic_core.api.plugin import Probe, Rule, Task, Transform
from plastic_core.base.errors import PlasticError
from plastic_core.experiments.observing import Watch, observers_of
from plastic_core.experiments.run_result import RunResult
from plastic_core.networks.parameters import Parameters
from plastic_core.plan.plan import Plan, Replica, make_plan
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plugins.catalogue import Catalogue, Part
from plastic_core.results.cell import Cell, cell_of
from plastic_core.results.curves import Curves
from plastic_core.results.labelled_arrays import LabelledArrays
from plastic_core.results.labelled_curves import curves_of, labelled_curves
from plastic_core.results.run_folder import RunFolder
from plastic_core.results.run_record import RunRecord, RunSummary
from plastic_core.results.sources import sources_of
from plastic_core.results.store import Store, results_of
from plastic_core.training import machine
from plastic_core.training.block import Block
from plastic_core.training.loaded_data import Loaded
from plastic_core.training.task_data import Source

if TYPE_CHECKING:
    import os

    import xarray as xr

# Bytes of weights that are written without being asked for.
_MOST_WEIGHTS: Final = 100_000_000

Progress = Callable[[Curves], Any]


def run(
    spec: RunSpec,
    *,
    rules: Sequence[type[Rule]] = (),
    probes: Sequence[type[Probe]] = (),
    transforms: Sequence[type[Transform]] = (),
    tasks: Sequence[type[Task[Any]]] = (),
    parts: Sequence[type[Part]] = (),
    data: Any = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    save_weights: bool | None = None,
    store: Store | None = None,
    reuse: bool = False,
    on_plan: Callable[[RunResult], Any] | None = None,
    on_point: Progress | None = None,
    observers: Sequence[Observer | str] = (),
) -> RunResult:
    """Train the networks of a spec and return their learning curves.

    Args:
        spec: everything that decides the run.
        rules: rule classes that are not installed, to be used by name.
        probes: probe classes likewise.
        transforms: transform classes likewise.
        tasks: task classes likewise.
        parts: classes of layers, activation functions, initialisations and losses likewise.
        data: ``(X [N, n], y)`` in place of the task's data, or images ``[N, H, W]`` or
            ``[N, C, H, W]``; 30% are held out, and the first and last layer follow the data unless
            the options give sizes. y is labels ``[N]`` of any kind, or numbers ``[N, m]`` (or
            ``[N]`` with fractions), for which the loss is squared-error unless the options name
            another. With a task whose network answers at each step, such as delayed-xor, X is
            ``[N, T, n]`` and y ``[N, T]`` or ``[N, T, m]``. In place of the pair a Bunch of
            scikit-learn, a DataFrame of pandas or an object of xarray with ``spec.target``, or a
            map-style Dataset of torch. Data in a file are named by ``spec.data``.
        out: the run folder to write; None writes nothing.
        resume: continue the run that `out` holds, or return its result where it is finished;
            classes and `data` handed over must be those of that run.
        data_dir: data folder in place of PLASTIC_DATA_DIR.
        threads: networks trained or evaluated at once, or threads of torch; None for all cores.
        save_weights: whether to write weights.safetensors; by default where it takes at most
            100 MB.
        store: where each finished network is added, but none of classes or `data` handed over.
        reuse: take the networks from the store where all of them are there.
        on_plan: called before training, with a result that holds the record so far.
        on_point: called after each evaluation with the curves so far.
        observers: names of observers, or observers that are made already, which see the run and
            change nothing of it; one that raises is switched off, which is noted. Of networks from
            the store they are shown all points at once, of a run that was finished before nothing.

    Raises:
        PlasticError: anything wrong with the input; the message says what, where, and what to
            write instead.
    """
    begun = time.perf_counter()
    catalogue = Catalogue(spec.plugins, rules, probes, transforms, tasks, parts)
    source = Source(data_dir, data)
    spec = source.with_image(spec, catalogue)
    plan = make_plan(spec, catalogue)
    watching = observers_of(observers, catalogue)
    machine.check(plan, threads)
    notes: list[str] = [*plan.doubts]
    loaded, plan = source.load(plan, notes)
    sources = {**sources_of(plan), "data": loaded.digest}
    folder = None if out is None else RunFolder(Path(out), plan.spec, resume, sources)
    if source.handed_over or plan.handed_over:
        store = None
    watch = Watch(plan, watching, None if folder is None else folder.path, notes)
    job = _Job(
        catalogue,
        plan,
        spec,
        loaded,
        sources,
        folder,
        store,
        threads,
        save_weights,
        notes,
        begun,
        watch,
    )
    with folder.claimed() if folder is not None else contextlib.nullcontext():
        if folder is not None and folder.state == "finished":
            return job.finished(folder)
        new = folder is None or folder.state == "new"
        reused = job.from_store() if reuse and new else None
        return reused or job.train(on_plan, on_point)


@dataclass(frozen=True)
class _Job:
    """A run that is not finished."""

    catalogue: Catalogue
    plan: Plan
    asked: RunSpec
    data: Loaded
    sources: dict[str, str]
    folder: RunFolder | None
    store: Store | None
    threads: int | None
    save_weights: bool | None
    notes: list[str]
    begun: float
    watch: Watch

    def from_store(self) -> RunResult | None:
        """Return the result where the store holds all networks, else None."""
        if self.store is None:
            return None
        cells = self._cells()
        found = [one for cell in cells if (one := self.store.find(cell)) is not None]
        if len(found) < len(cells):
            self.notes.append(
                f"{len(found)} of {len(cells)} networks were in the store; all are trained"
            )
            return None
        self.notes.append(
            f"all {len(found)} networks were taken from the store, and none was trained"
        )
        record = self._record((found[0].backend, "from the store"))
        curves = curves_of(self.plan, found)
        self.watch.on_plan()
        for point in range(curves.done):
            self.watch.on_point(curves, point)
        return self._finish(record, curves, None)

    def train(
        self,
        on_plan: Callable[[RunResult], Any] | None,
        on_point: Progress | None,
    ) -> RunResult:
        """Train from the start, or from the checkpoint of the folder."""
        plan, folder = self.plan, self.folder
        block = Block(plan, self._replicas(), self.data.dataset, self.threads)
        self.notes.extend(block.notes)
        if folder is not None and folder.state == "started":
            self._continue(folder, block)
        record = self._record((block.chosen.name, block.chosen.reason))
        if folder is not None:
            folder.write_record(record.plain())
        if on_plan is not None:
            labelled = labelled_curves(plan, block.curves)
            on_plan(self._result(labelled, record))
        self.watch.on_plan()

        def after_point(curves: Curves) -> None:
            # before the checkpoint: a run that is resumed shows points twice rather than never
            self.watch.on_point(curves, curves.done - 1)
            if folder is not None and curves.done < len(curves.steps):
                folder.write_checkpoint(block.parameters, curves)
            if on_point is not None:
                on_point(curves)

        block.train(after_point)
        return self._finish(record, block.curves, block)

    def _replicas(self) -> list[Replica]:
        return [Replica(seed, self.plan.thetas) for seed in self.plan.spec.seed_list]

    def _cells(self) -> list[Cell]:
        return [cell_of(self.plan, one, self.sources["data"]) for one in self._replicas()]

    def _record(self, backend: tuple[str, str]) -> RunRecord:
        return RunRecord.begun(
            self.plan, self.asked, backend, self.sources, self.threads, self.notes
        ).model_copy(
            update={
                "predicts": "classes" if self.data.dataset.classes else "numbers",
                "classes": list(self.data.dataset.names),
                "data": self.data.record,
            }
        )

    def _continue(self, folder: RunFolder, block: Block) -> None:
        curves = block.curves
        if folder.read_checkpoint(block.parameters, curves):
            self.notes.append(f"resumed at sample {curves.steps[curves.done - 1]}")
            before, device = folder.read_record(), self.plan.spec.device
            if before.backend != block.chosen.name:
                self.notes.append(
                    f"resumed by the backend {block.chosen.name}; it was begun by {before.backend}"
                )
            if before.spec["device"] != device:
                self.notes.append(f"resumed on {device}; it was begun on {before.spec['device']}")

    def _finish(self, record: RunRecord, curves: Curves, block: Block | None) -> RunResult:
        """Write what was asked for, then the store, then the figure; return the result.

        What fails of the latter two, or of observers, is a note: the run is whole without them.
        """
        plan, folder = self.plan, self.folder
        labelled = labelled_curves(plan, curves)
        parameters = None if block is None else block.parameters

        seconds = time.perf_counter() - self.begun

        def finished() -> RunRecord:
            summary = RunSummary.of(plan, record.backend, curves, seconds, self.notes)
            return record.model_copy(update={"notes": self.notes}).finished(summary)

        written = list(self.notes)
        try:
            if folder is not None:
                weights = None if parameters is None else self._saved(parameters)
                folder.write_result(finished(), labelled, weights)
        finally:
            if block is not None and block.repeatable and self.store is not None:
                self._store(self.store, curves, record.backend)
        if folder is not None:
            self.notes.extend(_draw(plan, folder, curves.steps, curves.score))
        self.watch.on_result(finished().plain()["result"])
        if folder is not None and self.notes != written:
            folder.write_record(finished().plain())
        return self._result(labelled, finished(), parameters)

    def finished(self, folder: RunFolder) -> RunResult:
        """Return the result of a finished folder; its figure is drawn where a kill prevented it."""
        record, curves = folder.read_record(), folder.read_curves()
        if not folder.has_figure and record.result is not None:
            score = curves[self.plan.score.name]
            record.result.notes.extend(_draw(self.plan, folder, score["step"].values, score.values))
        return self._result(curves, record)

    def _result(
        self,
        measured: LabelledArrays | xr.Dataset,
        record: RunRecord,
        parameters: Parameters | None = None,
    ) -> RunResult:
        return RunResult(
            self.plan.spec, measured, record.plain(), self._path, parameters, self.catalogue
        )

    @property
    def _path(self) -> Path | None:
        return None if self.folder is None else self.folder.path

    def _saved(self, parameters: Parameters) -> Parameters | None:
        """Return the parameters if they are to be written; say so where they are too large."""
        if self.save_weights is None:
            size = parameters.bytes_per_replica * parameters.replicas
            if size > _MOST_WEIGHTS:
                self.notes.append(
                    f"the networks were not saved, for they take {size / 1e6:,.0f} MB; "
                    "save_weights does"
                )
                return None
        return None if self.save_weights is False else parameters

    def _store(self, store: Store, curves: Curves, backend: str) -> None:
        try:
            for cell, result in zip(self._cells(), results_of(curves, backend), strict=True):
                store.add(cell, result)
        except PlasticError as error:
            self.notes.append(f"not added to the store: {error}")


def _draw(
    plan: Plan, folder: RunFolder, steps: NDArray[np.int64], scores: NDArray[np.float64]
) -> list[str]:
    """Draw the learning curve; return what is to be noted where that fails."""

    def draw(path: Path) -> None:
        from plastic_core.figures import draw_learning_curve

        title = f"{plan.spec.task}, {plan.network.shape}"
        ends = plan.spec.stage_ends[:-1]
        draw_learning_curve(plan.score.name, steps, scores, plan.spec.label, title, path, ends)

    return folder.write_figure(draw)
