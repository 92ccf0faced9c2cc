"""Claims are judged by the interval of their differences over seeds."""

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from plastic_core import bootstrap_interval
from plastic_core.experiments.reproducing.claims import judge
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
