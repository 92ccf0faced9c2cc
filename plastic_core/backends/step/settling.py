"""Networks that settle: their populations change step by step, and learn from where they end.

    z_l <- hook(z_l, below = W_l y_{l-1}, above = W_{l+1}' m_{l+1})      all l at once
    y_l  = sigma(z_l),  m_l = y_l, or what the hook returns beside z_l

The first phase begins where the forward pass ends, each later one where the one before it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from plastic_core.api.circuit import Circuit
from plastic_core.api.signals import Signals
from plastic_core.hooks.hooks import Hooks
from plastic_core.hooks.own import Own


class Settling:
    """The phases of an update of a network, or of its evaluation.

    Args:
        circuit: the network, feed-forward and dense.
        hooks: of which one says how populations settle.
        own: gives each rule what belongs to it.
        make: makes the signals of a projection, with the size of the mini-batch and the matrices.

    Attributes:
        activities: y_0 .. y_L where the first phase ended.
    """

    def __init__(
        self, circuit: Circuit, hooks: Hooks, own: Own, make: Callable[[int], Signals]
    ) -> None:
        self._circuit, self._hooks, self._make = circuit, hooks, make
        self._depth = circuit.depth
        self._seen = [make(p) for p in range(self._depth)]
        self._settle = [hooks.settle_of(sends[0], own) for sends in circuit.sends]
        self._forward = [hooks.forward_of(sends[0], own) for sends in circuit.sends]
        self.activities: list[Any] = []

    def run(self, x: Any, target: Any, phases: Sequence[str]) -> list[Signals]:
        """Return the signals of each projection: those of the first phase, and of each by name.

        Args:
            x: ``[R, K, n_0]``.
            target: ``[R, K, n_L]``, or None where the network is evaluated.
            phases: by name, in order.
        """
        assert self._hooks.settle is not None
        zs = self._begin(x, target)
        self._first_below = self._seen[0].products.forward(x)
        messages = [s.activation(z) for s, z in zip(self._seen, zs, strict=True)]
        messages = [m for _, m in self._step(x, zs, messages, phases[0])]
        found: list[list[Signals]] = []
        for phase in phases:
            for _ in range(self._hooks.settle.steps):
                after = self._step(x, zs, messages, phase)
                zs, messages = [z for z, _ in after], [m for _, m in after]
            found.append(self._signals(x, zs, target))
            if phase == phases[0]:
                self.activities = [x, *(s.post for s in found[0])]
        for p, s in enumerate(found[0]):
            s.phases = {phase: found[i][p] for i, phase in enumerate(phases)}
        return found[0]

    def _begin(self, x: Any, target: Any) -> list[Any]:
        """Return z of each population in the forward pass."""
        zs, y = [], x
        for s, own in zip(self._seen, self._forward, strict=True):
            s.pre = y
            if target is not None:
                s.target = target
            z = None if own is None else own(s)
            zs.append(s.products.forward(y) if z is None else z)
            y = s.activation(zs[-1])
        return zs

    def _step(
        self, x: Any, zs: Sequence[Any], messages: Sequence[Any], phase: str
    ) -> list[tuple[Any, Any]]:
        """Return the next z and message of each population."""
        ys = [x, *(s.activation(z) for s, z in zip(self._seen, zs, strict=True))]
        found = []
        for p, (s, z) in enumerate(zip(self._seen, zs, strict=True)):
            s.phase, s.z = phase, z
            s.below = s.products.forward(ys[p]) if p else self._first_below
            if p + 1 < self._depth:
                above = self._seen[p + 1].products
                fed = self._hooks.feedback is not None
                s.above = (above.feed_back if fed else above.back)(messages[p + 1])
            else:
                s.above = z * 0
            result = self._settle[p](s)
            new, message = result if isinstance(result, tuple) else (result, None)
            found.append((new, s.activation(new) if message is None else message))
        return found

    def _signals(self, x: Any, zs: Sequence[Any], target: Any) -> list[Signals]:
        signals, pre = [], x
        for p, z in enumerate(zs):
            s = self._make(p)
            s.pre = s.source = pre
            s.z, s.post = z, s.activation(z)
            signals.append(s)
            pre = s.post
        reads = frozenset[str]().union(*(rule.reads for rule in self._hooks.local))
        loss = self._circuit.loss
        for s in signals:
            s.output = pre
            if "recon" in reads:
                s.recon = s.products.back(s.post)
            if target is not None:
                s.target = target
            if target is not None and "loss" in reads:
                s.loss = loss.value(pre, target).to(target.dtype).unsqueeze(-1)
        return signals
