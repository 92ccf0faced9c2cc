"""The table of a sweep: a row for each arm, from the results of its seeds."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from plastic_core.base import html
from plastic_core.base.scores import heading, number
from plastic_core.base.statistics import bootstrap_interval
from plastic_core.experiments.sweeping.arms import SweepSpec
from plastic_core.experiments.sweeping.sweep import ArmResult, SweepResult

#: So many points of each rule are shown, the best; a table of all is in the file.
SHOWN: Final = 5


def rows_of(result: SweepResult) -> list[dict[str, Any]]:
    """Return for each arm its rule, point, thetas, and score at the end over its seeds."""
    return [_row(arm) for arm in result.arms]


def summary_of(spec: SweepSpec, result: SweepResult, store: str) -> dict[str, Any]:
    """Return all that sweep.json holds: the spec, every cell's key, the table, what failed."""
    progress = result.progress
    return {
        "format": 1,
        "spec": spec.model_dump(mode="json"),
        "score": score_of(result),
        "store": store,
        "notes": result.notes,
        "cells": progress.total,
        "from_store": progress.found,
        "trained": progress.trained,
        "failed": [
            {"key": cell.key, "reason": progress.failed[cell.key], "content": cell.content}
            for arm in result.arms
            for cell in arm.cells.values()
            if cell.key in progress.failed
        ],
        "arms": [
            {**row, "cells": {str(seed): cell.key for seed, cell in arm.cells.items()}}
            for row, arm in zip(rows_of(result), result.arms, strict=True)
        ],
    }


def score_of(result: SweepResult) -> str:
    """Return the name of the score of all arms."""
    return result.arms[0].arm.plan.score.name


def best_table(
    result: SweepResult, rows: Sequence[Mapping[str, Any]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return headers and rows of the table that is shown, the best points of each rule.

    Args:
        result: of the sweep.
        rows: what `rows_of` returns of it.
    """
    shown, score = [], score_of(result)
    both = list(zip(rows, result.arms, strict=True))
    for rule in dict.fromkeys(row["rule"] for row in rows):
        arms = [(row, arm) for row, arm in both if row["rule"] == rule and row["seeds"]]
        for row, arm in sorted(arms, key=lambda one: one[1].rank, reverse=True)[:SHOWN]:
            point = "  ".join(f"{axis} {_short(at)}" for axis, at in arm.arm.shown.items())
            numbers = [number(score, row[key]) for key in (score, "low", "high")]
            shown.append((rule, point, *numbers, str(row["seeds"]), str(row["diverged"])))
    return ("rule", "point", heading(score), "low", "high", "seeds", "diverged"), shown


def page_of(result: SweepResult) -> str:
    """Return the table that is shown, for a notebook."""
    headers, rows = best_table(result, rows_of(result))
    progress = result.progress
    lines = [
        f"the best {SHOWN} points of each rule",
        f"{progress.total} networks: {progress.found} from the store, {progress.trained} trained, "
        f"{len(progress.failed)} failed",
        *(f"failed: {reason}" for reason in dict.fromkeys(progress.failed.values())),
        *(f"note: {note}" for note in result.notes),
    ]
    return html.table(headers, rows) + "".join(html.element("p", line) for line in lines)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def csv_of(result: SweepResult) -> str:
    """Return the table as text with commas, one column for each axis of the grid."""
    rows = rows_of(result)
    axes = list(dict.fromkeys(axis for row in rows for axis in row["point"]))
    fields = ["rule", *axes, score_of(result), "low", "high", "seeds", "diverged", "missing"]
    out = io.StringIO()
    writer = csv.DictWriter(out, fields, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, **row["point"]} for row in rows)
    return out.getvalue()


def _row(arm: ArmResult) -> dict[str, Any]:
    last = np.array([result.scores[-1] for result in arm.results.values()])
    low, high = bootstrap_interval(last) if len(last) else (None, None)
    return {
        "rule": arm.arm.rule,
        "point": arm.arm.point,
        "thetas": arm.arm.plan.written_thetas,
        arm.arm.plan.score.name: float(last.mean()) if len(last) else None,
        "low": None if low is None else float(low),
        "high": None if high is None else float(high),
        "seeds": len(last),
        "diverged": sum(result.diverged_at >= 0 for result in arm.results.values()),
        "missing": len(arm.cells) - len(last),
    }
