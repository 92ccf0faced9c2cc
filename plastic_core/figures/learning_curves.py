"""The score over training points."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from plastic_core.base.scores import ACCURACY, factor, score_label
from plastic_core.figures.bands import draw_band
from plastic_core.figures.style import COLOURS, STYLE

if TYPE_CHECKING:
    import xarray as xr


def draw_learning_curves(
    curves: Mapping[str, xr.Dataset], path: Path, title: str | None = None
) -> None:
    """Draw the mean score over training points, shaded with its 98% bootstrap interval.

    Args:
        curves: the curves of runs, by label; of one score.
        path: the file to write; its suffix gives the format.
        title: by default the task and the network of the first run.
    """
    first = next(iter(curves.values()))
    score = first.attrs.get("score", ACCURACY)
    with mpl.rc_context(STYLE):
        figure = Figure()  # not through pyplot, whose state belongs to the user
        axes = figure.subplots()
        for (label, data), colour in zip(curves.items(), itertools.cycle(COLOURS), strict=False):
            values = factor(score) * data[score].to_numpy()
            steps = data["step"].to_numpy()
            style = {"linewidth": None, "marker": ".", "markersize": 4}
            draw_band(axes, steps, values, colour, label, **style)
        axes.set_xlabel("training points")
        axes.set_ylabel(score_label(score))
        axes.set_xlim(left=0)
        if score == ACCURACY:
            axes.set_ylim(0, 100)
        axes.set_title(title or f"{first.attrs['task']}, {first.attrs['network']}")
        axes.legend(loc="lower right")
        note = f"mean of {first.sizes['seed']} seeds; shaded: 98% bootstrap interval"
        figure.text(0.01, -0.07, note, fontsize=7, color="0.35")
        figure.savefig(path)
