"""Panels of pictures: reconstructed inputs, and the filters of the first layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from plastic_core.experiments.reproducing.figure_spec import PanelSpec


_COLUMNS: Final = 4  # of filters


def draw_images(axes: Axes, panel: PanelSpec, arms: Mapping[str, xr.Dataset]) -> None:
    """Draw the first inputs and what is reconstructed of them from some layers."""
    (curves,) = arms.values()
    first = curves.isel(seed=0)
    assert panel.layers is not None
    columns = [first["reconstruction_input"].to_numpy()]
    side = math.isqrt(columns[0].shape[1])
    columns += [first[panel.variable].sel(layer=layer).to_numpy() for layer in panel.layers]
    shown = np.concatenate(
        [np.concatenate(_images(column[:6], side)) for column in columns], axis=1
    )
    axes.imshow(shown, cmap="gray")
    places = side * (np.arange(len(columns)) + 0.5)
    axes.set_xticks(places, ["input", *(f"$y_{layer}$" for layer in panel.layers)])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def draw_filters(axes: Axes, panel: PanelSpec, arms: Mapping[str, xr.Dataset]) -> None:
    """Draw the filters of one arm, white above 0 and black below, each to its own largest weight.

    Of several channels it is their mean.
    """
    (curves,) = arms.values()
    filters = curves[panel.variable].isel(seed=0).mean("channel").to_numpy()
    largest = np.abs(filters).max((1, 2), keepdims=True)
    scaled = filters / np.maximum(largest, 1e-12)
    lacking = -len(scaled) % _COLUMNS
    framed = np.pad(scaled, ((0, lacking), (0, 1), (0, 1)), constant_values=np.nan)
    _, height, width = framed.shape
    table = framed.reshape(-1, _COLUMNS, height, width).swapaxes(1, 2)
    shown = table.reshape(-1, _COLUMNS * width)
    axes.imshow(shown[:-1, :-1], cmap="gray", vmin=-1, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _images(rows: Any, side: int) -> list[Any]:
    """Return images, each stretched to its own range, as its decoder has no scale of its own."""
    least, most = rows.min(1, keepdims=True), rows.max(1, keepdims=True)
    scaled = (rows - least) / np.maximum(most - least, 1e-12)
    return list(scaled.reshape(len(rows), side, side))
