"""plastic: write a synaptic plasticity rule as one equation and get everything else.

>>> from plastic_core import RunSpec, run
>>> result = run(RunSpec(rule="oja+bp", task="digits-mlp", seeds=2, samples=200))
>>> result.curves["accuracy"].dims
('seed', 'step')
"""

from typing import TYPE_CHECKING, Any

from plastic_core.errors import PlasticError
from plastic_core.network_specs import NetworkSpec
from plastic_core.run_spec import RunSpec
from plastic_core.version import __version__

if TYPE_CHECKING:
    from plastic_core.running import RunResult, run

__all__ = ["NetworkSpec", "PlasticError", "RunResult", "RunSpec", "__version__", "run"]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first asked for."""
    if name in ("RunResult", "run"):
        from plastic_core import running

        return getattr(running, name)
    raise AttributeError(f"module 'plastic_core' has no attribute '{name}'")
