"""Whole runs through the Python API: seeds, divergence, data of one's own, resuming."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from plastic_core import PlasticError, RunSpec, run
from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer
from plastic_core.results import result_folder
from tests.daily import combined, slow
from tests.engine.test_step import Threshold, spec_of

SMALL = {"samples": 300, "evaluations": 3, "options": {"sizes": [64, 33, 17, 10]}}
EQUATION_9 = "fa+hebbian-error+oja+weight-decay+b-update+b-decay"


def replica(result, seed):
    at = seed - result.spec.first_seed
    return {name: value[at] for name, value in result.parameters.named().items()}


@pytest.mark.parametrize(("rule", "batch_size"), combined(["oja+bp", EQUATION_9], [1, 3]))
def test_seed_3_is_the_same_alone_among_4_and_among_20(rule, batch_size):
    runs = [
        run(RunSpec(rule=rule, first_seed=first, seeds=seeds, batch_size=batch_size, **SMALL))
        for first, seeds in ((3, 1), (0, 4), (0, 20))
    ]
    alone = runs[0]
    for other in runs[1:]:
        assert alone.curves.sel(seed=3).equals(other.curves.sel(seed=3))
        for name, value in replica(alone, 3).items():
            assert torch.equal(value, replica(other, 3)[name]), name


@pytest.mark.parametrize("transform", ["momentum", "adam"])
def test_seed_3_is_the_same_with_layer_normalisation_and_transforms(transform):
    options = {**SMALL["options"], "layer_norm": True}
    spec = {**SMALL, "rule": "oja+bp", "options": options, "transforms": (transform,)}
    alone = run(RunSpec(first_seed=3, seeds=1, **spec))
    among = run(RunSpec(seeds=20, **spec))
    assert alone.curves.sel(seed=3).equals(among.curves.sel(seed=3))
    for name, value in replica(alone, 3).items():
        assert torch.equal(value, replica(among, 3)[name]), name


@pytest.mark.parametrize("seeds", [5, slow(20)])
def test_seed_3_is_the_same_on_the_whole_network_of_the_paper(mnist_dir, seeds):
    spec = {"rule": "oja+bp", "task": "mnist-mlp", "samples": 150, "evaluations": 2}
    alone = run(RunSpec(first_seed=3, seeds=1, **spec), data_dir=mnist_dir)
    among = run(RunSpec(seeds=seeds, **spec), data_dir=mnist_dir)
    assert alone.curves.sel(seed=3).equals(among.curves.sel(seed=3))
    for name, value in replica(alone, 3).items():
        assert torch.equal(value, replica(among, 3)[name]), name


def test_a_network_is_evaluated_the_same_whatever_threads_there_are():
    # so large that BLAS would share a product among threads, and sum it in another order
    fields = {"samples": 4, "evaluations": 1, "options": {"sizes": [64, 400, 300, 10]}}
    among, beside = (
        run(RunSpec(rule="bp", seeds=4, backend="eager", **fields), threads=threads).curves
        for threads in (1, 3)
    )
    assert beside.equals(among)
    alone = run(RunSpec(rule="bp", first_seed=3, seeds=1, backend="eager", **fields), threads=3)
    assert alone.curves.sel(seed=3).equals(among.sel(seed=3))


def test_seeds_differ_and_do_not_depend_on_the_rule():
    results = [
        run(RunSpec(rule=rule, seeds=3, samples=1, evaluations=1, dtype="float64"))
        for rule in ("0*bp", "0*oja")
    ]
    for name, value in results[0].parameters.named().items():
        assert torch.equal(value, results[1].parameters.named()[name])
        assert not torch.equal(value[0], value[1])


def test_float32_and_float64_begin_with_the_same_weights():
    single, double = (
        run(RunSpec(rule="0*bp", seeds=1, samples=1, evaluations=1, dtype=dtype)).parameters
        for dtype in ("float32", "float64")
    )
    for a, b in zip(single.weights, double.weights, strict=True):
        assert torch.equal(a, b.float())


def test_result_has_named_dimensions_and_units():
    curves = run(RunSpec(seeds=2, **SMALL)).curves
    assert curves["accuracy"].dims == ("seed", "step")
    assert curves["step"].to_numpy().tolist() == [100, 200, 300]
    assert curves["step"].attrs["units"] == "samples"
    assert curves["loss"].attrs["units"] == "nat"


def test_divergence_freezes_one_replica_and_spares_the_others():
    # seed 0's theta is huge: the same run without it must give the same numbers for seed 1
    calm = run(RunSpec(rule="bp", seeds=2, backend="eager", **SMALL))

    class Erupting(Rule):
        """bp for every replica but the first, which leaves the finite range at once."""

        spec = RuleSpec(
            name="erupting",
            summary="of a test",
            equation="x",
            reference="none",
            modifies="forward",
            reads={"post", "pre"},
            theta=Theta(default=1.0),
        )

        @hookimpl
        def plastic_local_update(self, s):
            huge = torch.zeros_like(s.post)
            if len(s.post) == 2 and s.pre.shape[-1] == 64:
                huge[0] = 3e38
            return outer(huge, torch.ones_like(s.pre) * 3e38)

    wild = run(RunSpec(rule="bp+erupting", seeds=2, backend="eager", **SMALL), rules=[Erupting])
    assert wild.summary["diverged"] == [{"seed": 0, "sample": 1}]
    assert wild.curves["accuracy"].sel(seed=0).to_numpy().tolist() == [0.1, 0.1, 0.1]
    assert np.isnan(wild.curves["loss"].sel(seed=0)).all()
    # another number of factors is another routine of BLAS, which may round otherwise
    spared, alone = (r.curves["loss"].sel(seed=1).to_numpy() for r in (wild, calm))
    np.testing.assert_allclose(spared, alone, rtol=1e-4)
    mean = wild.summary["accuracy"]["mean"]
    assert mean == pytest.approx((0.1 + float(wild.curves["accuracy"][1, -1])) / 2)


def test_divergence_in_the_last_step_is_found_in_the_weights():

    class Once(Rule):
        spec = spec_of("once")

        @hookimpl
        def plastic_local_update(self, s):
            return outer(torch.full_like(s.post, 1e30), torch.full_like(s.pre, 1e10))

    spec = {"seeds": 2, "samples": 1, "evaluations": 1, "options": {"sizes": [64, 5, 10]}}
    assert (
        run(RunSpec(rule="0.1*once", dtype="float64", **spec), rules=[Once]).summary["diverged"]
        == []
    )
    result = run(RunSpec(rule="0.1*once", **spec), rules=[Once])
    assert result.summary["diverged"] == [{"seed": 0, "sample": 0}, {"seed": 1, "sample": 0}]
    assert result.summary["accuracy"]["mean"] == pytest.approx(0.1)


def test_batches_and_what_remains_of_the_stream():
    result = run(RunSpec(seeds=2, samples=100, batch_size=8, evaluations=4))
    assert result.curves["step"].to_numpy().tolist() == [32, 56, 80, 100]
    note = "2 evaluations in place of 4: there are no more updates"
    few = run(RunSpec(seeds=1, samples=100, batch_size=60, evaluations=4))
    assert few.curves["step"].to_numpy().tolist() == [60, 100]
    assert note in few.record["notes"]


def test_own_rule_and_own_data():
    source = np.random.default_rng(0)
    x = source.random((400, 6))
    y = (x[:, 0] > x[:, 1]).astype(int)
    result = run(
        RunSpec(rule="0.05*bp + 1e-4*threshold", seeds=2, samples=2000, options={"layers": 5}),
        rules=[Threshold],
        data=(x, y),
    )
    assert result.record["network"]["sizes"] == [6, 170, 130, 100, 70, 2]
    assert any("first and last layer follow the data" in note for note in result.record["notes"])
    assert result.summary["accuracy"]["mean"] > 0.8


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            (np.ones((5, 2)), np.ones(4, int)),
            "data: y has shape (4,); expected [5], a label a point, or [5, m], m numbers a point",
        ),
        (
            (np.ones((9, 2)), np.ones(9)),
            "data: y holds 1 label; expected two classes at least",
        ),
        (
            (np.ones((9, 2)), np.array([0.5, "a"] * 4 + [1], object)),
            "data: y holds NaN or fractions, which are no labels of classes; where they are "
            "amounts, leave target_kind to auto or write numbers",
        ),
        (
            (np.ones((9, 2), complex), np.arange(9) % 2),
            "data: X holds no array of real numbers: they are of type complex128",
        ),
        (
            (np.ones((9, 2), "datetime64[s]"), np.arange(9) % 2),
            "data: X holds no array of real numbers: they are of type datetime64[s]",
        ),
        (
            (np.ones((9, 0)), np.arange(9) % 2),
            "data: X has shape (9, 0); expected [N, n], or images [N, H, W] or [N, C, H, W], none "
            "of them 0",
        ),
        (
            (np.ones((9, 2)),),
            "data: is a tuple of 1; expected a pair (X, y)",
        ),
        (
            (np.ones((9, 2)), np.arange(9) % 2, None),
            "data: is a tuple of 3; expected a pair (X, y)",
        ),
        (
            np.ones((9, 2)),
            "data: is a ndarray; expected a pair (X, y), a Bunch of scikit-learn, a DataFrame of pandas, "
            "an object of xarray, or a Dataset of torch",
        ),
        (
            (np.full((9, 2), np.nan), np.arange(9) % 2),
            "the data given: inputs holds numbers that are not finite",
        ),
    ],
)
def test_bad_data_is_explained(data, message):
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(seeds=1), data=data)
    assert str(caught.value) == message


LABELS = {
    "texts": (["dog", "cat", "eel"], ["cat", "dog", "eel"]),
    "numbers from 1": ([1, 2, 3], ["1", "2", "3"]),
    "truth": ([True, False], ["False", "True"]),
    "times": (np.array([3, 1], "timedelta64[s]"), ["0:00:01", "0:00:03"]),
    "kinds without an order": (np.array(["a", 1], object), ["a", "1"]),
    "classes": ([0, 1, 2], []),
    "whole numbers with a fraction": ([0.0, 1.0], []),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind_are_encoded_and_recorded(kind):
    labels, names = LABELS[kind]
    x = np.tile(np.eye(len(labels)), (40, 1))
    y = np.tile(labels, 40)
    result = run(RunSpec(rule="0.1*bp", seeds=1, samples=400, evaluations=1), data=(x, y))
    assert result.record["classes"] == names
    assert result.record["network"]["sizes"][-1] == len(labels)
    notes = [note for note in result.record["notes"] if note.startswith("the labels")]
    said = f"the labels {', '.join(names)} are the classes 0 to {len(names) - 1}"
    assert notes == ([said] if names else [])
    assert result.summary["accuracy"]["mean"] == 1  # so that each label went with its points


def test_tensors_that_require_gradients_are_data():
    x = torch.eye(2, requires_grad=True).repeat(20, 1)
    result = run(RunSpec(seeds=1, samples=20), data=(x, torch.arange(40) % 2))
    assert result.record["network"]["sizes"][0] == 2


def test_a_class_without_a_training_point_is_noted():
    spec = RunSpec(seeds=1, samples=5, evaluations=1, backend="eager")
    empty, found = "no training point is of 1 of the classes: 2", set()
    for k in range(20):  # it is held out now and then
        y = np.array([0] * 10 + [1] * 9 + [2])
        found.add(empty in run(spec, data=(np.ones((20, 2)), np.roll(y, k))).record["notes"])
        if len(found) == 2:
            break
    assert found == {True, False}


def test_sizes_must_fit_the_data():
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(seeds=1, options={"sizes": [63, 20, 10]}))
    assert str(caught.value) == (
        "sizes 63-20-10 do not fit the data of digits-mlp, which has 64 inputs and 10 classes; "
        "write sizes 64,20,10"
    )


class KilledError(Exception):
    pass


@pytest.mark.parametrize(
    ("rule", "transforms", "after"),
    [
        slow("oja+bp", (), 1),
        slow("oja+bp", (), 2),
        ("oja+bp", ("momentum", "rmsprop", "adam"), 2),
        (EQUATION_9 + "+threshold", (), 1),
        slow(EQUATION_9 + "+threshold", (), 2),
        slow(EQUATION_9, ("momentum", "rmsprop", "adam"), 1),
        slow(EQUATION_9, ("momentum", "rmsprop", "adam"), 2),
    ],
)
def test_a_killed_run_resumes_to_the_same_numbers(tmp_path, monkeypatch, rule, transforms, after):
    monkeypatch.setattr(result_folder, "_FIRST_CHECKPOINT", 0.0)
    monkeypatch.setattr(result_folder, "_CHECKPOINT_SHARE", float("inf"))
    spec = RunSpec(rule=rule, transforms=transforms, seeds=3, **SMALL)
    undisturbed = run(spec, rules=[Threshold])

    def kill(curves):
        if curves.done == after:
            raise KilledError

    with pytest.raises(KilledError):
        run(spec, rules=[Threshold], out=tmp_path, on_point=kill)
    assert json.loads((tmp_path / "run.json").read_text())["state"] == "started"
    resumed = run(spec, rules=[Threshold], out=tmp_path, resume=True, save_weights=True)
    assert resumed.record["notes"][-1] == f"resumed at sample {100 * after}"
    assert resumed.curves.equals(undisturbed.curves)
    saved = load_file(tmp_path / "weights.safetensors")
    for name, value in undisturbed.parameters.named().items():
        assert torch.equal(value, saved[name]), name
    assert not (tmp_path / "checkpoint.safetensors").exists()
    # finished: the stored result comes back, and nothing is computed
    again = run(spec, rules=[Threshold], out=tmp_path, resume=True, on_plan=lambda _: 1 / 0)
    assert again.curves.equals(undisturbed.curves)
    assert again.summary == resumed.summary


def test_another_spec_in_the_folder_is_an_error(tmp_path):
    run(RunSpec(rule="bp", seeds=1, **SMALL), out=tmp_path)
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(rule="bp", seeds=2, **SMALL), out=tmp_path, resume=True)
    assert str(caught.value) == (
        f"--out {tmp_path}: holds another run, so it cannot be resumed:\n"
        "  seeds: 1 there, 2 asked\n"
        "  give another folder, or the same spec"
    )


def test_a_run_is_repeated_by_its_record(tmp_path):
    first = run(RunSpec(rule="0.004*bp + oja", seeds=2, **SMALL), out=tmp_path / "a")
    again = RunSpec.from_file(tmp_path / "a" / "run.json")
    assert again.settings == {"oja": {"theta": 1e-4}}  # written out, whatever is recommended later
    assert run(again).curves.equals(first.curves)
    (tmp_path / "spec.toml").write_text(again.to_toml())
    assert RunSpec.from_file(tmp_path / "spec.toml") == again


@pytest.mark.parametrize(
    ("activation", "init", "residual"),
    combined(
        ["softplus", "relu", "tanh", "sigmoid", "linear"],
        ["xavier", "kaiming", "orthogonal", "identity", "naive"],
        [False, True],
    ),
)
def test_every_network_trains(activation, init, residual):
    options = {
        "sizes": [64, 20, 20, 10],
        "activation": activation,
        "init": init,
        "residual": residual,
    }
    if init == "naive":  # 0.01, its default, leaves chance only after many thousand points
        options["init_std"] = 0.25
    theta = 0.3 if activation == "sigmoid" else 0.01  # slopes of at most a quarter
    spec = RunSpec(rule=f"{theta}*bp", seeds=2, samples=1500, evaluations=2, options=options)
    result = run(spec)
    assert result.summary["diverged"] == []
    assert min(result.summary["accuracy"]["per_seed"]) > 0.5
