"""The result of a run as a notebook shows it."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from plastic_core.base.files import drawn
from plastic_core.base.html import element, picture, table
from plastic_core.experiments.run_table import forgetting_lines, run_lines, run_table

if TYPE_CHECKING:
    from plastic_core.experiments.run_result import RunResult


def run_page(result: RunResult) -> str:
    """Return the table that the command prints, the learning curve, and the lines below it."""
    if "result" not in result.record:  # as on_plan is given it
        return element("p", f"{result.spec.label} on {result.spec.task}: not trained yet")
    summary = result.summary
    headers, row = run_table(summary)
    image = BytesIO()
    notes = drawn("the learning curve", lambda: _draw(result, image))
    shown = "" if notes else picture(image.getvalue())
    lines = [
        element("p", line) for line in (*notes, *forgetting_lines(result), *run_lines(summary))
    ]
    return table(headers, [row]) + shown + "".join(lines)


def _draw(result: RunResult, image: BytesIO) -> None:
    from plastic_core.figures import draw_learning_curve

    name, curves = result.summary["score"]["name"], result.curves
    title = f"{result.spec.task}, {curves.attrs['network']}"
    scores = curves[name]
    draw_learning_curve(
        name,
        scores["step"].values,
        scores.values,
        result.spec.label,
        title,
        image,
        result.spec.stage_ends[:-1],
    )
