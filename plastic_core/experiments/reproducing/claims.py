"""A claim judged: the paired difference over seeds, its interval, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from plastic_core.base.statistics import bootstrap_interval
from plastic_core.experiments.reproducing.figure_spec import ClaimSpec
from plastic_core.experiments.reproducing.measures import MEASURES

if TYPE_CHECKING:
    import xarray as xr

#: The verdict on a claim about points that were not trained.
NOT_JUDGED: Final = "not judged"

Results = Mapping[tuple[str, str], "xr.Dataset"]


def judge(claim: ClaimSpec, results: Results) -> list[dict[str, Any]]:
    """Return the verdicts on a claim, one for each layer where it is about each.

    Args:
        claim: what is said.
        results: curves by network and label of the arm.
    """
    curves = results[claim.network, claim.arms[0]]
    if claim.step is not None and claim.step > curves["step"].max():
        return [{"verdict": NOT_JUDGED, "n": 0, "left_out": 0}]  # of a small version
    first = _values(claim, curves)
    if claim.value is None:
        second = _values(claim, results[claim.against or claim.network, claim.arms[1]])
    else:
        second = first.copy(data=np.full(first.shape, claim.value))
    if not claim.each_layer:
        return [_verdict(claim, first, second)]
    layers = claim.layers or tuple(first["layer"].to_numpy().tolist())
    return [
        {"layer": layer, **_verdict(claim, first.sel(layer=layer), second.sel(layer=layer))}
        for layer in layers
    ]


def _values(claim: ClaimSpec, curves: xr.Dataset) -> xr.DataArray:
    """Return what is claimed about, over seed and perhaps layer."""
    values = MEASURES[claim.measure](curves)
    if "step" not in values.dims:
        return values
    if claim.step is None:
        return values.isel(step=-1)
    return values.sel(step=claim.step, method="nearest")


def _verdict(claim: ClaimSpec, first: xr.DataArray, second: xr.DataArray) -> dict[str, Any]:
    a: NDArray[Any] = first.to_numpy().astype(np.float64)
    b: NDArray[Any] = second.to_numpy().astype(np.float64)
    # networks that diverged have no such number; both of the pair are left out, and counted
    there = np.isfinite(a) & np.isfinite(b)
    a, b = a[there], b[there]
    if not len(a):
        return {"verdict": "does not hold", "n": 0, "left_out": int((~there).sum())}
    differences = a - b
    low, high = (float(bound) for bound in bootstrap_interval(differences))
    sign = 1 if claim.direction == "above" else -1
    mean = float(differences.mean())
    if min(sign * low, sign * high) > 0:
        verdict = "holds"
    else:
        verdict = "weak" if sign * mean > 0 else "does not hold"
    return {
        "verdict": verdict,
        "first": float(a.mean()),
        "second": float(b.mean()),
        "difference": mean,
        "low": low,
        "high": high,
        "wins": int((sign * differences > 0).sum()),
        "n": len(a),
        "left_out": int((~there).sum()),
    }
