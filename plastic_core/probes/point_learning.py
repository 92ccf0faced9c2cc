"""What single points would teach networks, without teaching them: errors and increments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from plastic_core.api.circuit import Circuit
from plastic_core.api.network_spec import AnyNetwork
from plastic_core.api.signals import MATRIX_SIGNALS, SIGNAL_NAMES, Products, Signals
from plastic_core.api.update import apart
from plastic_core.backends.eager.bound_step import BoundStep
from plastic_core.backends.eager.bound_update import BoundUpdate, bound_update
from plastic_core.backends.step.description import Description
from plastic_core.backends.step.learning import transformed, updates_of
from plastic_core.circuits.network import circuit_of
from plastic_core.hooks.hooks import Hooks, LocalRule
from plastic_core.hooks.own import Own
from plastic_core.hooks.tried_signals import trial_signals
from plastic_core.networks.masks import masks_of
from plastic_core.networks.noise import NOISE, standard_normal
from plastic_core.networks.parameters import Parameters
from plastic_core.networks.products import LINE
from plastic_core.probes.factored_increments import FactoredIncrements, scaled, summed


class Learner:
    """Looks at G networks at once; what it returns holds until it looks again.

    Args:
        network: the network.
        hooks: the resolved hooks.
        parameters: of the G networks; read, never written.
        points: ``[P, n_0]``.
        targets: ``[P, n_L]``.
        matrices: give the rules W and B too, for every point.
    """

    def __init__(
        self,
        network: AnyNetwork | Circuit,
        hooks: Hooks,
        parameters: Parameters,
        points: Tensor,
        targets: Tensor,
        matrices: bool,
    ) -> None:
        self.hooks, self.parameters, self.matrices = hooks, parameters, matrices
        circuit = self.circuit = circuit_of(network)
        self.points, self._depth = len(points), circuit.depth
        self.time_first = circuit.kind == "recurrent"
        self.masks = masks_of(circuit, None)["forward"]
        self._step = bound_update(circuit, hooks, parameters, self.points, alone=True)
        by_gradient = Description(circuit, _backpropagation(hooks, len(parameters.weights)))
        self._gradient = BoundStep(by_gradient, parameters, self.points, alone=True)
        self._x = points.expand(parameters.replicas, -1, -1)
        self._target = targets.expand(parameters.replicas, -1, -1)

    def look(self, thetas: Mapping[str, Tensor]) -> Look:
        """Compute the signals of the networks as they are now.

        Args:
            thetas: by rule, ``[G]``.
        """
        return Look(self, self._run(self._step), thetas)

    def gradients(self) -> list[Tensor]:
        """Return the errors of backpropagation in the networks as they are now."""
        return [self.of_points(s.error) for s in self._run(self._gradient)]

    def _run(self, step: BoundStep | BoundUpdate) -> Sequence[Signals]:
        step.show(self._x, self._target)
        for function in step.functions():
            function()
        return step.signals[: self._depth]  # of the layers, not of their biases

    def of_points(self, value: Tensor) -> Tensor:
        """Return ``[G, P, n]`` as it is, and what has K events of each point as [G, P, K, n]."""
        if value.shape[1] == self.points:
            return value
        return by_point(value, self.points, self.time_first)


def _backpropagation(hooks: Hooks, depth: int) -> Hooks:
    """Return hooks that go forward as a run's own do, and send every error back through W'."""
    everywhere = frozenset(range(depth))
    spec: Any = None  # it is never called: what it reads is computed
    reader = LocalRule("", "", spec, lambda s: None, everywhere, frozenset({"error"}))
    return replace(
        hooks,
        propagate=lambda s: s.weight_error,
        propagator=None,
        propagate_reads=frozenset({"weight_error"}),
        passes=1,
        input=None,
        gated=True,
        feedback=None,
        local=(reader,),
        transforms=(),
    )


class Look:
    """What networks would learn; each part is computed for all of them where it is asked for."""

    def __init__(
        self, learner: Learner, signals: Sequence[Signals], thetas: Mapping[str, Tensor]
    ) -> None:
        self._learner, self._signals = learner, signals
        self._rows = _rows(learner.points)
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
        return slice(begin, begin + self._learner.points)

    def norms(self, layer: int, name: str) -> Tensor:
        """Return the norms of increments, of all networks, ``[G, P]``."""
        return self.increments[layer][name].norms.view(-1, self._rows)[:, : self._learner.points]

    @cached_property
    def errors(self) -> list[Tensor | None]:
        """The errors that the rules propagate, ``[G, P, n_l]``."""
        return [
            self._learner.of_points(s.error) if hasattr(s, "error") else None for s in self._signals
        ]

    @cached_property
    def gradients(self) -> list[Tensor]:
        """The errors of backpropagation, ``[G, P, n_l]``."""
        return self._learner.gradients()

    @cached_property
    def increments(self) -> list[dict[str, FactoredIncrements]]:
        """The increments of each layer, those of all networks, by rule and under "" in all."""
        return [self._increments_of(p, s) for p, s in enumerate(self._signals)]

    def _increments_of(self, projection: int, signals: Signals) -> dict[str, FactoredIncrements]:
        learner, hooks = self._learner, self._learner.hooks
        here = [rule for rule in hooks.local if projection in rule.layers]
        reads = frozenset[str]().union(*(r for rule in here for r in (rule.reads, *rule.later)))
        s = _alone(signals, reads, learner, self._rows)
        own = Own(learner.circuit, self._state, self._noise_of)
        found = {
            rule.name: scaled(apart(updates["forward"]), self._thetas[rule.theta], s)
            for rule, updates, _ in updates_of(hooks, projection, s, own)
            if "forward" in updates
        }
        mask = learner.masks[projection]
        if mask is not None:
            found = {name: one.masked(mask) for name, one in found.items()}
        total = summed(found.values(), s)
        if hooks.transforms:
            value = total.dense(slice(None))
            value, _ = transformed(hooks, projection, "forward", value, s.weight, self._state)
            total = FactoredIncrements(rest=value if mask is None else value * mask)
        return {**found, "": total}

    def _noise_of(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Return noise of the next update, the same for all points."""
        parameters = self._learner.parameters
        state, dtype = _per_row(parameters.state[NOISE], self._rows), parameters.weights[0].dtype
        return standard_normal(state, name, shape, dtype)

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
        spec = rule.spec
        reads = rule.reads.union(*rule.later)
        matrices = reads & MATRIX_SIGNALS or any(s.is_matrix for s in spec.state.values())
        if matrices or "weight" in spec.noise:
            return False
        if "forward" in rule.spec.modifies:
            updates, _ = rule.update(trial_signals(rule, dtype))
            parts = apart(updates["forward"])
            if parts.decays or parts.dense:
                return False
    return True


def _rows(points: int) -> int:
    """Return the rows of a network: its points and zeros, up to a multiple of a cache line.

    So the numbers of every network begin at one, and are the same alone and among others: what is
    computed a vector at a time may differ in the last digit from what is left over.
    """
    return -(-points // LINE) * LINE


def by_point(value: Tensor, points: int, time_first: bool) -> Tensor:
    """Return signals of P points with K events each as ``[G, P, K, n]``.

    The events of a point are those of its places, one after the other, or of all steps.
    """
    networks, _, units = value.shape
    if time_first:
        return value.view(networks, -1, points, units).transpose(1, 2)
    return value.view(networks, points, -1, units)


def _alone(s: Signals, reads: frozenset[str], learner: Learner, rows: int) -> Signals:
    """Return signals in which each row is a network of its own, with the events of one point.

    Args:
        s: of G networks and P points with K events each, ``[G, P K, n]``.
        reads: the signals that are read; post and pre give the sizes besides.
        learner: whose points they are; it says whether W and B are read too, a copy for each row
            where there are several networks.
        rows: of each network, at least P.
    """
    points = learner.points
    alone = Signals(s.site, _ProductsOfRows(s.products, rows))
    rooms: dict[int, Tensor] = {}  # by what is in them: pre and source are mostly one tensor
    for name in SIGNAL_NAMES:
        if name in MATRIX_SIGNALS:
            if learner.matrices and hasattr(s, name):
                setattr(alone, name, _per_row(getattr(s, name), rows))
        elif hasattr(s, name) and name in reads | {"post", "pre"}:
            value = getattr(s, name)
            if id(value) not in rooms:
                networks, events, units = value.shape
                room = value.new_zeros(networks, rows, events // points, units)
                room[:, :points] = by_point(value, points, learner.time_first)
                rooms[id(value)] = room.flatten(0, 1)
            setattr(alone, name, rooms[id(value)])
    alone.batch = 1
    alone.phases = {
        name: _alone(one, reads | {"z"}, learner, rows)
        for name, one in s.phases.items()
        if one is not s
    }
    alone.phases |= {name: alone for name, one in s.phases.items() if one is s}
    if s.passes:
        alone.passes = [alone, *(_alone(one, reads, learner, rows) for one in s.passes[1:])]
    return alone


class _ProductsOfRows(NamedTuple):
    """See `plastic_core.api.signals.Products`; here each row is a network of its own."""

    of_networks: Products
    rows: int

    def forward(self, v: Tensor) -> Tensor:
        return self._multiplied(self.of_networks.forward, v)

    def back(self, v: Tensor) -> Tensor:
        return self._multiplied(self.of_networks.back, v)

    def feed_back(self, v: Tensor) -> Tensor:
        return self._multiplied(self.of_networks.feed_back, v)

    def _multiplied(self, product: Callable[[Tensor], Tensor], v: Tensor) -> Tensor:
        events, rows = v.shape[1], self.rows
        together = product(v.reshape(-1, rows * events, v.shape[2]))
        return together.reshape(-1, events, together.shape[2])


def _per_row(value: Tensor, rows: int) -> Tensor:
    """Return what belongs to a network, for each of its rows; no copy where there is one."""
    return value.unsqueeze(1).expand(-1, rows, -1, -1).flatten(0, 1)
