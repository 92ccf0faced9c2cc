"""``plastic search``: the best thetas of one rule within ranges, by Optuna."""

from __future__ import annotations

import contextlib
import importlib.util
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from pydantic import BaseModel

from plastic_core.base.errors import PlasticError
from plastic_core.base.scores import ACCURACY, heading, number
from plastic_core.base.streams import stdout_aside
from plastic_core.cli.flag_types import Settings, Switch, Texts, Whole
from plastic_core.cli.spec_flags import COLLECTED, assemble, attach, given_of, task_options
from plastic_core.plugins.catalogue import Catalogue

if TYPE_CHECKING:
    from plastic_core.experiments.searching.search_spec import SearchSpec


def make_app(arguments: Sequence[str] | None) -> App:
    """Return the command, with the options of the task that `arguments` ask for as flags."""
    app = App(name="search", help="Search for the best thetas of a rule within ranges.")
    options: type[BaseModel] | None = None
    if arguments is not None:
        options = task_options(arguments)

    @app.default
    def search(
        *,
        range_: Annotated[list[str] | None, Parameter(name="--range", negative=())] = None,
        trials: Whole = 100,
        spec: Annotated[Any, Parameter(name="*")] = None,
        task_options: Annotated[Any, Parameter(name="*", group="Options of the task")] = None,
        set_: Settings = None,
        transform: Texts = None,
        plugin: Texts = None,
        out: str | None = None,
        store: str | None = None,
        json: Switch = False,
        data_dir: str | None = None,
        workers: Whole = 0,
        repair: Switch = False,
    ) -> int:
        """Search for the best thetas of a rule within ranges.

        A trial trains all seeds at one point, and is stopped where it is hopeless or most of them
        diverge. Points are chosen on one half of the held-out points, and the best is reported on
        the other. The same command with the same --out goes on, and several may work on it at
        the same time. Exit code 1: some trials failed, or none was trained to the end.

        Args:
            range_: NAME=LOW:HIGH, or NAME=LOW:HIGHlog for equal ratios, such as
                bp=1e-4:1e-1log; may be repeated.
            trials: the budget of the whole search.
            spec: the fields of the spec, the same for all trials.
            task_options: the options of the task.
            set_: RULE.NAME=VALUE, the same for all trials; may be repeated.
            transform: name of a transform of the summed update; may be repeated.
            plugin: file with an unpackaged plugin; may be repeated.
            out: folder for search.json and the trials; default ./runs/TIME-TASK-search.
            store: folder of finished networks, in place of PLASTIC_STORE.
            json: print one JSON object on standard output, everything else on standard error.
            data_dir: data folder, in place of PLASTIC_DATA_DIR; several as in PATH.
            workers: processes, one thread each; 0 or 1 trains in this process, on all cores.
            repair: take damaged lines out of the journal of --out first, and keep the rest.
        """
        from plastic_core.experiments.searching.search_spec import SearchSpec, check, parse_range

        ranges = [parse_range(text) for text in range_ or []]
        if not ranges:
            raise PlasticError("search needs --range NAME=LOW:HIGH, such as bp=1e-4:1e-1log")
        if len({name for name, _ in ranges}) < len(ranges):
            raise PlasticError("--range: one axis is given twice; keep one of its ranges")
        if not 1 <= trials <= 1_000_000:
            raise PlasticError(f"--trials {trials}: expected 1 to 1,000,000")
        if not 0 <= workers <= 1024:
            raise PlasticError(f"--workers {workers}: expected 0 to 1024")
        fields = {"eval_half": "choose", **given_of(spec)}
        base = assemble(fields, options, given_of(task_options), set_, transform, None, plugin)
        made = SearchSpec(ranges=dict(ranges), base=base)
        check(made, Catalogue(base.plugins))  # mistakes show before torch is loaded
        if importlib.util.find_spec("optuna") is None:
            raise PlasticError("search needs optuna: pip install 'plastic-learning[search]'")
        return _search(made, out, store, json, data_dir, trials, workers, repair)

    attach(search, options, skip={*COLLECTED, "eval_half"})
    return app


def _search(
    spec: SearchSpec,
    out: str | None,
    store: str | None,
    as_json: bool,
    data_dir: str | None,
    trials: int,
    workers: int,
    repair: bool,
) -> int:
    from plastic_core.cli.live import SearchView
    from plastic_core.cli.output import interrupted_with, print_json
    from plastic_core.experiments.searching.search import search
    from plastic_core.results.claim import new_folder
    from plastic_core.results.store import Store

    task = spec.base.task
    place = new_folder(task, "search") if out is None else contextlib.nullcontext(Path(out))
    aside = stdout_aside() if as_json else contextlib.nullcontext()
    with (
        aside,
        place as folder,
        SearchView() as view,
        interrupted_with(
            f"the same command with --out {shlex.quote(str(folder))} goes on; what was done is kept"
        ),
    ):
        result = search(
            spec,
            folder,
            Store(store),
            trials=trials,
            workers=workers,
            repair=repair,
            data_dir=data_dir,
            on_progress=view.show,
        )
    if as_json:
        print_json({**result, "out": str(folder)})
    else:
        _show(result, folder)
    return 1 if result["trials"]["failed"] or result["best"] is None else 0


def _show(result: dict[str, Any], folder: Path) -> None:
    from plastic_core.cli.output import print_table
    from plastic_core.plan.run_spec import RunSpec

    best, trials = result["best"], result["trials"]
    if best is None:
        print("no trial was trained to the end; search.json says why")
    else:
        axes = [f"{axis} {value:.4g}" for axis, value in best["point"].items()]
        score = result["score"]
        chosen_by = "chosen by %" if score == ACCURACY else "chosen by"
        print_table(
            ("rule", "at", heading(score), "low", "high", "seeds", "diverged", chosen_by),
            [
                (
                    RunSpec(**result["spec"]["base"]).learned_by,
                    "  ".join(axes),
                    *(number(score, best[key]) for key in (score, "low", "high")),
                    best["seeds"],
                    best["diverged"],
                    number(score, best["chosen_by"]),
                )
            ],
        )
        print("chosen on the half 'choose', reported on the half 'report'; 98% bootstrap interval")
    kinds = ("complete", "pruned", "diverged", "failed")
    print(
        f"budget of {result['budget']} trials: "
        + ", ".join(f"{trials[kind]} {kind}" for kind in kinds)
        + f"; {trials['reclaimed']} were stopped and begun again"
    )
    failed = (row["reason"] for row in result["table"] if row["outcome"] == "failed")
    for reason in dict.fromkeys(failed):
        print(f"failed: {reason}")
    for note in result["notes"]:
        print(f"note: {note}")
    print(f"written to {folder}; store {result['store']}")
