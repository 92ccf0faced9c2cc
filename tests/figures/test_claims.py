"""Claims are judged by the interval of their differences over seeds."""

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from plastic_core import bootstrap_interval, permutation_test
from plastic_core.base.statistics import holm
from plastic_core.experiments.reproducing.claims import judge, judge_all
from plastic_core.experiments.reproducing.description import with_correction
from plastic_core.experiments.reproducing.figure_spec import ClaimSpec


def curves(values):
    """Return accuracies over (seed, step)."""
    data = np.asarray(values, float)
    steps = np.arange(1, data.shape[1] + 1) * 1000
    return xr.Dataset(
        {"accuracy": (("seed", "step"), data)}, {"seed": range(len(data)), "step": steps}
    )


CLAIM = {"text": "x", "measure": "accuracy", "network": "n", "arms": ("A", "B")}


@pytest.mark.parametrize(
    ("shift", "direction", "verdict", "wins"),
    [
        (0.1, "above", "holds", 20),
        (0.1, "below", "does not hold", 0),
        (-0.1, "below", "holds", 20),
        (0.002, "above", "weak", None),
    ],
)
def test_verdicts(shift, direction, verdict, wins):
    source = np.random.default_rng(1)
    noise = source.normal(0, 0.02, (20, 2)) * (0.1 if abs(shift) > 0.01 else 1)
    noise -= noise.mean(0)
    second = source.random((20, 2))
    results = {("n", "A"): curves(second + shift + noise), ("n", "B"): curves(second)}
    (one,) = judge(ClaimSpec(**CLAIM, direction=direction), results)
    assert one["verdict"] == verdict
    assert wins is None or one["wins"] == wins
    assert one["difference"] == pytest.approx(shift)
    low, high = bootstrap_interval(shift + noise[:, -1])
    assert (one["low"], one["high"]) == pytest.approx((low, high))


def test_a_claim_about_an_earlier_point_and_against_a_value():
    results = {("n", "A"): curves([[0.3, 0.9], [0.5, 0.9]])}
    claim = {**CLAIM, "arms": ("A",), "value": 0.6, "direction": "below"}
    (last,) = judge(ClaimSpec(**claim), results)
    assert (last["verdict"], last["first"], last["second"]) == ("does not hold", 0.9, 0.6)
    (early,) = judge(ClaimSpec(**claim, step=1000), results)
    assert (early["verdict"], early["difference"]) == ("holds", pytest.approx(-0.2))
    (between,) = judge(ClaimSpec(**claim, step=1700), results)
    why = "no evaluation after 1,700 points, but after 1000, 2000"
    assert (between["verdict"], between["why"]) == ("not judged", why)


def test_pairs_without_numbers_are_left_out_and_counted():
    results = {("n", "A"): curves([[np.nan], [0.5]]), ("n", "B"): curves([[0.1], [0.1]])}
    (one,) = judge(ClaimSpec(**CLAIM, direction="above"), results)
    assert (one["n"], one["left_out"], one["verdict"]) == (1, 1, "holds")
    results["n", "A"] = curves([[np.nan], [np.nan]])
    assert judge(ClaimSpec(**CLAIM, direction="above"), results) == [
        {"verdict": "does not hold", "n": 0, "left_out": 2}
    ]


def test_the_bootstrap_interval_is_that_of_scipy():
    values = np.random.default_rng(3).normal(1, 1, 20)
    low, high = bootstrap_interval(values, resamples=20_000)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, confidence_level=0.98, n_resamples=20_000, method="percentile", rng=0
    ).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_a_statement_about_several_networks_is_corrected_by_holm():
    source = np.random.default_rng(1)
    shifts = {"large": 0.1, "some": 0.012, "none": 0.0}
    results, claims = {}, []
    for network, shift in shifts.items():
        second = source.random((12, 1))
        noise = source.normal(0, 0.02, (12, 1))
        results[network, "A"] = curves(second + shift + noise - noise.mean())
        results[network, "B"] = curves(second)
        about = {**CLAIM, "network": network, "text": f"x of {network}", "family": "x of {network}"}
        claims.append(ClaimSpec(**about, direction="above"))
    claims.append(ClaimSpec(**{**CLAIM, "network": "large"}, direction="above"))
    *judged, alone = (claim["verdicts"][0] for claim in judge_all(claims, results))
    plain = [one["p"] for one in judged]
    for one, (network, shift) in zip(judged, shifts.items(), strict=True):
        differences = results[network, "A"]["accuracy"] - results[network, "B"]["accuracy"]
        assert one["p"] == permutation_test(differences.to_numpy()[:, -1]), network
        assert one["corrected"] == ("holds" if shift == 0.1 else "not shown")
    first, second, third = np.argsort(plain)
    assert judged[first]["p_holm"] == pytest.approx(3 * plain[first])
    assert judged[second]["p_holm"] == pytest.approx(max(3 * plain[first], 2 * plain[second]))
    assert judged[third]["p_holm"] >= judged[second]["p_holm"]
    assert "p_holm" not in alone
    assert judged[1]["verdict"] == "holds"  # alone it would hold
    assert with_correction(judged[1]) == "holds (corrected: not shown)"
    assert with_correction(judged[0]) == with_correction(alone) == "holds"


def test_the_correction_is_that_of_holm():
    """By hand: the least of four p values times 4, and so on, none less than the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
