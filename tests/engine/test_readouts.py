"""Readouts: what networks are judged by where no rule is told what is right."""

import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from plastic_core import RunSpec, SearchSpec, SweepSpec, load, run, search, sweep
from plastic_core.api import (
    Dataset,
    NetworkOptions,
    NetworkSpec,
    Rule,
    RuleSpec,
    Task,
    TaskSpec,
    Theta,
    hookimpl,
    outer,
)
from plastic_core.cli import execute
from plastic_core.experiments.searching.search_spec import Range
from plastic_core.results.store import Store
from plastic_core.training.datasets import held_out_half
from plastic_tasks.datasets import load_digits

DIGITS = load_digits()
ALL = len(DIGITS.labels)
LINEAR = {"samples": 300, "evaluations": 2, "seeds": 2, "readout_samples": ALL}


def ridge():
    return make_pipeline(StandardScaler(), RidgeClassifier())


def spec_of(rule="0.001*oja", sizes=(64, 20, 15, 10), **fields):
    return RunSpec(rule=rule, options={"sizes": list(sizes)}, **{**LINEAR, **fields})


def reported():
    return held_out_half(DIGITS, "report", 2000)


@pytest.mark.parametrize(
    ("kind", "model"), [("linear", ridge), ("knn", lambda: KNeighborsClassifier(5))]
)
def test_on_raw_pixels_a_readout_is_as_good_as_scikit_learn(kind, model):
    spec = spec_of("0*oja", (64, 10), seeds=1, readout=kind, dtype="float64")
    points, labels = reported()
    theirs = model().fit(DIGITS.inputs.astype(float), DIGITS.labels).score(points, labels)
    assert run(spec).summary["score"]["mean"] == theirs


class Constant(Task[NetworkOptions]):
    """Points with a column that is constant where networks train, and another where they do not."""

    spec = TaskSpec(name="constant", summary="a constant column", options=NetworkOptions)

    def load(self, data_dir, options):
        x = np.random.default_rng(0).normal(size=(400, 5))  # of double precision
        y = (x[:, 0] + x[:, 1] > 0).astype(int)
        x[:, 4] = np.where(np.arange(400) < 200, 0.3, 0.6)
        return Dataset(x[:200], y[:200], x[200:], y[200:], 2)

    def network(self, options):
        return NetworkSpec(sizes=(5, 2))


def test_a_column_that_is_constant_where_it_is_fitted_says_nothing():
    spec = RunSpec(rule="0*oja", task="constant", readout="linear", dtype="float64", seeds=1)
    spec = spec.model_copy(update={"samples": 10, "evaluations": 1, "readout_samples": 200})
    data = Constant().load(None, None)
    assert 0 < data.inputs.std(0)[4] < 1e-14  # what rounding leaves
    points, labels = held_out_half(data, "report", 2000)
    theirs = ridge().fit(data.inputs, data.labels).score(points, labels)
    assert run(spec, tasks=[Constant]).summary["score"]["mean"] == theirs > 0.9


@pytest.mark.parametrize("layers", ["last", "all"])
def test_a_readout_sees_hidden_layers(layers):
    result = run(spec_of(readout_layers=layers))
    points, labels = reported()
    chosen = slice(1, -1) if layers == "all" else slice(-2, -1)
    for seed in (0, 1):
        fitted, asked = (
            np.concatenate(result.networks.activities(x, seed)[chosen], 1).astype(float)
            for x in (DIGITS.inputs, points)
        )
        theirs = ridge().fit(fitted, DIGITS.labels).score(asked, labels)
        assert result.curves["accuracy"].values[seed, -1] == pytest.approx(theirs, abs=0.005)


def test_numbers_are_read_by_ridge_regression(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5))
    y = np.stack([x[:, 0] * x[:, 1], x.sum(1)], 1) + rng.normal(size=(200, 2)) / 10
    spec = RunSpec(rule="0.001*oja", samples=100, evaluations=1, seeds=1, dtype="float64")
    spec = spec.model_copy(update={"options": {"sizes": [5, 30, 2]}, "task": "own-data"})
    result = run(spec, data=(x, y), out=tmp_path / "run")
    assert result.summary["score"]["name"] == "r2"
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["spec"]["readout"] == "linear"
    # the split is the core's own: with all that there is as held out it is told from outside
    model = make_pipeline(StandardScaler(), Ridge())
    hidden = result.networks.activities(x, 0)[-2].astype(float)
    inside = model.fit(hidden, y).score(hidden, y, None)
    assert 0.3 < result.summary["score"]["mean"] < inside


class Told(Rule):
    """A rule that is told the error of the output, and propagates none."""

    spec = RuleSpec(
        name="told",
        summary="the error of the output by the input",
        equation="-mean(e_L) x'",
        reference="this test",
        modifies="forward",
        reads={"output_error", "post", "pre"},
        theta=Theta(default=0.01),
    )

    @hookimpl
    def plastic_local_update(self, s):
        return outer(-s.output_error.mean(-1, keepdim=True) * torch.ones_like(s.post), s.pre)


def notes_of(spec):
    return [note for note in run(spec).summary["notes"] if "readout" in note]


def test_what_networks_are_judged_by_is_said():
    (note,) = notes_of(spec_of(readout_samples=500))
    assert note == (
        "no rule of '0.001*oja' is told what is right; the score is that of a readout: ridge "
        "regression of the targets on the activity of the last hidden layer, fitted to 500 "
        "training points at each evaluation; readout none judges the networks' own outputs"
    )
    (note,) = notes_of(spec_of(readout="knn", readout_layers="all"))
    assert "the five nearest neighbours by the activity of all hidden layers" in note
    (note,) = notes_of(spec_of(readout="none"))
    assert note == (
        "no rule of '0.001*oja' is told what is right, and the score is that of the networks' own "
        "outputs; readout linear judges what can be read from them"
    )
    told = RunSpec(rule="told", samples=10, evaluations=1, seeds=1)
    assert not [note for note in run(told, rules=[Told]).summary["notes"] if "readout" in note]
    assert notes_of(spec_of("bp")) == notes_of(spec_of("bp+oja", readout="none")) == []
    (note,) = notes_of(spec_of("bp", readout="linear"))
    assert note.startswith("the score is that of a readout: ridge")
    few = run(spec_of(readout_samples=2000)).summary["notes"]
    assert (
        f"readouts are fitted to {ALL} points, all that there are for training, in place of 2000"
        in few
    )


def test_a_run_that_is_repeated_is_judged_alike(tmp_path):
    first = run(spec_of(), out=tmp_path / "first")
    record = tmp_path / "first" / "run.json"
    again = run(RunSpec.from_file(record))
    assert again.summary["score"] == first.summary["score"]
    # a record of before there were readouts
    content = json.loads(record.read_text())
    del content["spec"]["readout"], content["spec"]["readout_samples"]
    old = tmp_path / "old.json"
    old.write_text(json.dumps(content))
    assert RunSpec.from_file(old).readout == "none"
    score = run(RunSpec.from_file(old)).summary["score"]
    assert score == run(spec_of(readout="none")).summary["score"] != first.summary["score"]


def test_the_store_tells_readouts_apart(tmp_path):
    store, seen = Store(tmp_path), {}
    for fields in ({}, {"readout": "none"}, {"readout": "knn"}, {"readout_layers": "all"}):
        spec = spec_of(**fields)
        seen[str(fields)] = run(spec, store=store).summary["score"]["per_seed"]
        assert run(spec, store=store, reuse=True).record["backend_reason"] == "from the store"
    for fields, score in seen.items():
        again = run(spec_of(**eval(fields)), store=store, reuse=True)
        assert again.summary["score"]["per_seed"] == score
    assert len(list(store.files())) == 8
    # with an error both say the same
    run(spec_of("bp"), store=store)
    same = run(spec_of("bp", readout="none"), store=store, reuse=True)
    assert same.record["backend_reason"] == "from the store"


@pytest.mark.parametrize("kind", ["linear", "knn"])
def test_readouts_are_the_same_alone_and_among_others(kind):
    together = run(spec_of(seeds=5, readout=kind), threads=2).curves["accuracy"].values
    for seed in (0, 4):
        alone = run(spec_of(seeds=1, first_seed=seed, readout=kind), threads=1)
        np.testing.assert_array_equal(alone.curves["accuracy"].values[0], together[seed])


def test_a_network_that_diverged_is_at_the_chance_level():
    result = run(spec_of("1000*hebbian", samples=50))
    assert (result.curves["diverged_at"] >= 0).all()
    assert result.summary["score"]["mean"] == 0.1


@pytest.mark.parametrize(
    "fields",
    [
        {"task": "digits-cnn", "rule": "1e-5*oja"},
        {"task": "delayed-digits-rnn", "rule": "1e-4*oja"},
        {"task": "digits-attention", "rule": "1e-5*oja"},
        {"task": "delayed-xor", "rule": "1e-4*oja"},
    ],
)
def test_networks_of_other_kinds_are_read(fields):
    result = run(RunSpec(seeds=1, samples=60, evaluations=1, eval_samples=100, **fields))
    score = result.summary["score"]["mean"]
    assert 0.2 < score <= 1


def test_the_command_judges_and_says_so(tmp_path, capsys):
    options = ["--sizes", "64,20,10", "--samples", "100", "--seeds", "2", "--evaluations", "1"]
    where = ["--store", str(tmp_path / "store")]
    out = ["--out", str(tmp_path / "run")]
    assert execute(["run", "--rule", "0.001*oja", "--readout", "knn", *options, *where, *out]) == 0
    assert "the five nearest neighbours" in " ".join(capsys.readouterr().out.split())
    assert execute(["sweep", "--rule", "0.001*oja", "--rule", "bp", *options, *where]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "note: no rule of '0.001*oja' is told what is right; the score is that of" in said
    assert (
        "note: other than these, bp is judged by the networks' own outputs; readout linear judges "
        "all alike" in said
    )
    points = tmp_path / "points.npz"
    np.savez(points, X=DIGITS.inputs[:5])
    table = str(tmp_path / "table.csv")
    assert execute(["predict", str(tmp_path / "run"), str(points), "--to", table]) == 0
    assert "the score of this run was that of a readout, which is not kept" in " ".join(
        "".join(capsys.readouterr()).split()
    )
    assert execute(["run", "--readout", "svm", *options, *where]) == 2
    assert "accepted are 'auto', 'none', 'linear' or 'knn'" in capsys.readouterr().err
    assert load(tmp_path / "run").spec.readout == "knn"


@pytest.mark.parametrize("kind", ["linear", "knn"])
def test_parts_are_judged_as_the_whole_is(kind):
    stages = ("150 on 0-4", "150 on 5-9")
    curves = run(spec_of(stages=stages, readout=kind, probes=("part-accuracy",))).curves
    _, labels = reported()
    shares = np.array([(labels < 5).mean(), (labels >= 5).mean()])
    np.testing.assert_allclose(
        curves["part_accuracy"].values @ shares, curves["accuracy"], rtol=1e-6
    )
    assert (curves["accuracy"] > 0.5).all()


def test_neighbours_of_few_points():
    spec = spec_of("0*oja", (64, 10), readout="knn", readout_samples=2, seeds=1)
    assert 0 < run(spec).summary["score"]["mean"] < 0.5


def test_one_note_for_all_that_are_judged_alike(tmp_path):
    base = spec_of().model_copy(update={"seeds": 1})
    rules = ("0.001*oja", "0.001*hebbian", "bp")
    notes = sweep(SweepSpec(rules=rules, base=base), Store(tmp_path), workers=0).notes
    assert len(notes) == 2
    assert notes[0].startswith("no rule of '0.001*oja', '0.001*hebbian' is told what is right")


def test_a_search_is_judged_by_a_readout_and_says_so(tmp_path):
    options = {"sizes": [64, 12, 10]}
    base = RunSpec(rule="oja", seeds=1, samples=40, eval_half="choose", options=options)
    ranges = {"oja": Range(low=1e-4, high=1e-2, log=True)}
    spec = SearchSpec(ranges=ranges, base=base)
    found = search(spec, tmp_path / "search", Store(tmp_path / "store"), trials=2)
    (note,) = (note for note in found["notes"] if "readout" in note)
    assert note.startswith("no rule of 'oja' is told what is right; the score is that of a readout")
    assert found["best"]["accuracy"] > 0.3
