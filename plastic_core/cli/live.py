"""The live view of many networks, on standard error: a bar, or without a terminal a line a minute.

The line comes from a thread of its own, so that it comes where nothing ends for a while, too.
"""

from __future__ import annotations

import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from plastic_core.base.scores import text

if TYPE_CHECKING:
    from plastic_core.experiments.searching.search import SearchProgress
    from plastic_core.experiments.sweeping.sweep import Progress

_LINE_SECONDS = 60.0

#: After so long a sweep without any worker says so.
NO_WORKER_SECONDS = 300.0


class _View:
    """A bar with a line of text beside it, or the line alone every minute."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, soft_wrap=True, highlight=False)
        self._bar = RichProgress(
            BarColumn(20),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            disable=not sys.stderr.isatty(),
        )
        self._task: Any = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._print_lines, daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._bar.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _begin(self, line: str) -> None:
        self._console.print(line, markup=False)
        self._bar.start()
        self._task = self._bar.add_task("", total=None)
        if self._bar.disable:
            self._thread.start()

    def _update(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total, description=self._text())

    def _text(self) -> str:
        raise NotImplementedError

    def _print_lines(self) -> None:
        while not self._ended.wait(_LINE_SECONDS):
            self._console.print(self._text(), markup=False)


class SweepView(_View):
    """Networks done, running, failed and diverged, their rate, the time left, and the best."""

    _progress: Progress

    def show(self, progress: Progress) -> None:
        """Show how far the sweep is; the first call begins the view."""
        self._progress = progress
        if self._task is None:
            self._begin(f"{progress.total} networks, {progress.found} of them in the store")
        self._update(progress.done, progress.total)

    def _text(self) -> str:
        return sweep_line(self._progress)


class SearchView(_View):
    """Trials by what became of them, the time left, and the best."""

    _progress: SearchProgress

    def show(self, progress: SearchProgress) -> None:
        """Show how far the search is; the first call begins the view."""
        self._progress = progress
        if self._task is None:
            self._begin(f"{progress.budget} trials, {progress.counts.ended} of them done before")
        self._update(progress.counts.ended, progress.budget)

    def _text(self) -> str:
        return search_line(self._progress)


def sweep_line(progress: Progress) -> str:
    """Return how far a sweep is, on one line."""
    parts = [
        f"{progress.done} of {progress.total} networks",
        f"{progress.running} running",
        f"{len(progress.failed)} failed",
        f"{progress.diverged} diverged",
    ]
    if progress.alone >= NO_WORKER_SECONDS:
        parts.append(
            f"no worker for {_duration(progress.alone)}: see whether its jobs wait or fail"
        )
    if progress.trained:
        left = (progress.total - progress.done) / progress.rate
        parts += [f"{progress.rate:.2g}/s", f"{_duration(left)} left"]
    if progress.best is not None and progress.best_arm is not None:
        arm = progress.best_arm
        score = arm.plan.score.name
        parts.append(_best(score, progress.best, {"": arm.rule, **arm.point}))
    return ", ".join(parts)


def search_line(progress: SearchProgress) -> str:
    """Return how far a search is, on one line."""
    counts = progress.counts
    parts = [
        f"{counts.ended} of {progress.budget} trials",
        *(f"{getattr(counts, n)} {n}" for n in ("running", "pruned", "diverged", "failed")),
    ]
    if progress.rate:
        left = max(0, progress.budget - counts.ended) / progress.rate
        parts += [f"{60 * progress.rate:.2g}/min", f"{_duration(left)} left"]
    if progress.best is not None:
        parts.append(_best(progress.score, progress.best, progress.point))
    return ", ".join(parts)


def _best(score: str, value: float, at: dict[str, Any]) -> str:
    where = " ".join(
        f"{name} {one:.4g}" if isinstance(one, float) else f"{name} {one}".strip()
        for name, one in at.items()
    )
    return f"best so far {text(score, value)} by {where}"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
