"""What single points would teach a network, without teaching it: errors and increments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from plastic_core.build import Hooks, LocalRule
from plastic_core.networks.activations import ACTIVATIONS
from plastic_core.networks.feedforward import Feedforward, Workspace
from plastic_core.parameters import Parameters
from plastic_core.signals import SIGNAL_NAMES, Signals
from plastic_core.snapshot import PointIncrements
from plastic_core.specs import NetworkSpec
from plastic_core.summing import state_namespace
from plastic_core.transforming import Increment
from plastic_core.updates import Decay, Dense, Outer, Part, Update, as_update


class Learner:
    """Looks at one network after the other; what it returns holds until it looks again.

    Args:
        spec: the network.
        hooks: the resolved hooks.
        parameters: of one replica, which the caller sets to the network to be looked at. They
            are read and never written.
        points: ``[P, n_0]``.
        targets: ``[P, n_L]``, one-hot.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        hooks: Hooks,
        parameters: Parameters,
        points: Tensor,
        targets: Tensor,
    ) -> None:
        self._spec, self._hooks, self._parameters = spec, hooks, parameters
        self._network = Feedforward(spec, hooks, parameters)
        self._points, self._targets = points.unsqueeze(0), targets.unsqueeze(0)
        self._alone: dict[int, Signals] = {}

    def look(self, thetas: Mapping[str, float]) -> Look:
        """Compute the signals of the network as it is now.

        Args:
            thetas: by rule.
        """
        spaces = list(self._network.signals(self._points, self._targets))[::-1]
        if not self._alone:
            # the signals are views of buffers that stay where they are
            self._alone = {space.projection: _alone(space.signals) for space in spaces}
        return Look(self, spaces, thetas)

    def errors(self, spaces: list[Workspace]) -> list[Tensor | None]:
        """Return the errors that the rules propagate; see `Snapshot.errors`."""
        needs = self._network.needs
        return [
            space.signals.error[0] if need.error else None
            for space, need in zip(spaces, needs, strict=True)
        ]

    def gradients(self, spaces: list[Workspace]) -> list[Tensor]:
        """Return the errors of backpropagation; see `Snapshot.gradients`."""
        gate = ACTIVATIONS[self._spec.activation].gate
        errors = [spaces[-1].signals.post[0] - self._targets[0]]
        arrived: Tensor | None = None
        for below, space in zip(spaces[-2::-1], spaces[:0:-1], strict=True):
            sent_back = errors[-1] @ space.signals.weight[0]
            arrived = sent_back + arrived if space.skip and arrived is not None else sent_back
            errors.append(gate(arrived, below.signals.post[0], None))
        return errors[::-1]

    def increments(self, thetas: Mapping[str, float]) -> list[dict[str, PointIncrements]]:
        """Return the increments of every layer; see `Snapshot.increments`."""
        return [self._increments_of(p, thetas) for p in range(self._spec.depth)]

    def _increments_of(
        self, projection: int, thetas: Mapping[str, float]
    ) -> dict[str, PointIncrements]:
        s = self._alone[projection]
        found: dict[str, PointIncrements] = {}
        for rule in self._hooks.local:
            if projection in rule.layers and "forward" in rule.spec.modifies:
                update = self._call(rule, s, projection)
                found[rule.name] = _scaled(update.parts, thetas[rule.name], s)
        return {**found, "": self._transformed(_summed([*found.values()], s), s, projection)}

    def _call(self, rule: LocalRule, s: Signals, projection: int) -> Update:
        states = state_namespace(self._parameters, rule.name, projection, rule.spec.state)
        s.state = _repeated(states, len(s.post))
        update: Any = rule.function(s)
        if states is not None:
            update, _ = update
        if len(rule.spec.modifies) > 1:
            update = update["forward"]
        return as_update(update)

    def _transformed(self, total: PointIncrements, s: Signals, projection: int) -> PointIncrements:
        if not self._hooks.transforms:
            return total
        value = total.dense()
        for owner, transform, function in self._hooks.transforms:
            key = f"{owner}.forward"
            states = state_namespace(self._parameters, key, projection, transform.spec.state)
            result = function(Increment(value, s.weight, _repeated(states, len(value))))
            value = result if states is None else result[0]
        return PointIncrements(total.left[:, :0], total.right[:, :0], value)


class Look:
    """What one network would learn; see `plastic_core.snapshot.Learning`."""

    def __init__(
        self, learner: Learner, spaces: list[Workspace], thetas: Mapping[str, float]
    ) -> None:
        self._learner, self._spaces, self._thetas = learner, spaces, thetas

    def errors(self) -> list[Tensor | None]:
        """Return what the rules propagate."""
        return self._learner.errors(self._spaces)

    def gradients(self) -> list[Tensor]:
        """Return what W' propagates."""
        return self._learner.gradients(self._spaces)

    def increments(self) -> list[dict[str, PointIncrements]]:
        """Return the increments of each rule and of all."""
        return self._learner.increments(self._thetas)


def _alone(s: Signals) -> Signals:
    """Return views of the signals in which each point is a network of its own, with one event."""
    points, alone = s.post.shape[1], Signals()
    for name in SIGNAL_NAMES:
        if hasattr(s, name):
            value = getattr(s, name)
            shared = name in ("weight", "feedback")
            setattr(alone, name, value.expand(points, -1, -1) if shared else value.transpose(0, 1))
    alone.batch = 1
    return alone


def _repeated(states: SimpleNamespace | None, points: int) -> SimpleNamespace | None:
    """Return the states of one network for as many networks as there are points."""
    if states is None:
        return None
    named = {name: value.expand(points, -1, -1) for name, value in vars(states).items()}
    return SimpleNamespace(**named)


def _scaled(parts: Iterable[Part], theta: float, s: Signals) -> PointIncrements:
    """Return the increment of one rule, times its theta."""
    found = []
    for part in parts:
        scale = theta * part.scale
        left, right, rest = s.post[:, :0], s.pre[:, :0], None
        if isinstance(part, Outer):
            left, right = part.post * scale, part.pre
        elif isinstance(part, Decay):
            rest = (-scale if part.factor is None else -scale * part.factor.mT) * s.weight
        elif isinstance(part, Dense):
            rest = scale * part.value
        found.append(PointIncrements(left, right, rest))
    return _summed(found, s)


def _summed(increments: list[PointIncrements], s: Signals) -> PointIncrements:
    """Return the sum of increments, factors side by side."""
    if len(increments) == 1:
        return increments[0]
    lefts = [s.post[:, :0], *(one.left for one in increments)]
    rights = [s.pre[:, :0], *(one.right for one in increments)]
    rest: Tensor | None = None
    for one in increments:
        if one.rest is not None:
            rest = one.rest if rest is None else rest + one.rest
    return PointIncrements(torch.cat(lefts, 1), torch.cat(rights, 1), rest)
