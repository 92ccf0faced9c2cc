"""What learning changes: weights, feedback and the states of rules, for all replicas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal

import torch
from torch import Tensor

from plastic_core.api.circuit import Circuit
from plastic_core.api.network_spec import AnyNetwork
from plastic_core.api.specs import State
from plastic_core.circuits.network import circuit_of
from plastic_core.hooks.hooks import Hooks
from plastic_core.networks.initialisation import initial_feedback, initial_weights
from plastic_core.networks.products import aligned_zeros


@dataclass
class Parameters:
    """Tensors with the replicas as their leading dimension, changed in place by the engine.

    Attributes:
        weights: ``[R, n_post, n_pre]`` for each projection, those of biases last.
        feedback: ``[R, n_pre, n_post]`` (or ``[R, n_pre, n_L]``) for each projection, or empty.
        state: the states of rules and transforms, by "owner.projection.name".
        biased: the layers of the biases, counted from 1.
    """

    weights: list[Tensor]
    feedback: list[Tensor]
    state: dict[str, Tensor] = field(default_factory=dict)
    biased: tuple[int, ...] = ()

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
        )

    def add_state(
        self, owner: str, projection: int, states: dict[str, State], matrix: str = "forward"
    ) -> None:
        """Allocate the states that a rule or transform declares, where they are not there yet.

        With ``matrix="feedback"`` the rows and columns are those of B.
        """
        weight = (self.weights if matrix == "forward" else self.feedback)[projection]
        replicas, n_post, n_pre = weight.shape
        shapes = {"post": (1, n_post), "pre": (1, n_pre), "weight": (n_post, n_pre)}
        for name, state in states.items():
            key = state_key(owner, projection, name)
            if key not in self.state:
                value = aligned_zeros(replicas, *shapes[state.over], like=weight)
                self.state[key] = value.fill_(state.initial)


def state_key(owner: str, projection: int, name: str) -> str:
    """Return the name of one state; layers count from 1, as they do for the user."""
    return f"{owner}.{projection + 1}.{name}"


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
    )


def add_states(parameters: Parameters, hooks: Hooks) -> None:
    """Allocate the states of rules and transforms where they act."""
    for rule in hooks.local:
        for projection in rule.layers:
            parameters.add_state(rule.name, projection, rule.spec.state)
    modified = {m for rule in hooks.local for m in rule.spec.modifies}
    for name, transform, _ in hooks.transforms:
        for matrix in modified:
            for projection in range(len(parameters.weights)):
                owner = f"{name}.{matrix}"
                parameters.add_state(owner, projection, transform.spec.state, matrix)


def state_view(
    owner: str, projection: int, states: dict[str, State], value: Callable[[str], Any]
) -> SimpleNamespace | None:
    """Return the states of a rule or transform in one projection as attributes.

    Args:
        owner: name of the rule, or "NAME.MATRIX" of a transform.
        projection: counted from 0.
        states: as declared; without any there is no view.
        value: gives what is seen of the state of a key in `Parameters.state`.
    """
    if not states:
        return None
    return SimpleNamespace(**{name: value(state_key(owner, projection, name)) for name in states})


def write_state(states: SimpleNamespace, new: dict[str, Tensor]) -> None:
    """Write the new values of states in place."""
    for name, value in new.items():
        getattr(states, name).copy_(value)
