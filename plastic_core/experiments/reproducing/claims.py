"""A claim judged: the paired difference over seeds, its interval, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from plastic_core.base.errors import PlasticError, did_you_mean, listing
from plastic_core.base.statistics import bootstrap_interval, holm, permutation_test
from plastic_core.experiments.reproducing.figure_spec import ClaimSpec
from plastic_core.experiments.reproducing.measures import MEASURES, measured

if TYPE_CHECKING:
    import xarray as xr

#: The verdict on a claim about points that were not trained.
NOT_JUDGED: Final = "not judged"

Results = Mapping[tuple[str, str], "xr.Dataset"]


# Of the corrected verdicts, as the intervals are of 98%.
_LEVEL: Final = 0.02


def check(claim: ClaimSpec, results: Results) -> None:
    """Refuse a claim about what is not measured.

    Args:
        claim: what is said.
        results: curves by network and label of the arm, with or without numbers.

    Raises:
        PlasticError: an arm has no such number, or not for each layer.
    """
    where, sizes = f"the claim '{claim.text}': {claim.measure}", []
    networks = (claim.network, claim.against or claim.network)
    for network, arm in zip(networks, claim.arms, strict=False):
        curves = results[network, arm]
        try:
            values = measured(claim.measure, curves)
        except KeyError:
            names = {*map(str, curves.data_vars), *MEASURES}
            raise PlasticError(
                f"{where}: {network}, {arm} has no such measure"
                f"{did_you_mean(claim.measure, names)}\n"
                f"  it has {listing(map(str, curves.data_vars))}; what a probe measures is there "
                "where base.probes names it"
            ) from None
        beside = {*map(str, values.dims)} - {"seed", "step", "layer"}
        if claim.part is not None and "part" in beside:
            check_part(f"the claim '{claim.text}'", claim.part, values)
            beside -= {"part"}
        if beside:
            raise PlasticError(
                f"{where} has the dimension {listing(beside)}; a claim is about one number, or one "
                "of each layer"
            )
        layers = values["layer"].to_numpy().tolist() if "layer" in values.dims else []
        if (claim.each_layer and not layers) or {*(claim.layers or ())} - {*layers}:
            has = f"the layers {', '.join(map(str, layers))}" if layers else "no layers"
            raise PlasticError(f"{where} has {has}; correct each_layer and layers")
        sizes.append(len(claim.layers or layers))
    if len({*sizes}) > 1:
        raise PlasticError(
            f"{where} has {' and '.join(map(str, sizes))} layers in the two networks; name by "
            "layers those that are compared"
        )


def check_part(where: str, part: str, values: xr.DataArray) -> None:
    """Refuse a part of the data that there is not.

    Raises:
        PlasticError: naming those that there are.
    """
    parts = values["part"].to_numpy().tolist()
    if part not in parts:
        raise PlasticError(f"{where}: there is no part {part!r}; there are {listing(parts)}")


def judge_all(claims: Sequence[ClaimSpec], results: Results) -> list[dict[str, Any]]:
    """Return the claims, each with its verdicts.

    Where one statement is judged several times, in networks or layers, each verdict has beside it
    what is left of it after Holm's correction for all of them: "holds" where the corrected p value
    of the permutation test is at most 2%.

    Args:
        claims: of a figure.
        results: curves by network and label of the arm.
    """
    judged = [judge(claim, results) for claim in claims]
    families: dict[str, list[dict[str, Any]]] = {}
    for claim, verdicts in zip(claims, judged, strict=True):
        families.setdefault(claim.family or claim.text, []).extend(v for v in verdicts if v["n"])
    for verdicts in families.values():
        if len(verdicts) > 1:
            for one, p in zip(verdicts, holm([v["p"] for v in verdicts]), strict=True):
                one["p_holm"] = p
                holds = one["verdict"] == "holds" and p <= _LEVEL
                one["corrected"] = "holds" if holds else "not shown"
    return [
        {**claim.model_dump(mode="json", exclude_none=True), "verdicts": verdicts}
        for claim, verdicts in zip(claims, judged, strict=True)
    ]


def judge(claim: ClaimSpec, results: Results) -> list[dict[str, Any]]:
    """Return the verdicts on a claim, one for each layer where it is about each.

    Args:
        claim: what is said.
        results: curves by network and label of the arm.
    """
    networks = (claim.network, claim.against or claim.network)
    curves = [results[where] for where in zip(networks, claim.arms, strict=False)]
    for one in curves:
        steps = one["step"].to_numpy().tolist()
        if claim.step is not None and claim.step not in steps:
            why = f"no evaluation after {claim.step:,} points, but after {listing(map(str, steps))}"
            if claim.step > steps[-1]:  # of a small version
                why = "training ended before"
            return [{"verdict": NOT_JUDGED, "why": why, "n": 0, "left_out": 0}]
    first = _values(claim, curves[0])
    if claim.value is None:
        second = _values(claim, curves[1])
    else:
        second = first.copy(data=np.full(first.shape, claim.value))
    if not claim.each_layer:
        return [_verdict(claim, first, second)]
    return [
        {"layer": layer, **_verdict(claim, first.sel(layer=layer), second.sel(layer=layer))}
        for layer in first["layer"].to_numpy().tolist()
    ]


def _values(claim: ClaimSpec, curves: xr.Dataset) -> xr.DataArray:
    """Return what is claimed about, over seed and perhaps layer."""
    values = measured(claim.measure, curves)
    if claim.part is not None and "part" in values.dims:
        values = values.sel(part=claim.part)
    if claim.layers is not None:
        values = values.sel(layer=[*claim.layers])
    if "step" not in values.dims:
        return values
    if claim.step is None:
        return values.isel(step=-1)
    return values.sel(step=claim.step)


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
        "p": permutation_test(differences),
        "wins": int((sign * differences > 0).sum()),
        "n": len(a),
        "left_out": int((~there).sum()),
    }
