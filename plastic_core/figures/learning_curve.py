"""The score over training points."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from plastic_core.base.scores import ACCURACY, factor, score_label
from plastic_core.figures.bands import draw_band, draw_borders
from plastic_core.figures.style import COLOURS, STYLE, as_written


def draw_learning_curve(
    score: str,
    steps: NDArray[np.int64],
    values: NDArray[np.float64],
    label: str,
    title: str,
    path: Path | BinaryIO,
    borders: Iterable[int] = (),
) -> None:
    """Draw the mean score over training points, shaded with its 98% bootstrap interval.

    Args:
        score: its name.
        steps: ``[N]``, training points seen.
        values: ``[seeds, N]``, of the score.
        label: of the line.
        title: above the figure.
        path: the file to write; the suffix of a path gives the format, which else is PNG.
        borders: points after which a stage ends and another begins.
    """
    with mpl.rc_context(STYLE):
        figure = Figure()  # not through pyplot, whose state belongs to the user
        axes = figure.subplots()
        style = {"linewidth": None, "marker": ".", "markersize": 4}
        draw_borders(axes, borders)
        draw_band(axes, steps, factor(score) * values, COLOURS[0], label, **style)
        axes.set_xlabel("training points")
        axes.set_ylabel(score_label(score))
        axes.set_xlim(left=0)
        if score == ACCURACY:
            axes.set_ylim(0, 100)
        axes.set_title(title)
        axes.legend(loc="lower right")
        note = f"mean of {len(values)} seeds; shaded: 98% bootstrap interval"
        as_written(figure)
        figure.text(0.01, -0.07, note, fontsize=7, color="0.35")
        figure.savefig(path)
