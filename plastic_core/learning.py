"""What single points would teach a network, without teaching it: errors and increments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import torch
from torch import Tensor

from plastic_core.build import Hooks, LocalRule
from plastic_core.network_specs import NetworkSpec
from plastic_core.networks.feedforward import Feedforward, Workspace
from plastic_core.parameters import Parameters
from plastic_core.signals import SIGNAL_NAMES, Signals
from plastic_core.summing import state_namespace
from plastic_core.transforming import Increment
from plastic_core.updates import Decay, Dense, Outer, Part, Update, as_update

_SIDES: Final = ("left", "right")


@dataclass(frozen=True)
class FactoredIncrements:
    r"""See `PointIncrements`; for point p :math:`\sum_j left_{pj}\, right_{pj}^\top + rest_p`.

    Attributes:
        left: ``[P, J, n_post]``, the factors along the rows; J may be 0.
        right: ``[P, J, n_pre]``, the factors along the columns.
        rest: ``[P, n_post, n_pre]``, what is no outer product, or None.
    """

    left: Tensor
    right: Tensor
    rest: Tensor | None = None

    def dense(self) -> Tensor:
        """Return the increments multiplied out."""
        product = self.left.mT @ self.right
        return product if self.rest is None else product + self.rest

    def norm(self) -> Tensor:
        r"""Return their norms; outer products are not multiplied out.

        .. math:: \lVert \sum_j a_j b_j^\top \rVert^2 = \sum_{jk} (a_j^\top a_k)(b_j^\top b_k)
        """
        norm: Callable[..., Tensor] = torch.linalg.vector_norm
        if self.rest is not None:
            return norm(self.dense(), dim=(1, 2))
        if self.left.shape[1] == 1:
            return norm(self.left, dim=(1, 2)) * norm(self.right, dim=(1, 2))
        gram = torch.bmm(self.left, self.left.mT) * torch.bmm(self.right, self.right.mT)
        # terms that cancel may leave a rounding error below zero
        return gram.sum((1, 2)).clamp_min_(0).sqrt_()


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
        errors = [spaces[-1].signals.post[0] - self._targets[0]]
        arrived: Tensor | None = None
        for below, space in zip(spaces[-2::-1], spaces[:0:-1], strict=True):
            sent_back = errors[-1] @ space.signals.weight
            arrived = sent_back + arrived if space.skip and arrived is not None else sent_back
            errors.append(self._network.gate(arrived, below.signals.post, below)[0])
        return errors[::-1]

    def increments(self, thetas: Mapping[str, float]) -> list[dict[str, FactoredIncrements]]:
        """Return the increments of every layer; see `Snapshot.increments`."""
        return [self._increments_of(p, thetas) for p in range(self._spec.depth)]

    def _increments_of(
        self, projection: int, thetas: Mapping[str, float]
    ) -> dict[str, FactoredIncrements]:
        s = self._alone[projection]
        found: dict[str, FactoredIncrements] = {}
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

    def _transformed(
        self, total: FactoredIncrements, s: Signals, projection: int
    ) -> FactoredIncrements:
        if not self._hooks.transforms:
            return total
        value = total.dense()
        for owner, transform, function in self._hooks.transforms:
            key = f"{owner}.forward"
            states = state_namespace(self._parameters, key, projection, transform.spec.state)
            result = function(Increment(value, s.weight, _repeated(states, len(value))))
            value = result if states is None else result[0]
        return FactoredIncrements(total.left[:, :0], total.right[:, :0], value)


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

    def increments(self) -> list[dict[str, FactoredIncrements]]:
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


def _scaled(parts: Iterable[Part], theta: float, s: Signals) -> FactoredIncrements:
    """Return the increment of one rule, times its theta."""
    return _summed([_of_part(part, theta * part.scale, s) for part in parts], s)


def _of_part(part: Part, scale: float, s: Signals) -> FactoredIncrements:
    if isinstance(part, Outer):
        return FactoredIncrements(part.post * scale, part.pre)
    if isinstance(part, Decay):
        rest = (-scale if part.factor is None else -scale * part.factor.mT) * s.weight
    else:
        assert isinstance(part, Dense)
        rest = scale * part.value
    return FactoredIncrements(s.post[:, :0], s.pre[:, :0], rest)


def _summed(increments: list[FactoredIncrements], s: Signals) -> FactoredIncrements:
    """Return the sum of increments, factors side by side."""
    if not increments:
        return FactoredIncrements(s.post[:, :0], s.pre[:, :0])
    if len(increments) == 1:
        return increments[0]
    rest: Tensor | None = None
    for one in increments:
        if one.rest is not None:
            rest = one.rest if rest is None else rest + one.rest
    left, right = (torch.cat([getattr(one, side) for one in increments], 1) for side in _SIDES)
    return FactoredIncrements(left, right, rest)
