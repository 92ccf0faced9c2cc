"""Networks as lists of layers: the same numbers as by sizes, strangers' layers, masks."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from plastic_core import (
    Engine,
    MetaSpec,
    RunSpec,
    Store,
    initial_parameters,
    meta_learn,
    resolve_hooks,
    run,
)
from plastic_core.api import LayeredSpec
from plastic_core.circuits.table import layer_table
from plastic_core.cli import execute
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.testing import LayerConformance
from plastic_rules.bp import Backprop

DOCUMENTED = Path(__file__).parents[2] / "docs" / "howto" / "write_a_layer.md"
NET, SPARSE, WINNERS, _ = re.findall(r"```python\n(.*?)```", DOCUMENTED.read_text(), re.S)
SMALL = {"samples": 200, "seeds": 2, "evaluations": 2, "dtype": "float64"}
MASK = np.random.default_rng(0).random((12, 64)) < 0.3


def defined(code):
    names = {"__name__": "documented"}
    exec(code, names)
    return names


SparseLayer, WinnersLayer = defined(SPARSE)["Sparse"], defined(WINNERS)["WinnersLayer"]


def train(options, backend="eager", rule="0.05*bp + 0.001*oja", **more):
    return run(
        RunSpec(rule=rule, backend=backend, options=options, **{**SMALL, **more}),
        parts=[SparseLayer, WinnersLayer],
    )


class TestSparse(LayerConformance):
    layer = SparseLayer


class TestWinners(LayerConformance):
    layer = WinnersLayer


@pytest.mark.parametrize("flags", [{}, {"bias": True, "layer_norm": True, "residual": True}])
def test_dense_layers_are_the_network_of_the_same_sizes(flags):
    by_sizes = train({"sizes": [64, 9, 9, 10], **flags}).parameters.named()
    layers = train({"net": "dense 9 / dense 9", **flags}).parameters.named()
    assert by_sizes.keys() == layers.keys()
    assert all(torch.equal(by_sizes[name], value) for name, value in layers.items())


def test_thetas_are_those_recommended_for_the_same_sizes():
    record = train({"net": "dense 170 / dense 130 / dense 100 / dense 70"}, rule="bp").record
    assert record["result"]["thetas"] == {"bp": 0.0063}


def test_one_network_has_one_key_however_it_is_written(tmp_path):
    store = Store(tmp_path)
    ways = (
        "dense 9 activation tanh / dense 7",
        " dense   9   activation tanh/dense 7 ",
        ["dense activation tanh units 9", "dense 7"],
        [{"layer": "dense", "activation": "tanh", "units": 9}, {"layer": "dense", "units": 7}],
    )
    for place, net in enumerate(ways):
        spec = RunSpec(rule="0.05*bp", options={"net": net}, **SMALL)
        record = run(spec, store=store, reuse=True).record
        taken = "all 2 networks were taken from the store, and none was trained"
        assert (taken in record["result"]["notes"]) == (place > 0)
    assert record["network"]["net"] == [
        {"layer": "dense", "units": 9, "activation": "tanh"},
        {"layer": "dense", "units": 7},
    ]


def test_the_documented_spec_trains(tmp_path, capsys):
    spec = defined(NET)["spec"].model_copy(update={"samples": 100, "seeds": 2, "evaluations": 1})
    file = tmp_path / "spec.toml"
    file.write_text(spec.to_toml())
    assert execute(["run", str(file), "--json", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "network 64 / dense 100 / dense 50 activation tanh / 10" in said.err
    first = json.loads(said.out)["score"]
    again = ["run", str(tmp_path / "out" / "run.json"), "--json", "--out", str(tmp_path / "b")]
    assert execute(again) == 0
    assert json.loads(capsys.readouterr().out)["score"] == first


def test_each_layer_has_its_own_options():
    """Backpropagation through it is that of autograd."""
    net = "dense 9 activation gelu bias / dense 9 residual layer-norm / dense 5 init kaiming"
    spec = LayeredSpec(inputs=7, net=net, outputs=3, activation="tanh")
    parameters = initial_parameters(spec, [0], dtype=torch.float64)
    before = [w[0].clone().requires_grad_() for w in parameters.weights]
    hooks = resolve_hooks([(Backprop(), frozenset(range(len(before))))], dtype=torch.float64)
    engine = Engine(spec, hooks, {"bp": 1.0}, parameters)
    x = torch.rand(1, 4, 7, dtype=torch.float64)
    target = torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0]]
    engine.step(x, target.unsqueeze(0))
    w1, w2, w3, w4, b = before
    y1 = torch.nn.functional.gelu(x[0] @ w1.T + b[:, 0])
    z2 = torch.nn.functional.layer_norm(y1 @ w2.T, (9,), eps=1e-5)
    y3 = ((z2.tanh() + y1) @ w3.T).tanh()
    loss = torch.nn.functional.cross_entropy(y3 @ w4.T, target)
    for old, new, gradient in zip(
        before, parameters.weights, torch.autograd.grad(loss, before), strict=True
    ):
        torch.testing.assert_close(new[0], old - gradient, rtol=0, atol=1e-10)


@pytest.mark.parametrize("rule", ["0.05*bp + 0.001*oja", "0.05*kolen-pollack + 0.01*b-decay"])
@pytest.mark.parametrize("transforms", [(), ("momentum", "weight-bounds")])
@pytest.mark.parametrize("backend", ["eager", "native"])
def test_connections_that_a_mask_leaves_out_stay_0(rule, transforms, backend):
    options = {"net": "sparse 12 share 0.3 / dense 8"}
    result = train(options, backend, rule=rule, transforms=transforms)
    weight = result.parameters.weights[0]
    assert not weight[:, ~torch.from_numpy(MASK)].any()
    assert weight[:, torch.from_numpy(MASK)].all()
    for feedback in result.parameters.feedback[:1]:
        assert not feedback[:, ~torch.from_numpy(MASK).T].any()


def test_what_a_mask_leaves_out_counts_for_no_fan_and_no_table():
    options = {"net": "sparse 200 share 0.25"}
    (masked, _) = train(options, samples=1, rule="0*bp").parameters.weights
    there = masked != 0
    assert 0.2 < there.double().mean() < 0.3
    kept = there[0].double().mean()
    bound = (6 / (kept * (64 + 200))) ** 0.5
    assert float(masked.abs().max()) == pytest.approx(float(bound), rel=0.02)
    plan = make_plan(RunSpec(options=options), Catalogue(parts=[SparseLayer]))
    rows = {row.name: row.weights for row in layer_table(plan.circuit)}
    assert rows["sparse1"] == there[0].sum()


def test_masks_are_kept_when_a_run_goes_on(tmp_path):
    code = tmp_path / "sparse.py"
    code.write_text(SPARSE)
    flags = ["--plugin", str(code), "--net", "sparse 12 share 0.3 / dense 8", "--seeds", "2"]
    flags += ["--samples", "300", "--evaluations", "3", "--save-weights", "--json"]
    results = []
    for name in ("whole", "resumed"):
        folder = str(tmp_path / name)
        if name == "resumed":
            spec = RunSpec(
                options={"net": "sparse 12 share 0.3 / dense 8"},
                plugins=(str(code),),
                **{**SMALL, "samples": 300, "evaluations": 3, "dtype": "float32"},
            )
            with pytest.raises(ZeroDivisionError):
                run(spec, out=folder, on_point=lambda curves: 1 / (curves.done - 2))
            flags.append("--resume")
        assert execute(["run", *flags, "--out", folder]) == 0
        results.append(load_file(tmp_path / name / "weights.safetensors"))
    assert not results[1]["weight.1"][:, ~MASK].any()
    assert all(np.array_equal(results[0][name], value) for name, value in results[1].items())


def test_native_is_refused_with_the_reason():
    record = train({"net": "dense 12 / winners 4"}, backend="native").record
    assert record["backend"] == "eager"
    note = next(note for note in record["result"]["notes"] if "in place of native" in note)
    reason = "no C is made of the map 'Winners'; the eager and the compiled backend take it"
    assert reason in note


@pytest.mark.parametrize(
    "net", [pytest.param("sparse 12 share 0.3 / dense 12 bias residual / winners 4", id="all")]
)
def test_compiled_is_eager(net, compilers):
    trained = [
        train({"net": net}, backend=name, transforms=("momentum",))
        for name in ("eager", "compiled")
    ]
    assert trained[1].record["backend"] == "compiled"
    for one, other in zip(*(t.parameters.weights for t in trained), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_probes_measure_masked_networks_and_those_with_a_strangers_map():
    result = train({"net": "sparse 12 share 0.3 / dense 12 residual"}, probes=("all",))
    assert np.isfinite(result.curves["update_norm"]).all()
    assert (result.curves["weight_norm"] > 0).all()
    curves = train({"net": "dense 12 / winners 4"}, probes=("all",)).curves
    assert np.isfinite(curves["residual"]).all()
    # what a map that is not linear gave is not brought back through it
    assert np.isnan(curves["reconstruction"].sel(layer=2)).all()
    assert np.isfinite(curves["reconstruction"].sel(layer=1)).all()


def test_what_points_would_teach_is_what_they_teach():
    """The update that a probe looks at leaves out what the mask does."""
    spec = {"samples": 1, "evaluations": 1, "rule": "0.05*bp"}
    options = {"net": "sparse 12 share 0.3"}
    result = train(options, **spec, probes=("update-norm",), probe_samples=1, eval_samples=1)
    masked = result.curves["update_norm"].isel(layer=0, step=0)
    every = train(
        {"net": "dense 12"}, **spec, probes=("update-norm",), probe_samples=1, eval_samples=1
    )
    assert (masked < 0.9 * every.curves["update_norm"].isel(layer=0, step=0)).all()


def test_thetas_are_learned_through_layers():
    spec = MetaSpec(
        rule="1e-3*bp + oja",
        task="digits-fewshot",
        options={"net": "sparse 12 share 0.3 / winners 6 / dense 9 bias", "shots": 4},
        episodes=3,
    )
    result = meta_learn(spec, parts=[SparseLayer, WinnersLayer])
    (learned,) = result.record["result"]["thetas"]
    assert learned["bp"] != 1e-3
