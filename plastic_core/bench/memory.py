"""Peak memory of a run with many replicas, measured in a process of its own.

    python -m plastic_core.bench.memory

prints one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from plastic_core.bench.case import RULE, Case

_REPLICAS: Final = 100


def measure() -> dict[str, Any] | None:
    """Return bytes of the weights and by how much the peak grew; None where the OS has no say."""
    if not Path("/proc/self/status").exists():
        return None
    command = [sys.executable, "-m", "plastic_core.bench.memory"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _peak() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _main() -> None:
    # once with one network first, so that libraries and compiler are not counted
    small, _ = Case.make(RULE, 10, 1).backend("native")
    case = Case.make(RULE, 10, _REPLICAS)
    small.advance(Case.make(RULE, 10, 1).order(10))
    small.activities(case.inputs.unsqueeze(0), 0)
    before = _peak()
    backend, parameters = case.backend("native")
    backend.advance(case.order(50))
    backend.activities(case.inputs.unsqueeze(0), 0)
    weights = sum(w[0].numel() * w.element_size() for w in parameters.weights) * _REPLICAS
    json.dump({"replicas": _REPLICAS, "weights": weights, "grown": _peak() - before}, sys.stdout)


if __name__ == "__main__":
    _main()
