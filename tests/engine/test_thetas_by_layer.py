"""A theta of a rule's own in some layers: on every backend, in sweeps, searches and records."""

import json

import pytest
import torch

from plastic_core import PlasticError, RunSpec, Store, SweepSpec, run, sweep
from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer
from plastic_core.cli import execute

BASE = {"samples": 60, "seeds": 2, "evaluations": 2, "dtype": "float64"}
DENSE = {"options": {"net": "dense 9 / dense 8 bias"}}
CONV = {"task": "digits-cnn", "options": {"net": "conv 3 3x3 / pool 2 / dense 8 bias"}}


def trained(rule, settings=None, **more):
    spec = RunSpec(rule=rule, settings=settings or {}, **{**BASE, **DENSE, **more})
    return run(spec)


@pytest.mark.parametrize(
    ("backend", "network"),
    [
        *(("eager", DENSE), ("native", DENSE), ("eager", CONV), ("native", CONV)),
        pytest.param("compiled", DENSE, marks=pytest.mark.slow),
        pytest.param("compiled", CONV, marks=pytest.mark.slow),
    ],
)
def test_it_is_that_theta_in_its_layer_alone(backend, network):
    """The same as two rules that share the layers between them."""
    first = trained("0.05*bp + 0.001*oja", {"oja": {"theta.1": 0.02}}, backend=backend, **network)
    name = {"dense": "dense1", "conv": "conv1"}[network["options"]["net"].split()[0]]
    by_name = {"oja": {f"theta.{name}": 0.02}}
    again = trained("0.05*bp + 0.001*oja", by_name, backend=backend, **network)
    assert first.record["backend"] == backend
    for one, other in zip(first.parameters.weights, again.parameters.weights, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    plain = trained("0.05*bp + 0.001*oja", backend=backend, **network).parameters.weights
    assert not torch.equal(plain[0], first.parameters.weights[0])
    # what acts on no other layer is 0 there
    here = trained("0.05*bp + 0*oja", {"oja": {"theta.1": 0.02}}, backend=backend, **network)
    only = trained("0.05*bp + 0.02*oja", {"oja": {"layers": 1}}, backend=backend, **network)
    for one, other in zip(here.parameters.weights, only.parameters.weights, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


def test_the_name_of_a_kind_stands_for_all_of_its_layers():
    each = {"theta.dense1": 0.02, "theta.dense2": 0.02}
    found = [
        trained("0.05*bp + 0.001*oja", {"oja": settings}).parameters.weights
        for settings in ({"theta.dense": 0.02}, each, {})
    ]
    for one, other, plain in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
        assert not torch.equal(one, plain)


def test_that_of_a_layer_goes_before_that_of_its_kind():
    found = [
        trained("0.05*bp + 0.001*oja", {"oja": settings})
        for settings in (
            {"theta.dense": 0.02, "theta.dense2": 0.03},
            {"theta.dense1": 0.02, "theta.2": 0.03},
        )
    ]
    pairs = (result.parameters.weights for result in found)
    for one, other in zip(*pairs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_it_holds_for_the_biases_of_the_layer():
    still = trained("0.05*bp", {"bp": {"theta.dense2": 0}}).parameters.named()
    assert not still["bias.2"].any()
    assert not torch.equal(still["weight.1"], trained("0*bp").parameters.named()["weight.1"])


def test_a_rule_with_a_state_keeps_it():
    class Slow(Rule):
        """A rule whose state is a mean."""

        spec = RuleSpec(
            name="slow",
            summary="of a test",
            equation="m x",
            reference="none",
            modifies="forward",
            reads={"post", "pre"},
            theta=Theta(default=1e-3),
            state={"mean": {"over": "post"}},
        )

        @hookimpl
        def plastic_local_update(self, s):
            new = 0.9 * s.state.mean + 0.1 * s.post.mean(1, keepdim=True)
            return outer(s.post - s.state.mean, s.pre), {"mean": new}

    found = []
    for backend in ("eager", "native"):
        spec = RunSpec(
            rule="0.05*bp + 0.001*slow",
            settings={"slow": {"theta.2": 0.01, "theta.readout": 0.0}},
            backend=backend,
            **{**BASE, **DENSE},
        )
        result = run(spec, rules=[Slow])
        assert result.record["backend"] == backend
        found.append(result.parameters.named())
    assert {"state.slow.1.mean", "state.slow.2.mean", "state.slow.3.mean"} <= found[0].keys()
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-9, atol=1e-12)


def test_the_record_names_it_and_repeats_it(tmp_path, capsys):
    command = ["run", "--rule", "0.02*bp + 1e-4*oja", "--task", "digits-cnn", "--samples", "40"]
    command += ["--seeds", "1", "--set", "oja.theta.conv1=1e-5", "--set", "bp.theta.readout=0.05"]
    assert execute([*command, "--json", "--out", str(tmp_path / "a")]) == 0
    said = capsys.readouterr()
    assert "rule bp: theta 0.02 (expression), readout 0.05\n" in said.err
    first = json.loads(said.out)
    assert first["thetas"] == {
        **{"bp": 0.02, "bp.readout": 0.05},
        **{"oja": 1e-4, "oja.conv1": 1e-5},
    }
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    assert record["rules"][1]["thetas_by_layer"] == {"conv1": 1e-5}
    again = ["run", str(tmp_path / "a" / "run.json"), "--json", "--out", str(tmp_path / "b")]
    assert execute(again) == 0
    assert json.loads(capsys.readouterr().out)["score"] == first["score"]


def test_sweeps_have_it_as_an_axis(tmp_path):
    base = RunSpec(**{**BASE, **DENSE})
    rule, grid = "bp+oja", {"oja": [1e-4, 1e-3], "oja.theta.dense1": [1e-5, 1e-2]}
    result = sweep(SweepSpec(rules=(rule,), grid=grid, base=base), Store(tmp_path), workers=0)
    assert len(result.arms) == 4
    scores = {}
    for arm in result.arms:
        thetas = arm.arm.thetas
        settings = {"oja": {"theta": thetas["oja"], "theta.dense1": thetas["oja.dense1"]}}
        alone = run(base.model_copy(update={"rule": rule, "settings": settings}))
        scores[thetas["oja"], thetas["oja.dense1"]] = alone.record["result"]["score"]["per_seed"]
        found = Store(tmp_path).find(next(iter(arm.cells.values())))
        assert found is not None
        assert found.scores[-1] == pytest.approx(alone.record["result"]["score"]["per_seed"][0])
    assert len(scores) == 4


FAULTS = {
    ("oja", "theta.conv1"): "theta.conv1 of 'oja': it acts on no layer 'conv1'\n"
    "  it acts on dense1, dense2, readout, or all of a kind: dense",
    (
        "oja",
        "theta.dens1",
    ): "theta.dens1 of 'oja': it acts on no layer 'dens1'; did you mean "
    "'dense1'?\n  it acts on dense1, dense2, readout, or all of a kind: dense",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_layer_that_is_none_is_explained(fault):
    owner, name = fault
    with pytest.raises(PlasticError) as refused:
        trained("bp+oja", {owner: {name: 0.1}})
    assert str(refused.value) == FAULTS[fault]


def test_other_mistakes_are_explained():
    with pytest.raises(PlasticError) as refused:
        trained("bp+oja", {"oja": {"theta.1": 0.1, "theta.dense1": 0.2}})
    assert str(refused.value) == (
        "theta of 'oja' in dense1 is given twice: by theta.1 and theta.dense1; keep one"
    )
    with pytest.raises(PlasticError) as refused:
        trained("bp+oja", {"oja": {"theta.1": "much"}})
    assert (
        str(refused.value)
        == "theta of 'oja.theta.1' = 'much': expected a finite number of at least 0"
    )
    with pytest.raises(PlasticError) as refused:
        trained("bp+oja", {"oja": {"layers": "dense1", "theta.readout": 0.1}})
    assert str(refused.value) == (
        "theta.readout of 'oja': it acts on no layer 'readout'\n"
        "  it acts on dense1, or all of a kind: dense"
    )


def test_layers_are_named_too():
    by_name = trained("0.05*bp + 0.01*oja", {"oja": {"layers": "dense1,readout"}})
    by_number = trained("0.05*bp + 0.01*oja", {"oja": {"layers": "1,3"}})
    pairs = zip(by_name.parameters.weights, by_number.parameters.weights, strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
