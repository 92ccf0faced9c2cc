"""From a sweep to its arms: every rule at every point of the grid, planned and checked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field, JsonValue

from plastic_core.base.errors import PlasticError, did_you_mean, listing
from plastic_core.base.spec import Spec
from plastic_core.plan.expression import parse
from plastic_core.plan.plan import Plan, make_plan
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plan.schedule import with_theta
from plastic_core.plan.staged_spec import rule_names
from plastic_core.plugins.catalogue import Catalogue

# Fields of a RunSpec that are no axes: the sweep has its own, or they hold several values.
_NO_AXES: Final = {
    *("rule", "settings", "options", "plugins", "transforms", "probes"),
    *("seeds", "first_seed", "data", "target", "target_kind", "stages"),
}


class SweepSpec(Spec):
    """Everything that decides a sweep.

    Attributes:
        rules: rule expressions, side by side.
        grid: values by axis: the theta of a rule, a setting of a rule or transform
            (``rule.name``), an option of the task, or a field of the RunSpec. An axis of a rule
            applies to the expressions that hold it; numbers for a theta with a schedule are its a.
        base: what is the same for all, seeds included; its rule is not used.
    """

    rules: Annotated[tuple[str, ...], Field(min_length=1)]
    grid: dict[str, tuple[JsonValue, ...]] = Field({})
    base: RunSpec = Field(default_factory=RunSpec)


@dataclass(frozen=True)
class Arm:
    """One rule at one point of the grid.

    Attributes:
        rule: the expression.
        point: the values of the axes that apply to it.
        plan: resolved, with its thetas.
    """

    rule: str
    point: dict[str, Any]
    plan: Plan

    @property
    def thetas(self) -> dict[str, float]:
        """The theta of each rule, and those of its own in some layers."""
        return self.plan.thetas

    @property
    def shown(self) -> dict[str, Any]:
        """The point for readers: of a theta that changes over the run, the schedule's text."""
        written, schedules = self.plan.written_thetas, self.plan.schedules
        names = {axis: axis.replace(".theta", "", 1) for axis in self.point}
        changing = {axis: written[name] for axis, name in names.items() if name in schedules}
        return {**self.point, **changing}


def expand(sweep: SweepSpec, catalogue: Catalogue) -> list[Arm]:
    """Return all arms, in the order of the rules and of the axes.

    Raises:
        PlasticError: an axis of nothing, a value that is not accepted, a rule that stands twice,
            losses whose scores differ.
    """
    if len(set(sweep.rules)) < len(sweep.rules):
        raise PlasticError(f"rules {listing(sweep.rules)}: one of them stands twice")
    owners = {name for rule in sweep.rules for name in _names(sweep, rule)}
    for axis in sweep.grid:
        if axis in owners and not any(axis in _free(sweep, rule) for rule in sweep.rules):
            raise PlasticError(
                f"axis '{axis}': the expressions give {axis} a theta; leave it out there, or the "
                "axis"
            )
    arms = [arm for rule in sweep.rules for arm in _arms_of(sweep, rule, owners, catalogue)]
    scores = {arm.plan.score.name for arm in arms}
    if len(scores) > 1:
        raise PlasticError(
            f"the losses of this sweep have the scores {listing(scores)}, which cannot be "
            "compared; sweep each by itself"
        )
    return arms


def _arms_of(sweep: SweepSpec, rule: str, owners: set[str], catalogue: Catalogue) -> Iterator[Arm]:
    names = _names(sweep, rule)
    free = _free(sweep, rule)
    axes = {
        axis: values
        for axis, values in sweep.grid.items()
        if axis not in owners - free and axis.split(".")[0] not in owners - names
    }
    for values in itertools.product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        fields = sweep.base.model_dump()
        fields["rule"] = rule
        settings = {
            owner: s for owner, s in fields["settings"].items() if owner not in owners - names
        }
        fields["settings"] = {owner: dict(one) for owner, one in settings.items()}
        for axis, value in point.items():
            _set(fields, axis, value, names | {*sweep.base.transforms}, sweep, catalogue)
        plan = make_plan(RunSpec(**fields), catalogue)
        yield Arm(plan.spec.learned_by if plan.stages else rule, point, plan)


def _names(sweep: SweepSpec, rule: str) -> set[str]:
    """Return the names of the rules of all stages, of which some may have the rule of the sweep."""
    return rule_names(sweep.base.model_copy(update={"rule": rule}))


def _free(sweep: SweepSpec, rule: str) -> set[str]:
    """Return the rules of all stages whose thetas the expressions do not give, as 0*oja does."""
    spec = sweep.base.model_copy(update={"rule": rule})
    terms = [term for expression in spec.expressions for term in parse(expression)]
    return {term.name for term in terms if term.coefficient is None}


def _set(
    fields: dict[str, Any],
    axis: str,
    value: Any,
    names: set[str],
    sweep: SweepSpec,
    catalogue: Catalogue,
) -> None:
    owner, dot, name = axis.partition(".")
    if owner in names:
        own = fields["settings"].setdefault(owner, {})
        key = name if dot else "theta"
        given = sweep.base.settings.get(owner, {}).get(key)
        if key in own and own[key] == given and (varied := with_theta(given, value)):
            own[key] = varied
            return
        if key in own:
            raise PlasticError(
                f"{key} of '{owner}' is given twice: as an axis, and as another axis or a setting; "
                "keep one"
            )
        own[key] = value
        return
    if axis in RunSpec.model_fields and axis not in _NO_AXES:
        fields[axis] = value
        return
    entry = catalogue.find("task", sweep.base.task)
    assert entry.plugin is not None
    options = entry.plugin.spec.options.model_fields
    if axis not in options:
        known = {*names, *options, *(set(RunSpec.model_fields) - _NO_AXES)}
        raise PlasticError(
            f"axis '{axis}': there is no such rule, option of the task or field of the run"
            f"{did_you_mean(axis, known)}\n  axes can be {listing(known)}, or RULE.SETTING"
        )
    fields["options"] = {**fields["options"], axis: value}
