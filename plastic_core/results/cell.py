"""A cell: one network of a run, named by all that decides its numbers.

The same network has the same key whether it comes from a run, a sweep or a figure, on this
machine or another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plastic_core.base.seeds import NOISE_VERSION
from plastic_core.plan.plan import Plan, Replica
from plastic_core.plan.planned_rules import PlannedRule
from plastic_core.results.sources import source_of, sources_of


@dataclass(frozen=True)
class Cell:
    """One network: what it is, and its key.

    Attributes:
        key: SHA-256 of `content`, in hexadecimal.
        content: plain values: rules with thetas, layers and parameters; transforms; task,
            options and network; seed, samples, evaluations and precision; versions; and where
            there are probes, what decides what they measure.
    """

    key: str
    content: dict[str, Any]

    @property
    def bare(self) -> Cell:
        """The same network without probes, which change nothing in it."""
        content = {name: value for name, value in self.content.items() if name != "probes"}
        return Cell(key_of(content), content)


def cell_of(plan: Plan, replica: Replica, data: str) -> Cell:
    """Return the cell of one network of a plan, trained on data with the digest `data`."""
    spec = plan.spec
    content = {
        "rules": _rules(plan, replica.thetas),
        "transforms": [
            {
                "name": planned.entry.qualified,
                "params": _plain(planned.transform.params),
                **({} if planned.layers is None else {"layers": list(planned.layers)}),
            }
            for planned in plan.transforms
        ],
        "task": plan.task_entry.qualified,
        "data": data,
        "options": _plain(plan.options),
        "network": plan.network.model_dump(mode="json"),
        "seed": replica.seed,
        **{
            name: getattr(spec, name)
            for name in ("samples", "batch_size", "evaluations", "eval_samples", "eval_half")
        },
        **{name: getattr(spec, name) for name in ("dtype", "device", "backend")},
        "versions": sources_of(plan, probes=False),
    }
    if plan.parent is not None:  # its weights are among the versions
        seen = dict(plan.parent.seen)
        content["seen"] = seen if {*seen} != {""} else plan.parent.samples
    if plan.stages:
        # the rules of the last one are above, with the thetas of this network
        content["stages"] = [
            {
                "samples": one.samples,
                "classes": one.classes,
                **({} if of is plan.stages[-1] else {"stage_rules": _rules(of, of.thetas)}),
            }
            for one, of in zip(spec.stages, plan.stages, strict=True)
        ]
    if plan.judged_by_readout:
        content["readout"] = [spec.readout, spec.readout_layers, spec.readout_samples]
    if any(rule.rule.spec.noise for rule in plan.all_rules):
        content["noise"] = NOISE_VERSION
    if plan.probes:
        content["probes"] = {
            "points": spec.probe_samples,
            "measured": [
                {
                    "name": planned.entry.qualified,
                    "params": _plain(planned.probe.params),
                    "when": planned.when,
                    "version": source_of(planned.entry),
                }
                for planned in plan.probes
            ],
        }
    return Cell(key_of(content), content)


def key_of(content: dict[str, Any]) -> str:
    """Return the key of a cell's content."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _rules(plan: Plan, thetas: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the rules of a stage, with these thetas."""
    return [
        {
            "name": rule.entry.qualified,
            "theta": thetas[rule.name],
            "layers": list(rule.layers),
            "params": _plain(rule.rule.params),
            **_by_layer(rule, thetas),
            **_own(rule, thetas),
            **_schedules(rule),
        }
        for rule in plan.rules
    ]


def _by_layer(rule: PlannedRule, thetas: Mapping[str, float]) -> dict[str, Any]:
    """Return the thetas that some layers have for themselves; nothing where none has."""
    own = sorted([list(one.layers), thetas[one.name]] for one in rule.by_layer)
    return {"by_layer": own} if own else {}


def _own(rule: PlannedRule, thetas: Mapping[str, float]) -> dict[str, Any]:
    """Return the thetas by which a rule multiplies itself; nothing where it does not."""
    own = {name: thetas[f"{rule.name}.{name}"] for name in rule.own}
    return {"thetas": own} if own else {}


def _schedules(rule: PlannedRule) -> dict[str, Any]:
    """Return how its thetas change over the run; nothing where none does."""
    schedules = {name: [one.name, one.last] for name, one in rule.schedules.items()}
    return {"schedules": schedules} if schedules else {}


def _plain(model: Any) -> Any:
    return model.model_dump(mode="json") if model is not None else {}
