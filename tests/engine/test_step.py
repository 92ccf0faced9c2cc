"""The engine's promises: snapshot, batches, states, dense updates, transforms, feedback kinds."""

import numpy as np
import pytest
import torch

from plastic_core.api import Rule, RuleSpec, State, Theta, decay, hookimpl, outer
from tests.building import build_engine, random_points

SIZES = (8, 6, 5, 4)


def spec_of(name, **changes):
    fields = {
        "name": name,
        "summary": "of a test",
        "equation": "x",
        "reference": "none",
        "modifies": "forward",
        "reads": {"post", "pre"},
        "theta": Theta(default=0.1),
    }
    return RuleSpec(**{**fields, **changes})


class Threshold(Rule):
    """Hebbian learning above a threshold that follows the activity."""

    spec = spec_of("threshold", state={"mean": State(over="post", initial=0.25)})

    @hookimpl
    def plastic_local_update(self, s):
        new = 0.9 * s.state.mean + 0.1 * s.post.mean(1, keepdim=True)
        return outer(s.post - s.state.mean, s.pre), {"mean": new}


class DenseHebbian(Rule):
    spec = spec_of("dense-hebbian", reads={"post", "pre"})

    @hookimpl
    def plastic_local_update(self, s):
        return torch.einsum("rki,rkj->rij", s.post, s.pre) / s.batch


class RowOja(Rule):
    """Single-unit Oja, y_i x_j - y_i^2 W_ij, by a row factor."""

    spec = spec_of("row-oja")

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post, s.pre) + decay(s.post.square())


class Both(Rule):
    """Updates of Kolen and Pollack, to both matrices."""

    spec = spec_of(
        "both",
        modifies={"forward", "feedback"},
        reads={"pre", "error", "feedback_error"},
        propagates=True,
        feedback="layer",
    )

    @hookimpl
    def plastic_propagate_error(self, s):
        return s.feedback_error

    @hookimpl
    def plastic_local_update(self, s):
        return {
            "forward": -outer(s.error, s.pre) - 0.5 * decay(),
            "feedback": -outer(s.pre, s.error),
        }


class DirectFeedback(Rule):
    spec = spec_of(
        "direct",
        reads={"pre", "error", "feedback_error"},
        propagates=True,
        feedback="output",
    )

    @hookimpl
    def plastic_propagate_error(self, s):
        return s.feedback_error

    @hookimpl
    def plastic_local_update(self, s):
        return -outer(s.error, s.pre)


class HalfForward(Rule):
    """A forward hook that halves the drive, and leaves the default to the others for None."""

    spec = spec_of("half-forward", reads={"pre", "weight"})

    @hookimpl
    def plastic_forward(self, s):
        return 0.5 * torch.bmm(s.pre, s.weight.mT)


class WideForward(Rule):
    """A forward hook for the projections from seven units alone."""

    spec = spec_of("wide-forward", reads={"pre", "weight"})

    @hookimpl
    def plastic_forward(self, s):
        return 2 * torch.bmm(s.pre, s.weight.mT) if s.weight.shape[2] == SIZES[0] else None


def replayed(engine, before, name):
    return (engine.parameters.named()[name] - before[name])[0].numpy()


def first_activities(before, x):
    """Return y_0 .. y_L of replica 0 from the initial weights."""
    ys = [x]
    for i in range(1, len(SIZES)):
        z = before[f"weight.{i}"][0] @ ys[-1]
        last = i == len(SIZES) - 1
        ys.append(torch.softmax(z, 0) if last else torch.nn.functional.softplus(z, 10))
    return [y.numpy() for y in ys]


def test_state_is_carried_and_read_from_the_snapshot():
    engine, _, before = build_engine("0.1*threshold", SIZES, rules=[Threshold])
    x, target = random_points(1, 2, 1, SIZES)
    y0, y1 = first_activities(before, x[0, 0, 0])[:2]
    engine.step(x[0], target[0])
    np.testing.assert_allclose(replayed(engine, before, "weight.1"), 0.1 * np.outer(y1 - 0.25, y0))
    state = engine.parameters.state["threshold.1.mean"][0, 0].numpy()
    np.testing.assert_allclose(state, 0.9 * 0.25 + 0.1 * y1)


def test_of_several_forward_hooks_the_first_that_returns_something_decides():
    both = {"rules": [HalfForward, WideForward]}
    x, target = random_points(1, 1, 1, SIZES)
    outputs = {}
    for rule in ("wide-forward + half-forward", "half-forward + wide-forward", "half-forward"):
        engine, _, before = build_engine(f"{rule} + 0*bp", SIZES, **both)
        outputs[rule] = engine.step(x[0], target[0])[0, 0].numpy().copy()
    np.testing.assert_array_equal(outputs["half-forward + wide-forward"], outputs["half-forward"])
    y = x[0, 0, 0]
    for i in range(1, len(SIZES)):
        z = (2 if i == 1 else 0.5) * before[f"weight.{i}"][0] @ y
        last = i == len(SIZES) - 1
        y = torch.softmax(z, 0) if last else torch.nn.functional.softplus(z, 10)
    np.testing.assert_allclose(outputs["wide-forward + half-forward"], y.numpy(), rtol=1e-12)


def test_dense_update_equals_the_structured_one():
    x, target = random_points(2, 5, 3, SIZES)
    results = []
    for rule in ("0.01*hebbian", "0.01*dense-hebbian"):
        engine, _, _ = build_engine(rule, SIZES, seeds=2, rules=[DenseHebbian])
        for step in range(5):
            engine.step(x[step], target[step])
        results.append(engine.parameters.weights)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def test_row_decay_and_batch_mean():
    engine, _, before = build_engine("0.1*row-oja", SIZES, rules=[RowOja])
    x, target = random_points(1, 1, 3, SIZES)
    expected = 0
    weight = before["weight.1"][0].numpy()
    for k in range(3):
        y0, y1 = first_activities(before, x[0, 0, k])[:2]
        expected = expected + 0.1 / 3 * (np.outer(y1, y0) - (y1**2)[:, None] * weight)
    engine.step(x[0], target[0])
    np.testing.assert_allclose(replayed(engine, before, "weight.1"), expected, rtol=1e-10)


def test_a_rule_may_modify_both_matrices():
    engine, _, before = build_engine("0.1*both", SIZES, rules=[Both])
    x, target = random_points(1, 1, 1, SIZES)
    ys = first_activities(before, x[0, 0, 0])
    error = ys[-1] - target[0, 0, 0].numpy()
    engine.step(x[0], target[0])
    forward = -np.outer(error, ys[-2]) + 0.5 * before["weight.3"][0].numpy()
    np.testing.assert_allclose(replayed(engine, before, "weight.3"), 0.1 * forward, rtol=1e-10)
    np.testing.assert_allclose(
        replayed(engine, before, "feedback.3"), -0.1 * np.outer(ys[-2], error), rtol=1e-10
    )


@pytest.mark.parametrize("sizes", [SIZES, (8, 4, 4, 4)], ids=["", "all sizes equal"])
def test_feedback_from_the_output(sizes):
    engine, _, before = build_engine("0.1*direct", sizes, rules=[DirectFeedback])
    assert engine.parameters.feedback[0].shape == (1, sizes[0], sizes[-1])
    x, target = random_points(1, 1, 1, sizes)
    y = x[0, 0, 0]
    ys = [y]
    for i in (1, 2):
        y = torch.nn.functional.softplus(before[f"weight.{i}"][0] @ y, 10)
        ys.append(y)
    output = torch.softmax(before["weight.3"][0] @ y, 0)
    top = output - target[0, 0, 0]
    engine.step(x[0], target[0])
    for layer, below in ((2, ys[2]), (1, ys[1])):  # e_l = B_{l+1} e_L sigma'(y_l)
        error = (before[f"feedback.{layer + 1}"][0] @ top) * (1 - torch.exp(-10 * below))
        expected = -0.1 * torch.outer(error, ys[layer - 1])
        np.testing.assert_allclose(
            replayed(engine, before, f"weight.{layer}"), expected.numpy(), rtol=1e-9, atol=1e-15
        )


def test_forward_hook_is_used_in_training_and_evaluation():
    engine, _, before = build_engine("half-forward + 0.1*bp", SIZES, rules=[HalfForward])
    x, target = random_points(1, 1, 1, SIZES)
    y = x[0, 0]
    for i in (1, 2):
        y = torch.nn.functional.softplus(0.5 * y @ before[f"weight.{i}"][0].T, 10)
    expected = torch.softmax(0.5 * y @ before["weight.3"][0].T, -1)
    torch.testing.assert_close(engine.activities(x[0], 0)[-1][0], expected)
    torch.testing.assert_close(engine.step(x[0], target[0])[0], expected)


def test_nobody_reads_an_error_so_none_is_computed():
    engine, _, _ = build_engine("oja", SIZES)
    x, target = random_points(1, 1, 1, SIZES)
    for s in engine.signals(x[0], target[0]):
        with pytest.raises(AttributeError, match="the signal 'error' was not computed"):
            _ = s.error


def test_bp_alone_sends_no_error_into_the_input():
    engine, _, _ = build_engine("bp", SIZES)
    x, target = random_points(1, 1, 1, SIZES)
    signals = engine.signals(x[0], target[0])
    assert [hasattr(s, "weight_error") for s in signals] == [False, True, True]


def test_weight_bounds_hold_after_every_step():
    engine, _, _ = build_engine(
        "0.5*hebbian",
        SIZES,
        transforms=("weight-bounds",),
        settings={"weight-bounds": {"low": -0.2, "high": 0.3}},
    )
    x, target = random_points(1, 3, 1, SIZES)
    for step in range(3):
        engine.step(x[step], target[step])
        for weight in engine.parameters.weights:
            assert weight.min() >= -0.2 - 1e-12
            assert weight.max() <= 0.3 + 1e-12


def test_clip_update_limits_the_norm_and_keeps_the_direction():
    x, target = random_points(1, 1, 1, SIZES)
    steps = {}
    for norm in (0.01, 1e9):
        engine, _, before = build_engine(
            "1*bp + 0.1*oja + 0.01*weight-decay",
            SIZES,
            transforms=("clip-update",),
            settings={"clip-update": {"norm": norm}},
        )
        engine.step(x[0], target[0])
        steps[norm] = replayed(engine, before, "weight.3")
    full, clipped = steps[1e9], steps[0.01]
    assert np.linalg.norm(full) > 0.01
    np.testing.assert_allclose(clipped, full * 0.01 / np.linalg.norm(full), rtol=1e-9)


def test_transforms_run_in_the_order_given():
    results = []
    for order in (("clip-update", "weight-bounds"), ("weight-bounds", "clip-update")):
        engine, _, _ = build_engine(
            "5*hebbian",
            SIZES,
            transforms=order,
            settings={"weight-bounds": {"low": -0.1, "high": 0.1}, "clip-update": {"norm": 0.5}},
        )
        x, target = random_points(1, 1, 1, SIZES)
        engine.step(x[0], target[0])
        results.append(engine.parameters.weights[0].abs().max())
    assert results[0] <= 0.1 + 1e-12  # bounds last
    assert results[1] > 0.1  # the clipped step towards the bounds does not reach them


class Scaled(Rule):
    """A scale that is read from the signals, and is no constant of the rule."""

    spec = spec_of("scaled")

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post, s.pre) / s.batch


class Constant(Rule):
    """A tensor that the rule brings along."""

    spec = spec_of("constant")

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post, torch.where(s.pre > 0.5, s.pre, torch.tensor(0.0, dtype=s.pre.dtype)))


class Swapping(Rule):
    """Two states that change places, and one that keeps the weight of before the step."""

    spec = spec_of(
        "swapping",
        reads={"post", "pre", "weight"},
        state={
            "a": State(over="post", initial=1.0),
            "b": State(over="post", initial=2.0),
            "old": State(over="weight"),
        },
    )

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post, s.pre), {"a": s.state.b, "b": s.state.a, "old": s.weight}


def test_a_scale_may_be_read_from_the_signals():
    engine, _, before = build_engine("0.1*scaled", SIZES, rules=[Scaled])
    x, target = random_points(1, 1, 4, SIZES)
    y0, y1 = zip(*(first_activities(before, x[0, 0, k])[:2] for k in range(4)), strict=True)
    engine.step(x[0], target[0])
    expected = 0.1 / 16 * sum(np.outer(post, pre) for pre, post in zip(y0, y1, strict=True))
    np.testing.assert_allclose(replayed(engine, before, "weight.1"), expected, rtol=1e-9)


def test_a_rule_may_hold_a_tensor():
    engine, _, before = build_engine("0.1*constant", SIZES, rules=[Constant])
    x, target = random_points(1, 1, 1, SIZES)
    y0, y1 = first_activities(before, x[0, 0, 0])[:2]
    engine.step(x[0], target[0])
    expected = 0.1 * np.outer(y1, np.where(y0 > 0.5, y0, 0))
    np.testing.assert_allclose(
        replayed(engine, before, "weight.1"), expected, rtol=1e-9, atol=1e-16
    )


@pytest.mark.parametrize("batch", [1, 8])
def test_two_rules_with_the_same_left_factor(batch):
    x, target = random_points(2, 1, batch, SIZES)
    single = []
    for rule in ("0.01*hebbian", "0.02*oja", "0.01*hebbian + 0.02*oja"):
        engine, _, before = build_engine(rule, SIZES, seeds=2)
        engine.step(x[0], target[0])
        single.append(replayed(engine, before, "weight.1"))
    np.testing.assert_allclose(single[0] + single[1], single[2], rtol=1e-9, atol=1e-16)


def test_states_are_written_from_the_snapshot():
    engine, _, before = build_engine("0.1*swapping", SIZES, rules=[Swapping])
    x, target = random_points(1, 1, 1, SIZES)
    engine.step(x[0], target[0])
    state = engine.parameters.state
    assert (state["swapping.1.a"] == 2).all()
    assert (state["swapping.1.b"] == 1).all()
    assert torch.equal(state["swapping.1.old"], before["weight.1"])


def test_layers_restrict_a_forward_hook():
    engine, _, before = build_engine(
        "half-forward + 0*hebbian",
        SIZES,
        rules=[HalfForward],
        settings={"half-forward": {"layers": 2}},
    )
    x, target = random_points(1, 1, 1, SIZES)
    y = torch.nn.functional.softplus(x[0, 0] @ before["weight.1"][0].T, 10)
    y = torch.nn.functional.softplus(0.5 * y @ before["weight.2"][0].T, 10)
    expected = torch.softmax(y @ before["weight.3"][0].T, -1)
    torch.testing.assert_close(engine.activities(x[0], 0)[-1][0], expected)
    torch.testing.assert_close(engine.step(x[0], target[0])[0], expected)
