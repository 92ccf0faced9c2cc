"""An update of a run: one step that is bound to buffers, or several that show one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from plastic_core.api.circuit import Circuit
from plastic_core.api.signals import Signals
from plastic_core.backends.eager.bound_step import BoundStep
from plastic_core.backends.step.description import Description
from plastic_core.hooks.hooks import Hooks, Shown
from plastic_core.hooks.own import Own
from plastic_core.networks.parameters import Parameters


class BoundPasses:
    """The passes of an update, for R replicas and K samples, from one snapshot of the weights.

    Args:
        circuit: the network.
        hooks: the resolved hooks.
        parameters: read, never written.
        samples: K.
        alone: see `BoundStep`.

    Attributes:
        signals: of each projection, those of the first pass.
        output: of the first pass, ``[R, K, n_L]``.
        own: gives each rule what belongs to it.
    """

    def __init__(
        self,
        circuit: Circuit,
        hooks: Hooks,
        parameters: Parameters,
        samples: int,
        alone: bool = False,
    ) -> None:
        self._hooks, self._first = hooks, circuit.sends[0][0]
        self._steps = [
            BoundStep(Description(circuit, hooks, index), parameters, samples, alone)
            for index in range(hooks.passes)
        ]
        first = self._steps[0]
        self.output: Tensor = first.output
        self.signals: Sequence[Signals] = first.signals
        self.own: Own = first.own
        if hooks.passes > 1:
            for of_each in zip(*(step.signals for step in self._steps), strict=True):
                of_each[0].passes = of_each

    def show(self, x: Tensor, target: Tensor) -> None:
        """Take the next samples; see `BoundStep.show`."""
        self._x, self._target = x, target
        self._steps[0].show(x, target)

    def functions(self, learn: Sequence[Callable[[], Any]] = ()) -> list[Callable[[], Any]]:
        """Return all that is done after `show`, in order; see `BoundStep.functions`."""
        if len(self._steps) == 1:
            return self._steps[0].functions(learn)
        done = self._steps[0].functions()
        for index in range(1, len(self._steps)):
            done += [partial(self._show_again, index), *self._steps[index].functions()]
        return [*done, *reversed(learn)]

    def _show_again(self, index: int) -> None:
        before = Shown(self._steps[index - 1].first_signals, self._x, self._target, index)
        x = self._hooks.shown_next(before, self.own, self._first)
        self._steps[index].show(x, self._target)
