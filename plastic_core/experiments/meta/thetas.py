"""The thetas that are learned: where each begins, and one for each layer where that is asked."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from plastic_core.base.errors import PlasticError
from plastic_core.plan.plan import Plan
from plastic_core.plan.planned_rules import PlannedRule

# Hooks that act in all layers at once, so that a rule cannot be taken apart by them.
_EVERYWHERE: Final = ("plastic_propagate_error", "plastic_input", "plastic_settle")


def starts(plan: Plan) -> dict[str, float]:
    """Return where each theta begins, by name: as given, or for a rule that adds a term at 0."""
    return {
        name: _start(rule, name, value, theta.bounds)
        for rule in plan.rules
        for name, (value, theta) in rule.learnable.items()
    }


def settings_by_layer(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return settings that give each rule with one theta one for each of its layers."""
    names, found = plan.circuit.layer_names, {}
    for rule in plan.rules:
        if not rule.own:
            value = _start(rule, rule.name, rule.theta, rule.rule.spec.theta_of().bounds)
            own = [layer for one in rule.by_layer for layer in one.layers]
            others = [names[layer - 1] for layer in rule.layers if layer not in own]
            found[rule.name] = {f"theta.{layer}": value for layer in others}
    return found


def split_by_layer(plan: Plan) -> Plan:
    """Return a plan in which each rule with several thetas is a rule by itself in each layer.

    Such as "abcd@dense1", with a theta "abcd@dense1.a".

    Raises:
        PlasticError: a hook of such a rule acts in all layers at once.
    """
    rules = [one for rule in plan.rules for one in (_parts(rule, plan) if rule.own else [rule])]
    return replace(plan, rules=tuple(rules))


def _parts(planned: PlannedRule, plan: Plan) -> Iterator[PlannedRule]:
    everywhere = [hook for hook in _EVERYWHERE if hasattr(planned.rule, hook)]
    if everywhere:
        raise PlasticError(
            f"by_layer: '{planned.name}' has several thetas and {everywhere[0]}, which acts in all "
            "layers at once; leave out --by-layer"
        )
    for layer in planned.layers:
        # a theta is called RULE.NAME, and a layer perhaps attention1.query
        where = plan.circuit.layer_names[layer - 1].replace(".", "-")
        name, rule = f"{planned.name}@{where}", copy.copy(planned.rule)
        # of this instance alone, where a plugin has it of its class
        vars(rule)["spec"] = rule.spec.model_copy(update={"name": name})
        entry = replace(planned.entry, name=name)
        yield replace(planned, entry=entry, rule=rule, layers=(layer,))


def as_settings(thetas: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return thetas as the settings of a run, by rule; names are such as bp, bp.conv1 or abcd.a."""
    found: dict[str, dict[str, float]] = {}
    for name, theta in thetas.items():
        owner, _, own = name.partition(".")
        found.setdefault(owner, {})[f"theta.{own}" if own else "theta"] = theta
    return found


def _start(rule: PlannedRule, name: str, value: float, bounds: tuple[float, float]) -> float:
    given = rule.origin in ("expression", "setting") or any(o.name == name for o in rule.by_layer)
    if rule.rule.spec.propagates or given:
        return value
    low, high = bounds
    return min(max(0.0, low), high)


def merged(first: Mapping[str, Any], second: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return settings by rule, those of both."""
    return {name: {**first.get(name, {}), **second.get(name, {})} for name in {**first, **second}}
