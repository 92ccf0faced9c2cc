"""``plastic meta``: learn the thetas of a rule over episodes."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from pydantic import BaseModel

from plastic_core.base.errors import PlasticError
from plastic_core.base.streams import stdout_aside
from plastic_core.cli.flag_types import Settings, Switch, Texts, Whole
from plastic_core.cli.spec_flags import (
    attach,
    given_of,
    merge,
    option_of,
    settings_of,
    task_options,
)
from plastic_core.experiments.meta.meta_spec import MetaSpec

if TYPE_CHECKING:
    from rich.console import Console

    from plastic_core.experiments.meta.history import History
    from plastic_core.experiments.meta.meta_learning import MetaResult

# Without a terminal, a line at most this often.
_LINE_SECONDS = 10.0

# Seeds that have a column each.
_FEW = 4

_COLLECTED = {"options", "settings", "transforms", "plugins"}


def make_app(arguments: Sequence[str] | None) -> App:
    """Return the command, with the options of the task that `arguments` ask for as flags."""
    app = App(name="meta", help="Learn the thetas of a rule over episodes, by their gradient.")
    options: type[BaseModel] | None = None
    if arguments is not None:
        options = task_options(arguments, MetaSpec)

    @app.default
    def meta(
        *,
        spec: Annotated[Any, Parameter(name="*")] = None,
        task_options: Annotated[Any, Parameter(name="*", group="Options of the task")] = None,
        set_: Settings = None,
        transform: Texts = None,
        plugin: Texts = None,
        out: str | None = None,
        resume: Switch = False,
        json: Switch = False,
        data_dir: str | None = None,
        threads: Whole | None = None,
    ) -> None:
        """Learn the thetas of a rule over episodes, by their gradient.

        Each episode trains a fresh network on a few points, and asks it others; the thetas
        follow the gradient of its loss there, or of how its activities there differ from those of
        a --teacher, with an L1 penalty that drives what is of no use to 0. The rule that
        propagates the error starts with its own theta, every other at 0, unless a coefficient in
        the expression says otherwise.

        Args:
            spec: the fields of the spec.
            task_options: the options of the task.
            set_: RULE.NAME=VALUE, such as oja.theta=1e-4; may be repeated.
            transform: name of a transform of the summed update; may be repeated.
            plugin: file with an unpackaged plugin; may be repeated.
            out: the folder to write; default ./runs/TIME-TASK-RULE.
            resume: continue what --out holds.
            json: print one JSON object on standard output, everything else on standard error.
            data_dir: data folder, in place of PLASTIC_DATA_DIR; several as in PATH.
            threads: threads; default all cores.
        """
        fields = given_of(spec)
        chosen = {name: option_of(options, name, v) for name, v in given_of(task_options).items()}
        merge(fields, "options", chosen)
        merge(fields, "settings", settings_of(set_ or []))
        made = MetaSpec(**fields, transforms=transform or (), plugins=tuple(plugin or ()))
        _meta(made, out, resume, json, data_dir, threads)

    attach(meta, options, skip=_COLLECTED, model=MetaSpec)
    return app


def _meta(
    spec: MetaSpec,
    out: str | None,
    resume: bool,
    as_json: bool,
    data_dir: str | None,
    threads: int | None,
) -> None:
    from plastic_core.cli.output import interrupted_with
    from plastic_core.experiments.meta.meta_learning import meta_learn
    from plastic_core.results.claim import new_folder

    if resume and out is None:
        raise PlasticError("--resume needs --out DIR, the folder to continue")
    label = f"meta-{spec.rule}"
    place = new_folder(spec.task, label) if out is None else contextlib.nullcontext(Path(out))
    aside = stdout_aside() if as_json else contextlib.nullcontext()
    with (
        aside,
        place as folder,
        interrupted_with(f"'plastic meta --resume --out {folder}' with the same flags goes on"),
    ):
        result = meta_learn(
            spec,
            out=folder,
            resume=resume,
            data_dir=data_dir,
            threads=threads,
            on_plan=lambda record: _begin(spec, record, folder),
            on_episode=_Progress(spec).show,
        )
    _report(result, as_json)


def _begin(spec: MetaSpec, record: dict[str, Any], folder: Path) -> None:
    options = record["options"]
    lines = (
        f"task {spec.task}: {options['ways']} classes, {options['shots']} training points and "
        f"{options['queries']} queries of each",
        f"rule {spec.rule}" + (f", to become {spec.teacher}" if spec.teacher else ""),
        f"{spec.episodes} episodes, {spec.seeds} x {spec.parallel} networks side by side; "
        f"{spec.optimizer}, learning rate {spec.learning_rate:g}, L1 {spec.l1:g}",
        f"backend {record['backend']}" + (f" ({record['reason']})" if record["reason"] else ""),
        f"writing to {folder}",
    )
    for line in lines:
        print(line, file=sys.stderr)


class _Progress:
    """A line on standard error now and then."""

    def __init__(self, spec: MetaSpec) -> None:
        self._spec, self._begun = spec, time.monotonic()
        self._next, self._first = self._begun + _LINE_SECONDS, -1

    def show(self, history: History) -> None:
        """Show where the thetas are, unless that was done a short while ago."""
        now = time.monotonic()
        if self._first < 0:
            self._first = history.done - 1
        if now < self._next or history.done == self._spec.episodes:
            return
        self._next = now + _LINE_SECONDS
        left = (now - self._begun) / (history.done - self._first)
        left *= self._spec.episodes - history.done
        thetas = history.theta[:, history.done].mean(0)
        shown = ", ".join(f"{n} {t:.3g}" for n, t in zip(history.rules, thetas, strict=True))
        recent = history.accuracy[:, max(0, history.done - 30) : history.done].mean()
        print(
            f"episode {history.done}/{self._spec.episodes}: accuracy {100 * recent:.1f}%, {shown}; "
            f"{left:.0f} s left",
            file=sys.stderr,
        )


def _report(result: MetaResult, as_json: bool) -> None:
    from rich.console import Console

    from plastic_core.cli.output import print_json, print_table

    console, found = Console(stderr=as_json), result.record["result"]
    several, lines = any("." in name for name in found["thetas"][0]), list[str]()
    if "teacher" not in result.record:
        seeds = result.history["seed"].to_numpy().tolist()
        accuracy = [f"{100 * one:.2f}" for one in found["accuracy"]]
        columns = {"seed": seeds, "accuracy %": accuracy}
        if not several:
            columns["learned rule"] = found["learned"]
        print_table([*columns], [*zip(*columns.values(), strict=True)], console)
        lines.append(f"accuracy on the queries of the last {found['accuracy_over']} episodes")
    if several or "teacher" in result.record:
        _show_thetas(result, console)
    if "teacher" in result.record:
        lines += _differences(result)
    if found["diverged"]:
        lines.append(
            f"{found['diverged']} networks diverged: they counted in the mean gradient as 0; "
            "where all of an episode did, thetas went back and further steps are half as long"
        )
    if found["clipped"]:
        lines.append(f"the gradients of {found['clipped']} networks were clipped")
    lines += [f"note: {note}" for note in result.record.get("notes", [])]
    lines.append(f"{found['seconds']:.0f} s; written to {result.folder}")
    for line in lines:
        print(line, file=sys.stderr if as_json else sys.stdout)
    if as_json:
        folder = None if result.folder is None else str(result.folder)
        print_json({"folder": folder, **found})


def _show_thetas(result: MetaResult, console: Console) -> None:
    """Show each theta beside that of the same name of a teacher; of many seeds their range."""
    from plastic_core.cli.output import print_table

    learned, theirs = result.record["result"]["thetas"], result.record.get("teacher")
    headers = [f"seed {seed}" for seed in result.history["seed"].to_numpy().tolist()]
    found = {name: [thetas[name] for thetas in learned] for name in learned[0]}
    if len(learned) > _FEW:
        headers = ["median", "least", "greatest"]
        found = {name: [median(of), min(of), max(of)] for name, of in found.items()}
    rows = [(name, *(f"{theta:.4g}" for theta in of)) for name, of in found.items()]
    if theirs is not None:
        headers = ["teacher", *headers]
        rows = [(name, theirs.get(name, ""), *of) for name, *of in rows]
    print_table(("theta", *headers), rows, console)


def _differences(result: MetaResult) -> list[str]:
    """Return how far activities are from the teacher's, and what to do where thetas still move."""
    loss, theta = (result.history[name].to_numpy() for name in ("loss", "theta"))
    lines = [
        f"mean squared difference from the activities of the teacher: {loss[:, -1].mean():.2g} in "
        f"the last episode, {loss[:, 0].mean():.2g} in the first"
    ]
    moved = abs(theta[:, -1] - theta[:, -2]).max(1) > 0.1 * abs(theta[:, -1]).max(1)
    if moved.any():
        lines.append(
            f"in the last episode the thetas of {moved.sum()} of {len(moved)} seeds moved by more "
            "than a tenth of the greatest: networks side by side (--parallel 20) or shorter steps "
            "(--learning-rate 0.1) let them settle"
        )
    return lines
