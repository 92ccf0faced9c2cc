"""What belongs to one rule at one projection, and is nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch

from plastic_core.api.circuit import Circuit, Send
from plastic_core.api.specs import RuleSpec, State


def state_key(owner: str, projection: int, name: str) -> str:
    """Return the name of one state; layers count from 1, as they do for the user."""
    return f"{owner}.{projection + 1}.{name}"


def theta_key(owner: str, name: str) -> str:
    """Return the name under which one of several thetas lies beside the states."""
    return f"theta.{owner}.{name}"


def state_view(
    owner: str, projection: int, states: Mapping[str, State], value: Callable[[str], Any]
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


@dataclass(frozen=True)
class Own:
    """What a backend gives each rule beside the signals.

    Attributes:
        circuit: the network.
        state: gives what is in `Parameters.state` under a key.
        noise: gives the noise of a name as ``[R, rows, columns]``; its shape is that of a matrix,
            or (sendings, samples, places, units). None where the network is evaluated, and noise
            is 0.
    """

    circuit: Circuit
    state: Callable[[str], Any]
    noise: Callable[[str, tuple[int, ...]], Any] | None

    def give(self, spec: RuleSpec, projection: int, s: Any) -> None:
        """Set in the signals of a projection what belongs to a rule, before it learns."""
        self._give_kept(spec, projection, s)
        if spec.noise:
            s.noise = self._noise(spec, projection, s, self.circuit.sends[projection], True)
        for other in s.passes[1:]:
            for name in ("state", "theta", "noise"):
                if hasattr(s, name):
                    setattr(other, name, getattr(s, name))

    def _give_kept(self, spec: RuleSpec, projection: int, s: Any) -> None:
        if spec.state:
            s.state = state_view(spec.name, projection, spec.state, self.state)
        if spec.thetas:
            s.theta = SimpleNamespace(
                **{name: self.state(theta_key(spec.name, name)) for name in spec.thetas}
            )

    def given(
        self, spec: RuleSpec, send: Send, function: Callable[[Any], Any], forward: bool = False
    ) -> Callable[[Any], Any]:
        """Return a hook of a rule that finds in its signals what belongs to the rule.

        Args:
            spec: of the rule.
            send: what it is called for.
            function: the hook.
            forward: whether it sees each sample once, where its error comes from several steps.
        """
        projection = send.projection
        if not (spec.state or spec.noise or spec.thetas):
            return function

        def call(s: Any) -> Any:
            self._give_kept(spec, projection, s)
            if spec.noise:
                s.noise = self._noise(spec, projection, s, (send,), not forward)
            return function(s)

        return call

    def _noise(
        self, spec: RuleSpec, projection: int, s: Any, sends: tuple[Send, ...], repeated: bool
    ) -> SimpleNamespace:
        """Return the noise of all events of some sendings of a projection."""
        circuit, noise = self.circuit, {}
        every, places = circuit.sends[projection], circuit.places(circuit.sends[projection][0].z)
        rows = s.batch * places
        n_post, n_pre = (circuit.units[node.series] for node in (every[0].z, every[0].pre))
        for name in sorted(spec.noise):
            key = state_key(spec.name, projection, name)
            units = n_pre if name == "pre" else n_post
            if self.noise is None:
                of = s.weight if name == "weight" else s.pre
                like = getattr(of, "value", of)  # without a derivative, if it has one
                noise[name] = like.new_zeros(*like.shape[:-1], n_pre if name == "weight" else units)
            elif name == "weight":
                noise[name] = self.noise(key, (n_post, n_pre))
            else:
                of_all = self.noise(key, (len(every), s.batch, places, units))
                parts = []
                for send in sends:
                    first = every.index(send) * rows
                    times = len(circuit.events(send).error) if repeated else 1
                    parts += [of_all[:, first : first + rows]] * times
                noise[name] = of_all if len(parts) == len(every) else torch.cat(parts, 1)
        return SimpleNamespace(**noise)
