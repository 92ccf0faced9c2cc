"""The same numbers on a GPU as on the CPU; ``pytest tests/gpu --device cpu`` tries the tests.

Without a GPU they run on the CPU, where they are quick.
"""

import contextlib

import pytest
import torch

from plastic_core import PlasticError, RunSpec, run
from plastic_core.api import Rule, Settle, State, hookimpl, outer
from plastic_core.backends.dual.tangent_step import TangentStep
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.results import result_folder
from tests.benchmarks import gpu
from tests.building import random_points, resolve
from tests.conftest import compilers_of_the_user
from tests.engine.trained_rules import spec_of

RULES = sorted(e.name for e in Catalogue().entries("rule") if e.distribution == "plastic-learning")
PROPAGATES = {e.name for e in Catalogue().entries("rule") if e.plugin and e.plugin.spec.propagates}

#: Every rule in one of few expressions, for each is compiled by itself.
TOGETHER = (
    "fa+hebbian-error+oja+weight-decay+b-update+b-decay",
    "bp+sanger+oja-single+hebbian+anti-hebbian",
    "dfa",
    "sign-symmetric",
    "kolen-pollack",
)
SLOW = pytest.mark.slow
SMALL = {"seeds": 3, "samples": 40, "evaluations": 2, "dtype": "float64"}
OPTIONS = {"sizes": [64, 20, 15, 10]}


@pytest.fixture(scope="module", autouse=True)
def _compilers(device):
    """On a GPU torch.compile is what is tested."""
    with compilers_of_the_user() if device != "cpu" else contextlib.nullcontext():
        yield


def both(device, rules=(), **fields):
    """Return a run on the device, and the reference on the CPU."""
    options = {} if "task" in fields else {"options": OPTIONS}
    fields = {**SMALL, **options, **fields}
    there = run(RunSpec(device=device, **fields), rules=rules)
    here = run(RunSpec(**{**fields, "backend": "eager"}), rules=rules)
    return there, here


def assert_same(there, here):
    for name, value in here.parameters.named().items():
        on_device = there.parameters.named()[name]
        torch.testing.assert_close(on_device.cpu(), value, rtol=1e-9, atol=1e-12)
    assert there.curves["accuracy"].equals(here.curves["accuracy"])


def with_errors(rule):
    return (
        rule
        if rule in PROPAGATES or not Catalogue().find("rule", rule).plugin.spec.reads_error
        else f"{rule}+fa"
    )


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("rule", RULES)
def test_eager_gives_the_numbers_of_the_cpu(device, rule, batch_size):
    fields = {"rule": with_errors(rule), "batch_size": batch_size}
    assert_same(*both(device, backend="eager", **fields))


def test_every_rule_is_compiled():
    assert {name for rule in TOGETHER for name in rule.split("+")} == set(RULES)


# on the CPU, where nothing is compiled here, following the rules takes longest
@pytest.mark.parametrize(
    "rule", [pytest.param(r, marks=() if torch.cuda.is_available() else SLOW) for r in TOGETHER]
)
def test_compiled_gives_the_numbers_of_the_cpu(device, rule):
    there, here = both(device, backend="compiled", rule=rule)
    assert there.record["backend"] == "compiled"
    assert_same(there, here)


@pytest.mark.parametrize(
    "fields",
    [
        {"batch_size": 4, "backend": "compiled"},
        {"transforms": ("adam",)},
        {"options": {**OPTIONS, "layer_norm": True}},
        {"options": {"sizes": [64, 20, 20, 10], "residual": True}},
        {"task": "delayed-digits-rnn", "options": {"hidden": 12, "delay": 6, "present": 2}},
        {"task": "delayed-xor", "options": {"hidden": 9}},
        {"task": "digits-cnn", "options": {"net": "conv 4 3x3 / pool 2 / dense 12"}},
        {"task": "digits-attention"},
        {"settings": {"bp": {"theta": "cosine(0.01)"}}},
    ],
    ids=[
        *("compiled mini-batches", "transforms", "normalisation", "residual", "recurrent"),
        *("sequence", "convolution", "attention", "schedule"),
    ],
)
def test_everything_else_gives_the_numbers_of_the_cpu(device, fields):
    assert_same(*both(device, rule="bp+oja", **{"backend": "eager", **fields}))


class Perturbed(Rule):
    """Noise in the second of two passes, and states over a population and over weights."""

    spec = spec_of(
        "perturbed",
        {"pre", "post", "loss"},
        noise={"post"},
        passes=2,
        state={"mean": State(over="post"), "trace": State(over="weight")},
    )

    @hookimpl
    def plastic_forward(self, s):
        return s.forward(s.pre) + 0.1 * s.pass_index * s.noise.post

    @hookimpl
    def plastic_local_update(self, s):
        clean, noisy = s.passes
        mean = 0.9 * s.state.mean + 0.1 * clean.post.mean(1, keepdim=True)
        trace = 0.9 * s.state.trace + 0.1 * torch.bmm(clean.post.mT, clean.pre)
        row = (noisy.loss - clean.loss) * s.noise.post - 0.1 * (clean.post - s.state.mean)
        return -outer(row, clean.pre) - 0.01 * trace, {"mean": mean, "trace": trace}


class Settled(Rule):
    spec = spec_of("settled", {"pre", "post", "z", "target"}, settle=Settle(steps=4))

    @hookimpl
    def plastic_settle(self, s):
        nudge = 0.5 * (s.target - s.z) if s.is_output and s.phase == "nudged" else 0 * s.z
        return s.z + 0.5 * (s.below - s.z) + (0 if s.is_output else 0.1 * s.above) + nudge

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.nudged.post, s.nudged.pre) - outer(s.free.post, s.free.pre)


@pytest.mark.parametrize("rule", [Perturbed, Settled])
def test_the_wider_contract_gives_the_numbers_of_the_cpu(device, rule):
    assert_same(*both(device, rule=rule.spec.name, backend="eager", rules=[rule]))


def test_probes_give_the_numbers_of_the_cpu(device):
    there, here = both(device, rule="fa+oja", backend="eager", probes=("all",), probe_samples=20)
    for name in here.curves:
        torch.testing.assert_close(
            torch.from_numpy(there.curves[name].to_numpy().astype(float)),
            torch.from_numpy(here.curves[name].to_numpy().astype(float)),
            rtol=1e-5,
            atol=1e-6,
            equal_nan=True,
        )


def test_a_run_goes_on_on_another_device(device, tmp_path, monkeypatch):
    monkeypatch.setattr(result_folder, "_FIRST_CHECKPOINT", 0.0)
    fields = {**SMALL, "options": OPTIONS, "rule": "bp+oja", "backend": "eager"}
    with pytest.raises(ZeroDivisionError):
        run(RunSpec(device=device, **fields), out=tmp_path, on_point=lambda curves: 1 / 0)
    other = RunSpec(**fields)
    resumed = run(other, out=tmp_path, resume=True)
    assert "resumed at sample 20" in resumed.record["notes"]
    if device != "cpu":
        assert f"resumed on cpu; it was begun on {device}" in resumed.record["notes"]
    assert_same(resumed, run(other))


def test_tangents_are_those_of_the_cpu(device):
    plan, hooks, parameters = resolve("bp+oja", (12, 9, 7, 5), seeds=2)
    x, targets = random_points(2, 5, 1, (12, 9, 7, 5))
    found = []
    for where in (device, "cpu"):
        moved = type(parameters)([w.clone().to(where) for w in parameters.weights], [], {})
        thetas = {
            r.name: torch.full((2,), r.theta, dtype=torch.float64, device=where) for r in plan.rules
        }
        step = TangentStep(plan.network, hooks, thetas, moved)
        for point, target in zip(x.to(where), targets.to(where), strict=True):
            step.step(point, target)
        found.append({name: value.cpu() for name, value in step.tangents.items()})
    for name, value in found[1].items():
        torch.testing.assert_close(found[0][name], value, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_the_benchmark_measures_each_contender(device, monkeypatch, capsys):
    flags = ["--device", device, "--networks", "2", "--seconds", "0.001", "--limit", "10000"]
    monkeypatch.setattr("sys.argv", ["gpu", *flags])
    gpu.main()
    _, _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2 * 3 + len(gpu.OTHERS) * 2
    for row in rows:
        assert float(row.split()[-1]) > 0, row  # times the first, where others say what failed


def test_a_device_that_is_not_there_is_explained():
    with pytest.raises(
        PlasticError,
        match=r"^device = 'cuda:77': cannot be used here \(.*\); write cpu, or cuda where ",
    ):
        run(RunSpec(device="cuda:77", seeds=1))
