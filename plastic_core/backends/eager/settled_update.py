"""An update of a network that settles, with the doors of `BoundPasses`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from plastic_core.api.circuit import Circuit
from plastic_core.api.signals import MATRIX_SIGNALS, SIGNAL_NAMES, Signals
from plastic_core.backends.step.blank_signals import blank_signals
from plastic_core.backends.step.settling import Settling
from plastic_core.hooks.hooks import Hooks
from plastic_core.hooks.own import Own
from plastic_core.networks.noise import NoiseOfUpdate
from plastic_core.networks.parameters import Parameters


class SettledUpdate:
    """The phases of an update, for R replicas and K samples; see `BoundPasses`."""

    def __init__(
        self,
        circuit: Circuit,
        hooks: Hooks,
        parameters: Parameters,
        samples: int,
        alone: bool = False,
    ) -> None:
        assert hooks.settle is not None
        self._phases = hooks.settle.phases
        self._noise = NoiseOfUpdate(parameters.state, parameters.weights[0].dtype, alone)
        self.own = Own(circuit, parameters.state.__getitem__, self._noise.of)

        def blank(p: int) -> Signals:
            return blank_signals(circuit, parameters, p, samples)

        self._settling = Settling(circuit, hooks, self.own, blank)
        self.signals: Sequence[Signals] = [blank(p) for p in range(circuit.depth)]

    @property
    def output(self) -> Tensor:
        """The outputs where the first phase ended, ``[R, K, n_L]``."""
        output: Tensor = self._settling.activities[-1]
        return output

    def show(self, x: Tensor, target: Tensor) -> None:
        """Take the next samples; see `BoundStep.show`."""
        self._x, self._target = x, target
        self._noise.forget()

    def functions(self, learn: Sequence[Callable[[], Any]] = ()) -> list[Callable[[], Any]]:
        """Return all that is done after `show`, in order; see `BoundStep.functions`."""
        return [self._settle, *reversed(learn)]

    def _settle(self) -> None:
        """Let the network settle, and hand what it came to to those who were bound to signals."""
        found = self._settling.run(self._x, self._target, self._phases)
        for s, new in zip(self.signals, found, strict=True):
            for name in SIGNAL_NAMES - MATRIX_SIGNALS:
                if hasattr(new, name):
                    setattr(s, name, getattr(new, name))
            s.phases = new.phases
