"""Recurrent networks: backpropagation through time is the gradient, Oja's rule the formula."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from plastic_core import Engine, RunSpec, initial_parameters, resolve_hooks
from plastic_core.api import RecurrentSpec
from plastic_core.networks.parameters import add_states
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue
from tests.reference.test_backprop import ACTIVATIONS


def build(rule, spec, seeds=2, dtype=torch.float64):
    """Return an engine for a recurrent network, and a copy of its initial parameters."""
    options = {"hidden": spec.hidden, "present": spec.present, "delay": spec.steps}
    plan = make_plan(RunSpec(rule=rule, task="delayed-digits-rnn", options=options), Catalogue())
    hooks = resolve_hooks(plan.selected, dtype=dtype)
    parameters = initial_parameters(spec, range(seeds), hooks.feedback, dtype)
    add_states(parameters, hooks)
    before = {name: value.clone() for name, value in parameters.named().items()}
    return Engine(spec, hooks, {r.name: r.theta for r in plan.rules}, parameters), before


def points(spec, seeds=2, batch=1, seed=0):
    source = torch.Generator().manual_seed(seed)
    x = torch.rand(seeds, batch, spec.inputs, generator=source, dtype=torch.float64)
    labels = torch.randint(spec.classes, (seeds, batch), generator=source)
    return x, torch.eye(spec.classes, dtype=torch.float64)[labels]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("present", "steps"), [(1, 2), (2, 6), (6, 6)])
def test_bp_is_the_gradient_through_time(activation, batch, present, steps):
    spec = RecurrentSpec(
        inputs=7, hidden=5, classes=3, present=present, steps=steps, activation=activation
    )
    engine, before = build("1*bp", spec)
    x, target = points(spec, batch=batch)
    engine.step(x, target)
    sigma = ACTIVATIONS[activation]
    for replica in range(2):
        w_x, w_h, w_o = (before[f"weight.{i}"][replica].requires_grad_() for i in (1, 2, 3))
        z = shown = x[replica] @ w_x.T
        for t in range(1, steps):
            z = sigma(z) @ w_h.T + (shown if t < present else 0)
        loss = F.cross_entropy(sigma(z) @ w_o.T, target[replica].argmax(-1))
        gradients = torch.autograd.grad(loss, (w_x, w_h, w_o))
        for i, (old, gradient) in enumerate(zip((w_x, w_h, w_o), gradients, strict=True), 1):
            new = engine.parameters.weights[i - 1][replica]
            assert gradient.abs().max() > 0, "the comparison would be empty"
            assert (new - old.detach() + gradient).abs().max() < 1e-10


def test_bp_at_the_size_of_the_paper():
    spec = RecurrentSpec(inputs=784, hidden=100, classes=10)
    engine, before = build("1*bp", spec, seeds=1)
    x, target = points(spec, seeds=1)
    engine.step(x, target)
    w_x, w_h, w_o = (before[f"weight.{i}"][0].requires_grad_() for i in (1, 2, 3))
    z = shown = x[0] @ w_x.T
    for t in range(1, 50):
        z = torch.tanh(z) @ w_h.T + (shown if t < 5 else 0)
    loss = F.cross_entropy(torch.tanh(z) @ w_o.T, target[0].argmax(-1))
    gradients = torch.autograd.grad(loss, (w_x, w_h, w_o))
    for weight, old, gradient in zip(
        engine.parameters.weights, (w_x, w_h, w_o), gradients, strict=True
    ):
        assert (weight[0] - old.detach() + gradient).abs().max() < 1e-10


@pytest.mark.parametrize("batch", [1, 2])
def test_oja_on_the_recurrent_weights_is_the_printed_formula(batch):
    spec = RecurrentSpec(inputs=7, hidden=5, classes=3, present=2, steps=6)
    engine, before = build("1*oja", spec, seeds=1)
    x, target = points(spec, seeds=1, batch=batch)
    engine.step(x, target)
    w_x, w_h = (before[f"weight.{i}"][0].numpy() for i in (1, 2))
    total = np.zeros_like(w_h)
    for one in x[0].numpy():
        z = w_x @ one
        for t in range(1, 6):
            s = np.tanh(z)
            u = w_h @ s
            total += np.outer(u, z) - np.outer(u, s) @ w_h.T @ w_h
            z = u + (w_x @ one if t < 2 else 0)
    difference = engine.parameters.weights[1][0].numpy() - w_h - total / batch
    assert np.abs(total).max() > 0.01
    assert np.abs(difference).max() < 1e-10
    for i in (0, 2):  # the others learn by the rule that propagates alone
        assert torch.equal(engine.parameters.weights[i], before[f"weight.{i + 1}"])


@pytest.mark.parametrize("kind", ["fa", "dfa"])
def test_feedback_alignment_through_time(kind):
    spec = RecurrentSpec(inputs=4, hidden=5, classes=3, present=2, steps=5)
    engine, before = build(f"1*{kind}", spec, seeds=1)
    x, target = points(spec, seeds=1)
    engine.step(x, target)
    w_x, w_h, w_o = (before[f"weight.{i}"][0].numpy() for i in (1, 2, 3))
    b_h, b_o = (before[f"feedback.{i}"][0].numpy() for i in (2, 3))
    shown = w_x @ x[0, 0].numpy()
    z = [shown]
    for t in range(1, 5):
        z.append(w_h @ np.tanh(z[-1]) + (shown if t < 2 else 0))
    y = np.tanh(z)
    out = np.exp(w_o @ y[-1])
    output_error = out / out.sum() - target[0, 0].numpy()
    error = b_o @ output_error * (1 - y[-1] ** 2)
    d_h, d_x = np.zeros_like(w_h), np.zeros_like(w_x)
    for t in range(4, -1, -1):
        if t < 2:
            d_x -= np.outer(error, x[0, 0])
        if t == 0:
            break
        d_h -= np.outer(error, y[t - 1])
        arriving = b_h @ (error if kind == "fa" else output_error)
        error = arriving * (1 - y[t - 1] ** 2)
    for weight, old, change in zip(
        engine.parameters.weights,
        (w_x, w_h, w_o),
        (d_x, d_h, -np.outer(output_error, y[-1])),
        strict=True,
    ):
        assert np.abs(weight[0].numpy() - old - change).max() < 1e-10


@pytest.mark.parametrize("hidden", [16, 25, 100])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_seed_is_the_same_alone_and_among_twenty(hidden, batch):
    spec = RecurrentSpec(inputs=30, hidden=hidden, classes=10, present=3, steps=10)
    rule = "0.001*bp + 0.001*oja"

    def trained(seeds):
        engine, _ = build(rule, spec, seeds=seeds, dtype=torch.float32)
        with torch.inference_mode():
            for step in range(5):
                x, target = points(spec, seeds=20, batch=batch, seed=step)
                engine.step(x[:seeds].float(), target[:seeds].float())
        return engine.parameters.weights

    for alone, four, twenty in zip(trained(1), trained(4), trained(20), strict=True):
        assert torch.equal(alone[0], twenty[0])
        assert torch.equal(four[3], twenty[3])


def test_a_forward_hook_of_its_own_is_taken():
    from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer

    class Doubled(Rule):
        spec = RuleSpec(
            name="doubled",
            summary="twice the input",
            equation="2 W y",
            reference="this test",
            modifies="forward",
            reads={"pre", "weight", "post"},
            theta=Theta(default=0.0),
        )

        @hookimpl
        def plastic_forward(self, s):
            return 2 * torch.bmm(s.pre, s.weight.mT)

        @hookimpl
        def plastic_local_update(self, s):
            return outer(s.post, s.pre)

    spec = RecurrentSpec(inputs=4, hidden=5, classes=3, present=1, steps=3)
    hooks = resolve_hooks([(Doubled(), frozenset({0, 1, 2}))], dtype=torch.float64)
    parameters = initial_parameters(spec, [0], None, torch.float64)
    engine = Engine(spec, hooks, {"doubled": 0.0}, parameters)
    x, target = points(spec, seeds=1)
    w_x, w_h, w_o = (w[0] for w in parameters.weights)
    y = torch.tanh(2 * x[0] @ w_x.T)
    for _ in range(2):
        y = torch.tanh(2 * y @ w_h.T)
    expected = torch.softmax(2 * y @ w_o.T, -1)
    assert torch.allclose(engine.step(x, target)[0], expected, atol=1e-12)
    assert torch.allclose(engine.activities(x, 0)[-1][0], expected, atol=1e-12)
