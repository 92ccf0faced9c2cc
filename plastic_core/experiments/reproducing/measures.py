"""Numbers that claims are about, taken out of the curves of one arm."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import xarray as xr

    Measured = Callable[[xr.Dataset], xr.DataArray]


def _update_norm(curves: xr.Dataset) -> xr.DataArray:
    return curves["update_norm"].mean("step")


def _bp_update_norm(curves: xr.Dataset) -> xr.DataArray:
    return curves["rule_update_norm"].sel(rule="bp").mean("step")


def _image_correlation(curves: xr.Dataset) -> xr.DataArray:
    """Return the correlation of the images with the inputs over pixels, mean over images.

    It does not change with the brightness of a reconstruction, of which the paper shows only what
    an image normalised to its own range shows.
    """
    images = curves["reconstruction"] - curves["reconstruction"].mean("pixel")
    inputs = curves["reconstruction_input"] - curves["reconstruction_input"].mean("pixel")
    product = (images * inputs).sum("pixel")
    norms = ((images**2).sum("pixel") * (inputs**2).sum("pixel")) ** 0.5
    return (product / norms.where(norms > 0)).fillna(0).mean("point")


def _norm_spread(curves: xr.Dataset) -> xr.DataArray:
    hidden = curves["activation_norm"].isel(layer=slice(0, -1))
    return hidden.std("layer") / hidden.mean("layer")


def _norm_drift(curves: xr.Dataset) -> xr.DataArray:
    hidden = curves["activation_norm"].isel(layer=slice(0, -1))
    return (hidden.std("step") / hidden.mean("step")).mean("layer")


def _accuracy_deviation(curves: xr.Dataset) -> xr.DataArray:
    return abs(curves["accuracy"] - curves["accuracy"].median("seed"))


def _error_angle(curves: xr.Dataset) -> xr.DataArray:
    return curves["error_angle"].mean("step")


def _forgetting(curves: xr.Dataset) -> xr.DataArray:
    """Return what is lost of parts of the data but the last, at best less at the end, their mean.

    Chaudhry, Dokania, Ajanthan, Torr 2018, arXiv:1801.10112, section 3.
    """
    accuracy = curves["part_accuracy"].isel(part=slice(None, -1))
    return (accuracy.max("step") - accuracy.isel(step=-1)).mean("part")


#: By name: each returns an array over seed, and over step and layer where it has them.
MEASURES: Final[dict[str, Measured]] = {
    "update-norm": _update_norm,
    "bp-update-norm": _bp_update_norm,
    "image-correlation": _image_correlation,
    "norm-spread": _norm_spread,
    "norm-drift": _norm_drift,
    "accuracy-deviation": _accuracy_deviation,
    "error-angle": _error_angle,
    "forgetting": _forgetting,
}


def measured(name: str, curves: xr.Dataset) -> xr.DataArray:
    """Return what a name stands for: a measure, or else a variable, its "_" perhaps written "-".

    Raises:
        KeyError: these curves have no such number.
    """
    if name in MEASURES:
        return MEASURES[name](curves)
    return curves[name if name in curves else name.replace("-", "_")]
