"""A figure of the paper: its panels, from the curves of its networks."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from plastic_core.base.scores import ACCURACY, factor
from plastic_core.figures.axis_labels import axis_label
from plastic_core.figures.bands import draw_band, draw_borders
from plastic_core.figures.pictures import draw_filters, draw_images
from plastic_core.figures.recurrent_panels import draw_course, draw_profile, draw_scan
from plastic_core.figures.style import COLOURS, STYLE, as_written

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from plastic_core.experiments.reproducing.figure_spec import FigureSpec, PanelSpec

    Results = Mapping[tuple[str, str], xr.Dataset]

# Where a figure shows no layer twice: dark is near the input.
_LAYERS: Final = "viridis"


def draw_figure(figure: FigureSpec, results: Results, note: str, path: Path) -> None:
    """Draw all panels of a figure.

    Args:
        figure: its specification.
        results: curves by network and label of the arm.
        note: below the figure.
        path: the file to write; its suffix gives the format.
    """
    columns = min(figure.columns, len(figure.panels))
    rows = -(-len(figure.panels) // columns)
    with mpl.rc_context(STYLE):
        drawn = Figure(figsize=(1 + 2.9 * columns, 0.5 + 2.6 * rows), layout="constrained")
        grid = drawn.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(figure.panels) :]:
            axes.set_visible(False)
        letters = string.ascii_lowercase if len(figure.panels) > 1 else " "
        for letter, axes, panel in zip(letters, grid.flat, figure.panels, strict=False):
            shown = {key: _of_part(curves, panel.part) for key, curves in results.items()}
            arms = {
                label: curves
                for (network, label), curves in shown.items()
                if network == panel.network
                and panel.arm in (None, label)
                and (panel.arms is None or label in panel.arms)
            }
            if panel.kind == "scan":
                draw_scan(axes, panel, shown)
            else:
                _DRAW[panel.kind](axes, panel, arms)
            about = panel.arm or panel.about
            name = f"{panel.network}, {about}" if about else panel.network
            if panel.kind == "scan":
                name = ""
            if panel.kind == "components":
                name += f", layer {_listed(panel)}"
            name += f", {panel.part}" * (panel.part is not None)
            axes.set_title(f"{letter}  {name}".strip(), loc="left")
        _share_scales(figure, grid)
        _name_layers(figure, grid)
        _name_arms_once(figure, grid)
        drawn.suptitle(figure.title)
        as_written(drawn)
        drawn.supxlabel(note, fontsize=7, color="0.35")
        drawn.savefig(path)


def _of_part(curves: xr.Dataset, part: str | None) -> xr.Dataset:
    return curves if part is None or "part" not in curves.dims else curves.sel(part=part)


def _stage_ends(curves: xr.Dataset) -> list[int]:
    """Return the training points after which a stage ended and another began."""
    if "stage" not in curves.coords:
        return []
    steps, stages = curves["step"].to_numpy(), curves["stage"].to_numpy()
    return [int(step) for step in steps[:-1][stages[1:] > stages[:-1]]]


def _draw_curves(axes: Axes, panel: PanelSpec, arms: Mapping[str, xr.Dataset]) -> None:
    for (label, curves), colour in zip(arms.items(), itertools.cycle(COLOURS), strict=False):
        values = factor(panel.variable) * curves[panel.variable]
        draw_band(axes, curves["step"].to_numpy(), values.to_numpy(), colour, label)
    draw_borders(axes, {end for curves in arms.values() for end in _stage_ends(curves)})
    axes.set(xlabel="training points", ylabel=axis_label(panel.variable, arms))
    if panel.variable == ACCURACY:
        axes.set_ylim(0, 100)
    axes.set_xlim(left=0)
    axes.legend(loc="best")


def _draw_layers(axes: Axes, panel: PanelSpec, arms: Mapping[str, xr.Dataset]) -> None:
    for layer, values, colour in _layers_of(panel, arms):
        steps = values["step"].to_numpy()
        draw_band(axes, steps, values.to_numpy(), colour, f"{layer}")
    axes.set(xlabel="training points", ylabel=axis_label(panel.variable, arms))
    axes.set_xlim(left=0)


def _draw_components(axes: Axes, panel: PanelSpec, arms: Mapping[str, xr.Dataset]) -> None:
    assert panel.layers is not None
    for (label, curves), colour in zip(arms.items(), itertools.cycle(COLOURS), strict=False):
        values = 100 * curves[panel.variable].sel(layer=panel.layers[0])
        values = values.dropna("component", how="all").isel(component=slice(0, 60))
        components = np.arange(1, values.sizes["component"] + 1)
        draw_band(axes, components, values.to_numpy(), colour, label)
    axes.set(xlabel="principal components", ylabel=axis_label(panel.variable, arms), ylim=(0, 102))
    axes.set_xlim(left=0)
    axes.legend(loc="lower right")


_DRAW: Final[dict[str, Any]] = {
    "curves": _draw_curves,
    "layers": _draw_layers,
    "components": _draw_components,
    "images": draw_images,
    "filters": draw_filters,
    "course": draw_course,
    "profile": draw_profile,
}


def _layers_of(
    panel: PanelSpec, arms: Mapping[str, xr.Dataset]
) -> Iterator[tuple[int, xr.DataArray, Any]]:
    (curves,) = arms.values()
    values = curves[panel.variable]
    if panel.rule is not None:
        values = values.sel(rule=panel.rule)
    layers = panel.layers or values["layer"].to_numpy().tolist()
    colours = mpl.colormaps[_LAYERS](np.linspace(0, 0.92, len(layers)))
    for layer, colour in zip(layers, colours, strict=True):
        yield layer, values.sel(layer=layer), colour


def _share_scales(figure: FigureSpec, grid: Any) -> None:
    """Give panels of the same network and variable, side by side, the same vertical scale."""
    groups: dict[tuple[str, str], list[Any]] = {}
    for axes, panel in zip(grid.flat, figure.panels, strict=False):
        if panel.kind == "layers":
            groups.setdefault((panel.network, panel.variable), []).append(axes)
    for group in groups.values():
        top = max(axes.get_ylim()[1] for axes in group)
        for axes in group:
            axes.set_ylim(0, top)


def _name_layers(figure: FigureSpec, grid: Any) -> None:
    """Say which line is which layer, beside the last panel of each row."""
    for row in grid:
        shown = [axes for axes in row if axes.get_visible()]
        at = list(grid.flat).index(shown[-1])
        if figure.panels[at].kind == "layers":
            shown[-1].legend(title="layer", loc="upper left", bbox_to_anchor=(1, 1.05))


def _name_arms_once(figure: FigureSpec, grid: Any) -> None:
    """Leave the legend to the first of the panels that show the same chosen arms."""
    named = set()
    for axes, panel in zip(grid.flat, figure.panels, strict=False):
        if panel.arms in named:
            axes.get_legend().remove()
        elif panel.arms is not None:
            named.add(panel.arms)


def _listed(panel: PanelSpec) -> str:
    return ", ".join(map(str, panel.layers or ()))
