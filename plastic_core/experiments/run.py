"""A whole run, from a spec to a result: the Python face of ``plastic run``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plastic_core.api.plugin import Probe, Rule, Transform
from plastic_core.backends.choice import Chosen
from plastic_core.base.statistics import bootstrap_interval
from plastic_core.networks.parameters import Parameters
from plastic_core.plan.plan import Plan, Replica, make_plan
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.results.cell import Cell, cell_of, digest_of
from plastic_core.results.curves import Curves
from plastic_core.results.labelled_curves import curves_of, dataset_of
from plastic_core.results.run_folder import RunFolder
from plastic_core.results.store import CellResult, Store, results_of
from plastic_core.training import machine
from plastic_core.training.block import Block
from plastic_core.training.task_data import load_data

if TYPE_CHECKING:
    import os

    import xarray as xr

Progress = Callable[[Curves], Any]


@dataclass(frozen=True)
class RunResult:
    """The result of a run.

    Attributes:
        spec: the spec with every theta written out.
        curves: accuracy and loss over (seed, step), and what probes measured, with units and
            descriptions.
        record: what run.json holds: spec, resolved rules, environment, notes, result.
        run_dir: the folder, or None where nothing was written.
        parameters: weights, feedback and states after training; None where the result was read
            from a finished run.
    """

    spec: RunSpec
    curves: xr.Dataset
    record: dict[str, Any]
    run_dir: Path | None = None
    parameters: Parameters | None = field(default=None, repr=False)

    @property
    def summary(self) -> dict[str, Any]:
        """What ``plastic run --json`` prints."""
        folder = None if self.run_dir is None else str(self.run_dir)
        return {"run_dir": folder, **self.record["result"]}


def run(
    spec: RunSpec,
    *,
    rules: Sequence[type[Rule]] = (),
    probes: Sequence[type[Probe]] = (),
    transforms: Sequence[type[Transform]] = (),
    data: tuple[Any, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    save_weights: bool = False,
    store: Store | None = None,
    reuse: bool = False,
    on_plan: Callable[[RunResult], Any] | None = None,
    on_point: Progress | None = None,
) -> RunResult:
    """Train the networks of a spec and return their learning curves.

    Args:
        spec: everything that decides the run.
        rules: rule classes that are not installed, to be used by name in the expression.
        probes: probe classes that are not installed, to be used by name in `RunSpec.probes`.
        transforms: transform classes likewise, for `RunSpec.transforms`.
        data: arrays ``(X [N, n], y [N])`` in place of the task's own data; 30% are held out, and
            the first and last layer follow the data unless the options give sizes.
        out: the run folder to write; None writes nothing.
        resume: continue the run that `out` holds, or return its result where it is finished;
            `rules`, `probes`, `transforms` and `data`, which a spec does not hold, must be those
            of that run.
        data_dir: data folder in place of PLASTIC_DATA_DIR.
        threads: networks trained or evaluated at once, and threads of torch where there are fewer;
            None for all cores.
        save_weights: also write weights.safetensors.
        store: where each finished network is added; None adds nothing. What was trained with
            `rules`, `probes`, `transforms` or `data` handed over is never added.
        reuse: take the networks from the store where all of them are there.
        on_plan: called before training, with a result that holds the record so far.
        on_point: called after each evaluation with the curves so far.

    Raises:
        PlasticError: anything wrong with the input; the message says what, where, and what to
            write instead.
    """
    begun = time.perf_counter()
    plan = make_plan(spec, Catalogue(spec.plugins, rules, probes, transforms))
    machine.check(plan, threads)
    folder = None if out is None else RunFolder(Path(out), plan.spec, resume)
    run_dir = folder.path if folder else None
    if folder is not None and folder.state == "finished":
        return RunResult(plan.spec, folder.read_curves(), folder.read_record(), folder.path)

    notes: list[str] = []
    dataset, plan = load_data(plan, data, data_dir, notes)
    replicas = [
        Replica(seed, {rule.name: rule.theta for rule in plan.rules}) for seed in spec.seed_list
    ]
    cells: list[Cell] = []
    if store is not None and not (rules or probes or transforms) and data is None:
        digest = digest_of(dataset)
        cells = [cell_of(plan, replica, digest) for replica in replicas]
    if reuse and store is not None and (folder is None or folder.state == "new"):
        found = [one for cell in cells if (one := store.find(cell)) is not None]
        if cells and len(found) == len(cells):
            result = _from_store(plan, spec, found, threads, begun, run_dir)
            if folder is not None:
                folder.make()
                _write(folder, result, False)
            return result
        notes.append(f"{len(found)} of {len(replicas)} networks were in the store; all are trained")
    block = Block(plan, replicas, dataset, threads)
    notes += block.notes
    chosen, parameters, curves = block.chosen, block.parameters, block.curves
    if folder is not None:
        folder.make()
    if folder is not None and folder.state == "started":
        _continue(folder, chosen, parameters, curves, notes)
    record = _record(plan, spec, chosen.name, chosen.reason, threads, notes)
    if folder is not None:
        folder.write_record(record)
    if on_plan is not None:
        on_plan(RunResult(plan.spec, dataset_of(plan, curves), record, run_dir))

    def after_point(curves: Curves) -> None:
        if folder is not None and curves.done < len(curves.steps):
            folder.write_checkpoint(parameters, curves)
        if on_point is not None:
            on_point(curves)

    block.train(after_point)
    record = {
        **record,
        "state": "finished",
        "result": _summarise(plan, chosen.name, curves, begun, notes),
    }
    for cell, cell_result in zip(cells, results_of(block.curves, block.chosen.name), strict=False):
        assert store is not None
        store.add(cell, cell_result)
    result = RunResult(plan.spec, dataset_of(plan, curves), record, run_dir, parameters)
    if folder is not None:
        _write(folder, result, save_weights)
    return result


def _from_store(
    plan: Plan,
    asked: RunSpec,
    found: list[CellResult],
    threads: int | None,
    begun: float,
    run_dir: Path | None,
) -> RunResult:
    """Return the result of a run whose networks were trained before."""
    curves = curves_of(plan, found)
    notes = [f"all {len(found)} networks were taken from the store, and none was trained"]
    backend = found[0].backend
    record = {
        **_record(plan, asked, backend, "from the store", threads, notes),
        "state": "finished",
        "result": _summarise(plan, backend, curves, begun, notes),
    }
    return RunResult(plan.spec, dataset_of(plan, curves), record, run_dir)


def _continue(
    folder: RunFolder, chosen: Chosen, parameters: Parameters, curves: Curves, notes: list[str]
) -> None:
    if folder.read_checkpoint(parameters, curves):
        notes.append(f"resumed at sample {curves.steps[curves.done - 1]}")
        before = folder.read_record()["backend"]
        if before != chosen.name:
            notes.append(f"resumed by the backend {chosen.name}; it was begun by {before}")
        for replica in np.flatnonzero(curves.diverged_at >= 0).tolist():
            chosen.backend.freeze(replica)


def _record(
    plan: Plan,
    asked: RunSpec,
    backend: str,
    reason: str,
    threads: int | None,
    notes: list[str],
) -> dict[str, Any]:
    entries = [r.entry for r in plan.rules] + [t.entry for t in plan.transforms]
    entries += [*(p.entry for p in plan.probes), plan.task_entry]
    return {
        "format": 1,
        "state": "started",
        "spec": plan.spec.model_dump(mode="json"),
        "asked": asked.model_dump(mode="json"),
        "network": plan.network.model_dump(mode="json"),
        "layers": plan.network.depth,
        "rules": [
            {
                "name": r.name,
                "distribution": r.entry.distribution,
                "theta": r.theta,
                "theta_from": r.origin,
                "layers": list(r.layers),
                "params": r.rule.params.model_dump(mode="json") if r.rule.params else {},
            }
            for r in plan.rules
        ],
        "probes": [
            {
                "name": p.entry.name,
                "distribution": p.entry.distribution,
                "when": p.when,
                "params": p.probe.params.model_dump(mode="json") if p.probe.params else {},
            }
            for p in plan.probes
        ],
        "backend": backend,
        "backend_reason": reason,
        "plugins": {e.qualified: e.version for e in entries},
        "environment": machine.environment(threads),
        "notes": notes,
    }


def _summarise(
    plan: Plan, backend: str, curves: Curves, begun: float, notes: list[str]
) -> dict[str, Any]:
    last = curves.accuracy[:, -1]
    low, high = bootstrap_interval(last)
    spec = plan.spec
    diverged = np.flatnonzero(curves.diverged_at >= 0)
    return {
        "rule": spec.rule,
        "thetas": {r.name: r.theta for r in plan.rules},
        "task": spec.task,
        "backend": backend,
        "seeds": spec.seeds,
        "samples": spec.samples,
        "accuracy": {
            "mean": float(last.mean()),
            "low": float(low),
            "high": float(high),
            "per_seed": last.tolist(),
        },
        "diverged": [
            {"seed": spec.seed_list[i], "sample": int(curves.diverged_at[i])} for i in diverged
        ],
        "updates_per_second": curves.trained / max(curves.train_seconds, 1e-9),
        "train_seconds": curves.train_seconds,
        "seconds": time.perf_counter() - begun,
        "notes": notes,
    }


def _write(folder: RunFolder, result: RunResult, save_weights: bool) -> None:
    from plastic_core.figures import draw_learning_curves

    folder.write_curves(result.curves)
    folder.write_figure(lambda path: draw_learning_curves({result.spec.rule: result.curves}, path))
    if save_weights and result.parameters is not None:
        folder.write_weights(result.parameters)
    folder.write_record(result.record)  # last: it says that the run is finished
    folder.drop_checkpoint()
