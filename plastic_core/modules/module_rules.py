"""The rules and transforms of a user's own model, checked for what a module cannot give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import torch

from plastic_core.api.circuit import Circuit
from plastic_core.api.specs import RuleSpec
from plastic_core.base.errors import PlasticError, listing
from plastic_core.hooks.hooks import Hooks, resolve_hooks
from plastic_core.plan.expression import parse
from plastic_core.plan.planned_rules import PlannedRule, check_together, find_rule, plan_rules
from plastic_core.plan.planned_transforms import plan_transform, transform_projections_of
from plastic_core.plan.projections import projections_of, theta_projections_of
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plugins.catalogue import Catalogue

# What is known of a layer by itself.
_GIVEN: Final = frozenset(
    {"pre", "post", "z", "source", "recon", "error", "weight_error", "feedback_error"}
    | {"weight", "feedback"}
)

_UNKNOWN_SITE: Final = frozenset({"activation", "slope"})


class ModuleRules:
    """The rules of an expression, and transforms.

    Args:
        text: the expression.
        settings: by rule or transform.
        transforms: names.
        catalogue: what is installed or handed over.

    Attributes:
        text: as given.
    """

    def __init__(
        self,
        text: str,
        settings: Mapping[str, Mapping[str, Any]],
        transforms: Sequence[str],
        catalogue: Catalogue,
    ) -> None:
        self.text, self._catalogue = text, catalogue
        self._spec = RunSpec(
            rule=text,
            settings={name: dict(one) for name, one in settings.items()},
            transforms=tuple(transforms),
        )
        self._terms = parse(text)
        self._entries = [find_rule(catalogue, term.name) for term in self._terms]
        self._transforms = [catalogue.find("transform", name) for name in transforms]
        known = {entry.name for entry in (*self._entries, *self._transforms)}
        if unknown := self._spec.settings.keys() - known:
            raise PlasticError(
                f"settings of {listing(unknown)}, which this Plasticity does not use; there are "
                f"{listing(known)}"
            )
        self._planned: tuple[PlannedRule, ...] = ()

    @property
    def thetas(self) -> dict[str, float]:
        """All thetas by name; known once the hooks are."""
        return {name: theta for rule in self._planned for name, theta in rule.thetas.items()}

    def hooks(self, circuit: Circuit, dtype: torch.dtype) -> Hooks:
        """Return the hooks on a circuit.

        Raises:
            PlasticError: a setting is none, the rules do not go together, or one of them needs
                what a module cannot give.
        """
        self._planned = plan_rules(self._spec, self._terms, self._entries, None, circuit)
        for rule in self._planned:
            _refuse(rule.name, (*_needed(rule.rule, rule.rule.spec), *_over_time(rule)))
        check_together(self._planned, self._catalogue, circuit)
        transforms = [plan_transform(self._spec, one, circuit) for one in self._transforms]
        hooks = resolve_hooks(
            projections_of(self._planned, circuit),
            [one.transform for one in transforms],
            dtype,
            theta_projections_of(self._planned, circuit),
            circuit,
            transform_projections_of(transforms, circuit),
        )
        for one in hooks.local:
            _refuse(one.name, _read(one.reads, one.asked))
        if hooks.propagator is not None:
            name = hooks.propagator.spec.name
            _refuse(name, _read(hooks.propagate_reads, hooks.propagate_asked))
        return hooks


def _over_time(rule: PlannedRule) -> Iterator[str]:
    if rule.schedules:
        yield "its theta changes over a run, whose length nobody knows; write a number"


def _needed(rule: Any, spec: RuleSpec) -> Iterator[str]:
    if spec.settle:
        yield "the network settles by it, and the model is computed as it is written"
    if spec.passes > 1 or hasattr(rule, "plastic_input"):
        yield "it shows something several times, and the loop is yours"
    if hasattr(rule, "plastic_forward"):
        yield "it computes z, and the model is computed as it is written"
    if spec.feedback == "output":
        yield "its feedback comes from the outputs of the network (feedback='output')"
    if spec.propagates and not spec.gated:
        yield "its error is not multiplied by the slope, and PyTorch multiplies it"


def _read(reads: frozenset[str], asked: frozenset[str]) -> Iterator[str]:
    if missing := reads - _GIVEN:
        yield f"it reads {listing(missing)}, which a layer by itself does not have"
    if sites := asked & _UNKNOWN_SITE:
        yield f"it asks for {listing(sites)} of the layer, which PyTorch does not tell"


def _refuse(name: str, reasons: Any) -> None:
    for reason in reasons:
        raise PlasticError(f"the rule '{name}' cannot learn in a module of yours: {reason}")
