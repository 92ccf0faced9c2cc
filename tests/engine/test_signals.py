"""The signals z, output, target and loss: what they are, and the same on every backend."""

import numpy as np
import pytest
import torch

from plastic_core import RunSpec, run
from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer
from plastic_core.backends.dual.tangent_step import TangentStep
from plastic_core.backends.eager.engine import Engine
from plastic_core.backends.native.native_tangents import NativeTangents
from tests.building import resolve
from tests.engine.trained_rules import RUNS, assert_agree

OUTPUTS = 10
NETWORKS = {
    "dense": (64, {"net": "dense 7 bias layer-norm / dense 4"}),
    "residual": (64, {"net": "dense 64 residual / dense 4"}),
    "convolution": (40, {"net": "conv 3 2x2 bias / pool 2 / dense 4", "image": (2, 4, 5)}),
    "attention": (16, {"net": "tokens 2x2 4 / attention 2 / mean", "image": (1, 4, 4)}),
}


def rule_of(reads, update):
    class Mine(Rule):
        spec = RuleSpec(
            name="mine",
            summary="of a test",
            equation="x",
            reference="none",
            modifies="forward",
            reads=reads,
            theta=Theta(default=0.01, min=None),
        )

        @hookimpl
        def plastic_local_update(self, s):
            return update(s)

    return Mine


REWARDED = rule_of(
    {"z", "output", "target", "pre"},
    lambda s: outer(s.z.tanh() * (s.target * s.output).sum(-1, keepdim=True), s.pre),
)
SURPRISED = rule_of({"z", "loss", "pre"}, lambda s: outer(s.loss * s.z.tanh(), s.pre))
ALL = rule_of(
    {"z", "output", "target", "loss", "pre"},
    lambda s: outer(s.z * (s.loss + (s.output * s.target).sum(-1, keepdim=True)), s.pre),
)


@pytest.mark.parametrize("name", NETWORKS)
def test_they_are_what_their_names_say(name):
    inputs, options = NETWORKS[name]
    plan, hooks, parameters = resolve(
        "0.01*mine", (inputs, OUTPUTS), seeds=2, rules=[ALL], **options
    )
    source = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, inputs, generator=source, dtype=torch.float64)
    target = torch.eye(OUTPUTS, dtype=torch.float64)[torch.tensor([[0, 3, 1], [4, 4, 2]])]
    engine = Engine(plan.circuit, hooks, {"mine": 0.01}, parameters)
    y = np.stack([engine.activities(x[r : r + 1], r)[-1][0].numpy() for r in (0, 1)])
    for p, s in enumerate(engine.signals(x, target)[: plan.circuit.depth]):
        z = s.pre.numpy() @ parameters.weights[p].mT.numpy()
        np.testing.assert_allclose(s.z.numpy(), z, rtol=1e-12, atol=1e-14)
        places = s.pre.shape[1] // 3
        expected = {
            "output": y,
            "target": target.numpy(),
            "loss": -np.log((y * target.numpy()).sum(-1, keepdims=True)),
        }
        for signal, value in expected.items():
            repeated = np.repeat(value, places, 1)
            np.testing.assert_allclose(getattr(s, signal).numpy(), repeated, rtol=1e-12)


@pytest.mark.parametrize(
    ("rule", "expression"),
    [
        (REWARDED, "-0.01*mine"),
        (REWARDED, "0.02*bp + 0.01*mine"),
        (REWARDED, "0.02*dfa + 0.01*mine"),
        (SURPRISED, "-0.001*mine"),
        (SURPRISED, "0.02*fa + 0.001*mine"),
    ],
)
@pytest.mark.parametrize("name", RUNS)
def test_native_is_eager(name, rule, expression):
    used = "eager" if name == "attention" else None
    assert_agree(rule, expression, name, "native", used)


@pytest.mark.parametrize(
    ("task", "loss"),
    [
        ("digits-mlp", "cross-entropy"),
        ("digits-mlp", "binary-cross-entropy"),
        ("sine-regression", "squared-error"),
    ],
)
def test_the_loss_of_a_sample_is_that_of_the_run(task, loss):
    """The same increments natively, and in float32, whatever the loss."""
    found = []
    for backend, dtype in (("eager", "float64"), ("native", "float64"), ("native", "float32")):
        spec = RunSpec(
            task=task,
            rule="0.01*bp + 0.001*mine",
            options={"loss": loss, "net": "dense 8 / dense 5"},
            seeds=2,
            samples=60,
            evaluations=2,
            dtype=dtype,
            backend=backend,
        )
        result = run(spec, rules=[SURPRISED])
        assert result.record["backend"] == backend
        found.append(result.parameters.weights)
    for eager, native, single in zip(*found, strict=True):
        torch.testing.assert_close(native, eager, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(single.double(), eager, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("rule", [REWARDED, SURPRISED])
@pytest.mark.parametrize("name", RUNS)
def test_compiled_is_eager(name, rule):
    assert_agree(rule, "0.02*bp + 0.001*mine", name, "compiled")


@pytest.mark.parametrize("rule", [REWARDED, SURPRISED])
def test_their_tangents_are_those_of_finite_differences(rule):
    inputs, options = NETWORKS["dense"]
    source = torch.Generator().manual_seed(1)
    x = torch.rand(4, 1, 3, inputs, generator=source, dtype=torch.float64)
    target = torch.eye(OUTPUTS, dtype=torch.float64)[torch.tensor([[[0, 3, 1]]] * 4)]

    def learned(theta, tangents=False):
        plan, hooks, parameters = resolve(
            "0.02*bp + 0.01*mine", (inputs, OUTPUTS), rules=[rule], **options
        )
        thetas = {
            "bp": torch.tensor([0.02], dtype=torch.float64),
            "mine": torch.tensor([theta], dtype=torch.float64),
        }
        if tangents:
            step = TangentStep(plan.circuit, hooks, thetas, parameters)
        else:
            step = Engine(plan.circuit, hooks, thetas, parameters)
        for shown, wanted in zip(x, target, strict=True):
            step.step(shown, wanted)
        named = {name: value.clone() for name, value in parameters.named().items()}
        return step.tangents if tangents else named

    tangents, h = learned(0.01, tangents=True), 1e-6
    above, below = learned(0.01 + h), learned(0.01 - h)
    for name, tangent in tangents.items():
        finite = (above[name] - below[name]) / (2 * h)
        torch.testing.assert_close(tangent[:, 1], finite, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rule", [REWARDED, SURPRISED])
def test_native_tangents_are_those_of_eager(rule):
    sizes, options = (64, OUTPUTS), NETWORKS["dense"][1]
    source = torch.Generator().manual_seed(2)
    x = torch.rand(12, 64, generator=source, dtype=torch.float64)
    target = torch.eye(OUTPUTS, dtype=torch.float64)[torch.arange(12) % OUTPUTS]
    order = torch.arange(12).expand(2, -1)
    found = []
    for native in (False, True):
        plan, hooks, parameters = resolve(
            "0.02*bp + 0.01*mine", sizes, seeds=2, rules=[rule], **options
        )
        thetas = {
            name: torch.full((2,), theta, dtype=torch.float64)
            for name, theta in (("bp", 0.02), ("mine", 0.01))
        }
        step = TangentStep(plan.circuit, hooks, thetas, parameters)
        if native:
            backend = NativeTangents(plan.circuit, hooks, thetas, parameters, x, target, 3)
            backend.carry(step.tangents)
            backend.advance(order)
        else:
            for picks in order.split(3, 1):
                step.step(x[picks], target[picks])
        found.append(step.tangents)
    for name, tangent in found[0].items():
        assert tangent.any(), name
        torch.testing.assert_close(found[1][name], tangent, rtol=1e-9, atol=1e-12)
