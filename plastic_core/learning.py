"""What single points would teach networks, without teaching them: errors and increments."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Final

import torch
from torch import Tensor

from plastic_core.build import Hooks, LocalRule
from plastic_core.network_specs import NetworkSpec
from plastic_core.networks.feedforward import Feedforward, Workspace
from plastic_core.parameters import Parameters
from plastic_core.products import LINE, aligned_zeros, product
from plastic_core.signals import SIGNAL_NAMES, Signals
from plastic_core.summing import state_namespace
from plastic_core.transforming import Increment
from plastic_core.trial import trial_signals
from plastic_core.updates import Decay, Dense, Outer, Part, Update, as_update

_MATRICES: Final = frozenset({"weight", "feedback"})


@dataclass(frozen=True)
class OuterProducts:
    r"""One outer product, :math:`left_p\, right_p^\top`, for each of P rows.

    Attributes:
        left: ``[P, n_post]``.
        right: ``[P, n_pre]``.
    """

    left: Tensor
    right: Tensor

    @cached_property
    def norms(self) -> Tensor:
        """The Frobenius norms, ``[P]``."""
        norm: Callable[..., Tensor] = torch.linalg.vector_norm
        return norm(self.left, dim=-1) * norm(self.right, dim=-1)

    def times(self, other: OuterProducts) -> Tensor:
        """Return the scalar products with other matrices, ``[P]``.

        Not by a product of matrices, which sums in an order that depends on where the numbers lie.
        """
        return (self.left * other.left).sum(-1) * (self.right * other.right).sum(-1)


@dataclass(frozen=True)
class FactoredIncrements:
    r"""Increments of one matrix, each :math:`\sum_j left_{jp}\, right_{jp}^\top + rest_p`.

    P counts points, or the rows of one network after those of another.

    Attributes:
        outers: the outer products; none only where there is a rest.
        rest: ``[P, n_post, n_pre]``, what is no outer product, or None.
    """

    outers: tuple[OuterProducts, ...] = ()
    rest: Tensor | None = None

    def dense(self, points: slice) -> Tensor:
        """Return the increments of some points multiplied out."""
        rest = None if self.rest is None else self.rest[points]
        if rest is not None and not self.outers:
            return rest
        left = torch.stack([outer.left[points] for outer in self.outers], -1)
        product = left @ torch.stack([outer.right[points] for outer in self.outers], -2)
        return product if rest is None else product + rest

    @cached_property
    def norms(self) -> Tensor:
        r"""The Frobenius norms ``[P]``; outer products are not multiplied out.

        .. math:: \lVert \sum_j a_j b_j^\top \rVert^2 = \sum_{jk} (a_j^\top a_k)(b_j^\top b_k)
        """
        norm: Callable[..., Tensor] = torch.linalg.vector_norm
        if self.rest is not None:
            return norm(self.dense(slice(None)), dim=(1, 2))
        if len(self.outers) == 1:
            return self.outers[0].norms
        terms = [outer.norms.square() for outer in self.outers]
        terms += [2 * a.times(b) for a, b in itertools.combinations(self.outers, 2)]
        # terms that cancel may leave a rounding error below zero
        return functools.reduce(torch.add, terms).clamp_min(0).sqrt()


@dataclass(frozen=True)
class IncrementsOfOne:
    """The increments that the points give one of several networks; see `PointIncrements`."""

    of_all: FactoredIncrements
    points: slice

    def dense(self) -> Tensor:
        """Return the increments multiplied out."""
        return self.of_all.dense(self.points)

    def norm(self) -> Tensor:
        """Return their norms."""
        return self.of_all.norms[self.points]


class Learner:
    """Looks at G networks at once; what it returns holds until it looks again.

    Args:
        spec: the network.
        hooks: the resolved hooks.
        parameters: of the G networks; read, never written.
        points: ``[P, n_0]``.
        targets: ``[P, n_L]``, one-hot.
        matrices: give the rules W and B too, for every point.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        hooks: Hooks,
        parameters: Parameters,
        points: Tensor,
        targets: Tensor,
        matrices: bool,
    ) -> None:
        self.hooks, self.parameters, self.matrices = hooks, parameters, matrices
        self.network = Feedforward(spec, hooks, parameters)
        self._points = points.expand(parameters.replicas, -1, -1)
        self.targets = targets.expand(parameters.replicas, -1, -1)

    def look(self, thetas: Mapping[str, Tensor]) -> Look:
        """Compute the signals of the networks as they are now.

        Args:
            thetas: by rule, ``[G]``.
        """
        spaces = list(self.network.signals(self._points, self.targets))[::-1]
        return Look(self, spaces, thetas)


class Look:
    """What networks would learn; each part is computed for all of them where it is asked for."""

    def __init__(
        self, learner: Learner, spaces: list[Workspace], thetas: Mapping[str, Tensor]
    ) -> None:
        self._learner, self._spaces = learner, spaces
        self._rows = _rows(learner.targets.shape[1])
        self._thetas = {
            name: theta.repeat_interleave(self._rows).view(-1, 1, 1)
            for name, theta in thetas.items()
        }

    def of(self, network: int) -> LookAtOne:
        """Return what one of the networks would learn."""
        begin = network * self._rows
        points = slice(begin, begin + self._learner.targets.shape[1])
        return LookAtOne(self, network, points)

    @cached_property
    def errors(self) -> list[Tensor | None]:
        """The errors that the rules propagate, ``[G, P, n_l]``."""
        needs = self._learner.network.needs
        return [
            space.signals.error if need.error else None
            for space, need in zip(self._spaces, needs, strict=True)
        ]

    @cached_property
    def gradients(self) -> list[Tensor]:
        """The errors of backpropagation, ``[G, P, n_l]``."""
        spaces, gate = self._spaces, self._learner.network.gate
        errors = [spaces[-1].signals.post - self._learner.targets]
        arrived: Tensor | None = None
        for below, space in zip(spaces[-2::-1], spaces[:0:-1], strict=True):
            weight = space.signals.weight
            sent_back = aligned_zeros(len(weight), *below.signals.post.shape[1:], like=weight)
            product(_aligned(errors[-1]), weight, sent_back)()
            arrived = sent_back + arrived if space.skip and arrived is not None else sent_back
            errors.append(gate(arrived, below.signals.post, below))
        return errors[::-1]

    @cached_property
    def increments(self) -> list[dict[str, FactoredIncrements]]:
        """The increments of each layer, those of all networks, by rule and under "" in all."""
        return [self._increments_of(space) for space in self._spaces]

    def _increments_of(self, space: Workspace) -> dict[str, FactoredIncrements]:
        hooks, projection = self._learner.hooks, space.projection
        here = [rule for rule in hooks.local if projection in rule.layers]
        reads = frozenset[str]().union(*(rule.reads for rule in here))
        s = _alone(space.signals, reads, self._rows, self._learner.matrices)
        found: dict[str, FactoredIncrements] = {}
        for rule in here:
            if "forward" in rule.spec.modifies:
                update = self._call(rule, s, projection)
                found[rule.name] = _scaled(update.parts, self._thetas[rule.name], s)
        return {**found, "": self._transformed(_summed(found.values(), s), s, projection)}

    def _call(self, rule: LocalRule, s: Signals, projection: int) -> Update:
        states = state_namespace(self._learner.parameters, rule.name, projection, rule.spec.state)
        s.state = self._repeated(states)
        return _forward_update(rule, s)

    def _transformed(
        self, total: FactoredIncrements, s: Signals, projection: int
    ) -> FactoredIncrements:
        learner = self._learner
        if not learner.hooks.transforms:
            return total
        value = total.dense(slice(None))
        for owner, transform, function in learner.hooks.transforms:
            key = f"{owner}.forward"
            states = state_namespace(learner.parameters, key, projection, transform.spec.state)
            result = function(Increment(value, s.weight, self._repeated(states)))
            value = result if states is None else result[0]
        return FactoredIncrements(rest=value)

    def _repeated(self, states: SimpleNamespace | None) -> SimpleNamespace | None:
        """Return the states of each network for as many networks as there are points."""
        if states is None:
            return None
        return SimpleNamespace(**{k: _per_row(v, self._rows) for k, v in vars(states).items()})


class LookAtOne:
    """What one network would learn; see `plastic_core.snapshot.Learning`."""

    def __init__(self, look: Look, network: int, points: slice) -> None:
        self._look, self._network, self._points = look, network, points

    def errors(self) -> list[Tensor | None]:
        """Return what the rules propagate."""
        return [None if e is None else e[self._network] for e in self._look.errors]

    def gradients(self) -> list[Tensor]:
        """Return what W' propagates."""
        return [e[self._network] for e in self._look.gradients]

    def increments(self) -> list[dict[str, IncrementsOfOne]]:
        """Return the increments of each rule and of all."""
        return [
            {name: IncrementsOfOne(value, self._points) for name, value in layer.items()}
            for layer in self._look.increments
        ]


def learns_by_factors(hooks: Hooks, dtype: torch.dtype) -> bool:
    """Return whether all increments of W are outer products of vectors, of which few are large.

    Then many networks are looked at together: no matrix is needed for each of their points.
    """
    if hooks.transforms:
        return False
    for rule in hooks.local:
        if rule.reads & _MATRICES or any(s.over == "weight" for s in rule.spec.state.values()):
            return False
        if "forward" in rule.spec.modifies:
            update = _forward_update(rule, trial_signals(rule, dtype))
            if not all(isinstance(part, Outer) for part in update.parts):
                return False
    return True


def _forward_update(rule: LocalRule, s: Any) -> Update:
    update: Any = rule.function(s)
    if rule.spec.state:
        update, _ = update
    if len(rule.spec.modifies) > 1:
        update = update["forward"]
    return as_update(update)


def _rows(points: int) -> int:
    """Return the rows of a network: its points and zeros, up to a multiple of a cache line.

    So the numbers of every network begin at one, and are the same alone and among others: what is
    computed a vector at a time may differ in the last digit from what is left over.
    """
    return -(-points // LINE) * LINE


def _alone(s: Signals, reads: frozenset[str], rows: int, matrices: bool) -> Signals:
    """Return signals in which each row is a network of its own, with one event.

    Args:
        s: of G networks and P points, ``[G, P, n]``.
        reads: the signals that are read; post and pre give the sizes besides.
        rows: of each network, at least P.
        matrices: with W and B too, a copy for each row where there are several networks.
    """
    alone = Signals()
    rooms: dict[int, Tensor] = {}  # by what is in them: pre and source are mostly one tensor
    for name in SIGNAL_NAMES:
        if name in _MATRICES:
            if matrices and hasattr(s, name):
                setattr(alone, name, _per_row(getattr(s, name), rows))
        elif hasattr(s, name) and name in reads | {"post", "pre"}:
            value = getattr(s, name)
            if id(value) not in rooms:
                room = value.new_zeros(len(value), rows, value.shape[-1])
                room[:, : value.shape[1]] = value
                rooms[id(value)] = room.view(-1, 1, value.shape[-1])
            setattr(alone, name, rooms[id(value)])
    alone.batch = 1
    return alone


def _per_row(value: Tensor, rows: int) -> Tensor:
    """Return what belongs to a network, for each of its rows; no copy where there is one."""
    return value.unsqueeze(1).expand(-1, rows, -1, -1).flatten(0, 1)


def _aligned(value: Tensor) -> Tensor:
    return aligned_zeros(*value.shape, like=value).copy_(value)


def _scaled(parts: Iterable[Part], theta: Tensor, s: Signals) -> FactoredIncrements:
    """Return the increments of one rule, times its theta."""
    return _summed([_of_part(part, theta * part.scale, s) for part in parts], s)


def _of_part(part: Part, scale: Tensor, s: Signals) -> FactoredIncrements:
    if isinstance(part, Outer):
        pairs = zip((part.post * scale).unbind(1), part.pre.unbind(1), strict=True)
        return FactoredIncrements(tuple(OuterProducts(left, right) for left, right in pairs))
    if isinstance(part, Decay):
        factor = -scale if part.factor is None else -scale * part.factor.mT
        return FactoredIncrements(rest=factor * s.weight)
    assert isinstance(part, Dense)
    return FactoredIncrements(rest=scale * part.value)


def _summed(increments: Collection[FactoredIncrements], s: Signals) -> FactoredIncrements:
    """Return the sum of increments, zero where there are none."""
    outers = [outer for one in increments for outer in one.outers]
    rests = [one.rest for one in increments if one.rest is not None]
    if not outers and not rests:
        outers = [OuterProducts(torch.zeros_like(s.post[:, 0]), torch.zeros_like(s.pre[:, 0]))]
    return FactoredIncrements(tuple(outers), functools.reduce(torch.add, rests) if rests else None)
