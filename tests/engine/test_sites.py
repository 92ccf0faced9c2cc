"""Where a hook is called, and products with the matrices that it asks for."""

import re

import numpy as np
import pytest
import torch

from plastic_core import resolve_hooks
from plastic_core.api import Rule, hookimpl, outer
from plastic_core.backends.eager.engine import Engine
from plastic_core.base.errors import PlasticError
from tests.building import resolve
from tests.engine.trained_rules import RUNS, assert_agree, assert_tangents, spec_of, trained


class TargetProjection(Rule):
    """Direct random target projection: what arrives at a hidden layer is B t."""

    spec = spec_of(
        "target-projection", {"pre", "error", "target"}, propagates=True, feedback="output"
    )

    @hookimpl
    def plastic_propagate_error(self, s):
        return -s.feed_back(s.target)

    @hookimpl
    def plastic_local_update(self, s):
        return -outer(s.error, s.pre)


class Local(Rule):
    """Reads an error at the output alone, and propagates none."""

    spec = spec_of("local", {"pre", "z", "target", "output_error"})

    @hookimpl
    def plastic_local_update(self, s):
        if s.is_output:
            return -outer(s.output_error, s.pre)
        return outer(s.slope(s.z) * s.z, s.pre) - 0.1 * outer(s.activation(s.z), s.pre)


class Reconstructing(Rule):
    """Learns by how a layer sees what it would reconstruct."""

    spec = spec_of("reconstructing", {"pre", "post", "source"})

    @hookimpl
    def plastic_local_update(self, s):
        again = s.forward(s.back(s.post.tanh()).tanh())
        return outer(s.post - again.tanh(), s.source - s.back(s.post)) * 0.1


class OwnError(Rule):
    """Sends an error back by products that it asks for, and stops at the first layer."""

    spec = spec_of(
        "own-error", {"error", "z", "pre"}, propagates=True, feedback="layer", gated=True
    )

    @hookimpl
    def plastic_propagate_error(self, s):
        if s.is_output:
            return s.back(s.error)
        return s.feed_back(s.error.tanh() + 0.01 * s.z) + 0.5 * s.back(s.error.square())

    @hookimpl
    def plastic_local_update(self, s):
        return -outer(s.error / s.layer, s.pre)


RULES = {
    "0.02*target-projection": TargetProjection,
    "-0.0005*local": Local,
    "0.05*reconstructing": Reconstructing,
    "0.02*bp + 0.01*reconstructing": Reconstructing,
    "0.02*own-error": OwnError,
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("expression", RULES)
def test_native_is_eager(name, expression):
    used = "eager" if name == "attention" else None
    assert_agree(RULES[expression], expression, name, "native", used)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("expression", RULES)
def test_compiled_is_eager(name, expression):
    assert_agree(RULES[expression], expression, name, "compiled")


def slow(name, weights, feedback, x, target):
    """One step of a network of three layers, tanh and softmax, one sample; the increments."""
    y, zs = [x], []
    for weight in weights:
        zs.append(weight @ y[-1])
        y.append(np.tanh(zs[-1]))
    y[-1] = np.exp(zs[-1]) / np.exp(zs[-1]).sum()
    error = y[-1] - target
    if name == "local":
        hidden = [
            np.outer((1 - y[layer + 1] ** 2) * zs[layer] - 0.1 * y[layer + 1], y[layer])
            for layer in (0, 1)
        ]
        return [*hidden, -np.outer(error, y[-2])]
    if name == "reconstructing":
        found = []
        for weight, pre, post in zip(weights, y, y[1:], strict=False):
            again = np.tanh(weight @ np.tanh(weight.T @ np.tanh(post)))
            found.append(0.1 * np.outer(post - again, pre - weight.T @ post))
        return found
    found = []
    for layer in (3, 2, 1):
        weight, b, pre = weights[layer - 1], feedback[layer - 1], y[layer - 1]
        if name == "target-projection":
            found.insert(0, -np.outer(error, pre))
            arrived = -b @ target
        else:
            found.insert(0, -np.outer(error / layer, pre))
            sent = np.tanh(error) + 0.01 * zs[layer - 1]
            arrived = b @ sent + 0.5 * weight.T @ error**2
            arrived = weight.T @ error if layer == 3 else arrived
        error = arrived * (1 - pre**2)
    return found


@pytest.mark.parametrize(
    "rule", [TargetProjection, Local, Reconstructing, OwnError], ids=lambda r: r.spec.name
)
def test_a_step_is_that_of_a_slow_loop(rule):
    name = rule.spec.name
    _, hooks, parameters = (plan, *_) = resolve(
        f"1*{name}", (6, 5, 4, 3), seeds=2, rules=[rule], activation="tanh"
    )
    source = np.random.default_rng(0)
    x, target = source.normal(size=(2, 6)), np.eye(3)[[0, 2]]
    before = [[w[r].numpy().copy() for w in parameters.weights] for r in (0, 1)]
    fixed = [[b[r].numpy().copy() for b in parameters.feedback] for r in (0, 1)]
    engine = Engine(plan.circuit, hooks, {name: 1.0}, parameters)
    engine.step(torch.from_numpy(x[:, None]), torch.from_numpy(target[:, None]))
    for r in (0, 1):
        for p, increment in enumerate(slow(name, before[r], fixed[r], x[r], target[r])):
            assert np.abs(increment).max() > 1e-3
            after = parameters.weights[p][r].numpy()
            np.testing.assert_allclose(after - before[r][p], increment, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", RUNS)
def test_each_layer_is_told_where_it_is(name):
    told = {}

    class Asking(Rule):
        spec = spec_of("asking", {"pre", "post", "z"})

        @hookimpl
        def plastic_local_update(self, s):
            same = torch.equal(s.activation(s.z), s.post)
            told[s.layer] = (s.is_output, s.learning, same)
            return outer(s.post, s.pre)

    trained(Asking, "0.001*asking", name, "eager")
    if name == "recurrent":
        told.pop(1)  # where it was tried: the other layers learn by the error alone
        assert told == {2: (False, True, False)}
        return
    depth = max(told)
    assert set(told) == set(range(1, depth + 1))
    for layer, (is_output, learning, same) in told.items():
        assert (is_output, learning) == (layer == depth, True)
        # with a bias, normalisation or a leak the activity is not that of z alone
        leaky = name == "sequence" and not is_output
        assert same == (not leaky and (name != "dense" or layer != 2))


def test_a_network_that_is_evaluated_is_told_so():
    seen = set()

    class Doubled(Rule):
        spec = spec_of("doubled", {"pre"})

        @hookimpl
        def plastic_forward(self, s):
            seen.add((s.learning, s.is_output))
            return s.forward(s.pre) * (2.0 if s.learning and not s.is_output else 1.0)

        @hookimpl
        def plastic_local_update(self, s):
            return outer(s.forward(s.pre), s.pre)

    plan, hooks, parameters = resolve(
        "0.01*doubled", (6, 5, 3), seeds=2, rules=[Doubled], activation="sigmoid"
    )
    engine = Engine(plan.circuit, hooks, {"doubled": 0.01}, parameters)
    seen.clear()
    x = torch.rand(2, 4, 6, dtype=torch.float64)
    target = torch.eye(3, dtype=torch.float64)[torch.tensor([[0, 1, 2, 0]] * 2)]
    evaluated = [engine.activities(x[r : r + 1], r)[1] for r in (0, 1)]
    assert seen == {(False, False), (False, True)}
    first, _ = engine.signals(x, target)
    assert seen == {(True, False), (True, True), (False, False), (False, True)}
    plain = torch.special.expit(torch.bmm(x, parameters.weights[0].mT))
    np.testing.assert_allclose(torch.cat(evaluated).numpy(), plain.numpy(), rtol=1e-12)
    assert not torch.allclose(first.post, plain)


@pytest.mark.parametrize("rule", [Reconstructing, OwnError], ids=lambda r: r.spec.name)
def test_tangents_are_those_of_finite_differences(rule):
    assert_tangents(rule)


def faulty(body, **more):
    class Faulty(Rule):
        spec = spec_of("faulty", {"pre", "post", "z"}, **more)

        @hookimpl
        def plastic_local_update(self, s):
            return body(s)

    return Faulty


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            lambda s: outer(s.post, s.back(s.pre)),
            "the rule 'faulty': plastic_local_update raised TypeError: s.back takes [R, K, n_post], "
            "here [2, K, 4], and was given [2, 3, 5]",
        ),
        (
            lambda s: outer(s.forward(1.0), s.pre),
            "the rule 'faulty': plastic_local_update raised TypeError: s.forward takes "
            "[R, K, n_pre], here [2, K, 5], and was given a value of type float",
        ),
        (
            lambda s: outer(s.post, s.feed_back(s.post)),
            "the rule 'faulty': plastic_local_update raised TypeError: s.feed_back needs "
            "feedback='layer' or 'output' in the spec",
        ),
        (
            lambda s: outer(s.slope(s.z), s.pre),
            "the rule 'faulty': plastic_local_update raised TypeError: there is no slope at the "
            "output; ask s.is_output first, or read s.output_error",
        ),
    ],
)
def test_what_is_wrong_is_said(body, message):
    with pytest.raises(PlasticError) as caught:
        resolve("1*faulty", (6, 5, 3), rules=[faulty(body)])
    assert message in re.sub(r" in line \d+", "", str(caught.value))


def test_hooks_that_ask_where_they_are_need_a_circuit():
    rule = faulty(lambda s: outer(s.post * s.layer, s.pre))
    with pytest.raises(PlasticError) as caught:
        resolve_hooks([(rule(), frozenset({0}))])
    assert str(caught.value) == (
        "the rule 'faulty' asks where it is (layer); give resolve_hooks the circuit"
    )
