"""Where parts of what rules may do meet."""

import pytest
import torch

from plastic_core import MetaSpec, PlasticError, RunSpec, meta_learn, run
from plastic_core.api import Rule, Settle, State, Theta, hookimpl, outer
from tests.engine.test_passes import NodePerturbation, Pepita
from tests.engine.trained_rules import spec_of


def trained(rules, expression, net="dense 9 / dense 8", **more):
    given = {"task": "digits-mlp", "seeds": 2, "samples": 12, "evaluations": 2, **more}
    spec = RunSpec(rule=expression, options={"net": net}, dtype="float64", **given)
    return run(spec, rules=rules)


def test_noise_in_the_forward_pass_is_none_where_queries_are_asked():
    spec = MetaSpec(rule="0.01*node-perturbation", task="digits-fewshot", episodes=1)
    result = meta_learn(spec, rules=[NodePerturbation])
    assert result.history["loss"].notnull().all()


class Own(Pepita):
    """Has a theta, a state and noise in all of its hooks."""

    spec = spec_of(
        "own",
        {"pre", "post", "feedback_error"},
        passes=2,
        feedback="output",
        noise={"post"},
        state={"gain": State(over="one", initial=1.0)},
    ).model_copy(update={"theta": {"a": Theta(default=0.01), "b": Theta(default=0.5)}})

    @hookimpl
    def plastic_input(self, s):
        return s.input + s.theta.b * s.state.gain * s.feedback_error + 0 * s.noise.post.sum()

    @hookimpl
    def plastic_local_update(self, s):
        first, second = s.passes
        learned = second.theta.a * second.state.gain * (first.post - second.post)
        return outer(learned + 0 * second.noise.post, second.pre), {"gain": s.state.gain}


def test_all_hooks_and_all_passes_have_what_belongs_to_the_rule():
    assert all(w.isfinite().all() for w in trained([Own], "own").parameters.weights)


class Settling(Rule):
    spec = spec_of(
        "settling",
        {"z", "pre", "post"},
        settle=Settle(steps=3),
        state={"m": State(over="post", initial=0.1)},
    )

    @hookimpl
    def plastic_settle(self, s):
        return s.z + 0.2 * (s.below + s.above - s.z - s.state.m)

    @hookimpl
    def plastic_local_update(self, s):
        learned = outer(s.nudged.post, s.nudged.pre) - outer(s.free.post, s.back(s.free.post))
        return learned, {"m": s.state.m}


def test_a_network_settles_in_layers_that_the_rule_does_not_change():
    settings = {"settling": {"layers": "1-2"}}
    result = trained([Settling], "0.01*settling", settings=settings)
    assert "settling.3.m" in result.parameters.state


class Through(Rule):
    """Sends the outputs back, which at the output are what it sends by recon."""

    spec = spec_of("through", {"pre", "post", "output"})

    @hookimpl
    def plastic_local_update(self, s):
        if s.is_output:
            return -outer(s.output, s.pre + 0.1 * s.back(s.output))
        return outer(s.post, s.pre)


def test_products_of_what_are_several_signals_at_once():
    eager = trained([Through], "0.001*through", backend="eager")
    native = trained([Through], "0.001*through", backend="native")
    assert native.record["backend"] == "native"
    for one, other in zip(eager.parameters.weights, native.parameters.weights, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    spec = MetaSpec(rule="0.00001*through", task="digits-fewshot", episodes=1, backend="eager")
    assert meta_learn(spec, rules=[Through]).history["loss"].notnull().all()


class Later(Rule):
    """Reads its weights in the second pass alone, and the target at each place."""

    spec = spec_of("later", {"pre", "post", "weight", "target"}, passes=2)

    @hookimpl
    def plastic_input(self, s):
        return 0.9 * s.input

    @hookimpl
    def plastic_local_update(self, s):
        first, second = s.passes
        pre = second.pre - torch.bmm(second.post, second.weight)
        return outer(s.target[..., :1] * first.post, pre)


def test_what_is_read_of_a_later_pass_alone():
    result = trained([Later], "0.001*later", probes=["update-norm"])
    assert result.curves["update_norm"].notnull().all()
    net = "conv 3 3x3 / pool 2 / dense 8"
    result = trained([Later], "0.001*later", net, task="digits-cnn", batch_size=2)
    assert all(w.isfinite().all() for w in result.parameters.weights)


def test_rules_with_other_numbers_of_passes_are_refused():
    class Thrice(Rule):
        spec = spec_of("thrice", {"pre", "post"}, passes=3)

        @hookimpl
        def plastic_local_update(self, s):
            return outer(s.passes[2].post, s.passes[0].pre)

    with pytest.raises(PlasticError) as caught:
        trained([Thrice, NodePerturbation], "0.1*thrice + 0.1*node-perturbation")
    assert str(caught.value) == (
        "thrice has passes=3 and node-perturbation has passes=2, and a run has one number of them; "
        "keep one of them"
    )


def test_a_forward_hook_is_tried_where_it_acts():
    class Sloped(Rule):
        spec = spec_of("sloped", {"pre", "post"})

        @hookimpl
        def plastic_forward(self, s):
            z = s.forward(s.pre)
            return z + 0.1 * s.slope(z)

        @hookimpl
        def plastic_local_update(self, s):
            return outer(s.post, s.pre)

    settings = {"sloped": {"layers": "1"}}
    assert trained([Sloped], "0.001*sloped", settings=settings).record["layers"] == 3
