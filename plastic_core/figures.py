"""Figures. The only module that loads matplotlib."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from plastic_core.statistics import bootstrap_interval

if TYPE_CHECKING:
    import xarray as xr

# Okabe and Ito's palette, told apart by colour-blind readers; black first, as in the paper.
COLOURS: Final = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

STYLE: Final[Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "figure.dpi": 150,
    "figure.figsize": (5.2, 3.4),
    "font.size": 9,
    "legend.frameon": False,
    "savefig.bbox": "tight",
}


def draw_learning_curves(
    curves: Mapping[str, xr.Dataset], path: Path, title: str | None = None
) -> None:
    """Draw mean accuracy over training points, shaded with its 98% bootstrap interval.

    Args:
        curves: the curves of runs, by label.
        path: the file to write; its suffix gives the format.
        title: by default the task and the network of the first run.
    """
    with mpl.rc_context(STYLE):
        figure = Figure()  # not through pyplot, whose state belongs to the user
        axes = figure.subplots()
        for (label, data), colour in zip(curves.items(), itertools.cycle(COLOURS), strict=False):
            accuracy = 100 * data["accuracy"].to_numpy()
            steps = data["step"].to_numpy()
            low, high = bootstrap_interval(accuracy)
            axes.plot(steps, accuracy.mean(0), color=colour, label=label, marker=".", markersize=4)
            axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
        first = next(iter(curves.values()))
        axes.set_xlabel("training points")
        axes.set_ylabel("held-out accuracy (%)")
        axes.set_xlim(left=0)
        axes.set_ylim(0, 100)
        axes.set_title(title or f"{first.attrs['task']}, {first.attrs['network']}")
        axes.legend(loc="lower right")
        note = f"mean of {first.sizes['seed']} seeds; shaded: 98% bootstrap interval"
        figure.text(0.01, -0.07, note, fontsize=7, color="0.35")
        figure.savefig(path)


@dataclass(frozen=True)
class HeatMap:
    """One panel: accuracy and divergence over the values of two axes, rows along `y`."""

    x_name: str
    y_name: str
    x: Sequence[Any]
    y: Sequence[Any]
    accuracy: Sequence[Sequence[float | None]]
    diverged: Sequence[Sequence[bool]]


def draw_heat_maps(panels: Mapping[str, HeatMap], path: Path, title: str) -> None:
    """Draw mean accuracy over one or two axes, a panel for each rule, diverged cells crossed.

    Args:
        panels: by title.
        path: the file to write; its suffix gives the format.
        title: of the whole figure.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(0.8 + 3.4 * len(panels), 3.4), layout="constrained")
        all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (name, panel) in zip(all_axes, panels.items(), strict=True):
            values = np.array(panel.accuracy, dtype=float)  # None becomes NaN, which stays white
            image = axes.imshow(
                100 * values, origin="lower", aspect="auto", cmap="cividis", vmin=0, vmax=100
            )
            rows, columns = np.nonzero(np.array(panel.diverged))
            axes.plot(columns, rows, "x", color="#D55E00", markersize=5, linestyle="none")
            axes.set_xticks(range(len(panel.x)), [_tick(x) for x in panel.x], rotation=90)
            axes.set_yticks(
                range(len(panel.y)) if panel.y_name else [],
                [_tick(y) for y in panel.y] if panel.y_name else [],
            )
            axes.set_xlabel(panel.x_name)
            axes.set_ylabel(panel.y_name)
            axes.set_title(name)
            axes.spines[:].set_visible(False)
        figure.colorbar(image, ax=list(all_axes), label="held-out accuracy (%)")
        figure.suptitle(f"{title}; \u00d7: some networks diverged", fontsize="small")
        figure.savefig(path)


def _tick(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
