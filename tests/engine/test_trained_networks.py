"""Networks that are trained: what they answer, how they learn on, and how they leave."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from plastic_core import PlasticError, RunSpec, load, run
from plastic_core.cli import execute
from tests.daily import some

SMALL = {"seeds": 3, "samples": 256, "evaluations": 2, "eval_samples": 50}
TASKS = ["digits-mlp", "digits-cnn", "digits-attention", "delayed-digits-rnn", "delayed-xor"]


@pytest.fixture(scope="module")
def digits():
    points, labels = load_digits(return_X_y=True)
    return points / 16, labels


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a finished run of the digits, and its folder."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    spec = RunSpec(rule="oja+bp", **{**SMALL, "samples": 2048})
    return run(spec, out=folder), folder


def test_they_answer_as_they_were_measured(finished, digits):
    result, _ = finished
    points, labels = digits
    answers = result.networks.predict(points)
    assert answers.shape == (3, 1797)
    # the same networks at all points, most of which they learned from
    measured = result.curves["accuracy"][:, -1].values
    assert abs((answers == labels).mean(1) - measured).max() < 0.06
    assert measured.min() > 0.8


def test_one_of_them_by_itself(finished, digits):
    networks, points = finished[0].networks, digits[0][:20]
    assert networks.seeds == (0, 1, 2)
    every, one = networks.predict(points), networks.predict(points, seed=2)
    assert np.array_equal(every[2], one)
    assert np.array_equal(networks.of(2).predict(points), one[None])
    activities = networks.activities(points, seed=2)
    assert [layer.shape for layer in activities] == [(20, n) for n in (64, 170, 130, 100, 70, 10)]
    assert np.array_equal(activities[-1].argmax(-1), one)
    weights = networks.weights
    assert [*weights] == [f"weight.{layer}" for layer in range(1, 6)]
    z = activities[0] @ weights["weight.1"][2].T
    softplus = np.log1p(np.exp(10 * z)) / 10
    assert np.allclose(softplus, activities[1], atol=1e-5)


def test_the_same_from_the_folder_in_another_process(finished, digits, tmp_path):
    result, folder = finished
    np.save(tmp_path / "points.npy", digits[0])
    code = (
        "import sys, numpy as np, plastic_core\n"
        "networks = plastic_core.load(sys.argv[1]).networks\n"
        "np.save(sys.argv[3], networks.outputs(np.load(sys.argv[2])))\n"
    )
    files = [str(folder), str(tmp_path / "points.npy"), str(tmp_path / "outputs.npy")]
    subprocess.run([sys.executable, "-c", code, *files], check=True)
    assert np.array_equal(np.load(files[2]), result.networks.outputs(digits[0]))


def test_labels_are_what_they_were_called(digits):
    points, labels = digits
    names = np.array(["zero", "one"])[labels[labels < 2]]
    points = points[labels < 2]
    result = run(RunSpec(rule="bp", **SMALL), data=(points, names))
    answers = result.networks.predict(points)
    assert {*answers.ravel().tolist()} == {"zero", "one"}
    assert (answers == names).mean() > 0.9


def test_numbers_are_predicted_as_such(digits):
    points = digits[0]
    wanted = np.stack([points.mean(1), points.std(1)], 1)
    result = run(RunSpec(rule="bp", **SMALL), data=(points, wanted))
    assert result.networks.predict(points).shape == (3, 1797, 2)
    assert result.networks.predict(points, seed=0).shape == (1797, 2)


@pytest.mark.parametrize("task", TASKS)
def test_two_runs_are_one_that_is_as_long(tmp_path, task):
    """Weights, feedback and states go on, and so do the order of the points and noise."""
    rule = "fa + oja" if task != "delayed-xor" else "fa"
    spec = RunSpec(rule=rule, task=task, **SMALL)
    first = run(spec, out=tmp_path / "first")
    second = run(spec.model_copy(update={"parent": str(tmp_path / "first")}))
    whole = run(spec.model_copy(update={"samples": 512}))
    for name, value in whole.networks.weights.items():
        assert np.array_equal(value, second.networks.weights[name])
        assert not np.array_equal(value, first.networks.weights[name])
    assert second.record["parent"]["samples"] == 256
    assert (
        f"begun with the networks of {tmp_path / 'first'}, after 256 points"
        in (second.summary["notes"])
    )


def test_a_third_goes_on_where_the_second_ended(tmp_path):
    spec = RunSpec(rule="bp", **SMALL)
    before = ""
    for name in ("first", "second", "third"):
        made = run(spec.model_copy(update={"parent": before}), out=tmp_path / name)
        before = str(tmp_path / name)
    whole = run(spec.model_copy(update={"samples": 3 * 256}))
    for name, value in whole.networks.weights.items():
        assert np.array_equal(value, made.networks.weights[name])


def test_what_does_not_fit_begins_anew(tmp_path, digits):
    points, labels = digits
    parent = RunSpec(rule="bp", **SMALL)
    first = run(parent, out=tmp_path / "first")
    spec = parent.model_copy(update={"rule": "0*fa", "parent": str(tmp_path / "first"), "seeds": 2})
    second = run(spec, data=(points, np.array(list("abc"))[labels % 3]))
    here = tmp_path / "first"
    assert (
        f"begun anew, being of something else that is predicted, not there, or of another "
        f"shape in {here}: weight.5, feedback.1, feedback.2, feedback.3, feedback.4, feedback.5"
    ) in second.summary["notes"]
    for layer in range(1, 5):
        name = f"weight.{layer}"
        assert np.array_equal(first.networks.weights[name][:2], second.networks.weights[name])
    assert second.networks.weights["weight.5"].shape == (2, 3, 70)
    other = parent.model_copy(update={"options": {"sizes": [64, 7, 10]}, "parent": str(here)})
    with pytest.raises(PlasticError, match=r"^--from .*: no weights of this run fit the network, "):
        run(other)


def test_classes_that_are_known_keep_their_places(tmp_path, digits):
    points, labels = digits
    names = np.array(["zero", "one", "two", "three"])[labels % 4]
    first = RunSpec(rule="bp", **{**SMALL, "samples": 1000})
    run(first, data=(points, names), out=tmp_path / "first")
    spec = first.model_copy(update={"rule": "0*bp", "parent": str(tmp_path / "first")})
    some = np.isin(names, ["two", "one"])
    second = run(spec, data=(points[some], names[some]), out=tmp_path / "second")
    assert second.record["classes"] == ["one", "three", "two", "zero"]
    assert (second.networks.predict(points) == names).mean() > 0.7
    assert not any("begun anew" in note for note in second.summary["notes"])
    others = np.where(names == "two", "dos", names)
    third = run(spec, data=(points, others))
    assert any(note.endswith("first: weight.5") for note in third.summary["notes"])


def test_a_run_of_before_goes_on(tmp_path):
    spec = RunSpec(rule="bp", **SMALL)
    run(spec, out=tmp_path / "old")
    file = tmp_path / "old" / "run.json"
    record = json.loads(file.read_text())
    for name in ("parent", "predicts", "data"):
        record.pop(name, None)
    for name in ("parent", "data", "target", "target_kind", "scale"):
        for of in ("spec", "asked"):
            record[of].pop(name, None)
    file.write_text(json.dumps(record))
    assert run(spec, out=tmp_path / "old", resume=True).record["state"] == "finished"
    assert load(tmp_path / "old").networks.predict(np.zeros((1, 64))).shape == (3, 1)


def test_the_command_takes_the_spec_of_the_run_that_it_begins_from(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    begin = ["run", "--rule", "0.02*bp", "--sizes", "64,20,10", "--seeds", "2", "--samples", "64"]
    begin += ["--evaluations", "1", "--eval-samples", "20"]
    assert execute([*begin, "--out", "first"]) == 0
    assert execute(["run", "--from", "first", "--seeds", "1", "--out", "second"]) == 0
    record = json.loads((tmp_path / "second" / "run.json").read_text())
    assert record["spec"]["rule"] == "0.02*bp"
    assert record["spec"]["options"] == {"sizes": [64, 20, 10]}
    assert record["parent"]["folder"] == str((tmp_path / "first").resolve())
    assert record["sources"]["parent"] == record["parent"]["digest"]
    assert execute(["run", "--from", "second", "--sizes", "64,7,10", "--out", "third"]) == 2
    assert "no weights of this run fit the network" in capsys.readouterr().err


def test_networks_of_another_parent_are_another_cell(tmp_path):
    from plastic_core import Store

    spec, store = RunSpec(rule="bp", **SMALL), Store(str(tmp_path / "store"))
    run(spec, out=tmp_path / "first", store=store)
    on = spec.model_copy(update={"parent": str(tmp_path / "first")})
    begun = run(on, store=store)
    again = run(on, store=store, reuse=True)
    assert (
        "all 3 networks were taken from the store, and none was trained" in (again.summary["notes"])
    )
    assert np.array_equal(begun.curves["accuracy"], again.curves["accuracy"])
    run(spec.model_copy(update={"samples": 64}), out=tmp_path / "other", store=store)
    other = run(
        spec.model_copy(update={"parent": str(tmp_path / "other")}), store=store, reuse=True
    )
    assert not any("taken from the store" in note for note in other.summary["notes"])


def test_weights_are_saved_unless_they_are_large(tmp_path, monkeypatch):
    spec = RunSpec(rule="bp", **SMALL)
    for name, save, there in (("a", None, True), ("b", False, False), ("c", True, True)):
        run(spec, out=tmp_path / name, save_weights=save)
        assert (tmp_path / name / "weights.safetensors").exists() == there
    monkeypatch.setattr("plastic_core.experiments.run._MOST_WEIGHTS", 1000)
    result = run(spec, out=tmp_path / "d")
    assert not (tmp_path / "d" / "weights.safetensors").exists()
    assert (
        "the networks were not saved, for they take 1 MB; save_weights does"
        in (result.summary["notes"])
    )


REFUSED = {
    "nowhere": "expected the folder of a finished run, with its run.json (No such file or "
    "directory)",
    "started": "this run is not finished; continue it by 'plastic run --resume --out {}'",
    "a pipe": "weights.safetensors cannot be read (it is no regular file); repeat the run with "
    "--save-weights",
    "without": "weights.safetensors cannot be read (No such file or directory); repeat the run "
    "with --save-weights",
    "damaged": "run.json is no record of a run (KeyError: 'spec')",
}


@pytest.mark.parametrize(("kind", "said"), REFUSED.items(), ids=REFUSED)
def test_a_parent_that_is_none(tmp_path, kind, said):
    folder = tmp_path / kind
    if kind != "nowhere":
        run(RunSpec(rule="bp", **SMALL), out=folder, save_weights=kind != "without")
    record = folder / "run.json"
    if kind == "started":
        content = json.loads(record.read_text())
        record.write_text(json.dumps({**content, "state": "started", "result": None}))
    if kind == "a pipe":
        (folder / "weights.safetensors").unlink()
        os.mkfifo(folder / "weights.safetensors")
    if kind == "damaged":
        record.write_text("{}")
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(rule="bp", parent=str(folder), **SMALL))
    assert str(caught.value) == f"--from {folder}: {said.format(folder)}"


def test_a_seed_that_the_parent_does_not_have(finished):
    _, folder = finished
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(rule="bp", parent=str(folder), **{**SMALL, "seeds": 4}))
    assert str(caught.value) == (
        f"--from {folder}: holds the networks of the seeds 0 to 2, and none of 3; write seeds and "
        "first_seed that are among them"
    )


MISTAKES = {
    "another number of features": (
        np.zeros((3, 5)),
        "data: X has shape (3, 5); expected [N, 64], or as many numbers a point in other "
        "dimensions",
    ),
    "a single point": (
        np.zeros(64),
        "data: X has shape (64,); expected [N, 64], or as many numbers a point in other dimensions",
    ),
    "not finite": (np.full((1, 64), np.nan), "data: X holds numbers that are not finite"),
}


def test_no_points_are_no_answers(finished):
    assert finished[0].networks.predict(np.zeros((0, 64))).shape == (3, 0)


def test_what_diverged_is_not_asked(tmp_path, capsys, digits):
    spec = RunSpec(rule="9*bp", **SMALL)
    result = run(spec, out=tmp_path / "run")
    assert [one["seed"] for one in result.record["result"]["diverged"]] == [0, 1, 2]
    np.save(tmp_path / "x.npy", digits[0])
    assert execute(["predict", str(tmp_path / "run"), str(tmp_path / "x.npy")]) == 2
    assert capsys.readouterr().err == (
        "plastic: all of these networks diverged; train them with smaller thetas, or --scale "
        "standard\n"
    )
    to = ["--seed", "1", "--to", str(tmp_path / "n.pt2")]
    assert execute(["export", str(tmp_path / "run"), *to]) == 2
    assert capsys.readouterr().err == (
        "plastic: the network of seed 1 diverged; write another --seed\n"
    )


@pytest.mark.parametrize(("points", "message"), MISTAKES.values(), ids=MISTAKES)
def test_points_that_do_not_fit(finished, points, message):
    with pytest.raises(PlasticError) as caught:
        finished[0].networks.predict(points)
    assert str(caught.value) == message


def test_networks_that_are_not_there(tmp_path, finished):
    with pytest.raises(
        PlasticError, match=r"^seed 7: there is no such network; there are 0, 1, 2$"
    ):
        finished[0].networks.predict(np.zeros((1, 64)), seed=7)
    result = run(RunSpec(rule="bp", **SMALL), out=tmp_path / "run", save_weights=False)
    assert result.networks.seeds == (0, 1, 2)  # for they are in memory
    with pytest.raises(PlasticError, match=r"^the networks of .* were not saved; repeat it with"):
        load(tmp_path / "run").networks  # noqa: B018
    run(RunSpec(rule="bp", **SMALL), out=tmp_path / "whole")
    weights = tmp_path / "whole" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(
        PlasticError, match=r"weights.safetensors: is damaged \(.*\); repeat the run"
    ):
        load(tmp_path / "whole").networks  # noqa: B018
    with pytest.raises(PlasticError, match=r"^.*run.json: is no record of a run \(.*\); give the"):
        load(tmp_path)


@pytest.mark.parametrize("task", some(TASKS, every=3))
def test_exported_they_need_pytorch_alone(tmp_path, monkeypatch, task):
    spec = RunSpec(rule="bp", task=task, **{**SMALL, "seeds": 2})
    networks = run(spec, out=tmp_path / "run").networks
    source = np.random.default_rng(0)
    points = source.random((7, networks.plan.network.ends[0])).astype(np.float32)
    expected = networks.outputs(points, seed=1)
    for name in ("one.safetensors", "one.pt2"):
        command = ["export", str(tmp_path / "run"), "--seed", "1", "--to", str(tmp_path / name)]
        assert execute(command) == 0
    code = (
        "import sys, numpy as np, torch\n"
        "x = torch.from_numpy(np.load('points.npy'))\n"
        "import one\n"
        "np.save('state.npy', one.load('one.safetensors')(x).numpy())\n"
        "np.save('program.npy', torch.export.load('one.pt2').module()(x).numpy())\n"
        "assert 'plastic_core' not in sys.modules\n"
    )
    np.save(tmp_path / "points.npy", points)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    for name in ("state.npy", "program.npy"):
        assert np.array_equal(np.load(tmp_path / name), expected)


def test_exported_with_biases_states_and_labels(tmp_path, digits):
    points, labels = digits
    options = {"bias": True, "layer_norm": True, "sizes": [64, 20, 20, 10], "residual": True}
    spec = RunSpec(rule="fa + oja", options=options, dtype="float64", **SMALL)
    names = np.array(list("abcdefghij"))[labels]
    networks = run(spec, data=(points, names), out=tmp_path / "run").networks
    command = ["export", str(tmp_path / "run"), "--seed", "0", "--to", str(tmp_path / "n.pt2")]
    assert execute(command) == 0
    kept = {"labels.json": ""}
    program = torch.export.load(tmp_path / "n.pt2", extra_files=kept)
    outputs = program.module()(torch.from_numpy(points)).numpy()
    assert np.array_equal(outputs, networks.outputs(points, seed=0))
    assert json.loads(kept["labels.json"]) == list("abcdefghij")


EXPORTS = {
    "another format": (
        ["--to", "network.onnx"],
        "--to network.onnx: expected .safetensors, with a module of PyTorch beside it, or .pt2, "
        "of torch.export",
    ),
    "no such seed": (
        ["--to", "n.pt2", "--seed", "9"],
        "seed 9: there is no such network; there are 0, 1, 2",
    ),
    "which": (["--to", "n.pt2"], "the run has the networks of 3 seeds; write --seed N, of 0, 1, 2"),
    "no module": (
        ["--to", 'my "network".safetensors', "--seed", "0"],
        '--to my "network".safetensors: beside it comes a module of the same name, and \'my '
        "\"network\"' is none that Python imports, or another's; write letters, digits and underscores",
    ),
    "no such folder": (
        ["--to", "no/such/n.pt2", "--seed", "0"],
        "no/such/n.pt2: cannot be written: No such file or directory; free or allow it, or write "
        "--to another file",
    ),
}


@pytest.mark.parametrize(("given", "message"), EXPORTS.values(), ids=EXPORTS)
def test_exports_that_are_refused(finished, tmp_path, monkeypatch, capsys, given, message):
    monkeypatch.chdir(tmp_path)
    assert execute(["export", str(finished[1]), *given]) == 2
    assert capsys.readouterr().err == f"plastic: {message}\n"
