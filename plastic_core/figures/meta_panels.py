"""Figure 8: meta-accuracy over episodes, thetas over episodes, and accuracy on fresh tasks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from plastic_core.base.statistics import bootstrap_interval
from plastic_core.figures.bands import draw_band
from plastic_core.figures.meta_curves import WINDOW, draw_thetas, moving_average
from plastic_core.figures.style import COLOURS, STYLE

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    By = Mapping[tuple[str, str], xr.Dataset]

# Arms whose accuracy over episodes is drawn, as in the paper, where they are there.
_OVER_EPISODES: Final = ("BP", "BP+Oja", "Equation 9", "FA+Hebbian error+Oja")


def draw_meta_figure(
    networks: Sequence[str], learned: By, tested: By, title: str, note: str, path: Path
) -> None:
    """Draw a row of three panels for each network.

    Args:
        networks: names, one for each row.
        learned: histories of meta-learning, by network and label.
        tested: accuracy over (seed, step) on fresh tasks, by network and label.
        title: of the whole figure.
        note: below it.
        path: the file to write; its suffix gives the format.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 0.5 + 2.7 * len(networks)), layout="constrained")
        grid = figure.subplots(len(networks), 3, squeeze=False)
        for row, network in zip(grid, networks, strict=True):
            histories = {a: h for (n, a), h in learned.items() if n == network}
            accuracies = {a: t for (n, a), t in tested.items() if n == network}
            _draw_accuracy(row[0], histories)
            largest = max(histories, key=lambda arm: histories[arm].sizes["rule"])
            draw_thetas(row[1], histories[largest])
            _draw_tests(row[2], accuracies)
            row[0].set_title(f"{network}, meta-learning", loc="left")
            row[1].set_title(f"{network}, {largest}", loc="left")
            row[2].set_title(f"{network}, fresh tasks", loc="left")
        figure.suptitle(title)
        figure.supxlabel(note, fontsize=7, color="0.35")
        figure.savefig(path)


def _draw_accuracy(axes: Axes, histories: Mapping[str, xr.Dataset]) -> None:
    shown = [arm for arm in _OVER_EPISODES if arm in histories]
    for arm, colour in zip(shown, itertools.cycle(COLOURS), strict=False):
        smooth, end = moving_average(100 * histories[arm]["accuracy"].to_numpy())
        draw_band(axes, end, smooth, colour, arm)
    axes.set(xlabel=f"episode (mean of {WINDOW})", ylabel="accuracy on queries (%)")
    axes.legend(loc="lower right", fontsize=6)


def _draw_tests(axes: Axes, tested: Mapping[str, xr.Dataset]) -> None:
    for place, (arm, colour) in enumerate(zip(tested, itertools.cycle(COLOURS), strict=False)):
        values = 100 * tested[arm]["accuracy"].to_numpy()[:, -1]
        low, high = bootstrap_interval(values)
        mean = values.mean()
        axes.errorbar(mean, place, xerr=[[mean - low], [high - mean]], fmt="o", color=colour)
    axes.set_yticks(np.arange(len(tested)), list(tested))
    axes.invert_yaxis()
    axes.set(xlabel="accuracy on queries (%)")
