"""Tangents against reverse mode, finite differences, and the native backend against eager."""

import pytest
import torch

from plastic_core.backends.compiled.functional_step import FunctionalStep
from plastic_core.backends.dual.dual import Dual, value_and_tangent
from plastic_core.backends.dual.tangent_step import TangentStep
from plastic_core.backends.native.native_tangents import NativeTangents
from plastic_core.backends.native.program import NotNativeError
from plastic_core.plugins.catalogue import installed
from tests.building import random_points, resolve
from tests.daily import combined, slow

pytestmark = pytest.mark.usefixtures("compilers")

EQUATION_9 = "0.1*fa+0.01*hebbian-error+0.02*oja+0.001*weight-decay+0.01*b-update+0.001*b-decay"
RULES = ["0.1*bp", "0.1*bp+0.02*oja", EQUATION_9, "0.1*dfa+0.01*oja", "0.1*kolen-pollack+0.01*oja"]
# read the matrix itself, or have decays by rows: not all of them become C
OTHERS = ["0.1*bp+0.01*sanger", "0.1*sign-symmetric", "0.1*bp+0.01*oja-single"]
SIZES = (7, 6, 6, 5, 4)


def made(rule, sizes=SIZES, seeds=2, dtype="float64", **options):
    """Return what a step is made of, with a theta for each replica."""
    plan, hooks, parameters = resolve(rule, sizes, seeds=seeds, dtype=dtype, **options)
    kind = getattr(torch, dtype)
    thetas = {
        r.name: r.theta * torch.linspace(1, 1.3, seeds, dtype=torch.float64).to(kind)
        for r in plan.rules
    }
    return plan.network, hooks, thetas, parameters


def queries(seeds, sizes=SIZES):
    x, target = random_points(seeds, 1, 9, sizes, seed=5)
    return x[0], target[0]


def loss_of(outputs, target):
    return -(target * outputs.log()).sum((-2, -1)) / target.shape[1]


def forward_mode(step):
    """Return the loss of each replica, and its gradient ``[R, P]``."""
    x, target = queries(len(step.tangents["weight.1"]))
    x, target = x.to(step.tangents["weight.1"]), target.to(step.tangents["weight.1"])
    outputs, tangents = step.outputs(x)
    gradient = -(target / outputs * tangents).sum((-2, -1)).T / target.shape[1]
    return loss_of(outputs, target), gradient


def by_tangents(rule, steps, batch, **options):
    spec, hooks, thetas, parameters = made(rule, **options)
    step = TangentStep(spec, hooks, thetas, parameters)
    x, target = random_points(2, steps, batch, SIZES)
    for one, wanted in zip(x, target, strict=True):
        step.step(one, wanted)
    return forward_mode(step)


def by_reverse_mode(rule, steps, batch, **options):
    spec, hooks, thetas, parameters = made(rule, **options)
    for theta in thetas.values():
        theta.requires_grad_()
    step = FunctionalStep(spec, hooks)
    x, target = random_points(2, steps, batch, SIZES)
    for one, wanted in zip(x, target, strict=True):
        columns = {name: theta.view(-1, 1, 1) for name, theta in thetas.items()}
        parameters, _ = step(parameters, columns, one, wanted)
    y, wanted = queries(2)
    for weight, skip in zip(parameters.weights[:-1], spec.skips, strict=False):
        new = installed("activation", spec.activation)().apply(y @ weight.mT)
        y = new + y if skip else new
    loss = loss_of(torch.softmax(y @ parameters.weights[-1].mT, -1), wanted)
    gradients = torch.autograd.grad(loss.sum(), list(thetas.values()))
    return loss.detach(), torch.stack(gradients, 1)


def by_native(rule, steps, batch, dtype="float64", **options):
    spec, hooks, thetas, parameters = made(rule, dtype=dtype, **options)
    step = TangentStep(spec, hooks, thetas, parameters)
    x, target = random_points(2, steps, batch, SIZES, getattr(torch, dtype))
    # every replica has points of its own
    own = [t.transpose(0, 1).flatten(0, 2).contiguous() for t in (x, target)]
    backend = NativeTangents(spec, hooks, thetas, parameters, *own, batch)
    backend.carry(step.tangents)
    backend.advance(torch.arange(2 * steps * batch).view(2, -1))
    return forward_mode(step)


def assert_equal(ours, reference, tolerance):
    for a, b in zip(ours, reference, strict=True):
        assert b.abs().max() > 1e-3, "the comparison would be empty"
        assert (a - b).abs().max() <= tolerance * b.abs().max()


@pytest.mark.parametrize(
    ("rule", "steps", "batch"),
    [
        *combined((*RULES, *OTHERS), [5], [1, 3]),
        ("0.1*bp+0.02*oja", 250, 1),
        slow(EQUATION_9, 250, 1),
    ],
)
def test_tangents_are_the_gradient_of_reverse_mode(rule, steps, batch):
    assert_equal(by_tangents(rule, steps, batch), by_reverse_mode(rule, steps, batch), 1e-6)


@pytest.mark.parametrize(
    ("residual", "activation"), combined([False, True], ["relu", "tanh", "sigmoid", "linear"])
)
def test_every_activation_and_residual_connections(activation, residual):
    options = {"activation": activation, "residual": residual}
    ours = by_tangents(EQUATION_9, 20, 2, **options)
    assert_equal(ours, by_reverse_mode(EQUATION_9, 20, 2, **options), 1e-6)
    assert_equal(by_native(EQUATION_9, 20, 2, **options), ours, 1e-9)


@pytest.mark.parametrize(("rule", "batch"), combined([*RULES, "0.1*bp+0.01*oja-single"], [1, 3]))
def test_native_tangents_are_those_of_eager(rule, batch):
    reference = by_tangents(rule, 53, batch)
    assert_equal(by_native(rule, 53, batch), reference, 1e-9)
    assert_equal(by_native(rule, 53, batch, "float32"), reference, 1e-3)


@pytest.mark.parametrize("sizes", [(1, 1, 2), (37, 33, 17, 9, 5), (20, 64, 48, 3)])
def test_native_tangents_in_networks_of_odd_sizes(sizes):
    found = []
    for native in (False, True):
        spec, hooks, thetas, parameters = made(EQUATION_9, sizes)
        step = TangentStep(spec, hooks, thetas, parameters)
        x, target = random_points(2, 30, 1, sizes)
        if native:
            own = [t.transpose(0, 1).flatten(0, 2).contiguous() for t in (x, target)]
            backend = NativeTangents(spec, hooks, thetas, parameters, *own, 1, threads=2)
            backend.carry(step.tangents)
            assert (backend.advance(torch.arange(60).view(2, 30)) == -1).all()
        else:
            for one, wanted in zip(x, target, strict=True):
                step.step(one, wanted)
        found.append({**parameters.named(), **{f"d {n}": t for n, t in step.tangents.items()}})
    for name, value in found[0].items():
        assert (found[1][name] - value).abs().max() <= 1e-9 * value.abs().max().clamp_min(1)


def test_tangents_are_finite_differences():
    spec, hooks, thetas, parameters = made("0.1*bp+0.02*oja", seeds=1)
    x, target = random_points(1, 20, 1, SIZES)
    step = TangentStep(spec, hooks, thetas, parameters)
    for one, wanted in zip(x, target, strict=True):
        step.step(one, wanted)
    _, gradient = forward_mode(step)
    for p, name in enumerate(thetas):
        losses = []
        for sign in (1, -1):
            spec, hooks, moved, parameters = made("0.1*bp+0.02*oja", seeds=1)
            moved[name] = moved[name] + sign * 1e-6
            step = TangentStep(spec, hooks, moved, parameters)
            for one, wanted in zip(x, target, strict=True):
                step.step(one, wanted)
            losses.append(forward_mode(step)[0])
        assert torch.allclose((losses[0] - losses[1]) / 2e-6, gradient[:, p], rtol=1e-6)


def test_rules_with_a_state():
    from plastic_core.api import Rule, RuleSpec, State, Theta, hookimpl, outer

    class Bcm(Rule):
        spec = RuleSpec(
            name="bcm",
            summary="sliding threshold",
            equation="y (y - h) x'",
            reference="this test",
            modifies="forward",
            reads={"pre", "post"},
            theta=Theta(default=0.05),
            state={"h": State(over="post", initial=0.1)},
        )

        @hookimpl
        def plastic_local_update(self, s):
            new = s.state.h + 0.1 * (s.post.square().mean(1, keepdim=True) - s.state.h)
            return outer(s.post * (s.post - s.state.h), s.pre), {"h": new}

    options = {"rules": [Bcm]}
    ours = by_tangents("0.1*bp+bcm", 20, 2, **options)
    assert_equal(ours, by_reverse_mode("0.1*bp+bcm", 20, 2, **options), 1e-6)
    with pytest.raises(NotNativeError, match="a rule has a state"):
        by_native("0.1*bp+bcm", 20, 2, **options)


FUNCTIONS = [
    lambda x, y: x + y,
    lambda x, y: x - 2.0,
    lambda x, y: 1.0 - x,
    lambda x, y: x * y,
    lambda x, y: x * x.mean(-1, keepdim=True),
    lambda x, y: x / (1 + y.square()),
    lambda x, y: -x,
    lambda x, y: x.exp() * torch.tanh(y),
    lambda x, y: torch.where(x > 0.5, x, y),
    lambda x, y: x.abs().sqrt(),
    lambda x, y: 2.0**y,
    lambda x, y: x.clamp(0.2, 0.7),
    lambda x, y: x.sum() * y,
    lambda x, y: torch.cat([x, y], -1),
    lambda x, y: (x.mT @ y).tril(),
    lambda x, y: torch.softmax(x, -1),
    lambda x, y: x[..., :2] * 3,
    lambda x, y: torch.maximum(x, y),
    lambda x, y: x.cumsum(-1) ** 2,
    lambda x, y: (x.amax(-1, keepdim=True) - x).relu(),
    lambda x, y: (x == x.amax(-1, keepdim=True)) * x * y,
    lambda x, y: torch.where(x != y, x * y, 0 * x),
    lambda x, y: abs(x - y) % 0.3,
    lambda x, y: x.sort(-1).values * y,
    lambda x, y: x.topk(2, -1).values.sum(-1, keepdim=True) * y,
    lambda x, y: torch.max(x, -1, keepdim=True)[0] * x,
    lambda x, y: (x.argmax(-1, keepdim=True) == torch.arange(5)) * y,
    lambda x, y: x * y.size(-1) / len(y) / y.shape[1],
]


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_dual_numbers_differentiate_whatever_a_rule_computes(number):
    function = FUNCTIONS[number]
    source = torch.Generator().manual_seed(number)
    x, y = torch.rand(2, 3, 4, 5, generator=source, dtype=torch.float64)
    dx, dy = torch.rand(2, 6, 3, 4, 5, generator=source, dtype=torch.float64)
    value, tangent = value_and_tangent(function(Dual(x, dx), Dual(y, dy)), 6)
    assert torch.equal(value, function(x, y))
    for p in range(6):
        _, expected = torch.func.jvp(function, (x, y), (dx[p], dy[p]))
        assert torch.allclose(tangent[p], expected, rtol=1e-12)
