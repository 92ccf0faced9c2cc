"""Snapshots of networks, taken at an evaluation point: copies, and what would be learned there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plastic_core.api.circuit import Circuit, Node, Send
from plastic_core.api.image_maps import Flatten, Patches
from plastic_core.api.maps import Activate, Add, Normalise
from plastic_core.api.network_spec import AnyNetwork, RecurrentSpec
from plastic_core.api.snapshot import Snapshot
from plastic_core.api.token_maps import Positions
from plastic_core.backends.step.evaluation import Evaluation
from plastic_core.circuits.network import circuit_of
from plastic_core.circuits.recurrent import ACTIVITY, STATE
from plastic_core.hooks.hooks import Hooks
from plastic_core.networks.parameters import Parameters
from plastic_core.networks.products import aligned_copy, aligned_room, product_of_each
from plastic_core.probes.point_learning import (
    Learner,
    Look,
    LookAtEach,
    LookAtSome,
    learns_by_factors,
    some,
)

# Probe points of which learning is looked at: what a rule does with a point costs more than the
# point's activity does.
_LEARNING_POINTS: Final = 10


#: Gives what a network is judged by, ``[M, n_L]``, from its number and its y_0 .. y_L at M points.
Judge = Callable[[int, Sequence[Tensor]], Tensor]


def own_outputs(_: int, activities: Sequence[Tensor]) -> Tensor:
    """Return what networks without a readout are judged by."""
    return activities[-1]


@dataclass
class Film:
    """The activities at the probe points of networks that were evaluated one after the other.

    Attributes:
        inputs: y_0, ``[N, n_0]``, the same for all.
        layers: y_1 .. y_L, ``[G, N K_l, n_l]``, room for G networks.
        taken: number of networks that it holds.
    """

    inputs: Tensor
    layers: list[Tensor]
    taken: int = 0

    @property
    def points(self) -> int:
        """The number of probe points, N."""
        return self.layers[-1].shape[1]

    def add(self, evaluated: Sequence[Tensor]) -> None:
        """Keep the first points of y_0 .. y_L of one more network, ``[M, n_l]``."""
        self.inputs = evaluated[0][: self.points]
        for room, y in zip(self.layers, evaluated[1:], strict=True):
            room[self.taken] = y[: room.shape[1]]
        self.taken += 1

    @property
    def activities(self) -> list[Tensor]:
        """y_0 .. y_L, ``[R, N, n_l]``, of those that it holds."""
        inputs = self.inputs.clone().expand(self.taken, -1, -1)
        return [inputs, *(y[: self.taken] for y in self.layers)]

    def only(self, place: int) -> Film:
        """Return a film of one of the networks."""
        return Film(self.inputs, [y[place : place + 1] for y in self.layers], 1)


class Camera:
    """Takes snapshots of the networks of a group.

    Args:
        network: the network.
        hooks: the resolved hooks.
        parameters: of the G networks of the group; read, never written.
        thetas: by rule, ``[G]``.
        targets: ``[M, n_L]``, of all points that are evaluated.
        points: number of probe points, N, the first of those.
        image: rows and columns of the inputs, with channels before them or not, or nothing.
        parts: places among the M points of those that stages train on, by name.
    """

    def __init__(
        self,
        network: AnyNetwork | Circuit,
        hooks: Hooks,
        parameters: Parameters,
        thetas: Mapping[str, Tensor],
        targets: Tensor,
        points: int,
        image: tuple[int, ...] = (),
        parts: Mapping[str, NDArray[np.int64]] | None = None,
    ) -> None:
        self.circuit = circuit_of(network)
        self._field = _field(self.circuit, image)
        # of a rule with thetas of some layers, such as "oja.conv1", that of the rule stands for all
        self.rules = tuple(name for name in thetas if "." not in name)
        self.network = self.circuit.spec
        self.parameters = parameters
        self._hooks, self._thetas, self._targets = hooks, dict(thetas), targets[:points]
        self._all_targets = targets
        self._parts = {name: torch.from_numpy(one) for name, one in (parts or {}).items()}
        self._learner: Learner | None = None
        self._look_at_all: Look | None = None
        self._evaluation = Evaluation(self.circuit, hooks, parameters)

    def refresh(self) -> None:
        """Look anew at all networks: they have changed since the last snapshot."""
        self._look_at_all = None

    def film(self, networks: int) -> Film:
        """Return room for the activities of networks."""
        points, like = len(self._targets), self._targets
        units, places = self.circuit.units, self.circuit.places
        rooms = [
            aligned_room(networks, points * places(node), units[node.series], like=like)
            for node in self.circuit.populations[1:]
        ]
        return Film(like.new_empty(0), rooms)

    def take(
        self,
        networks: Sequence[int],
        film: Film,
        evaluate: Callable[[int], Sequence[Tensor]],
        judge: Judge = own_outputs,
    ) -> Snapshot:
        """Return a snapshot of some of the networks.

        Args:
            networks: indices in the group; one may stand several times.
            film: their activities, in the same order.
            evaluate: computes y_0 .. y_L of one of them at all points that are evaluated.
            judge: gives what one of them is judged by there.
        """
        kind: Any = self._hooks.feedback
        activities = film.activities
        return Snapshot(
            network=self.network,
            kind=self.circuit.kind,
            rules=self.rules,
            activities=activities,
            targets=self._targets.clone(),
            all_targets=self._all_targets,
            parts=self._parts,
            field=self._field,
            feedback_kind=kind,
            subject=_Subject(self, networks, activities[0][0], evaluate, judge),
        )

    def unrolled(
        self, networks: Sequence[int], inputs: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return states and hidden activities of recurrent networks, nothing of others."""
        if not isinstance(self.network, RecurrentSpec):
            return [], []
        seen = [self._evaluation.nodes(inputs.unsqueeze(0), network) for network in networks]
        states, hidden = (
            [
                torch.cat([nodes[Node(series, step)] for nodes in seen])
                for step in range(self.network.steps)
            ]
            for series in (STATE, ACTIVITY)
        )
        return states, hidden

    def layers(
        self, networks: Sequence[int], inputs: Tensor, activities: Sequence[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return what each layer reads and what it becomes, nothing of recurrent networks."""
        circuit = self.circuit
        if circuit.kind in ("recurrent", "sequence"):
            return [], []
        if circuit.kind == "feedforward":
            pairs = zip(activities[1:], activities[:-1], circuit.skips, strict=True)
            post = [y - below if skip else y for y, below, skip in pairs]
            return list(activities[:-1]), post
        events = [circuit.events(sends[0]) for sends in circuit.sends[: circuit.depth]]
        wanted = {node for one in events for node in (*one.pre, *one.post)}
        x = inputs.unsqueeze(0)
        seen = [self._evaluation.nodes(x, network, wanted) for network in networks]
        return (
            [torch.cat([nodes[one.pre[0]] for nodes in seen]) for one in events],
            [torch.cat([nodes[one.post[0]] for nodes in seen]) for one in events],
        )

    def sent_down(self, networks: Sequence[int], inputs: Tensor, layer: int, y: Tensor) -> Tensor:
        """Return what comes back to the first inputs from a layer; see `Snapshot.sent_down`."""
        points = len(y[0]) // self.circuit.places(self.circuit.sends[layer - 1][0].z)
        each = zip(networks, torch.split(y, 1), strict=True)
        return torch.cat([self._sent_down(n, inputs[:points], layer, one) for n, one in each])

    def _sent_down(self, network: int, inputs: Tensor, layer: int, value: Tensor) -> Tensor:
        circuit, node = self.circuit, self.circuit.sends[layer - 1][0].z
        layered = circuit.kind == "layered"  # else nothing but layers lies between
        nodes = self._evaluation.nodes(inputs.unsqueeze(0), network) if layered else {}
        while node != circuit.input:
            made = circuit.maker[node]
            if isinstance(made, Send):
                weight = self.parameters.weights[made.projection][network : network + 1]
                value, node = product_of_each(value, weight), made.pre
                continue
            if made.map.linear:
                _, kept = made.map.forward(*(nodes[one] for one in made.inputs))
                (back,), (share,) = (
                    made.map.backward(one, kept) for one in (value, torch.ones_like(value))
                )
                value = torch.where(share > 0, back / share, 0.0)
            elif not isinstance(made.map, Activate | Normalise | Add | Positions):
                value = torch.full_like(nodes[made.inputs[0]], torch.nan)
            node = made.inputs[0]
        return value

    def learning(self, networks: Sequence[int], inputs: Tensor) -> LookAtSome | LookAtEach:
        """Return what networks would learn; where it costs no more memory, all are looked at."""
        if not self._together:
            return LookAtEach(lambda network: self._look_at(network, inputs), networks)
        if self._learner is None:
            self._learner = self._learner_of(self.parameters, inputs)
        if self._look_at_all is None:
            self._look_at_all = self._learner.look(self._thetas)
        return self._look_at_all.of(networks)

    @cached_property
    def _together(self) -> bool:
        if any(matrix.mask is not None for matrix in self.circuit.matrices):
            return False  # what a mask leaves of an outer product is none
        return learns_by_factors(self._hooks, self._targets.dtype)

    def _look_at(self, network: int, inputs: Tensor) -> Look:
        alone = slice(network, network + 1)
        learner = self._learner_of(self.parameters.slice(network, network + 1), inputs)
        return learner.look({name: theta[alone] for name, theta in self._thetas.items()})

    def _learner_of(self, parameters: Parameters, inputs: Tensor) -> Learner:
        x, target = inputs[:_LEARNING_POINTS].clone(), self._targets[:_LEARNING_POINTS]
        matrices = not self._together
        return Learner(self.circuit, self._hooks, parameters, x, target, matrices)


def _field(circuit: Circuit, image: tuple[int, ...]) -> tuple[int, int, int]:
    """Return channels, rows and columns of what a unit of the first layer sees."""
    pre = circuit.sends[0][0].pre
    _, layouts = circuit.laid_out(pre)
    units = circuit.units[pre.series]
    image = image or getattr(circuit.spec, "image", None) or ()
    if pre != circuit.input or len(image) < 2 or math.prod(image) != units:
        image = 1, units
    for layout in layouts:
        if isinstance(layout, Patches):
            image = layout.size
        elif isinstance(layout, Flatten):
            image = layout.grid
    rows, columns = image[-2:]
    return units // (rows * columns), rows, columns


@dataclass(frozen=True)
class _Subject:
    """Networks before a camera; see `plastic_core.api.snapshot.Subject`."""

    camera: Camera
    networks: Sequence[int]
    inputs: Tensor
    evaluate: Callable[[int], Sequence[Tensor]]
    judge: Judge

    def matrices(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return copies of W and of B."""
        parameters = self.camera.parameters
        weights, feedback = (
            [aligned_copy(some(m, self.networks)) for m in matrices[: self.camera.circuit.depth]]
            for matrices in (parameters.weights, parameters.feedback)
        )
        return weights, feedback

    def evaluated(self) -> list[Tensor]:
        """Return the activities at all points that are evaluated."""
        seen = [self.evaluate(network) for network in self.networks]
        inputs = seen[0][0].clone().expand(len(seen), -1, -1)  # the same for all
        return [inputs, *map(torch.stack, zip(*(layers[1:] for layers in seen), strict=True))]

    def judged(self, evaluated: Sequence[Tensor]) -> Tensor:
        """Return what the networks are judged by there."""
        each = zip(self.networks, zip(*evaluated, strict=True), strict=True)
        return torch.stack([self.judge(network, activities) for network, activities in each])

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        """Return ``a @ b`` of each network by itself."""
        return product_of_each(a, b)

    def unrolled(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return states and hidden activities over time."""
        return self.camera.unrolled(self.networks, self.inputs)

    def layers(self, activities: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return what each layer reads, and what it becomes."""
        return self.camera.layers(self.networks, self.inputs, activities)

    def sent_down(self, layer: int, y: Tensor) -> Tensor:
        """Return what comes back to the input from a layer."""
        return self.camera.sent_down(self.networks, self.inputs, layer, y)

    def learning(self) -> LookAtSome | LookAtEach:
        """Return what the networks would learn."""
        return self.camera.learning(self.networks, self.inputs)
