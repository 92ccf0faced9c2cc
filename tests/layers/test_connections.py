"""Layers with some of their connections: which there are, and that no other ever grows."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from plastic_core import Engine, PlasticError, RunSpec, run
from plastic_core.api import CircuitBuilder, LayeredSpec
from plastic_core.circuits.network import circuit_of
from plastic_core.circuits.table import layer_table
from plastic_core.cli import execute
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue
from tests.building import random_points, resolve
from tests.engine.trained_rules import kill
from tests.reference import slow

NET = "dense 12 connections 0.3 / dense 9 connections 0.5 bias / dense 8"
SMALL = {"samples": 150, "seeds": 2, "evaluations": 3, "dtype": "float64"}
RULES = [
    "0.05*bp + 0.001*oja",
    "0.05*bp + 0.001*hebbian + 0.01*weight-decay",
    "0.05*fa + 0.01*b-update + 0.001*b-decay",
    "0.05*kolen-pollack + 0.001*oja",
    "0.01*bp + 0.001*sanger",
    "0.01*dfa + 0.1*weight-decay",
]


def masks_of(net):
    plan = make_plan(RunSpec(options={"net": net}), Catalogue())
    return [matrix.mask for matrix in plan.circuit.matrices]


MASKS = masks_of(NET)[:2]


def test_each_unit_has_a_fraction_of_its_inputs():
    assert (MASKS[0].sum(1) == 19).all()  # of 64
    assert (MASKS[1].sum(1) == 6).all()  # of 12
    assert [mask is None for mask in masks_of(NET)] == [False, False, True, True, True]
    # they are its own: no two units have the same, and those that send are used alike
    assert len({row.tobytes() for row in MASKS[0]}) == 12
    (large, _) = masks_of("dense 2000 connections 0.25")
    uses = large.sum(0)
    assert abs(uses - 500).max() < 100  # five standard deviations
    (alone, _) = masks_of("dense 5 connections 0.001")
    assert (alone.sum(1) == 1).all()


def test_they_are_fixed_and_of_the_place_of_the_layer():
    """In every process and version: these are the numbers that runs so far depend on."""
    first, second, _ = masks_of("dense 3 connections 0.07 / dense 3 connections 0.7")
    there = [[np.flatnonzero(row).tolist() for row in mask] for mask in (first, second)]
    assert there[0] == [[25, 31, 33, 40], [22, 30, 35, 59], [0, 7, 9, 25]]
    assert there[1] == [[0, 2], [1, 2], [0, 1]]
    one, other, _ = masks_of("dense 64 connections 0.5 / dense 64 connections 0.5")
    assert (one != other).mean() > 0.4


def test_all_connections_are_a_dense_layer():
    found = [
        run(RunSpec(rule="0.05*bp", options={"net": net}, **SMALL)).parameters.weights
        for net in ("dense 12 connections 1", "dense 12")
    ]
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_run_is_a_slow_loop_that_masks_after_each_update():
    net = "dense 12 connections 0.3 / dense 9"
    plan, hooks, parameters = resolve("bp + oja", (64, 10), seeds=2, net=net)
    (mask, *_) = [m.mask for m in plan.circuit.matrices]
    engine = Engine(plan.circuit, hooks, {"bp": 0.05, "oja": 0.02}, parameters)
    weights = [[w[r].numpy().copy() for w in parameters.weights] for r in (0, 1)]
    x, target = random_points(2, 20, 3, (64, 10))
    for step in range(20):
        engine.step(x[step], target[step])
    for r, ours in enumerate(weights):
        assert not ours[0][~mask].any()
        for step in range(20):
            terms = [(slow.bp, 0.05), (slow.oja, 0.02)]
            back = [np.zeros(w.shape[::-1]) for w in ours]
            slow.step(ours, back, terms, x[step, r].numpy(), target[step, r].numpy(), "W")
            ours[0] *= mask
        for found, weight in zip(parameters.weights, ours, strict=True):
            np.testing.assert_allclose(found[r], weight, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("transforms", [(), ("momentum",), ("adam",), ("momentum", "rmsprop")])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("rule", RULES)
def test_no_rule_and_no_transform_makes_a_connection(rule, batch, transforms):
    spec = {"rule": rule, "options": {"net": NET}, "transforms": transforms, **SMALL}
    results = [run(RunSpec(batch_size=batch, backend=b, **spec)) for b in ("eager", "native")]
    of_feedback = transforms and ("b-update" in rule or "pollack" in rule)
    taken = "eager" if of_feedback or "sanger" in rule else "native"
    assert results[1].record["backend"] == taken, results[1].record["backend_reason"]
    for result in results:
        for weight, mask in zip(result.parameters.weights, MASKS, strict=False):
            assert not weight[:, ~torch.from_numpy(mask)].any()
            assert weight[:, torch.from_numpy(mask)].all()
        if "dfa" in rule:  # whose feedback comes from the outputs
            continue
        for feedback, mask in zip(result.parameters.feedback, MASKS, strict=False):
            assert not feedback[:, ~torch.from_numpy(mask).T].any()
    for name, value in results[0].parameters.named().items():
        torch.testing.assert_close(
            results[1].parameters.named()[name], value, rtol=1e-8, atol=1e-11, msg=name
        )


def test_the_table_counts_what_there_is():
    plan = make_plan(RunSpec(options={"net": NET}), Catalogue())
    rows = {row.name: row.weights for row in layer_table(plan.circuit)}
    assert rows == {
        **{"input": 0, "dense1": 12 * 19, "dense2": 9 * 6 + 9},
        **{"dense3": 9 * 8, "readout": 8 * 10},
    }


@pytest.mark.parametrize("backend", ["eager", "native"])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, monkeypatch, backend):
    spec = RunSpec(rule=RULES[0], options={"net": NET}, backend=backend, **SMALL)
    undisturbed = run(spec)

    kill(spec, tmp_path, monkeypatch)
    command = ["run", "--resume", str(tmp_path / "run.json"), "--out", str(tmp_path)]
    assert execute([*command, "--save-weights"]) == 0
    saved = load_file(tmp_path / "weights.safetensors")
    for name, value in undisturbed.parameters.named().items():
        assert np.array_equal(saved[name], value), name


def test_images_and_tokens_have_them_too():
    for task, net in (
        ("digits-cnn", "conv 3 3x3 / dense 8 connections 0.1"),
        ("digits-attention", "tokens 4x4 6 / dense 8 connections 0.4 / mean"),
    ):
        result = run(RunSpec(rule="0.01*bp + 1e-4*oja", task=task, options={"net": net}, **SMALL))
        mask = circuit_of(make_plan(result.spec, Catalogue()).network).matrices[1].mask
        assert not result.parameters.weights[1][:, ~torch.from_numpy(mask)].any()


SHARED = {
    "convolutions": "conv 6 3x3 pad 1{} / conv 5 3x3 bias{} / pool 2 / dense 8",
    "attention": "tokens 4x4 6{} / attention 2{} / mean",
}


def masks_of_shared(kind):
    return masks_of(SHARED[kind].format(" connections 0.3", " connections 0.5"))


def test_units_whose_weights_are_shared_have_a_fraction_too():
    first, second, *dense = masks_of_shared("convolutions")
    assert first.sum(1).tolist() == [3] * 6  # of 9 in a patch
    assert second.sum(1).tolist() == [27] * 5  # of 54
    tokens, *attention, readout = masks_of_shared("attention")
    assert tokens.sum(1).tolist() == [5] * 6  # of 16 pixels
    assert [mask.sum(1).tolist() for mask in attention] == [[3] * 6] * 4
    assert len({mask.tobytes() for mask in attention}) == 4
    assert [*dense, readout] == [None] * 4


@pytest.mark.parametrize("rule", ["bp + oja", "fa + b-update", "kolen-pollack + weight-decay"])
@pytest.mark.parametrize("kind", SHARED)
def test_shared_weights_are_those_of_all_connections_masked_after_each_update(kind, rule):
    masks = [None if m is None else torch.from_numpy(m) for m in masks_of_shared(kind)]
    engines = []
    for some in ((" connections 0.3", " connections 0.5"), ("", "")):
        plan, hooks, parameters = resolve(
            rule, (64, 10), seeds=2, net=SHARED[kind].format(*some), image="8x8"
        )
        thetas = dict.fromkeys(plan.thetas, 0.02)
        engines.append((Engine(plan.circuit, hooks, thetas, parameters), parameters))
    (masked, ours), (whole, every) = engines
    x, target = random_points(2, 6, 3, (64, 10))
    for step in range(6):
        for name, value in ours.named().items():
            every.named()[name].copy_(value)
        masked.step(x[step], target[step])
        whole.step(x[step], target[step])
        for found, expected, mask in zip(ours.weights, every.weights, masks, strict=False):
            assert mask is None or not found[:, ~mask].any()
            expected = expected if mask is None else expected * mask
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)
        for found, expected, mask in zip(ours.feedback, every.feedback, masks, strict=False):
            expected = expected if mask is None else expected * mask.T
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("transforms", [(), ("adam",)])
@pytest.mark.parametrize("kind", SHARED)
def test_backends_agree_on_shared_weights_of_which_some_are_left_out(kind, transforms):
    net = SHARED[kind].format(" connections 0.3", " connections 0.5")
    spec = {"rule": "0.02*fa + 1e-3*oja", "transforms": transforms, "task": "digits-cnn", **SMALL}
    results = [run(RunSpec(options={"net": net}, backend=b, **spec)) for b in ("eager", "auto")]
    of_shared = "native" if kind == "convolutions" else "eager"
    assert results[1].record["backend"] == of_shared, results[1].record["backend_reason"]
    for name, value in results[0].parameters.named().items():
        torch.testing.assert_close(
            results[1].parameters.named()[name], value, rtol=1e-8, atol=1e-11, msg=name
        )
    for result in results:
        for weight, mask in zip(result.parameters.weights, masks_of_shared(kind), strict=False):
            assert mask is None or not weight[:, ~torch.from_numpy(mask)].any()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0", "input should be greater than 0"),
        ("1.5", "input should be less than or equal to 1"),
        ("some", "input should be a valid number, unable to parse string as a number"),
    ],
)
def test_what_is_no_fraction_is_refused(tmp_path, capsys, value, message):
    net = f"dense 12 connections {value}"
    assert execute(["run", "--net", net, "--out", str(tmp_path / "r")]) == 2
    assert capsys.readouterr().err == (
        f"plastic: layer 1 of net, '{net}': connections = '{value}': {message}\n"
    )


def test_a_layer_of_ones_own_asks_for_a_fraction():
    spec = LayeredSpec(inputs=9, net="dense 3", outputs=2)
    net = CircuitBuilder(spec, 9, lambda kind, name: None)
    assert net.some_connections(net.input, 4, 0.5).sum(1).tolist() == [4] * 4
    with pytest.raises(PlasticError) as caught:
        net.some_connections(net.input, 4, 2)
    assert str(caught.value) == "connections = 2: expected a number above 0 and at most 1"
