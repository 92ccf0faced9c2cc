"""The live view of a run, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from plastic_core.base.scores import text
from plastic_core.circuits.table import layer_table
from plastic_core.cli.output import print_layers
from plastic_core.plan.plan import Plan
from plastic_core.plan.planned_rules import PlannedRule

if TYPE_CHECKING:
    from plastic_core.experiments.run_result import RunResult
    from plastic_core.results.curves import Curves

# Without a terminal, a line at most this often.
_LINE_SECONDS = 10.0


class RunView:
    """Says what will be computed, then shows samples/s, the score so far and the time left."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._spec = plan, plan.spec
        self._console = Console(stderr=True, soft_wrap=True, highlight=False)
        self._progress = RichProgress(
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} samples  {task.fields[state]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task("run", total=self._spec.samples, state="")
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def begin(self, planned: RunResult) -> None:
        """Say what is used, before training."""
        record = planned.record
        network = record["network"]
        # its first and last layer may follow the data
        self._plan = self._plan.on(type(self._plan.network)(**network))
        names, shape = self._plan.circuit.layer_names, self._plan.network.shape
        lines = [
            f"task {self._spec.task}: network {shape}, {network['activation']}, {network['init']}"
            + (f", {network['loss']}" if "loss" in network else ""),
            *(
                line
                for place, stage in enumerate(self._plan.each)
                for line in (
                    *self._stage_line(place),
                    *(
                        f"rule {r.name}: {_theta(r)} ({r.origin})"
                        + _layers(r.layers, record["layers"])
                        + "".join(
                            f", {names[i - 1]} {r.shown(o.name)}"
                            for o in r.by_layer
                            for i in o.layers
                        )
                        for r in stage.rules
                    ),
                )
            ),
            *(
                f"transform {t['name']}"
                + "".join(f", {name} {value}" for name, value in t["params"].items())
                for t in record["transforms"]
            ),
            f"{self._spec.seeds} networks, {self._spec.samples} samples each, backend "
            f"{record['backend']} ({record['backend_reason']})",
            f"writing to {planned.run_dir}",
        ]
        for line in lines:
            self._console.print(line, markup=False)
        if self._plan.circuit.shared:
            print_layers(layer_table(self._plan.circuit), self._console)
        self._progress.start()

    def _stage_line(self, place: int) -> Iterator[str]:
        if self._spec.stages:
            stage = self._plan.spec.stages[place]
            points = f" of {stage.classes}" if stage.classes else ""
            yield f"stage {place + 1}: {stage.samples:,} points{points}"

    def show_point(self, curves: Curves) -> None:
        """Show the state after an evaluation."""
        point = curves.done - 1
        name, score = curves.score_name, curves.score[:, point].mean()
        state = f"{name} {text(name, score)}  {curves.samples_per_second:,.0f} samples/s"
        self._progress.update(self._task, completed=int(curves.steps[point]), state=state)
        now = time.monotonic()
        if self._progress.disable and now - self._last_line >= _LINE_SECONDS:
            self._last_line = now
            self._console.print(f"sample {curves.steps[point]}: {state}", markup=False)


def _theta(rule: PlannedRule) -> str:
    named = ", ".join(f"{name} {rule.shown(f'{rule.name}.{name}')}" for name in rule.own)
    return f"thetas {named}" if named else f"theta {rule.shown(rule.name)}"


def _layers(layers: tuple[int, ...], depth: int) -> str:
    return "" if len(layers) == depth else f", layers {', '.join(map(str, layers))}"
