"""What single points would teach networks, without teaching them: errors and increments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import torch
from torch import Tensor

from plastic_core.api.increment import Increment
from plastic_core.api.loss import Loss
from plastic_core.api.network_spec import NetworkSpec
from plastic_core.api.signals import SIGNAL_NAMES, Signals
from plastic_core.api.update import Outer, Update, as_update
from plastic_core.hooks.hooks import Hooks, LocalRule
from plastic_core.hooks.trial import trial_signals
from plastic_core.networks.feedforward import Feedforward, Workspace
from plastic_core.networks.parameters import Parameters, state_view
from plastic_core.networks.products import LINE, product_of_each
from plastic_core.probes.factored_increments import FactoredIncrements, scaled, summed

_MATRICES: Final = frozenset({"weight", "feedback"})


class Learner:
    """Looks at G networks at once; what it returns holds until it looks again.

    Args:
        spec: the network.
        hooks: the resolved hooks.
        parameters: of the G networks; read, never written.
        points: ``[P, n_0]``.
        targets: ``[P, n_L]``.
        matrices: give the rules W and B too, for every point.
        loss: None for the installed one that the spec names.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        hooks: Hooks,
        parameters: Parameters,
        points: Tensor,
        targets: Tensor,
        matrices: bool,
        loss: Loss | None = None,
    ) -> None:
        self.hooks, self.parameters, self.matrices = hooks, parameters, matrices
        self.network = Feedforward(spec, hooks, parameters, loss)
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

    def of(self, networks: Sequence[int]) -> LookAtSome:
        """Return what some of the networks would learn."""
        return LookAtSome(self, networks)

    def points_of(self, network: int) -> slice:
        """Return the rows in which the points of a network are."""
        begin = network * self._rows
        return slice(begin, begin + self._learner.targets.shape[1])

    def norms(self, layer: int, name: str) -> Tensor:
        """Return the norms of increments, of all networks, ``[G, P]``."""
        points = self._learner.targets.shape[1]
        return self.increments[layer][name].norms.view(-1, self._rows)[:, :points]

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
        loss, output = self._learner.network.loss, spaces[-1].signals.post
        errors = [loss.error(output, self._learner.targets)]
        arrived: Tensor | None = None
        for below, space in zip(spaces[-2::-1], spaces[:0:-1], strict=True):
            weight = space.signals.weight
            sent_back = product_of_each(errors[-1], weight)
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
                found[rule.name] = scaled(update.parts, self._thetas[rule.name], s)
        return {**found, "": self._transformed(summed(found.values(), s), s, projection)}

    def _call(self, rule: LocalRule, s: Signals, projection: int) -> Update:
        s.state = state_view(rule.name, projection, rule.spec.state, self._state)
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
            states = state_view(key, projection, transform.spec.state, self._state)
            result = function(Increment(value, s.weight, states))
            value = result if states is None else result[0]
        return FactoredIncrements(rest=value)

    def _state(self, key: str) -> Tensor:
        """Return a state of each network for as many networks as there are points."""
        return _per_row(self._learner.parameters.state[key], self._rows)


@dataclass(frozen=True)
class LookAtSome:
    """What some of the networks would learn; see `plastic_core.api.snapshot.Learning`."""

    look: Look
    networks: Sequence[int]

    def errors(self) -> list[Tensor | None]:
        """Return what the rules propagate."""
        return [None if e is None else some(e, self.networks) for e in self.look.errors]

    def gradients(self) -> list[Tensor]:
        """Return what W' propagates."""
        return [some(e, self.networks) for e in self.look.gradients]

    def increments(self) -> list[dict[str, Increments]]:
        """Return the increments of each rule and of all."""
        return [
            {name: self._increments_of(layer, name) for name in increments}
            for layer, increments in enumerate(self.look.increments)
        ]

    def _increments_of(self, layer: int, name: str) -> Increments:
        def dense() -> Tensor:
            one = self.look.increments[layer][name]
            return torch.stack([one.dense(self.look.points_of(n)) for n in self.networks])

        return Increments(dense, lambda: some(self.look.norms(layer, name), self.networks))


@dataclass(frozen=True)
class LookAtEach:
    """What networks would learn, of which one is looked at after the other."""

    look_at: Callable[[int], Look]
    networks: Sequence[int]

    def errors(self) -> list[Tensor | None]:
        """Return what the rules propagate."""
        seen = [self.look_at(network).errors for network in self.networks]
        joined = []
        for layer in zip(*seen, strict=True):
            known = [error for error in layer if error is not None]
            joined.append(torch.cat(known) if known else None)
        return joined

    def gradients(self) -> list[Tensor]:
        """Return what W' propagates."""
        seen = [self.look_at(network).gradients for network in self.networks]
        return [torch.cat(layer) for layer in zip(*seen, strict=True)]

    def increments(self) -> list[dict[str, Increments]]:
        """Return the increments of each rule and of all."""
        seen = [
            [
                {name: look.norms(layer, name)[0] for name in increments}
                for layer, increments in enumerate(look.increments)
            ]
            for look in map(self.look_at, self.networks)
        ]
        return [
            {
                name: self._increments_of(layer, name, [one[layer][name] for one in seen])
                for name in increments
            }
            for layer, increments in enumerate(seen[0])
        ]

    def _increments_of(self, layer: int, name: str, norms: list[Tensor]) -> Increments:
        def dense() -> Tensor:
            looks = map(self.look_at, self.networks)
            return torch.stack(
                [look.increments[layer][name].dense(look.points_of(0)) for look in looks]
            )

        return Increments(dense, lambda: torch.stack(norms))


def some(of_all: Tensor, networks: Sequence[int]) -> Tensor:
    """Return what belongs to some of the networks, ``[G, ...]``; no copy where it is all."""
    chosen = list(networks)
    return of_all if chosen == list(range(len(of_all))) else of_all[chosen]


@dataclass(frozen=True)
class Increments:
    """The increments that points give one matrix of networks; see `PointIncrements`."""

    multiplied_out: Callable[[], Tensor]
    norms: Callable[[], Tensor]

    def dense(self) -> Tensor:
        """Return the increments multiplied out."""
        return self.multiplied_out()

    def norm(self) -> Tensor:
        """Return their norms."""
        return self.norms()


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
    updates, _ = rule.update(s)
    return as_update(updates["forward"])


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
    alone = Signals(s.layer)
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
