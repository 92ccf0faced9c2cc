"""The result of a run as a table and some lines, for a terminal and for a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from plastic_core.base.scores import heading, number

if TYPE_CHECKING:
    from plastic_core.experiments.run_result import RunResult


def run_table(summary: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the headers and the one row of the table.

    Args:
        summary: of a finished run, as ``plastic run --json`` prints it.
    """
    score = summary["score"]
    headers = ("rule", heading(score["name"]), "low", "high", "seeds", "diverged", "seconds")
    row = (
        ", ".join((summary["rule"], *summary["transforms"])),
        *(number(score["name"], score[key]) for key in ("mean", "low", "high")),
        str(summary["seeds"]),
        str(len(summary["diverged"])),
        f"{summary['seconds']:.1f}",
    )
    return headers, row


def forgetting_lines(result: RunResult) -> list[str]:
    """Return what is known of each part of the data at the end, and what was at best.

    Nothing where no probe has measured it, or the parts are single classes.
    """
    if not (result.spec.stages and result.spec.probes):  # curves take a while to load
        return []
    curves = result.curves
    if "part_accuracy" not in curves:
        return []
    accuracy = 100 * curves["part_accuracy"].mean("seed")
    best, last = accuracy.max("step"), accuracy.isel(step=-1)
    return [
        f"accuracy on {part}: {last.sel(part=part).item():.2f}% at the end, "
        f"{best.sel(part=part).item():.2f}% at best"
        for part in accuracy["part"].to_numpy().tolist()
    ]


def run_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return what is said below the table; the argument is that of `run_table`."""
    lines = [
        f"low, high: 98% bootstrap interval of the mean over {summary['seeds']} seeds, "
        "500 resamples",
        f"trained at {summary['samples_per_second']:,.0f} samples/s, "
        f"{summary['updates_per_second']:,.0f} updates/s, of all networks together",
    ]
    if summary["diverged"]:
        where = ", ".join(f"seed {d['seed']} at sample {d['sample']}" for d in summary["diverged"])
        lines.append(f"diverged, counted at chance level: {where}")
    lines += [f"note: {note}" for note in summary["notes"]]
    if summary["run_dir"] is not None:
        lines.append(f"written to {summary['run_dir']}")
    return lines
