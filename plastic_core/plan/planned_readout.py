"""What networks are judged by: their own outputs, or a readout of their activity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal

from plastic_core.api.signals import ERROR_SIGNALS
from plastic_core.base.errors import listing
from plastic_core.plan.planned_rules import PlannedRule
from plastic_core.plan.run_spec import RunSpec

Asked = Literal["auto", "none", "linear", "knn"]

_TOLD: Final = {*ERROR_SIGNALS, "output_error", "target", "loss"}

#: Readouts that are fitted, and what they are.
METHODS: Final = {
    "linear": "ridge regression of the targets on the activity",
    "knn": "the five nearest neighbours by the activity",
}


def supervised(rules: Sequence[PlannedRule]) -> bool:
    """Return whether a rule is told what is right."""
    return any(r.rule.spec.propagates or _TOLD & r.rule.spec.reads for r in rules)


def readout_of(asked: Asked, rules: Sequence[PlannedRule]) -> Asked:
    """Return what networks are judged by, one way to say it for each.

    Where a rule is told what is right, "auto" and "none" are the same and stay "auto"; where none
    is, "auto" is "linear".
    """
    if supervised(rules):
        return "auto" if asked == "none" else asked
    return "linear" if asked == "auto" else asked


def readout_notes(runs: Iterable[tuple[RunSpec, Sequence[PlannedRule]]]) -> list[str]:
    """Return what runs are judged by, where that is no matter of course.

    Args:
        runs: spec and rules of each; those of the same expression are judged alike.
    """
    runs = {spec.learned_by: (spec, rules) for spec, rules in runs}.values()
    alike: dict[tuple[Any, ...], list[RunSpec]] = {}
    for spec, rules in runs:
        kind = spec.readout, spec.readout_layers, spec.readout_samples
        alike.setdefault((*kind, supervised(rules)), []).append(spec)
    notes = [note for (*_, told), specs in alike.items() for note in _notes(specs, told)]
    own = [spec.learned_by for spec, _ in runs if spec.readout not in METHODS]
    if own and len(own) < len(runs):
        notes.append(
            f"other than these, {listing(own)} {'is' if len(own) == 1 else 'are'} judged by the "
            "networks' own outputs; readout linear judges all alike"
        )
    return notes


def _notes(specs: Sequence[RunSpec], told: bool) -> Iterator[str]:
    spec, names = specs[0], ", ".join(repr(one.learned_by) for one in specs)
    if spec.readout in METHODS:
        why = "" if told else f"no rule of {names} is told what is right; "
        layers = "all hidden layers" if spec.readout_layers == "all" else "the last hidden layer"
        yield (
            f"{why}the score is that of a readout: {METHODS[spec.readout]} of {layers}, fitted to "
            f"{spec.readout_samples:,} training points at each evaluation"
            + ("" if told else "; readout none judges the networks' own outputs")
        )
    elif not told and spec.readout == "none":
        yield (
            f"no rule of {names} is told what is right, and the score is that of the "
            "networks' own outputs; readout linear judges what can be read from them"
        )
