"""The specs of the stages of a run, each as if it were a run by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from plastic_core.base.errors import PlasticError, listing
from plastic_core.base.spec import Plain
from plastic_core.plan.expression import parse
from plastic_core.plan.planned_rules import PlannedRule
from plastic_core.plan.run_spec import RunSpec


def rule_names(spec: RunSpec) -> set[str]:
    """Return the names of the rules of all stages, as they are written."""
    return {term.name for rule in spec.expressions for term in parse(rule)}


def specs_of_stages(spec: RunSpec) -> Iterator[RunSpec]:
    """Yield the spec of each stage; settings of rules that it does not have are left out.

    Raises:
        PlasticError: a stage has settings of something else than its rules, or no rule where others
            have one and the run none.
    """
    without = [place for place, stage in enumerate(spec.stages) if not stage.rule]
    if "rule" not in spec.model_fields_set and 0 < len(without) < len(spec.stages):
        raise PlasticError(
            f"stages.{without[0]}: has no rule, and others have one of their own; write it, or by "
            "rule one for all stages without"
        )
    every = {name.rpartition(":")[2] for name in rule_names(spec)}
    for stage, rule in zip(spec.stages, spec.expressions, strict=True):
        own = {term.name.rpartition(":")[2] for term in parse(rule)}
        settings = {n: dict(one) for n, one in spec.settings.items() if n not in every - own}
        if strange := stage.settings.keys() - own:
            raise PlasticError(
                f"stages: settings of {listing(strange)} in a stage, whose rules are "
                f"{listing(own)}; those of transforms and probes are for the whole run"
            )
        for name, values in stage.settings.items():
            settings[name] = {**settings.get(name, {}), **values}
        yield spec.model_copy(
            update={"rule": rule, "samples": stage.samples, "settings": settings, "stages": ()}
        )


def settings_of_rules(spec: RunSpec, rules: Sequence[PlannedRule]) -> dict[str, Plain]:
    """Return the settings of a stage's rules, all thetas written out."""
    return {rule.name: dict(own) for rule in rules if (own := spec.settings.get(rule.name))}
