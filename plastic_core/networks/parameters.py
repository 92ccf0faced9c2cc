"""What learning changes: weights, feedback and the states of rules, for all replicas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from plastic_core.api.circuit import Circuit
from plastic_core.api.network_spec import AnyNetwork
from plastic_core.api.specs import Sizes, State
from plastic_core.circuits.network import circuit_of
from plastic_core.hooks.hooks import Hooks
from plastic_core.hooks.own import state_key, theta_key
from plastic_core.networks.initialisation import (
    initial_feedback,
    initial_state,
    initial_weights,
)
from plastic_core.networks.noise import NOISE, initial_noise
from plastic_core.networks.products import aligned_zeros


@dataclass
class Parameters:
    """Tensors with the replicas as their leading dimension, changed in place by the engine.

    Attributes:
        weights: ``[R, n_post, n_pre]`` for each projection, those of biases last.
        feedback: ``[R, n_pre, n_post]`` (or ``[R, n_pre, n_L]``) for each projection, or empty.
        state: the states of rules and transforms, by "owner.projection.name"; beside them the
            thetas of rules that have several, and what noise is made of.
        biased: the layers of the biases, counted from 1.
        seeds: of the replicas; states that are drawn need them.
        first_into: see `Circuit`; what is drawn for a population is the same in all projections.
    """

    weights: list[Tensor]
    feedback: list[Tensor]
    state: dict[str, Tensor] = field(default_factory=dict)
    biased: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    first_into: tuple[int, ...] = ()

    @property
    def replicas(self) -> int:
        """Number of replicas, R."""
        return self.weights[0].shape[0]

    @property
    def bytes_per_replica(self) -> int:
        """Bytes of one replica's tensors."""
        return sum(t[0].numel() * t.element_size() for t in self.named().values())

    def slice(self, first: int, last: int) -> Parameters:
        """Return views of the replicas `first` to `last` - 1."""
        return Parameters(
            [w[first:last] for w in self.weights],
            [b[first:last] for b in self.feedback],
            {name: value[first:last] for name, value in self.state.items()},
            self.biased,
            self.seeds[first:last],
            self.first_into,
        )

    def select(self, rows: Sequence[int]) -> Parameters:
        """Return copies of some replicas."""
        rows = list(rows)
        return Parameters(
            [w[rows] for w in self.weights],
            [b[rows] for b in self.feedback],
            {name: value[rows] for name, value in self.state.items()},
            self.biased,
            tuple(self.seeds[row] for row in rows),
            self.first_into,
        )

    def named(self) -> dict[str, Tensor]:
        """Return all tensors by name.

        Such as "weight.1", "bias.1", "feedback.1", "state.bcm.1.threshold".
        """
        named = {self.name_of("weight", p): w for p, w in enumerate(self.weights)}
        named |= {self.name_of("feedback", p): b for p, b in enumerate(self.feedback)}
        return named | {f"state.{name}": value for name, value in self.state.items()}

    def name_of(self, kind: Literal["weight", "feedback"], projection: int) -> str:
        """Return the name of W, or of B, of one projection."""
        layers = len(self.weights) - len(self.biased)
        if projection < layers:
            return f"{kind}.{projection + 1}"
        bias = f"bias.{self.biased[projection - layers]}"
        return bias if kind == "weight" else f"feedback.{bias}"

    def with_values(self, named: Mapping[str, Tensor]) -> Parameters:
        """Return the same with other tensors, by the names of `named`."""
        return Parameters(
            [named[self.name_of("weight", p)] for p in range(len(self.weights))],
            [named[self.name_of("feedback", p)] for p in range(len(self.feedback))],
            {name: named[f"state.{name}"] for name in self.state},
            self.biased,
            self.seeds,
            self.first_into,
        )

    def add_state(
        self, owner: str, projection: int, states: dict[str, State], matrix: str = "forward"
    ) -> None:
        """Allocate the states that a rule or transform declares, where they are not there yet.

        With ``matrix="feedback"`` the rows and columns are those of B.
        """
        weight = (self.weights if matrix == "forward" else self.feedback)[projection]
        replicas, n_post, n_pre = weight.shape
        outputs = self.weights[len(self.weights) - len(self.biased) - 1].shape[1]
        fed = self.feedback[projection].shape[2] if self.feedback else 0
        for name, state in states.items():
            key = state_key(owner, projection, name)
            shape = state.shape(Sizes(n_post, n_pre, outputs, fed))
            if state.over == "feedback":
                shape = (self.feedback[projection].shape[1], fed)  # of all places, if they share
            if key in self.state:
                continue
            value = self.state[key] = aligned_zeros(replicas, *shape, like=weight)
            if state.initial == "weight":
                value.copy_(weight)
            elif isinstance(state.initial, str):
                of_post = state.over in ("post", "post*post", "post*output")
                source = self.first_into[projection] if of_post else projection
                drawn_by = state_key(owner, source, name)
                for replica, seed in enumerate(self.seeds):
                    value[replica] = initial_state(drawn_by, state.initial, shape, seed)
            else:
                value.fill_(state.initial)


def initial_parameters(
    network: AnyNetwork | Circuit,
    seeds: Sequence[int],
    feedback: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> Parameters:
    """Return the parameters before training, one replica for each of `seeds`.

    They depend on the seed and the network alone: never on rule, theta, backend or on how many
    seeds run beside it.

    Args:
        network: the network.
        seeds: one for each replica; the same seed may stand several times.
        feedback: None, "layer" or "output".
        dtype: of all tensors.
        device: of all tensors.
    """
    like, circuit = torch.empty(0, dtype=dtype, device=device), circuit_of(network)

    def stack(draw: Callable[[int], list[Tensor]]) -> list[Tensor]:
        # one network at a time, for all of them in float64 would be twice what is kept
        layers: list[Tensor] = []
        for replica, seed in enumerate(seeds):
            drawn = draw(seed)
            layers = layers or [aligned_zeros(len(seeds), *one.shape, like=like) for one in drawn]
            for layer, one in zip(layers, drawn, strict=True):
                layer[replica] = one
        return layers

    return Parameters(
        weights=stack(lambda seed: initial_weights(circuit, seed)),
        feedback=stack(lambda seed: initial_feedback(circuit, feedback, seed)) if feedback else [],
        biased=circuit.biased,
        seeds=tuple(seeds),
        first_into=circuit.first_into,
    )


def add_states(parameters: Parameters, hooks: Hooks) -> None:
    """Allocate the states of rules and transforms where they act.

    An error goes back through all layers, so that what propagates it has its states everywhere.
    """
    layers = frozenset(range(len(parameters.weights) - len(parameters.biased)))
    acting = [(rule.spec, rule.layers) for rule in hooks.local]
    acting += [(rule.spec, where) for rule, where, _ in hooks.forward]
    acting += [(hooks.propagator.spec, layers)] if hooks.propagator else []
    acting += [(hooks.inputter.spec, frozenset({0}))] if hooks.inputter else []
    acting += [(hooks.settler[0].spec, layers)] if hooks.settler else []
    if any(spec.noise for spec, _ in acting) and NOISE not in parameters.state:
        parameters.state[NOISE] = initial_noise(parameters.seeds, parameters.weights[0])
    for spec, where in acting:
        for projection in where:
            parameters.add_state(spec.name, projection, spec.state)
    modified = {m for rule in hooks.local for m in rule.spec.modifies}
    for projection in range(len(parameters.weights)):
        for name, transform, _ in hooks.transforms_at(projection):
            for matrix in modified:
                owner = f"{name}.{matrix}"
                parameters.add_state(owner, projection, transform.spec.state, matrix)


def add_thetas(parameters: Parameters, hooks: Hooks, thetas: Mapping[str, Any]) -> None:
    """Put the thetas of rules that have several beside the states, where all hooks find them.

    Args:
        parameters: of R replicas.
        hooks: the resolved hooks.
        thetas: by name, such as "abcd.a", a number or ``[R]``.
    """
    like = parameters.weights[0]
    for spec in {rule.spec.name: rule.spec for rule in hooks.local}.values():
        for name in spec.thetas:
            key, value = theta_key(spec.name, name), thetas[f"{spec.name}.{name}"]
            if key not in parameters.state:
                parameters.state[key] = like.new_empty(len(like), 1, 1)
            value = torch.as_tensor(value, dtype=like.dtype, device=like.device)
            parameters.state[key].copy_(value.reshape(-1, 1, 1))
