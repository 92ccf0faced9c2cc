"""States of rules: over anything, read in every hook, and the same on every backend."""

import itertools

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from plastic_core import RunSpec, run
from plastic_core.api import Rule, hookimpl, outer
from plastic_core.backends.eager.engine import Engine
from tests.building import resolve
from tests.daily import combined
from tests.engine.trained_rules import RUNS, assert_agree, assert_tangents, spec_of, trained


class Averaging(Rule):
    """Sends errors back times the mean activity; gain of a layer and averages as states."""

    spec = spec_of(
        "averaging",
        {"error", "pre", "post", "weight_error"},
        state={
            "mean": {"over": "pre", "initial": 1.0},
            "rate": {"over": "post"},
            "gain": {"over": "one", "initial": 1.0},
        },
        propagates=True,
    )

    @hookimpl
    def plastic_propagate_error(self, s):
        return s.weight_error * s.state.mean * s.state.gain

    @hookimpl
    def plastic_local_update(self, s):
        mean = 0.9 * s.state.mean + 0.1 * s.pre.mean(1, keepdim=True)
        rate = 0.9 * s.state.rate + 0.1 * s.post.mean(1, keepdim=True)
        gain = 0.99 * s.state.gain + 0.01 * s.post.square().mean((1, 2), keepdim=True)
        update = -outer(s.error - 0.1 * s.state.rate * s.state.gain, s.pre)
        return update, {"mean": mean, "rate": rate, "gain": gain}


class Matrices(Rule):
    """Lateral weights within a layer, a readout of its own, a trace, and a copy of W and of B."""

    spec = spec_of(
        "matrices",
        {"pre", "post", "target", "feedback", "weight"},
        state={
            "lateral": {"over": "post*post", "initial": "normal"},
            "readout": {"over": "post*output", "initial": "xavier"},
            "trace": {"over": "weight"},
            "start": {"over": "weight", "initial": "weight"},
            "back": {"over": "feedback", "initial": "normal"},
        },
        feedback="layer",
        modifies={"forward", "feedback"},
    )

    @hookimpl
    def plastic_forward(self, s):
        return s.forward(s.pre) + 0.1 * torch.bmm(s.forward(s.pre).tanh(), s.state.lateral.mT)

    @hookimpl
    def plastic_local_update(self, s):
        old, count = s.state, s.batch
        wrong = s.target - torch.bmm(s.post, old.readout)
        trace = 0.9 * old.trace + torch.bmm(s.post.mT, s.pre) / count
        new = {
            "lateral": old.lateral - 0.01 * torch.bmm(s.post.mT, s.post) / count,
            "readout": old.readout + 0.1 * torch.bmm(s.post.mT, wrong) / count,
            "trace": trace,
            "start": old.start,
            "back": 0.9 * old.back,
        }
        forward = outer(torch.bmm(wrong, old.readout.mT), s.pre) + 0.01 * trace
        forward = forward - 0.1 * (s.weight - old.start)
        return {"forward": forward, "feedback": 0.1 * (old.back - s.feedback)}, new


def one_step(rule, sizes, x, target, steps=3):
    name = rule.spec.name
    plan, hooks, parameters = resolve(
        f"0.1*{name}", sizes, seeds=2, rules=[rule], activation="sigmoid"
    )
    before = {key: value.clone().numpy() for key, value in parameters.named().items()}
    engine = Engine(plan.circuit, hooks, {name: 0.1}, parameters)
    for _ in range(steps):
        engine.step(torch.from_numpy(x), torch.from_numpy(target))
    return before, {key: value.numpy() for key, value in parameters.named().items()}


def slow_matrices(now, layer, pre, post, target):
    """One step of one layer, for K events of one network, written out."""
    key = f"state.matrices.{layer}"
    w, b = now[f"weight.{layer}"], now[f"feedback.{layer}"]
    old = {n: now[f"{key}.{n}"] for n in ("lateral", "readout", "trace", "start", "back")}
    hebb, lateral, readout, learned = (0.0,) * 4
    for x, y, t in zip(pre, post, target, strict=True):
        wrong = t - y @ old["readout"]
        hebb += np.outer(y, x) / len(pre)
        lateral += np.outer(y, y) / len(pre)
        readout += np.outer(y, wrong) / len(pre)
        learned += np.outer(old["readout"] @ wrong, x) / len(pre)
    trace = 0.9 * old["trace"] + hebb
    return {
        f"weight.{layer}": w + 0.1 * (learned + 0.01 * trace - 0.1 * (w - old["start"])),
        f"feedback.{layer}": b + 0.1 * 0.1 * (old["back"] - b),
        f"{key}.lateral": old["lateral"] - 0.01 * lateral,
        f"{key}.readout": old["readout"] + 0.1 * readout,
        f"{key}.trace": trace,
        f"{key}.start": old["start"],
        f"{key}.back": 0.9 * old["back"],
    }


def test_matrices_are_those_of_a_slow_loop():
    source = np.random.default_rng(0)
    x, target = source.normal(size=(2, 4, 6)), np.eye(3)[source.integers(0, 3, (2, 4))]
    before, after = one_step(Matrices, (6, 5, 3), x, target)
    for replica in (0, 1):
        now = {key: value[replica] for key, value in before.items()}
        for _ in range(3):
            pre, new = x[replica], {}
            for layer in (1, 2):
                w, lateral = now[f"weight.{layer}"], now[f"state.matrices.{layer}.lateral"]
                z = pre @ w.T
                z = z + 0.1 * np.tanh(z) @ lateral.T
                post = 1 / (1 + np.exp(-z))
                if layer == 2:
                    post = np.exp(z) / np.exp(z).sum(1, keepdims=True)
                new |= slow_matrices(now, layer, pre, post, target[replica])
                pre = post
            now = new
        for key, value in now.items():
            np.testing.assert_allclose(after[key][replica], value, rtol=1e-10, atol=1e-13)
            changed = np.abs(after[key] - before[key]).max() > 1e-6
            assert changed != key.endswith("start")


def test_what_is_drawn_at_the_start():
    """From the seed, the layer and the name alone; what their distributions are."""

    class Drawn(Rule):
        spec = spec_of(
            "drawn",
            {"pre", "post"},
            state={
                "wide": {"over": "weight", "initial": "normal"},
                "other": {"over": "weight", "initial": "normal"},
                "flat": {"over": "post*post", "initial": "xavier"},
                "same": {"over": "weight", "initial": "weight"},
            },
        )

        @hookimpl
        def plastic_local_update(self, s):
            return outer(s.post, s.pre), vars(s.state)

    def state(seeds):
        _, _, parameters = resolve("1*drawn", (80, 60, 60, 5), seeds=seeds, rules=[Drawn])
        return parameters

    three, one = state(3), state(1)
    for key, value in one.state.items():
        assert torch.equal(three.state[key][:1], value), key
    wide = three.state["drawn.1.wide"]
    flat = three.state["drawn.1.flat"]
    bound = np.sqrt(6 / 120)
    assert abs(wide.mean()) < 4 / np.sqrt(wide.numel())
    assert abs(wide.var() - 1) < 4 * np.sqrt(2 / wide.numel())
    assert 0.98 * bound < flat.abs().max() <= bound
    assert abs(flat.var() - bound**2 / 3) < 0.05 * bound**2
    assert torch.equal(three.state["drawn.1.same"], three.weights[0])
    drawn = [wide[0], wide[1], three.state["drawn.1.other"][0], three.state["drawn.2.wide"][0]]
    together = torch.stack([one[:60, :60].flatten() for one in drawn])
    assert (torch.corrcoef(together) - torch.eye(4)).abs().max() < 5 / 60


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("delayed-xor", {"hidden": 7, "bias": True}),
        ("delayed-digits-rnn", {"hidden": 7, "layer_norm": True, "residual": True}),
        ("digits-mlp", {"net": "dense 7 / dense 7 bias / dense 7 residual"}),
        ("digits-attention", {"net": "tokens 4x4 6 / attention 2 / attention 2 / mean"}),
    ],
)
def test_what_is_drawn_for_a_population_is_the_same_in_all_projections_into_it(task, options):
    """Where there is one projection, it draws numbers of its own, as states over weights do."""
    over = ("post", "post*post", "post*output", "weight")
    states = {f"s{i}": {"over": one, "initial": "normal"} for i, one in enumerate(over)}

    class Drawn(Rule):
        spec = spec_of("drawn", {"pre", "post"}, state=states)

        @hookimpl
        def plastic_local_update(self, s):
            return outer(s.post, s.pre), {name: getattr(s.state, name) for name in states}

    spec = RunSpec(rule="0*drawn", task=task, options=options, seeds=2, samples=1)
    state = run(spec, rules=[Drawn]).parameters.state
    layers = sorted({int(name.split(".")[1]) for name in state})
    for i, kind in enumerate(over):
        for first, second in itertools.combinations(layers, 2):
            one, other = (state[f"drawn.{layer}.s{i}"] for layer in (first, second))
            same = one.shape == other.shape and torch.equal(one, other)
            together = "delayed" in task and (first, second) == (1, 2) and kind != "weight"
            assert same == together, (kind, first, second)


@pytest.mark.parametrize("name", RUNS)
def test_states_of_units_are_native(name):
    used = "eager" if name == "attention" else None
    assert_agree(Averaging, "0.002*averaging", name, "native", used)


class Synapses(Rule):
    """Each synapse has a trace and what it began with, and is pulled back to that."""

    spec = spec_of(
        "synapses",
        {"pre", "post", "z", "weight"},
        state={
            "trace": {"over": "weight"},
            "start": {"over": "weight", "initial": "weight"},
            "rate": {"over": "post"},
            "mean": {"over": "pre", "initial": 1.0},
        },
    )

    @hookimpl
    def plastic_local_update(self, s):
        old = s.state
        together = torch.bmm(s.z.tanh().mT, s.pre) / s.batch
        trace = 0.9 * old.trace + together * (1 + old.rate.mT)
        pull = torch.where(trace.abs() > 0.01, old.start - s.weight, 0 * trace)
        rate = 0.9 * old.rate + 0.1 * s.post.mean(1, keepdim=True)
        mean = 0.9 * old.mean + 0.1 * s.pre.mean(1, keepdim=True)
        update = trace + 0.1 * pull * old.mean - 0.05 * s.weight
        return update + outer(s.post, s.pre), {
            "trace": trace,
            "start": old.start,
            "rate": rate,
            "mean": mean,
        }


def added(made, **more):
    """Return a rule that adds something to W element by element, and nothing else."""

    class Added(Rule):
        spec = spec_of("added", {"post", "pre", "weight"}, **more)

        @hookimpl
        def plastic_local_update(self, s):
            return made(s)

    return Added


def fading(s):
    trace = 0.9 * s.state.trace + torch.bmm(s.post.mT, s.pre) / s.batch
    return trace, {"trace": trace}


ALONE = {
    "weight": added(lambda s: -0.1 * s.weight),
    "sum": added(lambda s: torch.bmm(s.post.mT, s.pre) / s.batch),
    "noise": added(lambda s: s.noise.weight, noise={"weight"}),
    "trace": added(fading, state={"trace": {"over": "weight"}}),
    "in the last layer": added(lambda s: -outer(s.post, s.pre) if s.is_output else -0.1 * s.weight),
}


@pytest.mark.parametrize("name", ["dense", "recurrent"])
@pytest.mark.parametrize("made", ALONE)
def test_what_is_added_alone_is_added_natively(made, name):
    assert_agree(ALONE[made], "0.01*added", name, "native")


def test_a_mask_leaves_it_out_before_transforms():
    given = {"net": "dense 9 connections 0.3 / dense 8"}
    more = {"options": given, "transforms": ("momentum",)}
    expression = "0.02*bp + 0.1*added"
    assert_agree(ALONE["sum"], expression, "dense", "native", **more)
    named, _ = trained(ALONE["sum"], expression, "dense", "native", **more)
    assert (named["state.momentum.forward.1.velocity"] == 0).sum() > 2 * 400


class Whole(Rule):
    """Reads all that has an error below where it propagates, and has a state there."""

    spec = spec_of(
        "whole",
        {"error", "pre_error", "weight_error"},
        propagates=True,
        state={"count": {"over": "pre"}},
    )

    @hookimpl
    def plastic_propagate_error(self, s):
        return s.weight_error

    @hookimpl
    def plastic_local_update(self, s):
        return -outer(s.error, s.pre_error), {"count": s.state.count + 1}


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("digits-mlp", {"net": "dense 9 bias / dense 8 bias"}),
        ("delayed-xor", {"hidden": 7, "steps": 4, "bias": True}),
        ("delayed-digits-rnn", {"hidden": 7, "delay": 7, "bias": True}),
        ("delayed-digits-rnn", {"hidden": 7, "delay": 7}),
    ],
)
@pytest.mark.parametrize("batch", [1, 2])
def test_errors_below_biases_and_many_steps(task, options, batch):
    given = {"task": task, "options": options, "batch_size": batch, "samples": 20}
    assert_agree(Whole, "0.02*whole", "dense", "native", **given)


@pytest.mark.parametrize("layers", ["1", "2"])
def test_it_is_added_in_some_layers(layers):
    given = {"settings": {"added": {"layers": layers}}, "transforms": ("adam",)}
    assert_agree(ALONE["weight"], "0.02*bp + 0.1*added", "dense", "native", **given)


@pytest.mark.parametrize(
    ("name", "expression"),
    combined(RUNS, ["-0.001*synapses", "0.02*bp + 0.0002*synapses", "0.001*oja + -0.001*synapses"]),
)
def test_states_of_synapses_are_native(name, expression):
    used = "eager" if name == "attention" else None
    assert_agree(Synapses, expression, name, "native", used)


def test_states_of_synapses_beside_transforms():
    given = {"transforms": ("momentum", "weight-bounds"), "settings": {"momentum": {"layers": "2"}}}
    assert_agree(Synapses, "0.02*bp + 0.0002*synapses", "dense", "native", **given)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("rule", [Averaging, Matrices, Synapses], ids=lambda rule: rule.spec.name)
def test_compiled_is_eager(rule, name):
    theta = 0.0002 if rule is Synapses else 0.002
    assert_agree(rule, f"{theta}*{rule.spec.name}", name, "compiled")


@pytest.mark.parametrize("rule", [Averaging, Matrices], ids=lambda rule: rule.spec.name)
def test_tangents_are_those_of_finite_differences(rule):
    assert_tangents(rule)


def test_a_propagating_rule_has_its_state_in_layers_that_it_does_not_change():
    plan, hooks, parameters = resolve(
        "0.1*averaging",
        (6, 5, 4, 3),
        rules=[Averaging],
        settings={"averaging": {"layers": "3"}},
    )
    keys = {key.split(".")[1] for key in parameters.state}
    assert keys == {"1", "2", "3"}
    engine = Engine(plan.circuit, hooks, {"averaging": 0.1}, parameters)
    before = parameters.state["averaging.2.mean"].clone()
    engine.step(torch.rand(1, 2, 6, dtype=torch.float64), torch.eye(3).double()[None, :2])
    assert torch.equal(parameters.state["averaging.2.mean"], before)


@pytest.mark.parametrize(
    ("state", "more", "message"),
    [
        (
            {"over": "post*post", "initial": "weight"},
            {},
            "initial = 'weight' is a copy of W; over = 'post*post' is not",
        ),
        (
            {"over": "pre", "initial": "xavier"},
            {},
            "initial = 'xavier' is for matrices; over = 'pre' is none",
        ),
        (
            {"over": "feedback"},
            {},
            "the state 'x' is over 'feedback' but feedback is None; write 'layer' or 'output'",
        ),
    ],
)
def test_what_fits_no_state_is_said(state, more, message):
    with pytest.raises((ValidationError, ValueError)) as caught:
        spec_of("wrong", {"pre"}, state={"x": state}, **more)
    assert message in str(caught.value)
