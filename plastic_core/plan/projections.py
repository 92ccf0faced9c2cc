"""From the layers of planned rules to the projections of a circuit."""

from __future__ import annotations

from collections.abc import Sequence

from plastic_core.api.circuit import Circuit
from plastic_core.api.plugin import Rule
from plastic_core.plan.planned_rules import PlannedRule


def projections_of(
    rules: Sequence[PlannedRule], circuit: Circuit
) -> list[tuple[Rule, frozenset[int]]]:
    """Return each rule with the projections that it acts on, counted from 0.

    They are its layers; where it propagates the error, those of their biases too.
    """
    found = []
    for planned in rules:
        projections = {layer - 1 for layer in planned.layers}
        if planned.rule.spec.propagates:
            of_biases = enumerate(circuit.biased, start=circuit.depth)
            projections |= {p for p, layer in of_biases if layer in planned.layers}
        found.append((planned.rule, frozenset(projections)))
    return found


def theta_projections_of(
    rules: Sequence[PlannedRule], circuit: Circuit
) -> dict[str, dict[str, frozenset[int]]]:
    """Return the projections of each theta that is of some layers alone, by rule."""
    found: dict[str, dict[str, frozenset[int]]] = {}
    for rule in rules:
        for one in rule.by_layer:
            here = (p for p, layer in enumerate(circuit.layers) if layer in one.layers)
            found.setdefault(rule.rule.spec.name, {})[one.name] = frozenset(here)
    return found
