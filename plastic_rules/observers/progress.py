"""How far a run is, on one line."""

from __future__ import annotations

import sys
import time
from datetime import timedelta

from plastic_core.api import ObservedPoint, ObservedRun, Observer, ObserverSpec


class Progress(Observer):
    """How far a run is, on one line of standard error that is written over at each evaluation.

    It shows in a notebook, and wherever ``run`` is called from Python; the command line has a view
    of its own::

        run(spec, observers=["progress"])
    """

    spec = ObserverSpec(name="progress", summary="say on one line how far the run is")

    def on_plan(self, run: ObservedRun) -> None:
        """Say what begins."""
        self._first: tuple[float, int] | None = None
        self._say(f"{run.label}: 0 of {run.spec['samples']:,} samples")

    def on_point(self, run: ObservedRun, point: ObservedPoint) -> None:
        """Say what was reached, and how much time is left."""
        samples, now = run.spec["samples"], time.monotonic()
        line = f"{run.label}: {point.sample:,} of {samples:,} samples, "
        line += f"{run.score} {point.score.mean():.4g}"
        if self._first is None:  # what came before it is compiling, or was done another time
            self._first = now, point.sample
        else:
            begun, sample = self._first
            left = (now - begun) / (point.sample - sample) * (samples - point.sample)
            line += f", {timedelta(seconds=round(left))} left"
        self._say(line)

    def on_result(self, run: ObservedRun) -> None:
        """End the line."""
        sys.stderr.write("\n")

    def _say(self, line: str) -> None:
        sys.stderr.write(f"\r{line:<79}")
        sys.stderr.flush()
