"""Transforms of some layers alone."""

import json

import pytest
import torch

from plastic_core import PlasticError, RunSpec, run
from plastic_core.cli import execute
from plastic_core.plan.plan import Replica, make_plan
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.results.cell import cell_of

SMALL = {"task": "digits-mlp", "seeds": 2, "samples": 30, "evaluations": 2, "dtype": "float64"}
NET = {"net": "dense 9 bias / dense 8"}


def weights(rule="0.05*bp", **more):
    result = run(RunSpec(rule=rule, options=NET, **{**SMALL, **more}))
    return result.parameters.named(), result.record


def test_a_transform_changes_its_layers_alone():
    """One that freezes weights between equal bounds, in the second layer."""
    bounds = {"low": -0.01, "high": 0.01}
    settings = {"weight-bounds": {**bounds, "layers": "2"}}
    before, _ = weights("0*bp")
    after, record = weights(transforms=("weight-bounds",), settings=settings)
    assert after["weight.2"].abs().max() <= 0.01 + 1e-12
    for name in ("weight.1", "weight.3"):
        assert after[name].abs().max() > 0.05, name
        assert not torch.equal(after[name], before[name])
    assert record["transforms"][0]["layers"] == [2]
    assert record["backend"] == "native"


def test_momentum_keeps_states_where_it_acts():
    settings = {"momentum": {"layers": "1,3"}}
    after, _ = weights(transforms=("momentum",), settings=settings)
    states = {name for name in after if name.startswith("state.")}
    # the bias of layer 1 is the fourth projection
    assert {name.split(".")[-2] for name in states} == {"1", "3", "4"}
    plain, _ = weights()
    every, _ = weights(transforms=("momentum",))
    for some in (plain, every):
        assert not torch.allclose(after["weight.1"], some["weight.1"], rtol=1e-6)


@pytest.mark.parametrize("backend", ["native", pytest.param("compiled", marks=pytest.mark.slow)])
@pytest.mark.parametrize("transform", ["adam", "momentum", "clip-update"])
def test_another_backend_is_eager(transform, backend):
    transforms = (transform, "weight-bounds")
    settings = {transform: {"layers": "readout"}, "weight-bounds": {"layers": "2"}}
    given = {"transforms": transforms, "settings": settings, "batch_size": 4}
    eager, _ = weights(backend="eager", **given)
    other, record = weights(backend=backend, **given)
    # the norm of an increment is of all its elements
    refused = transform == "clip-update" and backend == "native"
    assert record["backend"] == ("eager" if refused else backend)
    for name, value in eager.items():
        torch.testing.assert_close(other[name], value, rtol=1e-9, atol=1e-12)


def test_it_is_another_cell_of_the_store():
    keys = set()
    for settings in ({}, {"momentum": {"layers": "1"}}, {"momentum": {"layers": "1-2"}}):
        spec = RunSpec(
            rule="0.05*bp", options=NET, transforms=("momentum",), settings=settings, **SMALL
        )
        plan = make_plan(spec, Catalogue())
        keys.add(cell_of(plan, Replica(0, plan.thetas), "data").key)
    assert len(keys) == 3


def test_what_is_no_layer_is_said(capsys, tmp_path):
    with pytest.raises(PlasticError) as caught:
        weights(transforms=("momentum",), settings={"momentum": {"layers": "4"}})
    assert str(caught.value) == (
        "layers of 'momentum' = '4': expected layers from 1 to 3, such as 1-3 or 1,3, or their "
        "names: dense1, dense2, readout"
    )
    command = ["run", "--task", "digits-mlp", "--rule", "bp", "--transform", "momentum"]
    more = ["--set", "momentum.layers=1", "--seeds", "1", "--samples", "20"]
    assert execute([*command, *more, "--out", str(tmp_path / "out")]) == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["transforms"][0]["layers"] == [1]
