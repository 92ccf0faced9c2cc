"""The kit of rules finds what it is there to find, and says it in full."""

import numpy as np
import pytest
import torch

from plastic_core.api import Rule, RuleSpec, State, Theta, hookimpl, outer
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.backends.native.program import Values
from plastic_core.testing import RuleConformance

SOURCE = np.random.default_rng(0)
CALLS = []


def rule_of(update, **fields):
    class Mine(Rule):
        spec = RuleSpec(
            **{
                "name": "mine",
                "summary": "of a test",
                "equation": "x",
                "reference": "none",
                "modifies": "forward",
                "reads": {"pre", "post"},
                "theta": Theta(default=1e-3),
                **fields,
            }
        )

        @hookimpl
        def plastic_local_update(self, s):
            return update(s)

    return Mine


def counting(s):
    CALLS.append(1)
    return outer(s.post, s.pre) * len(CALLS)


HEBB = "return outer(s.post, s.pre)"

# the test of the kit, the local update, what it says
FAULTY = {
    "signals": (
        "test_signals",
        lambda s: outer(s.post.float(), s.pre),
        "returned the left factor of type torch.float32 from signals of type torch.float64; "
        f"expected torch.float64, as the signals are\n  for example: {HEBB}",
    ),
    "zero theta": (
        "test_zero_theta_changes_nothing",
        lambda s: outer(s.post / 0, s.pre),
        "changes weight.1 at theta 0, by up to nan; return finite numbers, and leave the weights to "
        f"the engine\n  for example: {HEBB}",
    ),
    "state outside": (
        "test_is_pure",
        counting,
        "gives other numbers when it is used a second time, in weight.1: off by {off}; keep what "
        "lasts from step to step in a declared state\n"
        '  for example: state={"trace": State(over="post")}',
    ),
    "random": (
        "test_is_deterministic",
        lambda s: outer(s.post * SOURCE.random(), s.pre),
        "gives other numbers in a second run, in weight.1: off by {off}; compute from the signals, "
        f"the parameters and torch's random numbers alone\n  for example: {HEBB}",
    ),
    "across replicas": (
        "test_a_replica_is_the_same_alone_and_among_others",
        lambda s: outer(s.post - s.post.mean(0, keepdim=True), s.pre),
        "gives a network other numbers alone than beside others, in weight.1: off by {off}; the first "
        "dimension counts networks: mix nothing along it\n"
        "  for example: s.post.mean(-1, keepdim=True)  # over the population, not s.post.mean()",
    ),
    "dense without its mean": (
        "test_a_batch_is_the_mean_of_its_points",
        lambda s: torch.bmm(s.post.mT, s.pre),
        "has another increment for a mini-batch than the mean over its points, in weight.1: off by "
        "{off}; outer(a, b) is averaged by the engine; a dense increment is returned already averaged\n"
        "  for example: return torch.bmm(s.post.mT, s.pre) / s.batch",
    ),
    "at a place": (
        "test_learns_in_a_convolution",
        lambda s: torch.bmm(s.post[:, :2].mT, s.pre[:, :2]) / min(2, s.batch),
        "has another increment for a mini-batch than the mean over its points, in weight.1: off by "
        "{off}, in a convolution; outer(a, b) is averaged by the engine; a dense increment is returned "
        "already averaged\n  for example: return torch.bmm(s.post.mT, s.pre) / s.batch",
    ),
    "detached": (
        "test_derivative_by_theta",
        lambda s: outer(s.post.detach(), s.pre),
        "has a derivative by theta that is off by {off} from finite differences, in matrix 1; let "
        "torch differentiate it: no .item(), .detach(), .data or NumPy\n"
        "  for example: s.post.clamp_min(0)  # not s.post.item(), .detach() or .data",
    ),
    "NumPy": (
        "test_derivative_by_theta",
        lambda s: outer(torch.from_numpy(np.tanh(s.post.numpy())), s.pre),
        "cannot be differentiated: {off}; let torch differentiate it: no .item(), .detach(), .data or "
        "NumPy\n  for example: s.post.clamp_min(0)  # not s.post.item(), .detach() or .data",
    ),
    "other than its reference": (
        "test_equals_its_slow_reference",
        lambda s: outer(s.post, s.pre) * 1.001,
        "differs from its reference in forward, by up to {off}; expected the same numbers, up to "
        "rounding\n  for example: def reference(s): return np.outer(s.post, s.pre)",
    ),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_rule_fails_with_the_reason(fault):
    test, update, message = FAULTY[fault]

    class Conformance(RuleConformance):
        rule = rule_of(update)

        def reference(self, s):
            return np.outer(s.post, s.pre)

    with pytest.raises(AssertionError) as caught:
        getattr(Conformance(), test)()
    before, _, after = f"Mine: plastic_local_update {message}".partition("{off}")
    assert str(caught.value).startswith(before)
    assert str(caught.value).endswith(after)


SIGNED = {
    "of errors": (
        lambda s: -outer(s.error.abs(), s.pre.abs()),
        lambda s: -np.outer(s.error, s.pre),
        {"error", "pre"},
    ),
    "of zeros": (
        lambda s: outer(2.0 * (s.post > 0).to(s.post) - 1, s.pre),
        lambda s: np.outer(np.sign(s.post), s.pre),
        {"post", "pre"},
    ),
    "of ties": (
        lambda s: outer((s.post == s.post.amax(-1, keepdim=True)) * s.post, s.pre),
        lambda s: np.outer(np.eye(len(s.post))[s.post.argmax()] * s.post, s.pre),
        {"post", "pre"},
    ),
    "of weights": (
        lambda s: -s.weight.abs(),
        lambda s: -s.weight,
        {"weight"},
    ),
}


@pytest.mark.parametrize("numbers", SIGNED)
def test_the_reference_sees_both_signs_zeros_and_ties(numbers):
    update, slow, reads = SIGNED[numbers]

    class Conformance(RuleConformance):
        rule = rule_of(update, reads=reads)
        reference = staticmethod(slow)

    with pytest.raises(AssertionError, match="differs from its reference in forward"):
        Conformance().test_equals_its_slow_reference()


def test_the_natural_reference_of_oja_fits():
    class Conformance(RuleConformance):
        rule = rule_of(lambda s: outer(s.post, s.pre - s.recon), reads={"post", "pre", "recon"})

        def reference(self, s):
            return np.outer(s.post, s.pre - s.weight.T @ s.post)

    Conformance().test_equals_its_slow_reference()


def test_references_of_forward_and_error_hooks():
    class Gated(
        rule_of(
            lambda s: outer(s.post, s.pre),
            propagates=True,
            reads={"post", "pre", "weight", "weight_error"},
        )
    ):
        @hookimpl
        def plastic_forward(self, s):
            return torch.bmm(s.pre, s.weight.mT) * 0.5

        @hookimpl
        def plastic_propagate_error(self, s):
            return s.weight_error.clamp_min(0)

    class Conformance(RuleConformance):
        rule = Gated

        def forward_reference(self, s):
            return s.weight @ s.pre * 0.5

        def error_reference(self, s):
            return np.maximum(s.weight.T @ s.error, 0)

    Conformance().test_forward_equals_its_slow_reference()
    Conformance().test_error_equals_its_slow_reference()
    Conformance.error_reference = lambda self, s: s.weight.T @ s.error
    with pytest.raises(AssertionError) as caught:
        Conformance().test_error_equals_its_slow_reference()
    assert str(caught.value).startswith(
        "Gated: plastic_propagate_error differs from its reference in the error, by up to "
    )


def test_a_backend_with_other_numbers_is_found(monkeypatch):
    monkeypatch.setattr(NativeBackend, "advance", lambda self, order: None)

    class Conformance(RuleConformance):
        rule = rule_of(lambda s: outer(s.post, s.pre))

    with pytest.raises(AssertionError, match="on the backend native than on eager, in weight"):
        Conformance().test_native_agrees_with_eager()


def test_the_kit_tries_k_other_than_the_mini_batch(monkeypatch):
    """With K taken for the mini-batch, as where it is generated wrong."""
    make_value = Values.make

    def make(self, operation, *arguments):
        return make_value(self, "batch" if operation == "events" else operation, *arguments)

    monkeypatch.setattr(Values, "make", make)

    class Conformance(RuleConformance):
        rule = rule_of(lambda s: outer(s.post * s.post.shape[1], s.pre))

    with pytest.raises(AssertionError, match=r"off by \S+, in a recurrent network; let a hook"):
        Conformance().test_native_agrees_with_eager()


class TestStateful(RuleConformance):
    rule = rule_of(
        lambda s: (
            outer(s.post * (s.post - s.state.mean), s.pre),
            {"mean": s.state.mean + 0.1 * (s.post.mean(1, keepdim=True) - s.state.mean)},
        ),
        state={"mean": State(over="post")},
    )

    def reference(self, s):
        new = s.state.mean + 0.1 * (s.post - s.state.mean)
        return np.outer(s.post * (s.post - s.state.mean), s.pre), {"mean": new}


def test_feedback_from_the_outputs_is_read_in_a_convolution():
    class Conformance(RuleConformance):
        rule = rule_of(
            lambda s: outer(s.post, s.pre - s.feedback_error),
            reads={"post", "pre", "feedback_error"},
            feedback="output",
        )

    Conformance().test_learns_in_a_convolution()
