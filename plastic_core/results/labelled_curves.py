"""Curves with named dimensions, units and descriptions, as they are kept and returned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from plastic_core.base.errors import PlasticError
from plastic_core.plan.plan import Plan
from plastic_core.plan.planned_rules import PlannedRule
from plastic_core.results.curves import Curves
from plastic_core.results.labelled_arrays import LabelledArrays, Variable

if TYPE_CHECKING:
    from plastic_core.results.store import CellResult


def labelled_curves(
    plan: Plan, curves: Curves, seeds: Sequence[int] | None = None
) -> LabelledArrays:
    """Return curves over (seed, step), and what probes measured over (seed, step, layer, ...).

    Args:
        plan: names and describes them.
        curves: of the networks.
        seeds: of the networks; None for those of the plan.
    """
    half, loss = plan.spec.eval_half, plan.loss.spec
    read = f" of a {plan.spec.readout} readout" if plan.judged_by_readout else ""
    rules = [rule.name for rule in plan.rules]
    weighted = " then ".join(" + ".join(map(_weighted, one.rules)) for one in plan.each)
    probes = dict(_probe_variables(plan, curves))
    sizes = {
        dim: size
        for dims, array, _ in probes.values()
        for dim, size in zip(dims, array.shape, strict=True)
    }
    coordinates: dict[str, Variable] = {
        "seed": (
            ("seed",),
            np.array(plan.spec.seed_list if seeds is None else seeds),
            {"long_name": "seed of the network"},
        ),
        "step": (
            ("step",),
            curves.steps,
            {"units": "samples", "long_name": "training points seen"},
        ),
    }
    if plan.stages:
        stage = np.searchsorted(plan.spec.stage_ends, curves.steps) + 1
        coordinates["stage"] = (("step",), stage, {"long_name": "stage that ended here or later"})
    for dim, size in sizes.items():
        if dim not in coordinates:
            values = rules if dim == "rule" else np.arange(size) + 1
            coordinates[dim] = ((dim,), values, {"long_name": dim})
    if "part" in sizes:
        on = _parts(plan)
        if len(on) != sizes["part"]:  # without stages a part is a class
            on = [*map(str, range(sizes["part"]))]
        coordinates["part"] = (("part",), on, {"long_name": "what a stage trains on"})
    if "layer" in sizes:
        names = list(plan.circuit.layer_names)
        coordinates["layer_name"] = (("layer",), names, {"long_name": "name of the layer"})
    return LabelledArrays(
        {
            curves.score_name: (
                ("seed", "step"),
                curves.score,
                {
                    "units": "1",
                    "long_name": f"{plan.score.long_name}{read} on held-out points (half '{half}')",
                    "comment": "chance level from the evaluation after divergence on",
                },
            ),
            "loss": (
                ("seed", "step"),
                curves.loss,
                {"units": loss.units, "long_name": f"mean {loss.name} on held-out points"},
            ),
            "diverged_at": (
                ("seed",),
                curves.diverged_at,
                {"units": "samples", "long_name": "sample of divergence, -1 for none"},
            ),
            **probes,
            **_thetas(plan, curves),
        },
        coordinates,
        {
            "rule": ", ".join((weighted, *(t.entry.name for t in plan.transforms))),
            "task": plan.spec.task,
            "network": plan.network.shape,
            "score": curves.score_name,
        },
    )


def blank_curves(plan: Plan) -> LabelledArrays:
    """Return the curves of one network at one point without numbers, to see what there will be."""
    curves = Curves.empty(1, np.ones(1, np.int64), plan.score.name)
    parts = len(_parts(plan)) or plan.network.ends[1]
    sizes = {"layer": plan.circuit.depth, "rule": len(plan.rules), "part": parts}
    for planned in plan.probes:
        for name, measure in planned.probe.spec.measures.items():
            over = (1, 1) if planned.when == "every" else (1,)
            shape = (*over, *(sizes.get(dim, 1) for dim in measure.dims))
            curves.probes[name] = np.full(shape, np.nan, np.float32)
    return labelled_curves(plan, curves, [0])


def _parts(plan: Plan) -> list[str]:
    """Return the classes, or parts of the data, that stages train on, as they are written."""
    return [*dict.fromkeys(one.classes for one in plan.spec.stages if one.classes)]


def _weighted(rule: PlannedRule) -> str:
    if rule.own:
        own = [f"{name} {rule.shown(f'{rule.name}.{name}')}" for name in rule.own]
        return f"{rule.name} ({', '.join(own)})"
    names = [one.name for one in rule.by_layer]
    own = [f"{rule.shown(name)} in {name.partition('.')[2]}" for name in names]
    beside = f" ({', '.join(own)})" if own else ""
    return f"{rule.shown(rule.name)}*{rule.name}{beside}"


def _thetas(plan: Plan, curves: Curves) -> dict[str, Variable]:
    """Return the thetas that change over the run, and their names; nothing where none does."""
    if not plan.schedules or plan.stages:  # of stages the record says it
        return {}
    parts = -(-curves.steps // plan.spec.batch_size) / plan.updates
    values = [[plan.thetas[n] * one.factor(x) for x in parts] for n, one in plan.schedules.items()]
    name = "theta of the update that follows; at the end, what its schedule ends at"
    return {
        "theta": (("theta_of", "step"), np.array(values), {"units": "1", "long_name": name}),
        "theta_of": (("theta_of",), [*plan.schedules], {"long_name": "name of the theta"}),
    }


def _probe_variables(plan: Plan, curves: Curves) -> Iterator[tuple[str, Variable]]:
    for planned in plan.probes:
        over = ("seed", "step") if planned.when == "every" else ("seed",)
        for name, measure in planned.probe.spec.measures.items():
            attributes = {
                "units": measure.units,
                "long_name": measure.long_name,
                "probe": planned.entry.name,
                "comment": "NaN from divergence on",
            }
            yield name, ((*over, *measure.dims), curves.probes[name], attributes)


def curves_of(plan: Plan, results: Sequence[CellResult]) -> Curves:
    """Return the curves of networks that were read from the store.

    Raises:
        PlasticError: they were not measured at the same points by the probes of the plan.
    """
    first = results[0]
    curves = Curves.empty(len(results), np.array(first.steps), plan.score.name)
    shapes = {name: one.shape for name, one in first.probes.items()}
    dimensions = {
        name: len(measure.dims) + (planned.when == "every")
        for planned in plan.probes
        for name, measure in planned.probe.spec.measures.items()
    }
    fit = dimensions == {name: len(shape) for name, shape in shapes.items()}
    for name, shape in shapes.items():
        curves.probes[name] = np.full((len(results), *shape), np.nan, np.float32)
    for i, cell in enumerate(results):
        fit &= cell.steps == first.steps and shapes == {n: m.shape for n, m in cell.probes.items()}
        if not fit:
            raise PlasticError(
                "the store holds results that were not measured at the same points by the probes "
                "of this run; give another --store, or train without --reuse"
            )
        curves.score[i] = cell.scores
        curves.loss[i] = [np.nan if value is None else value for value in cell.loss]
        curves.diverged_at[i] = cell.diverged_at
        for name, one in cell.probes.items():
            curves.probes[name][i] = one.array()
    curves.done = len(curves.steps)
    return curves
