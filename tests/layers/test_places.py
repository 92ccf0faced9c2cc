"""Layers with places from the outside: shapes of data, tables, one message for what does not fit."""

import json

import numpy as np
import pytest

from plastic_core import (
    MetaSpec,
    PlasticError,
    RunSpec,
    Store,
    SweepSpec,
    meta_learn,
    run,
    sweep,
)
from plastic_core.api import (
    Add,
    Layer,
    LayerSpec,
    Patches,
    Rule,
    RuleSpec,
    Spec,
    Theta,
    hookimpl,
    outer,
)
from plastic_core.cli import execute
from tests.plugins.test_third_party import MODULE

HELD = {"__name__": "held"}
exec(MODULE, HELD)
SMALL = {"samples": 100, "seeds": 2, "evaluations": 2, "rule": "0.02*bp + 1e-4*oja"}
IMAGES = np.random.default_rng(0).random((60, 2, 9, 8))
LABELS = (IMAGES[:, 0].mean((1, 2)) > IMAGES[:, 1].mean((1, 2))).astype(int)

REFUSED = {
    "conv 4 9x9": "layer 1 of net, 'conv 4 kernel 9x9': a window of 9x9 does not fit into the 8x8 "
    "places that it moves over; make it smaller, or leave out a layer below that makes the image "
    "smaller",
    "conv 4 3x3 / pool 2 / conv 4 6 pad 1": "layer 3 of net, 'conv 4 kernel 6x6 pad 1': a window of "
    "6x6 does not fit into the 5x5 places, 1 of padding included, that it moves over; make it "
    "smaller, or leave out a layer below that makes the image smaller",
    "conv 4 3x3 stride 0": "layer 1 of net, 'conv 4 3x3 stride 0': stride = '0': expected rows and "
    "columns from 1 to 9999, such as 5x5, or 5 for both",
    "pool 2x0": "layer 1 of net, 'pool 2x0': window = '2x0': expected rows and columns from 1 to "
    "9999, such as 5x5, or 5 for both",
    "tokens 3x4 5 / mean": "layer 1 of net, 'tokens 3x4 units 5': patches of 3x4 do not divide the "
    "8x8 places below; give rows and columns that do",
    "conv 4 3by3": "layer 1 of net, 'conv 4 3by3': kernel = '3by3': expected rows and columns "
    "from 1 to 9999, such as 5x5, or 5 for both",
    "conv 4": "layer 1 of net, 'conv 4': kernel: is required and missing",
    "dense 9 / conv 4 3": "layer 2 of net, 'conv 4 kernel 3x3': it reads rows and columns, and the "
    "layer below has none; start from images, such as those of the task mnist-cnn or an array [N, "
    "rows, columns], and put dense layers last",
    "conv 3 3 residual": "layer 1 of net, 'conv 3 kernel 3x3 residual': residual: 1x8x8 channels, "
    "rows and columns cannot be added to 3x6x6; give as many channels as below, and pad by half of "
    "the kernel",
    "pool 9": "layer 1 of net, 'pool 9x9': a window of 9x9 does not fit into the 8x8 places that it "
    "moves over; make it smaller, or leave out a layer below that makes the image smaller",
    "tokens 4x4 10 / attention 3 / mean": "layer 2 of net, 'attention 3': heads = 3 does not divide "
    "the 10 units of a token; give one that does",
    "attention 3": "layer 1 of net, 'attention 3': it reads tokens, and there are none below it; put "
    "'tokens PATCH UNITS' below, such as 'tokens 7x7 64'",
    "dense 9 / mean": "layer 2 of net, 'mean': it reads tokens, and there are none below it; put "
    "'tokens PATCH UNITS' below, such as 'tokens 7x7 64', or pool an image by 'avgpool'",
    "conv 4 3x3, pool 2": "layer 1 of net, 'conv 4 3x3, pool 2': 'conv' takes no 'pool'\n"
    "  it takes activation, bias, channels, connections, init, kernel, layer-norm, pad, residual, stride; layers "
    "are divided by ' / '",
    "tokens 4x4 10": "the readout reads one population, and below it are 4 tokens; let the last layer "
    "be 'mean', their mean, or 'flatten', all of them",
}


@pytest.mark.parametrize("net", REFUSED)
def test_what_does_not_fit_is_one_message(net, tmp_path, capsys):
    command = ["run", "--task", "digits-mlp", "--net", net, "--out", str(tmp_path / "out")]
    assert execute([*command, "--samples", "10"]) == 2
    assert capsys.readouterr().err == f"plastic: {REFUSED[net]}\n"


def test_images_that_are_handed_over_keep_their_shape():
    spec = RunSpec(options={"net": "conv 3 4x3 / pool 2 / conv 2 2"}, **SMALL)
    result = run(spec, data=(IMAGES, LABELS))
    assert result.record["network"]["image"] == [2, 9, 8]
    assert [w.shape[1:] for w in result.parameters.weights] == [(3, 24), (2, 12), (2, 8)]
    again = run(RunSpec(**result.record["spec"]), data=(IMAGES, LABELS))
    assert again.curves.equals(result.curves)
    flat = run(RunSpec(**result.record["spec"]), data=(IMAGES.reshape(60, -1), LABELS))
    assert flat.curves.equals(result.curves)
    grey = run(spec, data=(IMAGES[:, 0], LABELS)).record
    assert grey["network"]["image"] == [1, 9, 8]
    assert run(RunSpec(**SMALL), data=(IMAGES, LABELS)).record["network"]["sizes"][0] == 144
    with pytest.raises(PlasticError) as refused:
        run(
            spec.model_copy(update={"options": {**spec.options, "image": "12x12"}}),
            data=(IMAGES, LABELS),
        )
    assert str(refused.value) == (
        "the network takes images of 1x12x12, and those of the data given are 2x9x8; write image "
        "2x9x8"
    )
    with pytest.raises(PlasticError) as refused:
        run(spec, data=(IMAGES[..., None], LABELS))
    assert str(refused.value) == (
        "data: X has shape (60, 2, 9, 8, 1); expected [N, n], or images [N, H, W] or [N, C, H, W], "
        "none of them 0"
    )


def test_images_without_layers_for_them_are_refused():
    with pytest.raises(PlasticError) as refused:
        run(RunSpec(options={"image": (8, 8)}, **SMALL))
    assert str(refused.value) == (
        "image: rows and columns are for layers that read them, and this network has none; write "
        "its layers as net, such as 'conv 8 3x3 / pool 2', or leave image out"
    )
    with pytest.raises(PlasticError) as refused:
        run(
            RunSpec(options={"net": "conv 2 3x3", "image": "9x9"}, **SMALL),
            data=(np.ones((60, 42)), LABELS),
        )
    assert str(refused.value) == (
        "the network takes images of 1x9x9, and those of the data given are lists of 42 numbers; "
        "give an array [N, rows, columns], or write an image of as many pixels"
    )
    with pytest.raises(PlasticError) as refused:
        run(RunSpec(**{**SMALL, "task": "digits-cnn"}), data=([[1, 2], [3]], LABELS))
    assert str(refused.value).startswith("data: X holds no array of real numbers: ")


def test_images_that_are_odd_are_taken_with_a_note():
    last = IMAGES[:, [0, 1, 1]].transpose(0, 2, 3, 1)  # 9 rows, 8 columns, 3 channels
    notes = run(RunSpec(**SMALL), data=(np.round(255 * last), LABELS)).record["notes"]
    assert (
        "images of 9 channels, 8 rows and 3 columns, as their shape [9, 8, 3] says; where the "
        "channels stand last, move them: X.transpose(0, 3, 1, 2)"
    ) in notes
    said = (
        "pixels reach 255, and thetas suit numbers from 0 to 1; divide them by 255, or search for "
    )
    assert f"{said}thetas" in notes
    assert not [
        n for n in run(RunSpec(**SMALL), data=(IMAGES, LABELS)).record["notes"] if "pix" in n
    ]


def test_the_layers_of_a_task_take_images_of_another_shape():
    result = run(RunSpec(**{**SMALL, "task": "digits-cnn"}), data=(IMAGES, LABELS))
    assert result.record["network"]["image"] == [2, 9, 8]
    named = {"net": ({"layer": "conv", "channels": 2, "kernel": (3, 3), "stride": (2, 1)},)}
    result = run(RunSpec(options=named, **SMALL), data=(IMAGES, LABELS))
    assert result.parameters.weights[-1].shape[1:] == (2, 2 * 4 * 6)


def test_numbers_that_float32_cannot_hold_are_refused():
    with pytest.raises(PlasticError) as refused:
        run(RunSpec(**SMALL), data=(1e200 * IMAGES, LABELS))
    assert str(refused.value) == "data: X holds numbers that are too large for float32; scale them"


def test_activities_that_do_not_fit_into_memory_are_refused():
    spec = {
        **SMALL,
        "samples": 10**5,
        "batch_size": 10**5,
        "options": {"net": "conv 999999 1 / pool 8"},
    }
    with pytest.raises(PlasticError) as refused:
        run(RunSpec(**spec))
    said = str(refused.value)
    assert said.startswith(
        "the activities of one network for batch_size = 100000 take about 52,000 GB"
    ), said
    assert said.endswith("ask for a smaller batch_size, or for fewer units or channels")


def test_episodes_take_images_of_another_shape():
    shared = {"task": "digits-fewshot", "rule": "bp", "episodes": 1, "parallel": 1}
    options = {"net": "conv 2 3x3", "ways": 2, "shots": 2, "queries": 2}
    with pytest.raises(PlasticError) as refused:
        meta_learn(MetaSpec(**shared, options={**options, "image": "4x16"}))
    assert str(refused.value) == (
        "the network takes images of 1x4x16, and those of the data of digits-fewshot are 8x8; "
        "write image 8x8"
    )
    spec = MetaSpec(**shared, options=options)
    result = meta_learn(spec, data=(IMAGES, LABELS))
    assert result.record["network"]["image"] == [2, 9, 8]


def test_sweeps_take_images_too(tmp_path):
    base = RunSpec(options={"net": "conv 3 4x3"}, **{**SMALL, "rule": "bp"})
    spec = SweepSpec(rules=("bp",), grid={"bp": [0.01, 0.02]}, base=base)
    result = sweep(spec, Store(tmp_path), data=(IMAGES, LABELS), workers=0)
    assert len(result.arms) == 2


def test_tasks_show_prints_the_network_layer_by_layer(capsys):
    assert execute(["tasks", "show", "mnist-cnn"]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = [line.split() for line in lines[2:10]]
    assert table == [
        ["layer", "output", "weights"],
        ["input", "1", "x", "28", "x", "28"],
        ["conv1", "16", "x", "24", "x", "24", "400"],
        ["pool1", "16", "x", "12", "x", "12"],
        ["conv2", "32", "x", "8", "x", "8", "12,800"],
        ["pool2", "32", "x", "4", "x", "4"],
        ["dense1", "100", "51,200"],
        ["readout", "10", "1,000"],
    ]
    assert lines[10].split() == ["65,400"]
    assert any("CC BY-SA 3.0" in line for line in lines)
    assert execute(["tasks", "show", "digits-attention", "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert layers[2] == {"name": "attention1", "output": "32 x 16", "weights": 4096}
    command = ["tasks", "show", "digits-mlp", "--net", "conv 3 3 bias / dense 9"]
    assert execute([*command, "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert [layer["weights"] for layer in layers] == [0, 30, 3 * 36 * 9, 90]


def test_run_prints_the_network_layer_by_layer(tmp_path, capsys):
    command = ["run", "--task", "digits-cnn", "--samples", "20", "--seeds", "1", "--json"]
    assert execute([*command, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "conv2    16 x 3 x 3  1,152" in said.err
    assert json.loads(said.out)["score"]["name"] == "accuracy"


@pytest.mark.parametrize(
    ("task", "backend"),
    [
        *(("digits-cnn", "eager"), ("digits-cnn", "native"), ("digits-attention", "eager")),
        pytest.param("digits-cnn", "compiled", marks=pytest.mark.slow),
        pytest.param("digits-attention", "compiled", marks=pytest.mark.slow),
    ],
)
def test_a_third_partys_rule_learns_in_every_layer(task, backend):
    net = {
        "digits-cnn": "conv 3 3x3 stride 2 / pool 2 / dense 7",
        "digits-attention": "tokens 4x4 6 / attention 2 / mean",
    }[task]
    spec = RunSpec(
        **{**SMALL, "rule": "0.02*bp + 1e-3*bcm", "samples": 30},
        task=task,
        backend=backend,
        options={"net": net},
    )
    result = run(spec, rules=[HELD["Bcm"]])
    alone = run(spec.model_copy(update={"rule": "0.02*bp"}))
    assert result.record["backend"] == backend
    for one, other in zip(result.parameters.weights, alone.parameters.weights, strict=True):
        assert (one - other).abs().max() > 1e-6


class ModifiedFeedback(Rule):
    """Direct feedback alignment with a B that changes."""

    spec = RuleSpec(
        name="changing-dfa",
        summary="of a test",
        equation="x",
        reference="none",
        modifies={"forward", "feedback"},
        reads={"pre", "error", "feedback_error", "output_error"},
        propagates=True,
        feedback="output",
        theta=Theta(default=1e-3),
    )

    @hookimpl
    def plastic_propagate_error(self, s):
        return s.feedback_error

    @hookimpl
    def plastic_local_update(self, s):
        return {"forward": -outer(s.error, s.pre), "feedback": -outer(s.pre, s.output_error)}


def test_feedback_from_the_outputs_that_is_modified_needs_weights_that_are_not_shared():
    spec = RunSpec(**{**SMALL, "rule": "changing-dfa"}, options={"net": "conv 3 3 / dense 7"})
    with pytest.raises(PlasticError) as refused:
        run(spec, rules=[ModifiedFeedback])
    assert str(refused.value) == (
        "changing-dfa modifies B, and in conv1 B comes from the outputs (feedback='output') to all "
        "places at once, each of which has another part of it; use a rule with feedback='layer'"
    )
    dense = spec.model_copy(update={"options": {"net": "dense 9"}})
    run(dense, rules=[ModifiedFeedback])
    settings = {"changing-dfa": {"layers": "dense1,readout"}}
    run(spec.model_copy(update={"settings": settings}), rules=[ModifiedFeedback])


@pytest.mark.slow
def test_it_learns_to_tell_the_digits():
    spec = RunSpec(rule="0.02*bp + 1e-4*oja", task="digits-cnn", samples=3000, seeds=2)
    assert min(run(spec).record["result"]["score"]["per_seed"]) > 0.7
    spec = RunSpec(rule="0.02*bp", task="digits-attention", samples=3000, seeds=2)
    assert min(run(spec).record["result"]["score"]["per_seed"]) > 0.5


@pytest.mark.parametrize("task", ["digits-cnn", "digits-attention"])
@pytest.mark.parametrize("options", [{"layers": 5}, {"sizes": "64,10"}])
def test_a_network_with_layers_of_its_own_is_no_list_of_sizes(task, options):
    with pytest.raises(PlasticError) as refused:
        run(RunSpec(task=task, options=options, **SMALL))
    said = str(refused.value)
    assert said.startswith(f"{next(iter(options))}: that is for networks of dense layers alone, ")
    assert said.endswith("; write other layers as net")


def test_a_default_theta_is_doubted_where_many_places_are_summed():
    spec = RunSpec(task="digits-cnn", options={"net": "conv 3 3x3 / dense 4"}, **SMALL)
    assert not any("default of the rule" in note for note in run(spec).record["notes"])
    spec = spec.model_copy(update={"rule": "0.02*bp + oja"})
    assert run(spec).record["notes"][0] == (
        "the theta of oja is the default of the rule, and in conv1 the increments of 36 places are "
        "summed; 'plastic search' finds others, and --set oja.theta.conv1= gives it one of its own"
    )


class Overlapping(Layer):
    """Applies the same patches twice, and reads those of the second time twice."""

    spec = LayerSpec(
        name="overlapping",
        summary="of a test",
        reference="none",
        options=Spec,
        example="overlapping",
    )

    def build(self, net, x):
        x = net.image(x)
        patches = Patches(net.grid(x), (2, 2))
        units, grid = net.units(x) * 4, patches.grid
        first, second = (net.apply(patches, x, units=units, grid=grid) for _ in range(2))
        y = net.activate(net.project(first, 4, name="one"))
        for name in ("two", "three"):
            y = net.apply(Add(), y, net.activate(net.project(second, 4, name=name)))
        return y


def test_patches_that_are_applied_twice_are_evaluated_as_they_are_trained():
    spec = RunSpec(task="digits-cnn", options={"net": "overlapping / dense 4"}, **SMALL)
    result = run(spec, parts=[Overlapping])
    assert np.isfinite(result.curves["loss"]).all()
    float64 = run(spec.model_copy(update={"dtype": "float64"}), parts=[Overlapping])
    np.testing.assert_allclose(result.curves["loss"], float64.curves["loss"], rtol=1e-4)


def test_a_rule_reads_feedback_from_the_outputs_beside_another_that_propagates():
    class Echo(Rule):
        spec = RuleSpec(
            name="echo",
            summary="of a test",
            equation="x",
            reference="none",
            modifies="forward",
            reads={"feedback_error", "post"},
            theta=Theta(default=1e-3),
            feedback="output",
        )

        @hookimpl
        def plastic_local_update(self, s):
            return outer(s.post, s.feedback_error)

    spec = RunSpec(task="digits-cnn", **{**SMALL, "dtype": "float64"})
    alone = run(spec.model_copy(update={"rule": "0.02*bp"})).parameters.weights
    silent = run(spec.model_copy(update={"rule": "0.02*bp + 0*echo"}), rules=[Echo])
    heard = run(spec.model_copy(update={"rule": "0.02*bp + 1e-3*echo"}), rules=[Echo])
    for one, other, third in zip(
        alone, silent.parameters.weights, heard.parameters.weights, strict=True
    ):
        np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12)
        assert not np.array_equal(third, one)
