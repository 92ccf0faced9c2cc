"""What the rules and the transforms of a run make of the signals of one projection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from plastic_core.api.increment import Increment
from plastic_core.hooks.hooks import Hooks, LocalRule
from plastic_core.hooks.own import Own, state_key, state_view


def updates_of(
    hooks: Hooks, projection: int, s: Any, own: Own
) -> Iterator[tuple[LocalRule, dict[str, Any], dict[str, Any]]]:
    """Yield each rule that acts there, its update by matrix, and the new states by their key.

    Args:
        hooks: the resolved hooks.
        projection: counted from 0.
        s: its signals.
        own: gives each rule what belongs to it.
    """
    for rule in hooks.local:
        if projection in rule.layers:
            if rule.owns:
                own.give(rule.spec, projection, s)
            updates, new = rule.update(s)
            if new:
                new = {state_key(rule.name, projection, name): v for name, v in new.items()}
            yield rule, updates, new


def transformed(
    hooks: Hooks,
    projection: int,
    matrix: str,
    increment: Any,
    weight: Any,
    state: Callable[[str], Any],
) -> tuple[Any, dict[str, Any]]:
    """Return the increment of a matrix as the transforms change it, and the new states by key."""
    states: dict[str, Any] = {}
    for name, transform, function in hooks.transforms_at(projection):
        owner = f"{name}.{matrix}"
        view = state_view(owner, projection, transform.spec.state, state)
        increment = function(Increment(increment, weight, view))
        if view is not None:
            increment, new = increment
            states |= {state_key(owner, projection, one): v for one, v in new.items()}
    return increment, states
