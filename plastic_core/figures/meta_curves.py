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


def draw_meta_learning(history: xr.Dataset, path: Path) -> None:
    """Draw the accuracy on the queries, and the thetas, over episodes.

    Args:
        history: of `plastic_core.experiments.meta`.
        path: the file to write; its suffix gives the format.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        accuracy = 100 * history["accuracy"].to_numpy()
        smooth, end = moving_average(accuracy)
        draw_band(left, end, smooth, COLOURS[0], None)
        left.set(xlabel="episode", ylabel="accuracy on queries (%)", ylim=(0, 100))
        draw_thetas(right, history)
        seeds = history.sizes["seed"]
        shaded = "; shaded: 98% bootstrap interval" if seeds > 1 else ""
        left.set_title(f"moving average of {WINDOW} episodes, {seeds} seeds{shaded}", fontsize=7)
        figure.savefig(path)


def draw_thetas(axes: mpl.axes.Axes, history: xr.Dataset) -> None:
    """Draw the mean of each theta over the seeds, and each seed thinly."""
    theta = history["theta"].to_numpy()
    steps = np.arange(theta.shape[1])
    for i, (rule, colour) in enumerate(
        zip(history["rule"].to_numpy(), itertools.cycle(COLOURS), strict=False)
    ):
        for one in theta[..., i] if len(theta) > 1 else ():
            axes.plot(steps, one, color=colour, linewidth=0.4, alpha=0.5)
        axes.plot(steps, theta[..., i].mean(0), color=colour, label=str(rule))
    axes.set(xlabel="episode", ylabel="theta")
    axes.legend(fontsize=6)


def moving_average(
    values: NDArray[np.float64], window: int = WINDOW
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the means over so many successive episodes, and the last episode of each."""
    window = min(window, values.shape[1])
    total = np.cumsum(np.pad(values, ((0, 0), (1, 0))), 1)
    return (total[:, window:] - total[:, :-window]) / window, np.arange(window, values.shape[1] + 1)
