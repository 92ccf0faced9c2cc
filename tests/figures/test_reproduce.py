"""The paper's figures by one command each: small versions of all, claims, and what is stored."""

import itertools
import json

import numpy as np
import pytest
import scipy.stats
import xarray as xr

from plastic_core import PlasticError, RunSpec
from plastic_core.catalogue import Catalogue
from plastic_core.cli import execute
from plastic_core.plan import make_plan
from plastic_core.reproducing.claims import judge
from plastic_core.reproducing.figure_spec import FIGURES, ClaimSpec, read_figure
from plastic_core.statistics import bootstrap_interval
from tests.conftest import write_idx

SMALL = ["--quick", "--seeds", "2", "--samples", "40", "--workers", "0"]


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Return a data folder with images of noise in MNIST's format."""
    folder = tmp_path_factory.mktemp("data")
    source = np.random.default_rng(0)
    for prefix, count in (("train", 60), ("t10k", 200)):
        raw = folder / "MNIST" / "raw"
        write_idx(raw / f"{prefix}-images-idx3-ubyte", source.integers(0, 256, (count, 28, 28)))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", source.integers(0, 10, count))
    return folder


@pytest.fixture(scope="module")
def made(noise, tmp_path_factory):
    """Return the folder with all figures and the store, and the reports by figure."""
    folder = tmp_path_factory.mktemp("figures")
    where = ["--data-dir", str(noise), "--store", str(folder / "store")]
    assert execute(["reproduce", "all", *SMALL, *where, "--out", str(folder / "out")]) == 0
    files = {figure: folder / "out" / figure / "claims.json" for figure in FIGURES}
    return folder, {figure: json.loads(file.read_text()) for figure, file in files.items()}


@pytest.mark.parametrize("figure", FIGURES)
def test_a_small_version_has_its_figure_and_all_its_claims(made, figure):
    folder, reports = made
    found, spec = reports[figure], read_figure(figure)
    assert (folder / "out" / figure / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / "out" / figure / f"{figure}.png").stat().st_size > 10_000
    assert found["small"] is True
    assert [claim["text"] for claim in found["claims"]] == [claim.text for claim in spec.claims]
    for claim in found["claims"]:
        depth = 5 if claim["network"].startswith("5") else 10
        layers = claim.get("layers", range(1, depth + 1)) if claim["each_layer"] else [None]
        assert [one.get("layer") for one in claim["verdicts"]] == list(layers)
        for one in claim["verdicts"]:
            assert one["verdict"] in ("holds", "weak", "does not hold")
            assert one["n"] + one["left_out"] == 2


def test_the_same_figure_again_trains_nothing_and_gives_the_same_numbers(
    made, noise, tmp_path, capsys
):
    folder, reports = made
    where = ["--data-dir", str(noise), "--store", str(folder / "store"), "--out", str(tmp_path)]
    assert execute(["reproduce", "fig2", *SMALL, *where, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["fig2"]
    assert (again["trained"], again["from_store"]) == (0, 8)
    assert again["claims"] == reports["fig2"]["claims"]


def test_figures_share_their_networks(made):
    trained = {figure: report["trained"] for figure, report in made[1].items()}
    # 5 networks, 2 arms, 2 seeds; Figure 5's control is the only one that it does not share
    assert sum(trained.values()) == 20
    assert (trained["fig1a"], trained["fig1b"], trained["fig5"]) == (0, 0, 4)


def test_the_claims_agree_on_the_eager_backend(made, noise, tmp_path):
    where = ["--data-dir", str(noise), "--store", str(tmp_path / "store"), "--out", str(tmp_path)]
    assert execute(["reproduce", "figS1", *SMALL, *where, "--backend", "eager"]) == 0
    eager = json.loads((tmp_path / "figS1" / "claims.json").read_text())
    for ours, theirs in zip(made[1]["figS1"]["claims"], eager["claims"], strict=True):
        for one, other in zip(ours["verdicts"], theirs["verdicts"], strict=True):
            assert one["verdict"] == other["verdict"]
            assert one["difference"] == pytest.approx(other["difference"], rel=1e-3)


def test_thetas_are_searched_anew_and_the_record_is_kept(noise, tmp_path, monkeypatch):
    def with_a_small_grid(name):
        grid = {"bp": "0.01,0.02", "oja": "1e-4,1e-3"}
        return read_figure(name).model_copy(update={"grid": grid})

    monkeypatch.setattr("plastic_core.reproducing.figure_spec.read_figure", with_a_small_grid)
    where = ["--data-dir", str(noise), "--store", str(tmp_path / "store"), "--out", str(tmp_path)]
    assert execute(["reproduce", "fig1a", *SMALL, *where, "--search"]) == 0
    found = json.loads((tmp_path / "fig1a" / "claims.json").read_text())
    bp, both = found["search"]
    assert (bp["rule"], bp["points"], both["rule"], both["points"]) == ("bp", 2, "oja+bp", 4)
    arms = found["networks"]["5 layers"]["arms"]
    assert [arm["thetas"] for arm in arms] == [bp["thetas"], both["thetas"]]
    assert both["thetas"]["oja"] in (1e-4, 1e-3)


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


def test_every_stored_specification_can_be_run():
    for figure in map(read_figure, FIGURES):
        for network in figure.networks.values():
            for arm in network.arms:
                thetas = {rule: {"theta": theta} for rule, theta in arm.thetas.items()}
                settings = {**figure.base.get("settings", {}), **thetas}
                fields = {**figure.base, "options": network.options, "settings": settings}
                planned = make_plan(RunSpec(rule=arm.rule, **fields), Catalogue()).rules
                assert {rule.name: rule.theta for rule in planned} == arm.thetas
        known = set(itertools.product(figure.networks, ("BP", "BP+Oja")))
        for claim in figure.claims:
            assert (claim.network, claim.arms[0]) in known
            assert (claim.against or claim.network, claim.arms[-1]) in known
        for panel in figure.panels:
            assert panel.arm is None or (panel.network, panel.arm) in known


def test_bad_input_is_explained(tmp_path, capsys):
    with pytest.raises(PlasticError) as caught:
        read_figure("fig9")
    assert str(caught.value) == (
        "there is no figure 'fig9'; did you mean 'fig2' or 'fig3' or 'fig4' or 'fig5' or 'fig6'?\n"
        "  there are fig1a, fig1b, fig2, fig3, fig4, fig5, fig6, figS1; 'all' makes all of them"
    )
    assert execute(["reproduce", "fig9"]) == 2
    assert capsys.readouterr().err == f"plastic: {caught.value}\n"
    assert execute(["reproduce", "fig2", "--workers", "-1"]) == 2
    assert capsys.readouterr().err == "plastic: --workers -1: expected 0 to 1024\n"
    assert execute(["reproduce", "fig2", "--seeds", "0"]) == 2
    assert "seeds = 0" in capsys.readouterr().err


def test_without_data_nothing_else_is_used(tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.MNIST.download", refuse, raising=False)
    (tmp_path / "data").write_text("a file, so that nothing can be put there")
    where = ["--data-dir", str(tmp_path / "data"), "--store", str(tmp_path / "store")]
    assert execute(["reproduce", "fig1a", *SMALL, *where, "--out", str(tmp_path / "out")]) == 2
    assert "plastic: " in capsys.readouterr().err
    assert not (tmp_path / "out" / "fig1a" / "claims.json").exists()
