"""Several passes in an update, natively: the numbers of eager, from one snapshot of the weights."""

import pytest
import torch

from plastic_core.api import Rule, Theta, decay, hookimpl, outer
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.backends.native.native_tangents import NativeTangents
from plastic_core.backends.native.program import NotNativeError
from tests.backends.trained_parts import assert_same, make, order
from tests.daily import combined
from tests.engine.test_passes import NodePerturbation, Pepita
from tests.engine.trained_rules import assert_agree, killed_and_resumed, small, spec_of

pytestmark = pytest.mark.usefixtures("compilers")


class Errors(Rule):
    """What comes back in each of three passes, with noise, a state and thetas of its own."""

    spec = spec_of(
        "errors",
        {
            *("pre", "post", "z", "error", "weight_error", "recon", "feedback_error"),
            *("pre_error", "loss", "output", "target"),
        },
        feedback="layer",
        propagates=True,
        passes=3,
        noise={"post"},
        state={"mean": {"over": "post"}},
        theta={"a": Theta(default=0.01, min=None), "b": Theta(default=0.003, min=None)},
    )

    @hookimpl
    def plastic_forward(self, s):
        if s.pass_index == 0:
            return None
        return s.forward(s.pre) + 0.1 * s.pass_index * s.noise.post + 0.01 * s.state.mean

    @hookimpl
    def plastic_propagate_error(self, s):
        both = s.weight_error + s.feedback_error
        return both - s.weight_error if s.pass_index == 1 else both + 0.01 * s.loss

    @hookimpl
    def plastic_local_update(self, s):
        (a, b, c), theta = s.passes, s.theta
        mean = 0.9 * s.state.mean + 0.1 * (b.post - a.post).mean(1, keepdim=True)
        right = (b.output * b.target).sum(-1, keepdim=True)
        back = b.recon - a.pre_error + b.weight_error + c.pre_error
        update = -outer(theta.a * (b.error + a.error), c.pre)
        update = update - outer(theta.b * c.post * (c.loss - a.loss), back)
        update = update + outer(b.z * right * theta.b, c.noise.post.mean(-1, keepdim=True) * s.pre)
        return update - 0.001 * decay(c.post.square()), {"mean": mean}


class Sites(Rule):
    """Learns elsewhere otherwise, and matrices of a later pass are added element by element."""

    spec = spec_of(
        "sites",
        {"pre", "post", "output_error", "weight", "target", "output"},
        passes=2,
        noise={"post", "weight"},
        state={"trace": {"over": "weight"}},
    )

    @hookimpl
    def plastic_forward(self, s):
        if s.is_output or s.pass_index == 0:
            return None
        return s.forward(s.pre) * 1.1 + 0.05 * s.noise.post

    @hookimpl
    def plastic_local_update(self, s):
        first, second = s.passes
        trace = 0.9 * s.state.trace + torch.bmm(second.post.mT, first.pre) / s.batch
        if s.is_output:
            wrong = second.output_error + first.output_error * (second.target - second.output)
            return -outer(wrong, second.pre) + 0.01 * trace, {"trace": trace}
        learned = outer(second.activation(second.post) - first.post, s.passes[1].pre)
        return learned + 0.001 * trace + 0.001 * s.noise.weight, {"trace": trace}


NETS = {
    "dense": ("digits-mlp", {"net": "dense 9 / dense 8"}),
    "biases": ("digits-mlp", {"net": "dense 9 bias layer-norm / dense 9 residual bias"}),
    "mask": ("digits-mlp", {"net": "dense 9 connections 0.4 / dense 8"}),
    "convolution": ("digits-cnn", {"net": "conv 3 3x3 bias / conv 3 2x2 / pool 2 / dense 8"}),
}

RULES = [
    ("0.001*node-perturbation", NodePerturbation, ()),
    ("0.001*node-perturbation + 0.02*bp + 0.001*oja", NodePerturbation, ()),
    ("errors", Errors, ()),
    ("errors + 0.01*hebbian", Errors, ("momentum",)),
    ("0.01*sites", Sites, ()),
    ("0.01*sites + 0.02*bp", Sites, ("adam",)),
]


@pytest.mark.parametrize(("net", "batch", "case"), combined(NETS, [1, 3], RULES))
def test_native_is_eager(net, batch, case):
    (task, options), (expression, rule, transforms) = NETS[net], case
    given = {"task": task, "options": {**options, "activation": "tanh"}, "transforms": transforms}
    assert_agree(rule, expression, "dense", "native", batch_size=batch, samples=40, **given)


def test_thetas_that_change_over_the_run():
    settings = {"errors": {"theta.a": "cosine(0.02)", "theta.b": "linear(0.01)"}}
    assert_agree(Errors, "errors", "dense", "native", settings=settings)


def test_networks_on_two_threads_that_go_on():
    finals = []
    for threads, parts in ((1, (60,)), (2, (24, 36))):
        rule, more = "0.001*node-perturbation + oja", {"threads": threads}
        native, parameters = make(
            NativeBackend, rule, (9, 8, 7, 4), seeds=5, rules=[NodePerturbation], more=more
        )
        begun, points = 0, order(5, 60)
        for count in parts:
            native.advance(points[:, begun : begun + count])
            begun += count
        finals.append(parameters)
    assert_same(*finals, 0)


def test_a_run_that_was_killed_goes_on(tmp_path, monkeypatch):
    rule = "0.001*node-perturbation"
    killed_and_resumed(small(rule), tmp_path, monkeypatch, rules=[NodePerturbation])


def test_only_what_is_read_of_a_pass_is_computed_for_it():
    """Of bp's errors beside a rule of two passes those of the first, and of the second the loss."""
    native, _ = make(NativeBackend, "node-perturbation + bp", (6, 5, 3), rules=[NodePerturbation])
    needs = [native.code.program.kinds[kind].needs for kind in native.code.program.kind_of]
    assert [one.weight_error for one in needs] == [False, True, False, False]


@pytest.mark.parametrize(
    ("backend", "rule", "message"),
    [
        (
            NativeBackend,
            Pepita,
            "C is not generated for several passes in an update that show different inputs "
            "(plastic_input)",
        ),
        (
            NativeTangents,
            NodePerturbation,
            "several passes in an update are not differentiated in C",
        ),
    ],
)
def test_what_is_refused(backend, rule, message):
    with pytest.raises(NotNativeError) as caught:
        make(backend, rule.spec.name, (6, 5, 3), rules=[rule])
    assert str(caught.value) == message
