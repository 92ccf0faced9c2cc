"""Numbers to predict, from arrays and from a task; and what was kept before there were any."""

import json

import numpy as np
import pytest

from plastic_core import PlasticError, RunSpec, Store, run
from plastic_core.api import Dataset
from plastic_core.cli import execute
from plastic_core.results.cell import cell_of
from plastic_core.training.datasets import check_dataset

SOURCE = np.random.default_rng(0)
X = SOURCE.uniform(-1, 1, (400, 4))
Y = np.stack([X.sum(1), X[:, 0] * X[:, 1]], 1)
SPEC = RunSpec(rule="0.05*bp", seeds=2, samples=800, options={"sizes": "4,20,2"}, dtype="float64")


def r2(outputs, targets):
    left = ((outputs - targets) ** 2).sum()
    return 1 - left / ((targets - targets.mean(0)) ** 2).sum()


@pytest.mark.parametrize("backend", ["eager", "native", "compiled"])
def test_numbers_are_learned_on_every_backend(backend):
    result = run(SPEC.model_copy(update={"backend": backend}), data=(X, Y))
    assert result.record["backend"] == backend
    assert result.curves.attrs["score"] == "r2"
    assert result.curves["r2"].attrs["long_name"] == "R2 on held-out points (half 'report')"
    assert result.curves["loss"].attrs["units"] == "1"
    expected = run(SPEC.model_copy(update={"backend": "eager"}), data=(X, Y))
    assert abs(result.curves["r2"] - expected.curves["r2"]).max() < 1e-9
    assert 0.5 < result.summary["score"]["mean"] < 1
    assert "accuracy" not in result.summary
    assert "the loss is squared-error, for y holds numbers and no labels" in result.record["notes"]


def test_the_score_is_r2_of_the_evaluated_half():
    result = run(SPEC, data=(X, Y))
    order = np.random.default_rng(0).permutation(400)[: 2 * round(0.15 * 400)]
    half = np.random.default_rng(0).permutation(len(order))[len(order) // 2 :]
    x, y = (part[order][half].astype(np.float32).astype(float) for part in (X, Y))
    for seed in range(2):
        hidden, output = (w[seed].numpy() for w in result.parameters.weights)
        activity = np.log1p(np.exp(10 * x @ hidden.T)) / 10
        outputs = activity @ output.T
        found = result.curves.isel(seed=seed, step=-1)
        np.testing.assert_allclose(found["r2"], r2(outputs, y), rtol=1e-6)
        loss = ((outputs - y) ** 2).sum(1).mean() / 2
        np.testing.assert_allclose(found["loss"], loss, rtol=1e-6)


def test_fractions_are_one_number_a_point_and_whole_numbers_are_labels():
    one = SPEC.model_copy(update={"options": {}, "samples": 20})
    assert run(one, data=(X, X[:, 0])).record["network"]["sizes"][-1] == 1
    labels = run(one, data=(X, np.round(X[:, 0]))).record
    assert labels["network"]["sizes"][-1] == 3
    assert labels["classes"] == ["-1", "0", "1"] or labels["classes"][0] == "-1.0"


FAULTS = {
    "a loss for classes": (
        SPEC.model_copy(update={"options": {"loss": "cross-entropy", "sizes": "4,20,2"}}),
        (X, Y),
        "the loss 'cross-entropy' is for classes, and the data given are numbers; write loss "
        "squared-error",
    ),
    "no number": (
        SPEC,
        (X, np.where(Y > 0.9, np.nan, Y)),
        "data: y holds numbers that are not finite; leave them out",
    ),
    "too few points": (
        SPEC,
        (X, Y[:9]),
        "data: y has shape (9, 2); expected [400], a label a point, or [400, m], m numbers a point",
    ),
    "sizes": (
        SPEC.model_copy(update={"options": {"sizes": "4,20,3"}}),
        (X, Y),
        "sizes 4-20-3 do not fit the data given, which has 4 inputs and 2 numbers to predict; "
        "write sizes 4,20,2",
    ),
    "all the same": (
        SPEC,
        (X, np.full((400, 2), 0.5)),
        "the 60 points that are evaluated all have the same numbers, so that there is no score; "
        "evaluate more of them (eval_samples), or hold out more",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_explained(fault):
    spec, data, message = FAULTS[fault]
    with pytest.raises(PlasticError) as caught:
        run(spec, data=data)
    assert str(caught.value) == message


def test_numbers_of_a_task_are_checked():
    x, y = X.astype(np.float32), Y.astype(np.float32)
    for data, message in (
        (
            Dataset(x, y[:, 0], x, y[:, 0]),
            "it: inputs and labels have the shapes (400, 4) and (400,); expected [N, n] and "
            "[N, m], for classes is 0, or as many at each of T steps, [N, T] or [N, T, m]",
        ),
        (
            Dataset(x, y, x, y[:, :1]),
            "it: training points have 2 numbers to predict, held-out ones 1",
        ),
    ):
        with pytest.raises(PlasticError) as caught:
            check_dataset(data, "it")
        assert str(caught.value) == message


def test_a_network_that_diverges_counts_as_one_that_knows_nothing():
    spec = SPEC.model_copy(update={"rule": "1000*bp", "samples": 100})
    result = run(spec, data=(X, Y))
    assert len(result.summary["diverged"]) == 2
    assert result.summary["score"]["per_seed"] == [0, 0]


def test_from_the_command_line_and_again(tmp_path, capsys):
    where = ["--seeds", "2", "--samples", "200", "--probe", "all", "--evaluations", "2"]
    command = ["run", "--task", "sine-regression", "--rule", "bp+oja", *where]
    assert execute([*command, "--out", str(tmp_path / "a")]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("rule    r2      low     high    seeds  diverged  seconds\n")
    assert "network 8-50-50-3, softplus, xavier, squared-error\n" in shown.err
    again = ["run", str(tmp_path / "a" / "run.json"), "--out", str(tmp_path / "b"), "--json"]
    assert execute([*again, "--reuse"]) == 0
    found = json.loads(capsys.readouterr().out)
    first = json.loads((tmp_path / "a" / "run.json").read_text())["result"]
    assert found["score"] == first["score"]
    assert found["score"]["name"] == "r2"
    assert "all 2 networks were taken from the store, and none was trained" in found["notes"]
    assert execute(["report", str(tmp_path / "a"), "--out", str(tmp_path / "r.html")]) == 0
    page = (tmp_path / "r.html").read_text()
    assert f"{first['score']['mean']:.4f}</td>" in page


def test_searches_and_their_best(tmp_path, capsys):
    command = ["search", "--task", "sine-regression", "--rule", "bp", "--range", "bp=1e-2:1e4log"]
    command += ["--trials", "4", "--seeds", "2", "--samples", "200", "--evaluations", "2"]
    assert execute([*command, "--out", str(tmp_path / "s"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["score"] == "r2"
    assert "r2" in found["best"]
    ended = {row["outcome"] for row in found["table"]}
    assert {"complete", "diverged"} <= ended


def test_meta_learning_is_of_classes(capsys):
    assert execute(["meta", "--task", "digits-fewshot", "--loss", "squared-error"]) == 2
    assert capsys.readouterr().err == (
        "plastic: loss 'squared-error': its score is r2, and episodes are of classes, judged by "
        "accuracy; write loss cross-entropy or binary-cross-entropy\n"
    )


def test_what_was_kept_before_there_were_losses_is_found_and_read(tmp_path, capsys):
    command = ["run", "--seeds", "1", "--samples", "20", "--evaluations", "1"]
    folder, store = tmp_path / "run", tmp_path / "store"
    assert execute([*command, "--out", str(folder), "--store", str(store)]) == 0
    # nothing of what was kept says more than it did
    record = json.loads((folder / "run.json").read_text())
    assert "loss" not in record["network"]
    (file,) = Store(store).files()
    kept = json.loads(file.read_text())
    assert {"loss"} & {*kept["content"]["network"], *kept["content"]["options"]} == set()
    assert set(kept["result"]) == {
        "steps", "accuracy", "loss", "diverged_at", "backend", "seconds", "probes"
    }  # fmt: skip
    assert not any("loss" in name or "init" in name for name in kept["content"]["versions"])
    # and with the name of the default it is the same network
    named = RunSpec(seeds=1, samples=20, evaluations=1, options={"loss": "cross-entropy"})
    assert "all 1 networks were taken" in str(
        run(named, store=Store(store), reuse=True).record["notes"]
    )
    # a record of then: without the score, without the attribute of the curves
    old = dict(record["result"])
    del old["score"]
    (folder / "run.json").write_text(json.dumps({**record, "result": old}))
    capsys.readouterr()
    again = [*command, "--out", str(folder), "--store", str(store), "--resume", "--json"]
    assert execute(again) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["score"] == {"name": "accuracy", **old["accuracy"]}
    assert found["accuracy"] == old["accuracy"]


def test_a_loss_enters_the_key_of_a_cell():
    from plastic_core.plan.plan import Replica, make_plan
    from plastic_core.plugins.catalogue import Catalogue

    def key(**options):
        plan = make_plan(RunSpec(rule="bp", options=options), Catalogue())
        return cell_of(plan, Replica(0, {"bp": 0.1}), "data").key

    assert key() == key(loss="cross-entropy")
    assert key() != key(loss="binary-cross-entropy")
