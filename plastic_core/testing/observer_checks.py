"""What every observer must keep to: each check returns the faults that it found."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from plastic_core.api.observer import ObservedPoint, ObservedRun, Observer
from plastic_core.base.errors import describe_exception
from plastic_core.base.fault import Fault
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plugins.requirements import plugin_faults

_EXAMPLES: Final = {
    "on_plan": "def on_plan(self, run): self.file = open(run.folder / 'scores.txt', 'w')",
    "on_point": "def on_point(self, run, point): print(point.score.mean(), file=self.file)",
    "on_result": "def on_result(self, run): self.file.close()",
}


def check_class(observer: type[Observer]) -> list[Fault]:
    """The spec and the methods are what the core expects."""
    return plugin_faults("observer", observer.spec.name, observer)


def check_run(observer: type[Observer], folder: Path) -> list[Fault]:
    """A run is seen from its plan to its result, without an exception; one network diverges."""
    made, spec = observer(), RunSpec(seeds=2, samples=20, evaluations=2)
    known = (folder, spec.label, spec.model_dump(mode="json"), "accuracy", (0, 1))
    run = ObservedRun(*known)
    points = [
        ObservedPoint(10, np.array([0.1, 0.2]), np.array([2.3, 2.2]), {}),
        ObservedPoint(
            20, np.array([0.3, 0.1]), np.array([2.0, np.nan]), {"norm": np.ones((2, 3), np.float32)}
        ),
    ]
    score = {"name": "accuracy", "mean": 0.2, "low": 0.1, "high": 0.3, "per_seed": [0.3, 0.1]}
    result = {"score": score, "diverged": [{"seed": 1, "sample": 15}], "notes": []}
    seen = [("on_plan", (run,)), *(("on_point", (run, point)) for point in points)]
    for method, given in (*seen, ("on_result", (ObservedRun(*known, result),))):
        try:
            getattr(made, method)(*given)
        except Exception as error:
            found = f"raised {describe_exception(error)}"
            return [Fault(method, found, "expected no exception", _EXAMPLES[method])]
    return []
