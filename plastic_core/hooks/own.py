"""What belongs to one rule at one projection, and is nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from plastic_core.api.specs import RuleSpec, State


def state_key(owner: str, projection: int, name: str) -> str:
    """Return the name of one state; layers count from 1, as they do for the user."""
    return f"{owner}.{projection + 1}.{name}"


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
        state: gives the state of a key in `Parameters.state`.
    """

    state: Callable[[str], Any]

    def give(self, spec: RuleSpec, projection: int, s: Any) -> None:
        """Set in the signals of a projection what belongs to a rule, before its hook is called."""
        if spec.state:
            s.state = state_view(spec.name, projection, spec.state, self.state)

    def given(
        self, spec: RuleSpec, projection: int, function: Callable[[Any], Any]
    ) -> Callable[[Any], Any]:
        """Return a hook of a rule that finds in its signals what belongs to the rule."""
        if not spec.state:
            return function

        def call(s: Any) -> Any:
            self.give(spec, projection, s)
            return function(s)

        return call
