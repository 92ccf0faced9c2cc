"""Stages: one rule after the other, and the same rule on some classes after others."""

import json

import numpy as np
import pytest

from plastic_core import PlasticError, RunSpec, SweepSpec, load, run, sweep
from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer
from plastic_core.cli import execute
from plastic_core.results import result_folder
from plastic_core.results.store import Store
from tests.engine.staged import SMALL, assert_same, spec_of, weights_of


class Jitter(Rule):
    """Learns by noise, whose numbers are counted."""

    spec = RuleSpec(
        name="jitter",
        summary="noise by what comes in",
        equation="n x",
        reference="none",
        modifies="forward",
        reads={"pre"},
        theta=Theta(default=1e-3),
        noise={"post"},
    )

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.noise.post, s.pre)


@pytest.mark.parametrize("backend", ["native", "eager"])
@pytest.mark.parametrize(
    ("rule", "batch"),
    [("0.01*bp + 1e-3*oja", 1), ("0.01*fa", 3), ("0.01*kolen-pollack", 1), ("0.01*bp+jitter", 1)],
)
def test_two_stages_of_one_rule_are_one_run(rule, batch, backend):
    shared = {"batch_size": batch, "backend": backend}
    whole = run(RunSpec(rule=rule, samples=480, **SMALL, **shared), rules=[Jitter])
    stages = run(spec_of("288", "192", rule=rule, **shared), rules=[Jitter])
    assert_same(weights_of(stages), weights_of(whole))
    last = [one.curves["accuracy"].values[:, -1] for one in (whole, stages)]
    np.testing.assert_array_equal(*last)


@pytest.mark.parametrize("transforms", [(), ("momentum",)])
def test_stages_are_runs_that_learn_on(tmp_path, transforms):
    fields = {**SMALL, "transforms": transforms}
    first = RunSpec(rule="0.01*fa + 1e-3*oja", samples=240, **fields)
    run(first, out=tmp_path / "first")
    on = RunSpec(rule="0.02*bp", samples=150, parent=str(tmp_path / "first"), **fields)
    on = on.model_copy(update={"settings": {"bp": {"layers": "3"}}})
    chain = weights_of(run(on))
    staged = spec_of("0.01*fa + 1e-3*oja: 240", "0.02*bp.layers=3: 150", transforms=transforms)
    result = weights_of(run(staged))
    for name, value in chain.items():
        np.testing.assert_array_equal(value, result[name], name)


def test_layers_of_a_stage():
    one = weights_of(run(spec_of("0.01*oja: 100", readout="none")))
    both = run(spec_of("0.01*oja: 100", "bp.layers=3: 80"))
    after = weights_of(both)
    for name in ("weight.1", "weight.2"):
        np.testing.assert_array_equal(after[name], one[name])
    assert (after["weight.3"] != one["weight.3"]).any()
    assert [rule["layers"] for rule in both.record["rules"]] == [[3]]
    assert [
        (one["rule"], one["first"], one["last"], one["classes"]) for one in both.record["stages"]
    ] == [("0.01*oja", 0, 100, ""), ("bp", 100, 180, "")]
    assert both.curves.attrs["rule"] == "0.01*oja then 0.005*bp"
    assert both.curves["step"].values.tolist() == [60, 100, 120, 180]
    assert both.curves["stage"].values.tolist() == [1, 1, 2, 2]
    assert both.summary["rule"] == "0.01*oja then bp"


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_a_run_that_was_stopped_goes_on(tmp_path, monkeypatch, stop):
    monkeypatch.setattr(result_folder, "_FIRST_CHECKPOINT", 0.0)
    monkeypatch.setattr(result_folder, "_CHECKPOINT_SHARE", float("inf"))
    spec = spec_of(
        "0.01*fa + 1e-3*oja: 200",
        "bp: 170 on 0-4",
        "bp: 90",
        settings={"bp": {"theta": "cosine(0.02)"}},
        transforms=("adam",),
        evaluations=5,
    )
    whole = run(spec, out=tmp_path / "whole")

    def end(curves):
        if curves.done == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(spec, out=tmp_path / "run", on_point=end)
    again = run(spec, out=tmp_path / "run", resume=True)
    assert any(note.startswith("resumed at sample") for note in again.summary["notes"])
    np.testing.assert_array_equal(again.curves["accuracy"], whole.curves["accuracy"])
    assert_same(weights_of(again), weights_of(whole))
    assert_same(load(tmp_path / "run").networks.weights, load(tmp_path / "whole").networks.weights)


def test_a_schedule_is_of_its_stage():
    spec = spec_of("0.01*oja: 100", "bp: 200", settings={"bp": {"theta": "linear(0.02)"}})
    after = weights_of(run(spec))
    constant = weights_of(run(spec.model_copy(update={"settings": {"bp": {"theta": 0.02}}})))
    assert any((after[name] != constant[name]).any() for name in after)
    record = run(spec).record["stages"][1]["rules"][0]
    assert record["schedules"] == {"bp": "linear(0.02)"}


def test_a_network_that_diverged_stays_so():
    result = run(spec_of("1000*hebbian: 60", "0.001*bp: 60"))
    assert (result.curves["diverged_at"] >= 0).all()
    assert result.summary["score"]["mean"] == 0.1


def test_what_is_judged_by_a_readout():
    told = run(spec_of("0.01*oja: 60", "bp.layers=3: 60")).summary["notes"]
    assert not any("readout" in note for note in told)
    notes = run(spec_of("0.01*oja: 60", "0.001*hebbian: 60")).summary["notes"]
    assert any(
        note.startswith("no rule of '0.01*oja then 0.001*hebbian' is told what is right")
        for note in notes
    )


def test_samples_are_divided_among_stages():
    spec = RunSpec(stages=("0.01*oja: 3000", "bp: 2000"), samples=500)
    assert [stage.samples for stage in spec.stages] == [300, 200]
    assert RunSpec(stages=("3000", "2000")).samples == 5000


def test_a_record_repeats_and_the_store_tells_stages_apart(tmp_path):
    store = Store(tmp_path / "store")
    spec = spec_of("0.01*oja: 60", "bp.layers=3: 60 on 0-4")
    first = run(spec, out=tmp_path / "run", store=store)
    again = RunSpec.from_file(tmp_path / "run" / "run.json")
    assert run(again, store=store, reuse=True).record["backend_reason"] == "from the store"
    assert run(again).summary["score"] == first.summary["score"]
    for other in (
        spec_of("0.02*oja: 60", "bp.layers=3: 60 on 0-4"),
        spec_of("0.01*oja: 50", "bp.layers=3: 70 on 0-4"),
        spec_of("0.01*oja: 60", "bp.layers=3: 60 on 0-5"),
        spec_of("0.01*oja: 60", "bp.layers=2-3: 60 on 0-4"),
    ):
        made = run(other, store=store, reuse=True)
        assert made.record["backend_reason"] != "from the store"
    on = run(spec_of("bp: 40", "50 on 0-4", rule="bp", parent=str(tmp_path / "run")))
    assert on.record["parent"]["samples"] == 120


def test_sweeps_have_stages(tmp_path):
    base = spec_of("60", "0.01*bp: 60 on 0-4")
    spec = SweepSpec(rules=("0.01*bp", "oja+bp"), grid={"oja": (1e-3, 1e-2)}, base=base)
    result = sweep(spec, Store(tmp_path), workers=0)
    assert [arm.arm.point for arm in result.arms] == [{}, {"oja": 1e-3}, {"oja": 1e-2}]
    alone = run(base.model_copy(update={"rule": "oja+bp", "settings": {"oja": {"theta": 1e-2}}}))
    found = [one.scores[-1] for one in result.arms[2].results.values()]
    assert found == alone.summary["score"]["per_seed"]
    names = SweepSpec(rules=("0.01*bp",), grid={"oja": (0.1, 0.2)}, base=spec_of("oja: 30", "30"))
    first, second = sweep(names, Store(tmp_path), workers=0).arms
    assert first.cells[0].key != second.cells[0].key


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"stages": ("0.01*oja",)},
            "RunSpec: stages.0 = '0.01*oja': expected RULE: SAMPLES on CLASSES, such as "
            "'0.01*oja: 3000', 'bp.layers=5: 2000' or '3000 on 0-4'",
        ),
        (
            {"stages": ("bp: 0",)},
            "RunSpec: stages.0: samples = 0: input should be greater than 0",
        ),
        (
            {"stages": ("bp: 10", "oja: 10"), "samples": 1},
            "RunSpec: samples = 1: there are 2 stages; give one to each",
        ),
        (
            {"stages": ("bp: 10 on 0\r1",)},
            "stages: 'on 0\r1': '0\\r1' is no list of names by commas: a line ends in it, or a quote is "
            "not closed; there are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        ),
        (
            {"stages": ("bp: 10", "20 on 0-4")},
            "stages.1: has no rule, and others have one of their own; write it, or by rule one for "
            "all stages without",
        ),
        (
            {"stages": ("bp: 10",), "rule": "oja"},
            "RunSpec: rule = 'oja': each stage has a rule of its own; leave one out",
        ),
        (
            {"stages": ("bp: 10 on 7-12",)},
            "stages: 'on 7-12': nothing is called '7-12'; there are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        ),
        (
            {"stages": ("fa: 10", "dfa: 10")},
            "stages: their rules have feedback of two kinds, layer, output; a network has matrices "
            "of one kind",
        ),
        (
            {"stages": ("bp: 10",), "settings": {"fa": {"theta": 1}}},
            "setting of 'fa': it is no rule, transform or probe of this run\n  this run has bp",
        ),
    ],
)
def test_what_is_wrong_is_explained(fields, message):
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(**{**SMALL, **fields}))
    assert str(caught.value) == message


def test_the_command_takes_stages(tmp_path, capsys):
    out, sizes = str(tmp_path / "run"), ["--sizes", "64,20,10", "--seeds", "2"]
    stages = ["--stage", "0.01*oja: 60", "--stage", "bp.layers=2: 60 on 0, 3-5"]
    assert execute(["run", *stages, *sizes, "--out", out]) == 0
    said = capsys.readouterr().err
    assert "stage 1: 60 points\nrule oja: theta 0.01 (expression)\n" in said
    assert "stage 2: 60 points of 0, 3-5\nrule bp: theta" in said
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [stage["classes"] for stage in record["spec"]["stages"]] == ["", "0, 3-5"]
    assert execute(["run", "--resume", *stages, *sizes, "--out", out]) == 0
    page = tmp_path / "report.html"
    assert execute(["report", out, "--out", str(page)]) == 0
    text = page.read_text()
    assert "0.01*oja then bp on digits-mlp" in text
    assert "<td>60 to 120</td><td>0, 3-5</td>" in text


@pytest.mark.parametrize("text", ["0.001*oja 30", "bp: 1e3", "bp: -5", "500 on", "", "bp"])
@pytest.mark.parametrize("command", ["run", "sweep"])
def test_the_command_says_how_a_stage_is_written(command, text, capsys):
    assert execute([command, "--stage", text, "--stage", "30"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == (
        "",
        f"plastic: stages.0 = {text!r}: expected RULE: SAMPLES on CLASSES, such as '0.01*oja: 3000', "
        "'bp.layers=5: 2000' or '3000 on 0-4'\n",
    )


def test_settings_of_a_stage_are_of_its_rules():
    stages = [{"rule": "bp", "samples": 10, "settings": {"momentum": {"beta": 0.1}}}]
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(stages=stages, transforms=("momentum",), **SMALL))
    assert str(caught.value) == (
        "stages: settings of momentum in a stage, whose rules are bp; those of transforms and "
        "probes are for the whole run"
    )


def test_probes_of_each_rule_need_the_same_rules():
    stages = ("0.001*oja: 40", "0.02*bp: 40")
    with pytest.raises(PlasticError, match=r"^the probe 'update-norm' measures each rule, and the"):
        run(spec_of(*stages, probes=("update-norm",)))
    measured = run(spec_of(*stages, probes=("all",)))
    assert "weight_norm" in measured.curves
    assert "rule" not in measured.curves.coords
    assert "update-norm" not in measured.spec.probes
    same = run(spec_of("40", "40 on 0-4", rule="bp+oja", probes=("update-norm",)))
    assert same.curves["rule"].values.tolist() == ["bp", "oja"]


def test_a_run_learns_on_in_stages(tmp_path, capsys):
    first, more = str(tmp_path / "first"), str(tmp_path / "more")
    small = ["--sizes", "64,20,10", "--seeds", "2"]
    command = ["run", "--rule", "0.001*oja", "--samples", "90", *small, "--out", first]
    assert execute(command) == 0
    on = ["run", "--from", first, "--stage", "bp: 50 on 0-4", "--stage", "oja: 30"]
    assert execute([*on, "--out", more]) == 0
    stages = load(more).record["stages"]
    assert [(one["rule"], one["first"], one["last"]) for one in stages] == [
        ("bp", 0, 50),
        ("oja", 50, 80),
    ]
    last = str(tmp_path / "last")
    assert execute(["run", "--from", more, "--rule", "bp", "--samples", "40", "--out", last]) == 0
    record = load(last).record
    assert (record["parent"]["samples"], record["spec"]["samples"]) == (170, 40)
    assert "stages" not in record
    capsys.readouterr()


def test_rules_of_all_stages_are_chosen(tmp_path, capsys):
    out, store = str(tmp_path / "sweep"), ["--store", str(tmp_path / "store")]
    flags = ["--sizes", "64,20,10", "--seeds", "2", "--evaluations", "1", "--workers", "0"]
    stages = ["--stage", "oja: 30", "--stage", "bp: 30"]
    grid = ["--grid", "bp=0.01,0.02", "--grid", "oja=1e-4,1e-3"]
    assert execute(["sweep", *stages, *grid, *flags, *store, "--out", out]) == 0
    capsys.readouterr()
    assert execute(["compare", out, *store, "--json", "--workers", "0"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rules"]
    assert (row["rule"], row["tried"]) == ("oja then bp", 4)
    assert row["thetas"].keys() == {"oja", "bp"}
