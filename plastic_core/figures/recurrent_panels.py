"""Panels over an option of the task, over time, and over modes of the recurrent weights."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from plastic_core.base.scores import ACCURACY, factor
from plastic_core.base.statistics import bootstrap_interval
from plastic_core.figures.axis_labels import axis_label
from plastic_core.figures.bands import draw_band
from plastic_core.figures.style import COLOURS

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from plastic_core.experiments.reproducing.figure_spec import PanelSpec

# What the number is drawn over, where its dimension is not called so.
_OVER: Final = {"state_norm": "step t", "singular_value": "mode", "eigenvalue_modulus": "mode"}


def draw_scan(axes: Axes, panel: PanelSpec, results: Mapping[tuple[str, str], xr.Dataset]) -> None:
    """Draw the score at the last point over an option of the task, a line for each arm."""
    labels = dict.fromkeys(label for network, label in results if network in panel.points)
    places = list(panel.points.values())
    for label, colour in zip(labels, itertools.cycle(COLOURS), strict=False):
        last = [
            factor(panel.variable) * results[network, label][panel.variable].to_numpy()[:, -1]
            for network in panel.points
        ]
        bounds = np.array([bootstrap_interval(values) for values in last])
        axes.plot(places, [values.mean() for values in last], "o-", color=colour, label=label)
        axes.fill_between(places, bounds[:, 0], bounds[:, 1], color=colour, alpha=0.2, linewidth=0)
    one = {label: curves for (network, label), curves in results.items() if network in panel.points}
    axes.set(xlabel=panel.about, ylabel=axis_label(panel.variable, one))
    if panel.variable == ACCURACY:
        axes.set_ylim(0, 100)
    axes.set_xscale("log")
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.minorticks_off()
    axes.legend(loc="best")


def draw_course(axes: Axes, panel: PanelSpec, arms: Mapping[str, xr.Dataset]) -> None:
    """Draw a number over training points, a line for each arm; the mean over layers, if any."""
    for (label, curves), colour in zip(arms.items(), itertools.cycle(COLOURS), strict=False):
        values = curves[panel.variable]
        if "layer" in values.dims:
            values = values.mean("layer")
        draw_band(axes, curves["step"].to_numpy(), values.to_numpy(), colour, label)
    axes.set(xlabel="training points", ylabel=axis_label(panel.variable, arms))
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(loc="best")


def draw_profile(axes: Axes, panel: PanelSpec, arms: Mapping[str, xr.Dataset]) -> None:
    """Draw what has one dimension of its own, at the last point, a line for each arm."""
    for (name, curves), colour in zip(arms.items(), itertools.cycle(COLOURS), strict=False):
        values = curves[panel.variable].isel(step=-1)
        (dimension,) = set(values.dims) - {"seed"}
        places = np.arange(1, values.sizes[dimension] + 1)
        draw_band(axes, places, values.transpose("seed", dimension).to_numpy(), colour, name)
    over = _OVER.get(panel.variable, str(dimension))
    axes.set(xlabel=over, ylabel=axis_label(panel.variable, arms))
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(loc="best")
