"""Thetas that change over a run: on every backend, by layer, resumed, recorded, in sweeps."""

import json
import re
from math import cos, pi

import numpy as np
import pytest
import torch
import xarray as xr

from plastic_core import PlasticError, RunSpec, Store, SweepSpec, initial_parameters, run, sweep
from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer
from plastic_core.cli import execute
from plastic_core.plan.plan import Replica, make_plan
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.results.cell import cell_of
from plastic_core.training.datasets import training_order
from plastic_core.training.task_data import Source
from tests.engine.trained_rules import killed_and_resumed
from tests.reference import slow

BASE = {"samples": 90, "evaluations": 3, "dtype": "float64", "options": {"sizes": [64, 12, 9, 10]}}
SETTINGS = {
    "bp": {"theta": "cosine(0.3)", "theta.readout": "linear(0.1)"},
    "oja": {"theta": "decay(0.02, 0.1)"},
}
BACKENDS = ["eager", "native", pytest.param("compiled", marks=pytest.mark.slow)]


class Two(Rule):
    """A rule with two thetas, one of which goes forward too."""

    spec = RuleSpec(
        name="two",
        summary="of a test",
        equation=r"a y x^\top + b y 1^\top",
        reference="none",
        modifies="forward",
        reads={"pre", "post", "z"},
        theta={"a": Theta(default=0.01), "b": Theta(default=0.01, min=None)},
    )

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.theta.a * s.post, s.pre) + outer(s.theta.b * s.post, torch.ones_like(s.pre))


def scaled(rule, by_layer):
    """Return the terms of a slow step: of a rule, times a theta that depends on the layer."""
    return lambda n: {name: by_layer(n) * one for name, one in rule(n).items()}


def learned_slowly(spec, terms_at, rules=()):
    """Return the weights of each seed after the run, by a loop; `terms_at` gives terms at k / n."""
    plan = make_plan(spec, Catalogue(rules=rules))
    data, _ = Source().of(plan)
    initial = initial_parameters(plan.circuit, spec.seed_list, dtype=torch.float64)
    n = -(-spec.samples // spec.batch_size)
    found = []
    for r, seed in enumerate(spec.seed_list):
        weights = [w[r].numpy().copy() for w in initial.weights]
        feedback = [np.zeros(w.shape[::-1]) for w in weights]
        order = training_order(seed, len(data.labels), spec.samples)
        for k in range(n):
            points = order[k * spec.batch_size : (k + 1) * spec.batch_size]
            xs, targets = data.inputs[points].astype(float), np.eye(10)[data.labels[points]]
            slow.step(weights, feedback, terms_at(k / n), xs, targets, "W")
        found.append(weights)
    return found


def assert_learned(result, wanted, rtol=1e-9):
    for r, weights in enumerate(wanted):
        for found, weight in zip(result.parameters.weights, weights, strict=True):
            np.testing.assert_allclose(found[r], weight, rtol=rtol, atol=1e-11)


def terms_at(x):
    def bp(n):
        return 0.1 * (1 - x) if len(n.y) == 10 else 0.3 * (1 + cos(pi * x)) / 2

    return [(scaled(slow.bp, bp), 1.0), (slow.oja, 0.02 * 0.1**x)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("seeds", "batch"), [(1, 1), (3, 4)])
def test_a_run_is_a_slow_loop_with_the_theta_of_each_update(backend, seeds, batch):
    spec = RunSpec(
        rule="bp+oja", settings=SETTINGS, seeds=seeds, batch_size=batch, backend=backend, **BASE
    )
    result = run(spec)
    assert result.record["backend"] == backend
    assert_learned(result, learned_slowly(spec, terms_at))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_rule_reads_thetas_as_they_are_at_the_update(backend):
    settings = {"two": {"theta.a": "cosine(0.002)", "theta.b": -0.0001}}
    spec = RunSpec(rule="0.1*bp + two", settings=settings, seeds=2, backend=backend, **BASE)
    result = run(spec, rules=[Two])
    assert result.record["backend"] == backend

    def terms(x):
        b = scaled(lambda n: {"W": np.outer(n.y, np.ones_like(n.x))}, lambda n: -0.0001)
        return [(slow.bp, 0.1), (slow.hebbian, 0.002 * (1 + cos(pi * x)) / 2), (b, 1.0)]

    assert_learned(result, learned_slowly(spec, terms, [Two]))
    # at the end of a cosine nothing is left of it
    assert not result.parameters.state["theta.two.a"].any()
    assert (result.parameters.state["theta.two.b"] == -0.0001).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_factor_of_1_changes_no_bit(backend):
    given = {**BASE, "seeds": 2, "backend": backend, "dtype": "float32"}
    settings = {"bp": {"theta": "decay(0.1, 1)"}, "oja": {"theta": 1e-3}}
    found = run(RunSpec(rule="bp+oja", settings=settings, **given)).parameters.weights
    plain = run(RunSpec(rule="0.1*bp + 0.001*oja", **given)).parameters.weights
    for one, other in zip(found, plain, strict=True):
        assert torch.equal(one, other)


def test_transforms_see_what_is_scheduled():
    given = {**BASE, "seeds": 2, "transforms": ("momentum",), "settings": SETTINGS}
    found = [run(RunSpec(rule="bp+oja", backend=b, **given)) for b in ("eager", "native")]
    for one, other in zip(*(result.parameters.weights for result in found), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backend", ["eager", "native"])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, monkeypatch, backend):
    settings = {**SETTINGS, "two": {"theta.a": "cosine(0.002)"}}
    spec = RunSpec(rule="bp+oja+two", settings=settings, seeds=2, backend=backend, **BASE)
    resumed = killed_and_resumed(spec, tmp_path, monkeypatch, rules=[Two])
    # where in C increments wait
    assert resumed.record["notes"][-1] == "resumed at sample 30"


def test_the_curves_hold_it_at_each_evaluation():
    curves = run(RunSpec(rule="bp+oja", settings=SETTINGS, seeds=1, **BASE)).curves
    assert curves["theta"].dims == ("theta_of", "step")
    assert curves["theta_of"].to_numpy().tolist() == ["bp", "bp.readout", "oja"]
    x = curves["step"].to_numpy() / 90
    wanted = [0.3 * (1 + np.cos(pi * x)) / 2, 0.1 * (1 - x), 0.02 * 0.1**x]
    np.testing.assert_allclose(curves["theta"], wanted, atol=1e-15)
    assert curves.attrs["rule"] == (
        "cosine(0.3)*bp (linear(0.1) in readout) + decay(0.02, 0.1)*oja"
    )


def test_probes_measure_the_update_that_follows():
    given = {**BASE, "seeds": 2, "probes": ("update-norm",), "samples": 2, "evaluations": 2}
    norms, always = (
        run(RunSpec(rule=rule, settings=settings, **given)).curves["update_norm"]
        for rule, settings in (("bp", {"bp": {"theta": "linear(0.1)"}}), ("0.1*bp", {}))
    )
    # after one update of two, of which the first is the same
    np.testing.assert_allclose(norms.isel(step=0), always.isel(step=0) / 2, rtol=1e-5)
    assert (norms.isel(step=1) == 0).all()


def test_without_a_schedule_nothing_of_it_is_written():
    plan = make_plan(RunSpec(rule="0.1*bp", **BASE), Catalogue())
    (rule,) = cell_of(plan, Replica(0, plan.thetas), "data").content["rules"]
    assert rule.keys() == {"name", "theta", "layers", "params"}
    assert not {"theta", "theta_of"} & run(plan.spec.model_copy(update={"seeds": 1})).curves.keys()


def test_the_record_names_it_and_repeats_it(tmp_path, capsys):
    command = ["run", "--rule", "bp + 1e-4*oja", "--samples", "40", "--seeds", "1", "--json"]
    command += ["--set", "bp.theta=cosine(0.1)", "--set", "bp.theta.readout=decay(0.05, 0.5)"]
    assert execute([*command, "--out", str(tmp_path / "a")]) == 0
    said = capsys.readouterr()
    assert "rule bp: theta cosine(0.1) (setting), readout decay(0.05, 0.5)\n" in said.err
    thetas = {"bp": "cosine(0.1)", "bp.readout": "decay(0.05, 0.5)", "oja": 1e-4}
    assert json.loads(said.out)["thetas"] == thetas
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    schedules = {"bp": "cosine(0.1)", "bp.readout": "decay(0.05, 0.5)"}
    assert [rule["schedules"] for rule in record["rules"]] == [schedules, {}]
    assert record["spec"]["settings"]["bp"]["theta"] == "cosine(0.1)"
    again = ["run", str(tmp_path / "a" / "run.json"), "--json", "--out", str(tmp_path / "b")]
    assert execute(again) == 0
    assert json.loads(capsys.readouterr().out)["score"] == json.loads(said.out)["score"]
    first, second = (xr.open_dataset(tmp_path / name / "curves.nc") for name in "ab")
    assert first.equals(second)
    assert "theta" in first


def test_a_sweep_varies_its_a_and_the_schedule(tmp_path):
    base = RunSpec(seeds=2, settings={"bp": {"theta": "decay(1, 0.5)"}}, **BASE)
    store = Store(tmp_path)
    result = sweep(SweepSpec(rules=("bp",), grid={"bp": [0.1, 0.2]}, base=base), store, workers=0)
    text = SweepSpec(
        rules=("bp",),
        grid={"bp": ["decay(0.1, 0.5)", "cosine(0.1)", 0.1]},
        base=RunSpec(seeds=2, **BASE),
    )
    again = sweep(text, store, workers=0)
    assert again.progress.found == 2
    arms = [*result.arms, *again.arms]
    assert [arm.arm.thetas["bp"] for arm in arms] == [0.1, 0.2, 0.1, 0.1, 0.1]
    settings = ["decay(0.1, 0.5)", "decay(0.2, 0.5)", "decay(0.1, 0.5)", "cosine(0.1)", 0.1]
    for theta, arm in zip(settings, arms, strict=True):
        spec = RunSpec(rule="bp", seeds=2, settings={"bp": {"theta": theta}}, **BASE)
        alone = run(spec).curves
        found = [one.scores for one in arm.results.values()]
        np.testing.assert_array_equal(found, alone["accuracy"])


def test_a_grid_may_hold_schedules(tmp_path, capsys):
    command = ["sweep", "--rule", "bp", "--grid", "bp=decay(0.1, 0.5),linear(0.2),0.1", "--seeds"]
    command += ["1", "--samples", "10", "--workers", "0", "--json", "--out", str(tmp_path / "s")]
    assert execute([*command, "--store", str(tmp_path / "store")]) == 0
    points = json.loads((tmp_path / "s" / "sweep.json").read_text())["arms"]
    assert [one["point"]["bp"] for one in points] == ["decay(0.1, 0.5)", "linear(0.2)", 0.1]
    assert [one["thetas"]["bp"] for one in points] == ["decay(0.1, 0.5)", "linear(0.2)", 0.1]
    capsys.readouterr()


def test_the_table_of_a_sweep_shows_the_schedule(tmp_path, capsys):
    command = ["sweep", "--rule", "bp", "--set", "bp.theta=cosine(1)", "--grid", "bp=0.1,0.2"]
    command += ["--set", "bp.theta.readout=linear(1)", "--grid", "bp.theta.readout=0.3", "--seeds"]
    command += ["1", "--samples", "10", "--workers", "0", "--out", str(tmp_path / "s")]
    assert execute([*command, "--store", str(tmp_path / "store")]) == 0
    shown = capsys.readouterr().out
    assert {"bp cosine(0.1)", "bp cosine(0.2)", "linear(0.3)"} <= set(
        re.split("  +|\n|readout ", shown)
    )


FORMS = "schedules are cosine(a), linear(a), decay(a, f)"
DECAY = "expected decay(a, f), numbers with f above 0 and at most 1, such as decay(0.1, 0.01)"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("cosine()", "expected cosine(a), a number, such as cosine(0.1)"),
        ("cosine(x)", "expected cosine(a), a number, such as cosine(0.1)"),
        ("linear(0.1, 2)", "expected linear(a), a number, such as linear(0.1)"),
        ("decay(0.1)", DECAY),
        ("decay(0.1, 0)", DECAY),
        ("decay(0.1, 2)", DECAY),
        ("cosin(0.1)", f"there is no schedule 'cosin'; did you mean 'cosine'?\n  {FORMS}"),
        ("warm(0.1)", f"there is no schedule 'warm'\n  {FORMS}"),
        ("cosine(-0.1)", "expected a finite number of at least 0"),
        ("cosine(nan)", "expected a finite number of at least 0"),
        ("cosine", "expected a finite number of at least 0"),
    ],
)
def test_what_is_no_schedule_is_refused(tmp_path, capsys, value, message):
    command = ["run", "--rule", "bp", "--out", str(tmp_path / "r")]
    assert execute([*command, "--set", f"bp.theta={value}"]) == 2
    assert capsys.readouterr().err == f"plastic: theta of 'bp' = {value!r}: {message}\n"
    assert execute([*command, "--set", f"bp.theta.1={value}"]) == 2
    assert capsys.readouterr().err == f"plastic: theta of 'bp.theta.1' = {value!r}: {message}\n"


def test_a_schedule_stays_within_the_bounds():
    class Bounded(Two):
        """A rule whose thetas stay above 0."""

        spec = Two.spec.model_copy(update={"theta": {"a": Theta(default=0.1, min=0.01, max=1)}})

    settings = {"two": {"theta.a": "decay(0.5, 0.001)"}}
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(rule="0.1*bp + two", settings=settings, seeds=1, **BASE), rules=[Bounded])
    assert str(caught.value) == (
        "theta of 'two.theta.a' = 'decay(0.5, 0.001)', which goes to 0.0005: expected a number "
        "from 0.01 to 1"
    )


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ["run", "--rule", "0.1*bp"],
            "theta of 'bp' is given twice: 0.1 in the expression and cosine(0.1) as a setting; "
            "keep one",
        ),
        (
            ["sweep", "--rule", "bp", "--grid", "bp=linear(0.1),0.2"],
            "theta of 'bp' is given twice: as an axis, and as another axis or a setting; keep one",
        ),
        (
            ["meta", "--rule", "bp"],
            "thetas over time (bp): each rule has one theta that is learned; begin at a number, "
            "such as 0.1",
        ),
    ],
)
def test_where_there_is_room_for_one_theta_alone(tmp_path, capsys, command, message):
    given = [*command, "--set", "bp.theta=cosine(0.1)", "--out", str(tmp_path / "r")]
    assert execute(given) == 2
    assert capsys.readouterr().err == f"plastic: {message}\n"
