"""Specs: what they refuse, and what they say then."""

import json

import pytest
from pydantic import BaseModel

from plastic_core import PlasticError, RunSpec
from plastic_core.api import NetworkOptions, NetworkSpec, RuleSpec, Theta
from plastic_core.base.spec import SpecError


def rule_spec(**changes):
    fields = {
        "name": "a-rule",
        "summary": "s",
        "equation": "x",
        "reference": "r",
        "modifies": "forward",
        "reads": {"post"},
        "theta": Theta(default=1),
    }
    return RuleSpec(**{**fields, **changes})


class Thetas(BaseModel):
    theta: float = 1.0


FAULTS = {
    "misspelt field": (
        lambda: RunSpec(sede=3),
        "RunSpec: sede = 3: there is no field 'sede'; did you mean 'seeds'? "
        "The fields are backend, batch_size, data, device, dtype, eval_half, eval_samples, evaluations, "
        "first_seed, options, parent, plugins, probe_samples, probes, readout, readout_layers, "
        "readout_samples, rule, samples, scale, seeds, settings, stages, "
        "target, target_kind, task, transforms",
    ),
    "field like no other": (
        lambda: Theta(default=1, zzz=3),
        "Theta: zzz = 3: there is no field 'zzz'. The fields are default, max, min",
    ),
    "no seeds": (
        lambda: RunSpec(seeds=0),
        "RunSpec: seeds = 0: input should be greater than 0",
    ),
    "a truth value for a number": (
        lambda: RunSpec(samples=True),
        "RunSpec: samples = True: expected a number, not a truth value",
    ),
    "a truth value among numbers": (
        lambda: NetworkSpec(sizes=(3, True, 2)),
        "NetworkSpec: sizes = (3, True, 2): expected a number, not a truth value",
    ),
    "a value that fills a page": (
        lambda: RunSpec(dtype="float" * 100),
        "RunSpec: dtype = '" + "float" * 23 + "floa ... (502 characters): accepted are 'float32' "
        "or 'float64'",
    ),
    "two faults": (
        lambda: RunSpec(samples=-5, dtype="float31"),
        "RunSpec has 2 faults:\n"
        "  samples = -5: input should be greater than 0\n"
        "  dtype = 'float31': accepted are 'float32' or 'float64'; did you mean 'float32'?",
    ),
    "one layer": (
        lambda: NetworkSpec(sizes=(3,)),
        "NetworkSpec: sizes = (3,): tuple should have at least 2 items after validation, not 1",
    ),
    "residual without equal sizes": (
        lambda: NetworkSpec(sizes=(5, 4, 3), residual=True),
        "NetworkSpec: residual: no two successive layers of 5-4-3 are of equal size, so there is "
        "nothing to connect; give equal hidden sizes, such as sizes 784,100,100,100,10",
    ),
    "sizes and layers": (
        lambda: NetworkOptions(sizes="3,2", layers=5),
        "NetworkOptions: give either layers or sizes, not both",
    ),
    "sizes that do not parse": (
        lambda: NetworkOptions(sizes="784,abc,10"),
        "NetworkOptions: sizes = '784,abc,10': expected whole numbers separated by commas, "
        "such as 784,100,10",
    ),
    "depth": (
        lambda: NetworkOptions(layers=7),
        "NetworkOptions: layers = 7: accepted are 5 or 10",
    ),
    "signal": (
        lambda: rule_spec(reads={"posts"}),
        "RuleSpec: reads.0 = 'posts': accepted are 'pre', 'post', 'z', 'source', 'recon', 'error', "
        "'pre_error', 'weight_error', 'feedback_error', 'output_error', 'output', 'target', 'loss', "
        "'weight' or 'feedback'; did you mean 'post'?",
    ),
    "name": (
        lambda: rule_spec(name="1+1"),
        "RuleSpec: name = '1+1': string should match pattern '^[A-Za-z][A-Za-z0-9_-]*$'",
    ),
    "missing": (
        lambda: RuleSpec(
            name="x", summary="s", equation="e", reference="r", modifies="forward", reads=()
        ),
        "RuleSpec: theta: is required and missing",
    ),
    "theta out of its own bounds": (
        lambda: Theta(default=-1),
        "Theta: default = -1 is outside the bounds: a finite number of at least 0",
    ),
    "not finite": (
        lambda: Theta(default=float("nan")),
        "Theta: default = nan: input should be a finite number",
    ),
    "feedback that is not allocated": (
        lambda: rule_spec(reads={"feedback_error"}),
        "RuleSpec: reads feedback_error but feedback is None; write 'layer' or 'output'",
    ),
    "parameter of a reserved name": (
        lambda: rule_spec(params=Thetas),
        "RuleSpec: params: the names theta and layers belong to the engine; rename ['theta']",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_explained(fault):
    make, message = FAULTS[fault]
    with pytest.raises(SpecError) as caught:
        make()
    assert str(caught.value) == message


def test_specs_are_frozen_and_equal_by_value():
    spec = RunSpec(seeds=3)
    with pytest.raises(Exception, match="frozen"):
        spec.seeds = 4
    assert spec == RunSpec(seeds=3)
    assert rule_spec(modifies="forward") == rule_spec(modifies={"forward"})


def test_toml_and_json_go_in_and_out(tmp_path):
    spec = RunSpec(
        rule="0.01*bp + oja",
        options={"layers": 10, "init": "naive"},
        settings={"oja": {"theta": 1e-3, "layers": "1-4"}},
        transforms=("weight-bounds",),
        seeds=7,
    )
    (tmp_path / "spec.toml").write_text(spec.to_toml())
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    (tmp_path / "run.json").write_text(
        json.dumps({"spec": spec.model_dump(mode="json"), "result": {}})
    )
    for name in ("spec.toml", "spec.json"):
        assert RunSpec.from_file(tmp_path / name) == spec
    # a record that names no readout is of before there were any
    assert RunSpec.from_file(tmp_path / "run.json") == spec.model_copy(update={"readout": "none"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.yaml", "", "{path}: a spec is a .toml or .json file"),
        ("a.json", "[1]", "{path}: expected the fields of a RunSpec, found list"),
        ("a.json", '{"spec": 3}', "{path}: 'spec' must hold the fields of a RunSpec"),
        (
            "a.json",
            "{",
            "{path}: is not valid JSON: Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1)",
        ),
        ("a.toml", "rule = ", "{path}: is not valid TOML: Invalid value (at end of document)"),
    ],
)
def test_bad_files_are_explained(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(PlasticError) as caught:
        RunSpec.from_file(path)
    assert str(caught.value) == message.format(path=path)


def test_paper_networks():
    assert NetworkOptions().network_for(784, 10).shape == "784-170-130-100-70-10"
    deep = NetworkOptions(layers=10).network_for(784, 10)
    assert deep.shape == "784-170-150-130-120-110-100-90-80-70-10"
    assert deep.depth == 10
