"""``plastic sweep``: every rule at every point of a grid, many networks at once."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from pydantic import BaseModel

from plastic_core.base.errors import PlasticError
from plastic_core.base.streams import stdout_aside
from plastic_core.cli.flag_types import Settings, Switch, Texts, Whole
from plastic_core.cli.spec_flags import COLLECTED, assemble, attach, given_of, task_options
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plugins.catalogue import Catalogue

if TYPE_CHECKING:
    from plastic_core.experiments.sweeping.arms import SweepSpec
    from plastic_core.experiments.sweeping.sweep import SweepResult


def make_app(arguments: Sequence[str] | None) -> App:
    """Return the command, with the options of the task that `arguments` ask for as flags."""
    app = App(name="sweep", help="Train rules over a grid of thetas, seeds and options.")
    options: type[BaseModel] | None = None
    if arguments is not None:
        options = task_options(arguments)

    @app.default
    def sweep(
        *,
        rule: Texts = None,
        grid: Texts = None,
        spec: Annotated[Any, Parameter(name="*")] = None,
        task_options: Annotated[Any, Parameter(name="*", group="Options of the task")] = None,
        set_: Settings = None,
        transform: Texts = None,
        probe: Texts = None,
        plugin: Texts = None,
        out: str | None = None,
        store: str | None = None,
        json: Switch = False,
        data_dir: str | None = None,
        workers: Whole | None = None,
        scheduler: str | None = None,
        slurm: str | None = None,
        block: Whole | None = None,
    ) -> int:
        """Train rules over a grid of thetas, seeds and options.

        What the store holds already is not trained again: the same command, given again after it
        was stopped, does what is missing. Exit code 1: some networks failed.

        Args:
            rule: a rule expression; may be repeated, and the grid is applied to each.
            grid: NAME=VALUES, such as bp=1e-4:1e-1:12log, layers=5,10 or adam.rate=1e-4,1e-3; may
                be repeated.
            spec: the fields of the spec, the same for all.
            task_options: the options of the task.
            set_: RULE.NAME=VALUE, the same for all points; may be repeated.
            transform: name of a transform of the summed update; may be repeated.
            probe: name of a probe that measures the networks, or all; may be repeated.
            plugin: file with an unpackaged plugin; may be repeated.
            out: folder for sweep.json and table.csv; default ./runs/TIME-TASK-sweep.
            store: folder of finished networks, in place of PLASTIC_STORE.
            json: print one JSON object on standard output, everything else on standard error.
            data_dir: data folder, in place of PLASTIC_DATA_DIR; several as in PATH.
            workers: processes, one thread each; 0 trains in this process, on all cores. Default
                one a core, but 0 where C has done it before they start.
            scheduler: address of a Dask scheduler that runs already.
            slurm: NAME=VALUE,... for jobs of SLURM, such as queue=short,walltime=01:00:00.
            block: most networks that one task trains; default some ten seconds of work.
        """
        from plastic_core.experiments.sweeping.arms import SweepSpec, expand
        from plastic_core.experiments.sweeping.grid import parse_axis

        rules = tuple(rule or [RunSpec().rule])
        axes = [parse_axis(text) for text in grid or []]
        if len({name for name, _ in axes}) < len(axes):
            raise PlasticError("--grid: one axis is given twice; write all its values in one")
        fields = {"rule": rules[0], "eval_half": "choose", **given_of(spec)}
        base = assemble(fields, options, given_of(task_options), set_, transform, probe, plugin)
        made = SweepSpec(rules=rules, grid=dict(axes), base=base)
        if workers is not None and not 0 <= workers <= 1024:
            raise PlasticError(f"--workers {workers}: expected 0 to 1024")
        if block is not None and block < 1:
            raise PlasticError(f"--block {block}: expected at least 1")
        expand(made, Catalogue(base.plugins))  # mistakes show before torch is loaded
        return _sweep(made, out, store, json, data_dir, workers, scheduler, slurm, block)

    attach(sweep, options, skip={*COLLECTED, "rule"})
    return app


def _sweep(
    spec: SweepSpec,
    out: str | None,
    store: str | None,
    as_json: bool,
    data_dir: str | None,
    workers: int | None,
    scheduler: str | None,
    slurm: str | None,
    block: int | None,
) -> int:
    from plastic_core.base.files import write_atomically, write_json
    from plastic_core.cli.live import SweepView
    from plastic_core.cli.output import interrupted_with, print_json
    from plastic_core.experiments.sweeping.sweep import sweep
    from plastic_core.experiments.sweeping.table import csv_of, summary_of
    from plastic_core.results.claim import claimed, new_folder
    from plastic_core.results.store import Store

    remedy = "free or allow it, or give another folder with --out"
    task = spec.base.task
    place = new_folder(task, "sweep") if out is None else contextlib.nullcontext(Path(out))
    cells = Store(store)
    aside = stdout_aside() if as_json else contextlib.nullcontext()
    how = f"the same command goes on; what was done is in the store {cells.folder}"
    with place as folder, claimed(folder):
        with aside, interrupted_with(how), SweepView() as view:
            result = sweep(
                spec,
                cells,
                workers=workers,
                scheduler=scheduler,
                slurm=slurm,
                data_dir=data_dir,
                limit=block,
                on_progress=view.show,
            )
        summary = summary_of(spec, result, str(cells.folder))
        write_json(folder / "sweep.json", summary, remedy)
        table = csv_of(result)
        write_atomically(
            folder / "table.csv", lambda path: path.write_text(table, encoding="utf-8"), remedy
        )
    summary["out"] = str(folder)
    if as_json:
        print_json(summary)
    else:
        _show(summary, result)
    return 1 if summary["failed"] else 0


def _show(summary: dict[str, Any], result: SweepResult) -> None:
    from plastic_core.cli.output import print_table
    from plastic_core.experiments.sweeping.table import SHOWN, best_table

    headers, rows = best_table(result, summary["arms"])
    print_table(headers, rows)
    half = summary["spec"]["base"]["eval_half"]
    print(f"the best {SHOWN} points of each rule, on the half '{half}' of the held-out points")
    print(
        f"{summary['cells']} networks: {summary['from_store']} from the store, "
        f"{summary['trained']} trained, {len(summary['failed'])} failed"
    )
    for reason in dict.fromkeys(one["reason"] for one in summary["failed"]):
        print(f"failed: {reason}")
    for note in summary["notes"]:
        print(f"note: {note}")
    print(f"written to {summary['out']}; store {summary['store']}")
