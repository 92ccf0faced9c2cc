"""Networks that settle before they learn: equilibrium propagation and predictive coding."""

import pytest
import torch

from plastic_core import PlasticError, RunSpec, run
from plastic_core.api import Rule, Settle, hookimpl, outer
from plastic_core.backends.eager.engine import Engine
from tests.building import resolve
from tests.engine.trained_rules import assert_tangents, spec_of

SIZES = (6, 5, 5, 5, 3)


def equilibrium(beta, steps=300):
    class Equilibrium(Rule):
        """Scellier and Bengio 2017, with the output nudged towards the target."""

        spec = spec_of("equilibrium", {"pre", "post", "z", "target"}, settle=Settle(steps=steps))

        @hookimpl
        def plastic_settle(self, s):
            slope = 1.0 if s.is_output else s.slope(s.z)
            change = slope * (s.below + s.above) - s.z
            if s.is_output and s.phase == "nudged":
                change = change + beta * (s.target - s.activation(s.z))
            return s.z + 0.2 * change

        @hookimpl
        def plastic_local_update(self, s):
            free, nudged = s.free, s.nudged
            return (outer(nudged.post, nudged.pre) - outer(free.post, free.pre)) / beta

    return Equilibrium


def predictive(beta, steps=2000):
    class Predictive(Rule):
        """Whittington and Bogacz 2017: messages are errors; the output is drawn to the target."""

        spec = spec_of("predictive", {"pre", "z", "target"}, settle=Settle(steps=steps))

        @hookimpl
        def plastic_settle(self, s):
            error = s.z - s.below
            if s.is_output:
                drawn = beta * (s.target - s.z) if s.phase == "nudged" else 0.0
                return s.z + 0.1 * (drawn - error), error
            return s.z + 0.1 * (s.slope(s.z) * s.above - error), error

        @hookimpl
        def plastic_local_update(self, s):
            nudged = s.nudged
            return outer(nudged.z - s.forward(nudged.pre), nudged.pre) / beta

    return Predictive


def shown(rule, x, target, **more):
    """Return what one update adds to the weights, and the weights before it."""
    name = rule.spec.name
    plan, hooks, parameters = resolve(
        f"1*{name}", SIZES, rules=[rule], activation="tanh", loss="squared-error", **more
    )
    before = [w.clone() for w in parameters.weights]
    engine = Engine(plan.circuit, hooks, {name: 1.0}, parameters)
    output = engine.step(x, target).clone()
    return [w - b for w, b in zip(parameters.weights, before, strict=True)], before, output


def angle(one, other):
    a, b = (torch.cat([v.flatten() for v in vectors]) for vectors in (one, other))
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=0).clamp(-1, 1)
    return torch.rad2deg(torch.arccos(cosine)).item()


X = torch.rand(1, 2, SIZES[0], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
TARGET = torch.eye(SIZES[-1], dtype=torch.float64)[torch.tensor([[0, 2]])]


def at_equilibrium(weights, x, steps=500):
    """Return the output of the free phase, written out."""
    zs, y = [], x
    for i, w in enumerate(weights):
        zs.append(y @ w.mT)
        y = zs[-1] if i == len(weights) - 1 else zs[-1].tanh()
    for _ in range(steps):
        ys = [x, *(z.tanh() for z in zs[:-1]), zs[-1]]
        new = []
        for p, (w, z) in enumerate(zip(weights, zs, strict=True)):
            last = p == len(weights) - 1
            above = 0.0 if last else ys[p + 2] @ weights[p + 1]
            slope = 1.0 if last else 1 - z.tanh() ** 2
            new.append(z + 0.2 * (slope * (ys[p] @ w.mT + above) - z))
        zs = new
    return zs[-1]


def test_equilibrium_propagation_tends_to_the_gradient():
    angles = []
    for beta in (1.0, 0.1, 0.01):
        change, before, output = shown(equilibrium(beta, 500), X, TARGET)
        weights = [w.clone().requires_grad_() for w in before]
        settled = at_equilibrium(weights, X)
        torch.testing.assert_close(output, settled.detach(), rtol=1e-9, atol=1e-9)
        loss = 0.5 * (settled - TARGET).square().sum() / X.shape[1]
        gradient = torch.autograd.grad(loss, weights)
        angles.append(angle(change, [-g for g in gradient]))
    assert angles[0] > angles[1] > angles[2]
    assert angles[2] < 0.5
    print("angles to the gradient at nudges 1, 0.1, 0.01:", angles)


@pytest.mark.slow
def test_predictive_coding_tends_to_backpropagation_at_small_errors():
    angles = []
    plan, hooks, parameters = resolve("1*bp", SIZES, activation="tanh", loss="squared-error")
    before = [w.clone() for w in parameters.weights]
    Engine(plan.circuit, hooks, {"bp": 1.0}, parameters).step(X, TARGET)
    descent = [w - b for w, b in zip(parameters.weights, before, strict=True)]
    for beta in (0.1, 0.01, 0.001):
        change, _, _ = shown(predictive(beta), X, TARGET)
        angles.append(angle(change, descent))
    assert angles[0] > angles[1] > angles[2]
    assert angles[2] < 0.5
    print("angles to backpropagation at a pull of 0.1, 0.01, 0.001:", angles)


@pytest.mark.parametrize(
    "rule", [equilibrium(0.5, 15), predictive(0.5, 15)], ids=lambda r: r.spec.name
)
def test_tangents_are_those_of_finite_differences(rule):
    assert_tangents(rule, SIZES, 0.1, 1e-5, activation="tanh", loss="squared-error")


def trained(rule, backend="auto", **more):
    spec = RunSpec(
        task="digits-mlp",
        rule=f"0.1*{rule.spec.name}",
        options={"net": "dense 20 / dense 20", "loss": "squared-error", "activation": "tanh"},
        evaluations=2,
        backend=backend,
        **{"seeds": 2, "samples": 400, **more},
    )
    return run(spec, rules=[rule])


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(equilibrium(0.5, 10), id="equilibrium"),
        pytest.param(predictive(0.5, 10), id="predictive", marks=pytest.mark.slow),
    ],
)
def test_they_learn_and_a_network_is_the_same_alone_and_among_others(rule):
    result = trained(rule)
    assert result.record["backend"] == "eager"
    assert "C is not generated for networks that settle" in result.record["backend_reason"]
    loss = result.curves["loss"].mean("seed")
    assert loss[-1] < 0.95 * loss[0]
    alone = trained(rule, first_seed=1, seeds=1)
    for name, value in alone.parameters.named().items():
        assert torch.equal(result.parameters.named()[name][1:], value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule", [equilibrium(0.5, 5), predictive(0.5, 5)], ids=lambda r: r.spec.name
)
def test_compiled_is_eager(rule):
    small = {"samples": 12, "dtype": "float64"}
    eager = trained(rule, "eager", **small).parameters.named()
    compiled = trained(rule, "compiled", **small)
    assert compiled.record["backend"] == "compiled"
    for name, value in eager.items():
        torch.testing.assert_close(compiled.parameters.named()[name], value, rtol=1e-9, atol=1e-12)


class Again(predictive(0.5)):
    spec = predictive(0.5).spec.model_copy(update={"name": "again"})


class Far(Rule):
    spec = spec_of("far", {"feedback_error"}, feedback="output")

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post, s.feedback_error)


@pytest.mark.parametrize(
    ("expression", "task", "net", "message"),
    [
        (
            "predictive + again",
            "digits-mlp",
            "dense 9",
            "predictive and again both settle the network; keep one of them",
        ),
        (
            "predictive + bp",
            "digits-mlp",
            "dense 9",
            "predictive settles the network, and bp propagates an error; keep one of them",
        ),
        (
            "predictive + far",
            "digits-mlp",
            "dense 9",
            "predictive settles the network, which then has no feedback_error, and far reads it",
        ),
        (
            "predictive",
            "digits-mlp",
            "dense 9 bias",
            "predictive settles the network, which is for dense feed-forward networks without "
            "biases, layer normalisation and residual connections",
        ),
        (
            "predictive",
            "digits-cnn",
            "conv 3 3x3 / dense 9",
            "predictive settles the network, which is for dense feed-forward networks without "
            "biases, layer normalisation and residual connections",
        ),
    ],
)
def test_what_cannot_settle_is_said(expression, task, net, message):
    spec = RunSpec(task=task, rule=expression, seeds=1, samples=10, options={"net": net})
    with pytest.raises(PlasticError) as caught:
        run(spec, rules=[predictive(0.5), Again, Far])
    assert str(caught.value) == message


def test_phases_are_found_by_name():
    rule = equilibrium(0.5, steps=20)

    class ByName(rule):
        @hookimpl
        def plastic_local_update(self, s):
            free, nudged = (s.phases[phase] for phase in ("free", "nudged"))
            return (outer(nudged.post, nudged.pre) - outer(free.post, free.pre)) / 0.5

    for one, other in zip(shown(rule, X, TARGET)[0], shown(ByName, X, TARGET)[0], strict=True):
        assert torch.equal(one, other)
        assert one.abs().max() > 0


def test_a_phase_of_a_network_that_does_not_settle():
    class Unsettled(Rule):
        spec = spec_of("unsettled", {"pre", "post"})

        @hookimpl
        def plastic_local_update(self, s):
            return outer(s.free.post, s.pre)

    with pytest.raises(PlasticError) as refused:
        resolve("1*unsettled", SIZES, rules=[Unsettled])
    assert "there is no signal 'free' here; write settle=Settle(steps=20) in the spec" in str(
        refused.value
    )
