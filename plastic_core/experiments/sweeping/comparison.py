"""A fair comparison: theta chosen on one half of the held-out points, reported on the other."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from plastic_core.api.loss import Score
from plastic_core.base.errors import PlasticError, reason_of
from plastic_core.base.reading import read_json
from plastic_core.base.statistics import bootstrap_interval, permutation_test
from plastic_core.experiments.sweeping.arms import Arm, SweepSpec
from plastic_core.experiments.sweeping.sweep import ArmResult, SweepResult
from plastic_core.plan.spec_file import with_trusted_plugins

if TYPE_CHECKING:
    from plastic_core.figures import HeatMap


@dataclass(frozen=True)
class Choice:
    """The best arm of one rule under the same conditions.

    Attributes:
        conditions: values of the axes that are no thetas or settings of rules.
        arm: the best on the choosing half; the first of equals.
        mean: its mean score there.
        tried: number of points that it was the best of.
        at_edge: axes at whose first or last value it lies, but where a rule accepts none beyond.
    """

    conditions: dict[str, Any]
    arm: Arm
    mean: float
    tried: int
    at_edge: tuple[str, ...]


def read_sweep(folder: Path, plugins: Sequence[str] = ()) -> SweepSpec:
    """Return the specification of a sweep, from the sweep.json in its folder.

    Raises:
        PlasticError: there is none, it is damaged, or it names files with plugins where none are
            given.
    """
    file = folder / "sweep.json"
    try:
        spec = read_json(file)["spec"]
        return SweepSpec(**{**spec, "base": with_trusted_plugins(file, spec["base"], plugins)})
    except PlasticError:
        raise
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        ValidationError,
    ) as error:
        reason = reason_of(error).splitlines()[0]
        raise PlasticError(
            f"{file}: is no record of a sweep ({reason}); name a folder that 'plastic sweep' wrote"
        ) from None


def choose(spec: SweepSpec, result: SweepResult) -> list[Choice]:
    """Return the best arm of each rule, under each combination of the other axes.

    Raises:
        PlasticError: the sweep was evaluated on the half that is for reporting, or no arm of a
            rule has a result.
    """
    if spec.base.eval_half != "choose":
        raise PlasticError(
            f"the sweep was evaluated on the half '{spec.base.eval_half}', and theta must be "
            "chosen on the other: sweep with --eval-half choose, the default"
        )
    groups: dict[str, list[ArmResult]] = {}
    for arm in result.arms:
        key = json.dumps([arm.arm.rule, _conditions(arm.arm)], sort_keys=True)
        groups.setdefault(key, []).append(arm)
    return [_best(spec, group) for group in groups.values()]


def reporting_arms(choices: Sequence[Choice]) -> list[Arm]:
    """Return the chosen arms, to be evaluated on the half that is for reporting."""
    arms = []
    for choice in choices:
        spec = choice.arm.plan.spec.model_copy(update={"eval_half": "report"})
        arms.append(replace(choice.arm, plan=replace(choice.arm.plan, spec=spec)))
    return arms


def compare(choices: Sequence[Choice], reported: SweepResult) -> dict[str, Any]:
    """Return the table of the chosen arms, and the paired differences between rules."""
    last = [_last(arm) for arm in reported.arms]
    score = choices[0].arm.plan.score
    table = []
    for choice, arm, values in zip(choices, reported.arms, last, strict=True):
        low, high = bootstrap_interval(list(values.values()))
        table.append(
            {
                "rule": choice.arm.rule,
                "conditions": choice.conditions,
                "thetas": choice.arm.plan.written_thetas,
                "point": choice.arm.point,
                "chosen_by": choice.mean,
                "tried": choice.tried,
                "at_edge": list(choice.at_edge),
                score.name: float(np.mean(list(values.values()))),
                "low": float(low),
                "high": float(high),
                "seeds": len(values),
                "diverged": sum(r.diverged_at >= 0 for r in arm.results.values()),
            }
        )
    pairs = [
        _difference(score, table[i], table[j], last[i], last[j])
        for i, j in itertools.combinations(range(len(choices)), 2)
        if choices[i].conditions == choices[j].conditions
    ]
    return {
        "format": 1,
        "half": "report",
        "score": score.name,
        "rules": table,
        "differences": pairs,
        "notes": reported.notes,
    }


def heat_map_of(arms: Sequence[ArmResult]) -> HeatMap | None:
    """Return the mean score over the first two theta axes of one rule, the best over any others."""
    from plastic_core.figures import HeatMap

    points = [arm.arm.point for arm in arms]
    axes = [axis for axis in points[0] if axis not in _conditions(arms[0].arm)]
    axes = [axis for axis in axes if len({p[axis] for p in points}) > 1]
    if not axes:
        return None
    x_name, y_name = axes[0], axes[1] if len(axes) > 1 else ""
    x = list(dict.fromkeys(p[x_name] for p in points))
    y = list(dict.fromkeys(p[y_name] for p in points)) if y_name else [""]
    shown: list[list[float | None]] = [[None] * len(x) for _ in y]
    ranked: dict[tuple[int, int], tuple[bool, float]] = {}
    diverged = [[False] * len(x) for _ in y]
    for arm in arms:
        row = y.index(arm.arm.point[y_name]) if y_name else 0
        column = x.index(arm.arm.point[x_name])
        if arm.results and arm.rank >= ranked.get((row, column), arm.rank):
            ranked[row, column] = arm.rank
            shown[row][column] = arm.mean
        diverged[row][column] |= any(r.diverged_at >= 0 for r in arm.results.values())
    score = arms[0].arm.plan.score.name
    return HeatMap(_label(x_name), _label(y_name), x, y, shown, diverged, score)


def _label(axis: str) -> str:
    return axis if "." in axis or not axis else f"theta of {axis}"


def _conditions(arm: Arm) -> dict[str, Any]:
    owners = {rule.name for rule in arm.plan.all_rules} | {*arm.plan.spec.transforms}
    return {axis: v for axis, v in arm.point.items() if axis.split(".")[0] not in owners}


def _best(spec: SweepSpec, group: Sequence[ArmResult]) -> Choice:
    whole = [arm for arm in group if len(arm.results) == len(arm.cells)]
    first = group[0].arm
    if not whole:
        raise PlasticError(
            f"no point of the rule {first.rule} has all its seeds; run the sweep again first"
        )
    first_of_best = max(whole, key=lambda arm: arm.rank)
    best = first_of_best.arm
    conditions = _conditions(best)
    bounds = {
        name.replace(".", ".theta.", 1): theta.bounds
        for rule in best.plan.all_rules
        for name, (_, theta) in rule.learnable.items()
    }
    edge = [
        axis
        for axis, value in best.point.items()
        if axis not in conditions
        and len(spec.grid[axis]) > 1
        and value in _ends(spec.grid[axis])
        # that of a layer is bounded as that of its rule
        and value not in bounds.get(axis, bounds.get(axis.partition(".theta.")[0], ()))
    ]
    return Choice(conditions, best, first_of_best.mean, len(group), tuple(edge))


def _ends(values: Sequence[Any]) -> tuple[Any, Any]:
    """Return the least and the greatest of numbers, the first and the last of anything else."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return min(values), max(values)
    return values[0], values[-1]


def _last(arm: ArmResult) -> dict[int, float]:
    return {seed: result.scores[-1] for seed, result in arm.results.items()}


def _difference(
    score: Score,
    one: dict[str, Any],
    other: dict[str, Any],
    a: dict[int, float],
    b: dict[int, float],
) -> dict[str, Any]:
    """Return the second rule's score less the first's, paired by seed, and where it is better."""
    seeds = sorted(a.keys() & b.keys())
    differences: NDArray[Any] = np.array([b[seed] - a[seed] for seed in seeds])
    low, high = bootstrap_interval(differences)
    return {
        "rule": other["rule"],
        "against": one["rule"],
        "conditions": one["conditions"],
        "difference": float(differences.mean()),
        "low": float(low),
        "high": float(high),
        "wins": int(((differences if score.higher_is_better else -differences) > 0).sum()),
        "seeds": len(seeds),
        "p": permutation_test(differences),
    }
