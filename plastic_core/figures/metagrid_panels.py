"""Thetas by gradient and by grid: three panels."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from plastic_core.figures.bands import draw_band
from plastic_core.figures.meta_curves import draw_thetas
from plastic_core.figures.style import COLOURS, STYLE

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr


def draw_metagrid(
    history: xr.Dataset,
    best: Mapping[str, float],
    curves: Mapping[str, xr.Dataset],
    lengths: Sequence[int],
    growth: Mapping[str, NDArray[np.float64]],
    title: str,
    note: str,
    path: Path,
) -> None:
    """Draw thetas over episodes, accuracy over training points, and the size of the gradient.

    Args:
        history: of the meta-training.
        best: the grid's best thetas, drawn as dashed lines.
        curves: of the compared runs, by label.
        lengths: of the episodes.
        growth: size of the gradient at each length, by label.
        title: of the whole figure.
        note: below it.
        path: the file to write; its suffix gives the format.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.2), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        draw_thetas(left, history)
        colours = dict(zip(history["rule"].to_numpy().tolist(), COLOURS, strict=False))
        for rule, theta in best.items():
            left.axhline(theta, color=colours[rule], linestyle="--", linewidth=0.8)
        left.set_ylim(bottom=0)
        left.set_title("a  thetas; dashed: the grid's best", loc="left")
        for (label, data), colour in zip(curves.items(), itertools.cycle(COLOURS), strict=False):
            accuracy = 100 * data["accuracy"].to_numpy()
            steps = data["step"].to_numpy()
            draw_band(middle, steps, accuracy, colour, label)
        middle.set(xlabel="training points", ylabel="held-out accuracy (%)", ylim=(0, 100))
        middle.legend(loc="best")
        middle.set_title("b  learning", loc="left")
        for (label, sizes), colour in zip(growth.items(), itertools.cycle(COLOURS), strict=False):
            right.plot(lengths, sizes, "o-", color=colour, label=label)
        right.set(xscale="log", yscale="log", xlabel="training points of the episode")
        right.set_ylabel(r"$|\theta\, \partial L / \partial \theta|$ (nat), median")
        right.legend(loc="best")
        right.set_title("c  gradient of the loss by the error's theta", loc="left")
        figure.suptitle(title)
        figure.supxlabel(note, fontsize=7, color="0.35")
        figure.savefig(path)
