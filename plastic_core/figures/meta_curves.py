"""Meta-learning over episodes: how well rules learn, and their thetas."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from plastic_core.figures.bands import draw_band
from plastic_core.figures.style import COLOURS, STYLE

if TYPE_CHECKING:
    import xarray as xr

# Episodes of the moving average of the accuracy, which is of few queries each.
WINDOW = 30


# Thetas in a legend.
_NAMED = 8


def draw_meta_learning(history: xr.Dataset, path: Path, beside_a_teacher: bool) -> None:
    """Draw the accuracy on the queries, or the difference from a teacher, and thetas over episodes.

    Args:
        history: of `plastic_core.experiments.meta`.
        path: the file to write; its suffix gives the format.
        beside_a_teacher: whether the loss is the difference from its activities.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        seeds = history.sizes["seed"]
        shaded = "; shaded: 98% bootstrap interval" if seeds > 1 else ""
        if beside_a_teacher:
            loss = history["loss"].to_numpy()
            draw_band(left, history["episode"].to_numpy(), loss, COLOURS[0], None)
            left.set(xlabel="episode", ylabel="mean squared difference")
            if (loss > 0).any():  # else all networks have diverged
                left.set_yscale("log")
            left.set_title(f"activities less the teacher's, {seeds} seeds{shaded}", fontsize=7)
        else:
            smooth, end = moving_average(100 * history["accuracy"].to_numpy())
            draw_band(left, end, smooth, COLOURS[0], None)
            left.set(xlabel="episode", ylabel="accuracy on queries (%)", ylim=(0, 100))
            about = f"moving average of {WINDOW} episodes, {seeds} seeds{shaded}"
            left.set_title(about, fontsize=7)
        draw_thetas(right, history)
        figure.savefig(path)


def draw_thetas(axes: mpl.axes.Axes, history: xr.Dataset) -> None:
    """Draw the mean of each theta over the seeds, and each seed thinly; name the greatest."""
    theta = history["theta"].to_numpy()
    named = np.argsort(-abs(theta[:, -1].mean(0)))[:_NAMED]
    steps = np.arange(theta.shape[1])
    for i, (rule, colour) in enumerate(
        zip(history["rule"].to_numpy(), itertools.cycle(COLOURS), strict=False)
    ):
        for one in theta[..., i] if len(theta) > 1 else ():
            axes.plot(steps, one, color=colour, linewidth=0.4, alpha=0.5)
        axes.plot(
            steps, theta[..., i].mean(0), color=colour, label=str(rule) if i in named else None
        )
    axes.set(xlabel="episode", ylabel="theta")
    axes.legend(fontsize=6)


def moving_average(
    values: NDArray[np.float64], window: int = WINDOW
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the means over so many successive episodes, and the last episode of each."""
    window = min(window, values.shape[1])
    total = np.cumsum(np.pad(values, ((0, 0), (1, 0))), 1)
    return (total[:, window:] - total[:, :-window]) / window, np.arange(window, values.shape[1] + 1)
