"""Rules that show the network something several times in an update."""

import numpy as np
import pytest
import torch

from plastic_core import PlasticError, RunSpec, run
from plastic_core.api import Rule, hookimpl, outer
from plastic_core.backends.eager.engine import Engine
from tests.building import random_points, resolve
from tests.engine.trained_rules import assert_tangents, spec_of


class Pepita(Rule):
    """Dellaferrera and Kreiman 2022: the input, then the input plus a projection of the error."""

    spec = spec_of("pepita", {"pre", "post", "feedback_error"}, feedback="output", passes=2)

    @hookimpl
    def plastic_input(self, s):
        return s.input + s.feedback_error

    @hookimpl
    def plastic_local_update(self, s):
        first, second = s.passes
        return -outer(first.post - second.post, second.pre)


class NodePerturbation(Rule):
    """Noise in the second pass; what it does to the loss says where to go."""

    spec = spec_of("node-perturbation", {"pre", "loss"}, noise={"post"}, passes=2)

    @hookimpl
    def plastic_forward(self, s):
        return s.forward(s.pre) + 0.01 * s.pass_index * s.noise.post

    @hookimpl
    def plastic_local_update(self, s):
        clean, noisy = s.passes
        return -outer((noisy.loss - clean.loss) * 100 * s.noise.post, clean.pre)


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def shown(weights, x):
    ys = [x]
    for weight in weights[:-1]:
        ys.append(1 / (1 + np.exp(-ys[-1] @ weight.T)))
    return [*ys, softmax(ys[-1] @ weights[-1].T)]


def test_pepita_is_that_of_a_slow_loop():
    sizes = (6, 5, 4, 3)
    plan, hooks, parameters = resolve(
        "0.1*pepita", sizes, seeds=2, rules=[Pepita], activation="sigmoid"
    )
    slow = [[w[r].numpy().copy() for w in parameters.weights] for r in (0, 1)]
    engine = Engine(plan.circuit, hooks, {"pepita": 0.1}, parameters)
    for x, target in zip(*random_points(2, 3, 4, sizes), strict=True):
        engine.step(x, target)
        for r in (0, 1):
            first = shown(slow[r], x[r].numpy())
            error = first[-1] - target[r].numpy()
            second = shown(slow[r], first[0] + error @ parameters.feedback[0][r].numpy().T)
            for p in range(3):
                change = sum(
                    np.outer(first[p + 1][k] - second[p + 1][k], second[p][k]) for k in range(4)
                )
                slow[r][p] = slow[r][p] - 0.1 * change / 4
    for p in range(3):
        for r in (0, 1):
            np.testing.assert_allclose(parameters.weights[p][r].numpy(), slow[r][p], rtol=1e-11)


def test_node_perturbation_follows_the_gradient():
    """In the mean over many updates, and networks that are equal, it is backpropagation."""
    sizes, networks = (6, 5, 3), 100
    plan, hooks, parameters = resolve(
        "1*node-perturbation", sizes, seeds=networks, rules=[NodePerturbation], activation="tanh"
    )
    x, target = random_points(1, 1, 1, sizes)
    start = [w[:1].clone() for w in parameters.weights]
    engine = Engine(plan.circuit, hooks, {"node-perturbation": 1.0}, parameters)
    total = [torch.zeros_like(w) for w in start]
    for _ in range(60):
        for w, begin in zip(parameters.weights, start, strict=True):
            w.copy_(begin.expand_as(w))
        engine.step(x[0].expand(networks, -1, -1), target[0].expand(networks, -1, -1))
        for one, w, begin in zip(total, parameters.weights, start, strict=True):
            one += (w - begin).sum(0)
    plan, hooks, parameters = resolve("1*bp", sizes, seeds=1, activation="tanh")
    engine = Engine(plan.circuit, hooks, {"bp": 1.0}, parameters)
    engine.step(x[0], target[0])
    for one, w, begin in zip(total, parameters.weights, start, strict=True):
        angle = torch.nn.functional.cosine_similarity(one.flatten(), (w - begin).flatten(), dim=0)
        assert angle > 0.99


@pytest.mark.parametrize(
    ("rule", "task", "net"),
    [
        (Pepita, "digits-mlp", "dense 9 / dense 8 bias"),
        (NodePerturbation, "digits-mlp", "dense 9 layer-norm / dense 9 residual"),
        (NodePerturbation, "digits-cnn", "conv 3 3x3 / pool 2 / dense 8"),
        (Pepita, "digits-cnn", "conv 3 3x3 / pool 2 / dense 8"),
    ],
)
@pytest.mark.slow
def test_compiled_is_eager(rule, task, net):
    found = []
    for backend in ("eager", "compiled"):
        spec = RunSpec(
            task=task,
            rule=f"0.01*{rule.spec.name}",
            options={"net": net},
            seeds=2,
            samples=24,
            evaluations=2,
            batch_size=2,
            dtype="float64",
            backend=backend,
        )
        result = run(spec, rules=[rule])
        assert result.record["backend"] == backend
        found.append(result.parameters.named())
    for key, value in found[0].items():
        assert value.double().isfinite().all()
        torch.testing.assert_close(found[1][key], value, rtol=1e-9, atol=1e-12)


def test_native_says_why_not():
    spec = RunSpec(task="digits-mlp", rule="0.01*pepita", seeds=2, samples=20, evaluations=2)
    result = run(spec, rules=[Pepita])
    assert result.record["backend"] == "eager"
    reason = "C is not generated for several passes in an update that show different inputs"
    assert reason in result.record["backend_reason"]


@pytest.mark.parametrize("rule", [Pepita, NodePerturbation], ids=lambda rule: rule.spec.name)
def test_tangents_are_those_of_finite_differences(rule):
    assert_tangents(rule, rtol=1e-5)


def test_what_is_read_of_each_pass_is_computed_for_it_alone():
    _, hooks, _ = resolve("1*pepita", (6, 5, 3), rules=[Pepita])
    (rule,) = hooks.local
    assert (rule.reads, rule.later) == ({"post"}, (frozenset({"post", "pre"}),))
    assert hooks.input_reads == {"feedback_error"}


class Again(Pepita):
    spec = Pepita.spec.model_copy(update={"name": "again"})


@pytest.mark.parametrize(
    ("expression", "task", "message"),
    [
        (
            "1*pepita + 1*again",
            "digits-mlp",
            "pepita and again both say what is shown behind the first pass; keep one of them",
        ),
        (
            "1*node-perturbation + 0.1*bp",
            "delayed-digits-rnn",
            "the passes of node-perturbation are not for recurrent networks, which are shown their "
            "input once in an update",
        ),
    ],
)
def test_what_does_not_go_together_is_said(expression, task, message):
    spec = RunSpec(task=task, rule=expression, seeds=1, samples=10)
    with pytest.raises(PlasticError) as caught:
        run(spec, rules=[Pepita, Again, NodePerturbation])
    assert str(caught.value) == message


def test_probes_see_what_single_points_would_teach():
    """The increments of points, averaged, are that of their mini-batch."""
    spec = RunSpec(
        task="digits-mlp",
        rule="0.01*pepita",
        options={"net": "dense 9"},
        seeds=2,
        samples=20,
        evaluations=2,
        probes=["update-norm"],
        dtype="float64",
    )
    result = run(spec, rules=[Pepita])
    norms = result.curves["update_norm"]
    assert np.isfinite(norms).all()
    assert (norms > 0).all()


SEEN = []


class Disappointed(Rule):
    """Sees its answer beside the target before it shows the input again."""

    spec = spec_of("disappointed", {"pre", "post", "output", "target", "z"}, passes=2)

    @hookimpl
    def plastic_input(self, s):
        seen = s.output, s.target, s.z
        if s.output.shape == (1, 2, 10):
            SEEN.append([one.clone() for one in seen])
        return s.input * (1 + (s.output - s.target).square().sum(-1, keepdim=True))

    @hookimpl
    def plastic_local_update(self, s):
        first, second = s.passes
        return outer(first.post - second.post, second.pre)


@pytest.mark.parametrize("extra", ["", "+0.1*bp"])
def test_what_is_shown_again_is_decided_by_samples_where_weights_are_shared(extra):
    plan, hooks, parameters = resolve(
        f"0.1*disappointed{extra}",
        (),
        rules=[Disappointed],
        net="conv 3 3x3 / pool 2 / dense 8",
    )
    engine = Engine(plan.network, hooks, plan.thetas, parameters)
    x, target = random_points(1, 1, 2, (64, 10))
    SEEN.clear()
    with torch.no_grad():
        output = engine.step(x[0], target[0])
    shown, wanted, z = SEEN[-1]
    torch.testing.assert_close(shown, output, rtol=0, atol=0)
    torch.testing.assert_close(wanted, target[0], rtol=0, atol=0)
    assert z.shape == (1, 2, 3 * 36)
