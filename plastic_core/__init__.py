"""plastic: write a synaptic plasticity rule as one equation and get everything else.

>>> from plastic_core import RunSpec, run
>>> result = run(RunSpec(rule="oja+bp", task="digits-mlp", seeds=2, samples=200))
>>> result.curves["accuracy"].dims
('seed', 'step')

This is the one door for whoever uses plastic from Python; `plastic_core.api` is that of plugins,
and `plastic_core.testing` that of their tests. What it holds stands in ``__init__.pyi``, and is
imported when it is first asked for, so that no torch is loaded before.
"""

import lazy_loader

__getattr__, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)

__all__ = sorted(_names)
