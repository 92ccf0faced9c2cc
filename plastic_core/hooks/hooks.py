"""From selected rules to plain functions: hooks resolved by pluggy once, each tried once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import pluggy
import torch
from torch import Tensor

from plastic_core.api.hookspecs import RuleHooks, TransformHooks
from plastic_core.api.plugin import Rule, Transform
from plastic_core.api.signals import Signals
from plastic_core.api.specs import RuleSpec
from plastic_core.base.errors import PlasticError
from plastic_core.hooks.failure import guarded
from plastic_core.hooks.result import split_result
from plastic_core.hooks.trial import Trial, try_transform


@dataclass(frozen=True, eq=False)
class LocalRule:
    """A rule's local update, resolved.

    Attributes:
        name: of the rule.
        theta: name of what its update is multiplied by; that of the rule, unless some layers have
            one of their own.
        layers: projections that it acts on, counted from 0.
        reads: signals that the function was seen to read.
    """

    name: str
    theta: str
    spec: RuleSpec
    function: Callable[[Signals], Any]
    layers: frozenset[int]
    reads: frozenset[str]

    def update(self, s: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Call the function; return the update of each matrix, and the new values of the states."""
        return self._split(self.function(s))

    @cached_property
    def _split(self) -> Callable[[Any], tuple[dict[str, Any], dict[str, Any]]]:
        matrices = [*self.spec.modifies]
        if len(matrices) == 1 and not self.spec.state:  # as most are
            return lambda result: ({matrices[0]: result}, {})
        return partial(split_result, self.spec)


@dataclass(frozen=True)
class Hooks:
    """The hooks of one run as plain functions.

    Attributes:
        forward: functions with the projections on which they act; the first that returns
            something gives z, and where none does it is W y.
        propagate: None where no error is propagated.
        propagator: the rule that `propagate` belongs to.
        propagate_reads: signals that `propagate` was seen to read.
        gated: whether the propagated error is multiplied by sigma'.
        feedback: None, "layer" or "output": the matrices that the rules need.
        local: in the order of the expression.
        transforms: by name, in order.
        unrepeatable: rules and transforms of which a hook draws random numbers of torch, or gives
            other numbers when it is called again.
    """

    forward: tuple[tuple[frozenset[int], Callable[[Signals], Tensor | None]], ...]
    propagate: Callable[[Signals], Tensor] | None
    propagator: Rule | None
    propagate_reads: frozenset[str]
    gated: bool
    feedback: str | None
    local: tuple[LocalRule, ...]
    transforms: tuple[tuple[str, Transform, Callable[[Any], Any]], ...]
    unrepeatable: tuple[str, ...] = ()

    def guarded(self) -> Hooks:
        """Return the same hooks, which say where they fail whose they are."""

        def named(hook: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
            # pluggy gives bound methods, whose type does not say so
            rule: Any = function.__self__  # type: ignore[attr-defined]
            return guarded(f"rule '{rule.spec.name}'", hook, function)

        propagate, hook = self.propagate, "plastic_local_update"
        return replace(
            self,
            forward=tuple((layers, named("plastic_forward", f)) for layers, f in self.forward),
            propagate=propagate and named("plastic_propagate_error", propagate),
            local=tuple(
                replace(
                    rule, function=guarded(f"rule '{rule.name}'", hook, rule.function, rule.spec)
                )
                for rule in self.local
            ),
            transforms=tuple(
                (name, one, guarded(f"transform '{name}'", "plastic_transform_update", function))
                for name, one, function in self.transforms
            ),
        )

    def forward_at(self, projection: int) -> Callable[[Signals], Tensor | None] | None:
        """Return what gives z at one projection, or None for the default, z = W y."""
        return _first_result([f for layers, f in self.forward if projection in layers])


def resolve_hooks(
    rules: Sequence[tuple[Rule, frozenset[int]]],
    transforms: Sequence[Transform] = (),
    dtype: torch.dtype = torch.float32,
    theta_layers: Mapping[str, Mapping[str, frozenset[int]]] | None = None,
) -> Hooks:
    """Resolve the hooks of the selected rules, each with the projections that it acts on.

    Args:
        rules: with their projections, counted from 0.
        transforms: in order.
        dtype: in which the hooks are tried.
        theta_layers: by rule the thetas that some of its projections have for themselves.

    Raises:
        PlasticError: a hook raises, reads what its rule does not declare, modifies its input,
            or returns something of a wrong kind or shape.
    """
    manager = pluggy.PluginManager("plastic")
    manager.add_hookspecs(RuleHooks)
    # pluggy calls the plugin registered last first
    for rule, _ in reversed(rules):
        manager.register(rule, name=rule.spec.name)
    layers = {rule.spec.name: where for rule, where in rules}

    def implementations(hook: str) -> list[tuple[Rule, Callable[[Signals], Any]]]:
        found = getattr(manager.hook, hook).get_hookimpls()
        return [(impl.plugin, impl.function) for impl in reversed(found)]

    unrepeatable: dict[str, None] = {}

    def ended(name: str, repeatable: bool) -> None:
        if not repeatable:
            unrepeatable[name] = None

    forwards = implementations("plastic_forward")
    for rule, function in forwards:
        (trial := Trial(rule, dtype)).forward(function)
        _raise_faults(rule, trial)
        ended(rule.spec.name, trial.repeatable)
    propagators = implementations("plastic_propagate_error")
    propagate_reads: frozenset[str] = frozenset()
    for rule, function in propagators:
        propagate_reads |= (trial := Trial(rule, dtype)).propagate(function)
        _raise_faults(rule, trial)
        ended(rule.spec.name, trial.repeatable)
    local = []
    for rule, function in implementations("plastic_local_update"):
        reads = (trial := Trial(rule, dtype)).local(function)
        _raise_faults(rule, trial)
        ended(rule.spec.name, trial.repeatable)
        name = rule.spec.name
        own = (theta_layers or {}).get(name, {})
        rest = layers[name].difference(*own.values())
        parts = {**({name: rest} if rest or not own else {}), **own}
        local += [
            LocalRule(name, theta, rule.spec, function, where & layers[name], reads)
            for theta, where in parts.items()
        ]
    return Hooks(
        forward=tuple((layers[rule.spec.name], function) for rule, function in forwards),
        propagate=propagators[0][1] if propagators else None,
        propagator=propagators[0][0] if propagators else None,
        propagate_reads=propagate_reads,
        gated=all(rule.spec.gated for rule, _ in propagators),
        feedback=next((rule.spec.feedback for rule, _ in rules if rule.spec.feedback), None),
        local=tuple(local),
        transforms=_resolve_transforms(transforms, ended),
        unrepeatable=tuple(unrepeatable),
    )


def _raise_faults(rule: Rule, trial: Trial) -> None:
    if trial.faults:
        lines = [f"the rule '{rule.spec.name}': {fault}" for fault in trial.faults]
        raise PlasticError("\n".join(lines))


def _resolve_transforms(
    transforms: Sequence[Transform], ended: Callable[[str, bool], None]
) -> tuple[tuple[str, Transform, Callable[[Any], Any]], ...]:
    manager = pluggy.PluginManager("plastic")
    manager.add_hookspecs(TransformHooks)
    for transform in reversed(transforms):
        manager.register(transform, name=transform.spec.name)
    found: Any = list(reversed(manager.hook.plastic_transform_update.get_hookimpls()))
    for impl in found:
        ended(impl.plugin.spec.name, try_transform(impl.plugin, impl.function))
    return tuple((impl.plugin.spec.name, impl.plugin, impl.function) for impl in found)


def _first_result(functions: list[Callable[[Signals], Any]]) -> Callable[[Signals], Any] | None:
    """Return what pluggy's first-result call does, without its cost; None for no function."""
    if len(functions) < 2:
        return functions[0] if functions else None

    def first(s: Signals) -> Any:
        for function in functions:
            result = function(s)
            if result is not None:
                return result
        return None

    return first
