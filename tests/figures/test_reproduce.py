"""The paper's figures by one command each: small versions of all, claims, and what is stored."""

import json
from importlib.resources import files
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from plastic_core import Arm, PlasticError, Progress, RunSpec, Store, bootstrap_interval, run
from plastic_core.cli import execute
from plastic_core.experiments.reproducing.figure_checks import run_spec_of
from plastic_core.experiments.reproducing.figure_files import FIGURES, read_figure
from plastic_core.experiments.reproducing.peers import train_batch_norm
from plastic_core.networks.initialisation import initial_weights
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.training.datasets import held_out_half, training_order
from plastic_core.training.task_data import data_of
from plastic_tasks.datasets import _torchvision_datasets
from tests.conftest import made_once
from tests.figures.conftest import SMALL

# Of different kinds, and soon drawn; all of them are made among the slow tests.
QUICK = ("fig1a", "fig2", "figS1")


def reproduced(name, figures, noise, tmp_path_factory):
    """Return the folder with figures and the store, and the reports by figure."""

    def make(folder):
        where = ["--data-dir", str(noise), "--store", str(folder / "store")]
        for figure in figures:
            command = ["reproduce", figure, *SMALL, *where, "--out", str(folder / "out")]
            assert execute(command) == 0

    folder = made_once(tmp_path_factory, name, make)
    files = {path.name: path / "claims.json" for path in (folder / "out").iterdir()}
    return folder, {figure: json.loads(file.read_text()) for figure, file in files.items()}


@pytest.fixture(scope="session")
def made(noise, tmp_path_factory):
    return reproduced("figures", QUICK, noise, tmp_path_factory)


@pytest.fixture(scope="session")
def all_made(noise, tmp_path_factory):
    return reproduced("all-figures", ["all"], noise, tmp_path_factory)


def verdict_of(claim, one, samples):
    """Return the verdict that the numbers beside it have, by its definition."""
    if claim.get("step", 0) > samples:
        return "not judged"
    if not one["n"]:
        return "does not hold"
    sign = {"above": 1, "below": -1}[claim["direction"]]
    if sign * one["low"] > 0 and sign * one["high"] > 0:
        return "holds"
    return "weak" if sign * one["difference"] > 0 else "does not hold"


@pytest.mark.parametrize("figure", QUICK)
def test_a_small_version_has_its_figure_and_all_its_claims(made, figure):
    assert_whole(*made, figure)


@pytest.mark.slow
@pytest.mark.parametrize("figure", FIGURES)
def test_a_small_version_of_each_has_its_figure_and_all_its_claims(all_made, figure):
    assert_whole(*all_made, figure)


def assert_whole(folder, reports, figure):
    found, spec = reports[figure], read_figure(figure)
    assert (folder / "out" / figure / f"{figure}.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / "out" / figure / f"{figure}.png").stat().st_size > 10_000
    assert found["small"] is True
    assert [claim["text"] for claim in found["claims"]] == [claim.text for claim in spec.claims]
    for claim in found["claims"]:
        network = spec.networks[claim["network"]]
        run_spec = run_spec_of(spec, network.options, network.arms[0])
        depth = make_plan(run_spec, Catalogue()).circuit.depth
        layers = claim.get("layers", range(1, depth + 1)) if claim["each_layer"] else [None]
        assert [one.get("layer") for one in claim["verdicts"]] == list(layers)
        for one in claim["verdicts"]:
            assert one["n"] + one["left_out"] == (0 if one["verdict"] == "not judged" else 2)
            assert one["verdict"] == verdict_of(claim, one, found["base"]["samples"])


def test_the_same_figure_again_trains_nothing_and_gives_the_same_numbers(
    made, noise, tmp_path, capsys
):
    folder, reports = made
    where = ["--data-dir", str(noise), "--store", str(folder / "store"), "--out", str(tmp_path)]
    assert execute(["reproduce", "fig2", *SMALL, *where, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["fig2"]
    assert (again["trained"], again["from_store"]) == (0, 8)
    assert again["claims"] == reports["fig2"]["claims"]


def test_the_numbers_of_a_claim_are_those_of_its_runs(made, noise):
    report, figure = made[1]["fig1a"], read_figure("fig1a")
    small = {"seeds": 2, "samples": 40}
    for claim in report["claims"]:
        network = figure.networks[claim["network"]]
        specs = {a.label: run_spec_of(figure, network.options, a) for a in network.arms}
        last = [
            run(specs[label].model_copy(update=small), data_dir=noise).curves["accuracy"][:, -1]
            for label in claim["arms"]
        ]
        [one] = claim["verdicts"]
        difference = (last[0] - last[1]).to_numpy()
        assert (one["first"], one["second"]) == pytest.approx([float(a.mean()) for a in last])
        assert one["difference"] == pytest.approx(difference.mean())
        assert (one["low"], one["high"]) == pytest.approx(bootstrap_interval(difference))
        sign = {"above": 1, "below": -1}[claim["direction"]]
        assert one["wins"] == (sign * difference > 0).sum()


@pytest.mark.slow
def test_figures_share_their_networks(all_made):
    trained = {figure: report["trained"] for figure, report in all_made[1].items()}
    # 5 networks, 2 arms, 2 seeds; Figure 5's control is the only one that it does not share
    own = ("tricks", "fig1a", "fig6gh", "fig7", "conv", "attention")  # have networks of their own
    assert sum(count for figure, count in trained.items() if figure not in own) == 20
    # 8 tricks on 3 networks, residual connections with and without Oja's rule; two initialisations
    # replace the naive one, so that these networks are those of 5 layers
    assert trained["tricks"] == 2 * (8 * 3 + 2 - 2)
    assert (trained["fig1b"], trained["fig5"]) == (0, 4)


def test_the_claims_agree_on_the_eager_backend(made, noise, tmp_path):
    where = ["--data-dir", str(noise), "--store", str(tmp_path / "store"), "--out", str(tmp_path)]
    assert execute(["reproduce", "figS1", *SMALL, *where, "--backend", "eager"]) == 0
    eager = json.loads((tmp_path / "figS1" / "claims.json").read_text())
    for ours, theirs in zip(made[1]["figS1"]["claims"], eager["claims"], strict=True):
        for one, other in zip(ours["verdicts"], theirs["verdicts"], strict=True):
            assert one["verdict"] == other["verdict"]
            assert one["difference"] == pytest.approx(other["difference"], rel=1e-3)


@pytest.mark.slow
def test_batch_normalisation_is_not_trained_again_and_is_in_the_same_form(
    all_made, noise, tmp_path
):
    folder, reports = all_made
    where = ["--data-dir", str(noise), "--store", str(folder / "store"), "--out", str(tmp_path)]
    assert execute(["reproduce", "tricks", *SMALL, *where]) == 0
    again = json.loads((tmp_path / "tricks" / "claims.json").read_text())
    assert (again["trained"], again["from_store"]) == (0, 2 * (10 * 3 + 4))
    assert again["claims"] == reports["tricks"]["claims"]


def test_batch_normalisation_equals_its_formulas():
    """The peer in float64 against means and variances written out, and plain gradient descent."""
    spec = RunSpec(
        rule="0.2*bp",
        seeds=2,
        samples=44,
        batch_size=8,
        evaluations=2,
        dtype="float64",
        options={"sizes": [64, 7, 6, 10]},
    )
    plan = make_plan(spec, Catalogue())
    data, _ = data_of(plan, None)
    with TemporaryDirectory() as folder:
        (result,) = train_batch_norm([Arm(spec.rule, {}, plan)], Store(folder), Progress(0), None)
    inputs, labels = torch.from_numpy(data.inputs).double(), torch.from_numpy(data.labels)
    held_out = [torch.from_numpy(a) for a in held_out_half(data, "report", spec.eval_samples)]

    def forward(x, parameters, statistics, running):
        weights, gains, biases = parameters
        for i, (gain, bias) in enumerate(zip(gains, biases, strict=True)):
            z = x @ weights[i].T
            mean, variance = running[i] if running else (z.mean(0), z.var(0, correction=0))
            statistics.append((z.mean(0).detach(), z.var(0).detach()))
            z = gain * (z - mean) / torch.sqrt(variance + 1e-5) + bias
            x = torch.logaddexp(10 * z, torch.zeros_like(z)) / 10
        return torch.log_softmax(x @ weights[-1].T, -1)

    for seed in (0, 1):
        weights = initial_weights(plan.network, seed)
        gains = [torch.ones(n, dtype=torch.float64) for n in (7, 6)]
        biases = [torch.zeros(n, dtype=torch.float64) for n in (7, 6)]
        parameters = weights, gains, biases
        running = [(bias.clone(), gain.clone()) for gain, bias in zip(gains, biases, strict=True)]
        order = torch.from_numpy(training_order(seed, len(labels), 44))
        losses = []
        for at, batch in enumerate(order.split(8), 1):
            flat = [p.requires_grad_() for group in parameters for p in group]
            now = []
            outputs = forward(inputs[batch], parameters, now, None)
            loss = -outputs[torch.arange(len(batch)), labels[batch]].mean()
            for p, gradient in zip(flat, torch.autograd.grad(loss, flat), strict=True):
                p.data -= 0.2 * gradient
            running = [
                tuple(0.9 * old + 0.1 * new for old, new in zip(*pair, strict=True))
                for pair in zip(running, now, strict=True)
            ]
            if at in (3, 6):  # 24 and 44 points
                outputs = forward(held_out[0].double(), parameters, [], running).detach()
                losses.append(-outputs[torch.arange(len(outputs)), held_out[1]].mean().item())
        assert result.results[seed].steps == (24, 44)
        np.testing.assert_allclose(result.results[seed].loss, losses, rtol=1e-10)


def test_every_stored_specification_can_be_run():
    for figure in map(read_figure, FIGURES):
        for network in figure.networks.values():
            for arm in network.arms:
                planned = make_plan(run_spec_of(figure, network.options, arm), Catalogue())
                for rule in planned.rules:
                    assert arm.thetas.get(rule.name, 1.0) == rule.theta
                for one in planned.transforms:
                    rate = arm.thetas.get(f"{one.entry.name}.rate")
                    assert rate is None or one.transform.params.rate == rate
        known = {
            (network, arm.label) for network, one in figure.networks.items() for arm in one.arms
        }
        for claim in figure.claims:
            assert (claim.network, claim.arms[0]) in known
            assert (claim.against or claim.network, claim.arms[-1]) in known
        for panel in figure.panels:
            for arm in [*(panel.arms or ()), *([panel.arm] if panel.arm else ())]:
                assert (panel.network, arm) in known


def test_settings_of_an_arm_are_those_of_its_run():
    figure = read_figure("fig6gh")
    ((_, network),) = figure.networks.items()
    made = {arm.label: run_spec_of(figure, network.options, arm) for arm in network.arms}
    printed = [spec.settings.get("b-update", {}).get("printed") for spec in made.values()]
    assert printed == [None, None, None, True]
    assert made["Eq. 9, printed B"].settings["b-update"]["theta"] == 0.001


def test_every_stored_theta_is_that_of_the_record_of_its_search():
    folder = files("plastic_core.experiments.reproducing") / "figures"
    kept = [
        choice
        for name in ("networks", "tricks", "fig1a", "fig6gh", "fig7", "conv", "attention")
        for choice in json.loads((folder / f"{name}.search.json").read_text())
    ]
    chosen = {(choice["network"], choice["arm"]): choice for choice in kept}
    assert len(chosen) == len(kept)
    for figure in map(read_figure, FIGURES):
        for name, network in figure.networks.items():
            for arm in network.arms:
                choice = chosen[network.thetas_of or name, arm.label]
                assert arm.thetas == pytest.approx(choice["thetas"], rel=1e-5)
                assert choice["grid"] == {
                    axis: arm.grid.get(axis) or figure.grid[axis] for axis in arm.thetas
                }


def test_several_small_figures_need_no_process_to_start(noise, tmp_path, monkeypatch, capsys):
    def refuse(**_):
        raise AssertionError("workers were started")

    monkeypatch.setattr("distributed.LocalCluster", refuse)
    where = ["--data-dir", str(noise), "--store", str(tmp_path / "store"), "--out", str(tmp_path)]
    small = [flag for flag in SMALL if flag not in ("--workers", "0")]
    assert execute(["reproduce", "fig1a", "fig1b", *small, *where, "--json"]) == 0
    assert [*json.loads(capsys.readouterr().out)] == ["fig1a", "fig1b"]
    assert {"fig1a", "fig1b"} <= {folder.name for folder in tmp_path.iterdir()}


def test_bad_input_is_explained(tmp_path, capsys):
    with pytest.raises(PlasticError) as caught:
        read_figure("fig9")
    assert str(caught.value) == (
        "there is no figure 'fig9'; did you mean 'fig8'?\n"
        "  there are attention, conv, fig1a, fig1b, fig2, fig3, fig4, fig5, fig6, fig6gh, fig7, fig8, figS1, metagrid, tricks; 'all' makes those of the paper but fig8, metagrid"
    )
    assert execute(["reproduce", "fig9"]) == 2
    assert capsys.readouterr().err == f"plastic: {caught.value}\n"
    assert execute(["reproduce", "fig2", "fig9"]) == 2  # before anything is trained
    assert capsys.readouterr().err == f"plastic: {caught.value}\n"
    assert execute(["reproduce"]) == 2
    expected = (
        "plastic: reproduce: name a figure, such as fig1b, or several\n  there are attention, "
    )
    assert capsys.readouterr().err.startswith(expected)
    assert execute(["reproduce", "fig2", "--workers", "-1"]) == 2
    assert capsys.readouterr().err == "plastic: --workers -1: expected 0 to 1024\n"
    assert execute(["reproduce", "fig2", "--seeds", "0"]) == 2
    assert "seeds = 0" in capsys.readouterr().err
    assert execute(["reproduce", "fig2", "--record", "x.json"]) == 2
    expected = "plastic: --record x.json: there is no search to record; add --search\n"
    assert capsys.readouterr().err == expected
    (tmp_path / "no record").write_text('{"a": 1}')
    command = ["reproduce", "fig2", "--search", "--record", str(tmp_path / "no record")]
    assert execute(command) == 2
    assert f"{tmp_path / 'no record'}: is no record of a search (" in capsys.readouterr().err
    assert execute(["reproduce", "tricks", *SMALL[:3], "--samples", "33"]) == 2
    assert "batch normalisation needs two points in each batch" in capsys.readouterr().err


def test_without_data_nothing_else_is_used(tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(_torchvision_datasets().MNIST, "download", refuse)
    (tmp_path / "data").write_text("a file, so that nothing can be put there")
    where = ["--data-dir", str(tmp_path / "data"), "--store", str(tmp_path / "store")]
    assert execute(["reproduce", "fig1a", *SMALL, *where, "--out", str(tmp_path / "out")]) == 2
    assert "plastic: " in capsys.readouterr().err
    assert not (tmp_path / "out" / "fig1a" / "claims.json").exists()
