"""plastic: write a synaptic plasticity rule as one equation and get everything else.

>>> from plastic_core import RunSpec, run
>>> result = run(RunSpec(rule="oja+bp", task="digits-mlp", seeds=2, samples=200))
>>> result.curves["accuracy"].dims
('seed', 'step')

This is the one door for whoever uses plastic from Python; `plastic_core.api` is that of plugins,
and `plastic_core.testing` that of their tests. What it holds stands in ``__init__.pyi``, where type
checkers find it too, and is imported when it is first asked for, so that no torch is loaded before.
"""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

_STUB = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_HOMES = {name: home for home, name in re.findall(r"from (\.[\w.]+) import (\w+)", _STUB)}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'plastic_core' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    """Return the names of the door."""
    return __all__
