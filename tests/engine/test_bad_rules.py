"""Rules at fault are explained by the trial call, before training."""

import pytest
import torch

from plastic_core import Engine, NetworkSpec, PlasticError, initial_parameters, resolve_hooks
from plastic_core.api import Rule, State, hookimpl, outer
from plastic_rules.fa import FeedbackAlignment
from tests.building import build_engine
from tests.engine.test_step import SIZES, Threshold, spec_of

BAD_RULES = {
    "undeclared": (
        {"reads": {"post"}},
        lambda s: outer(s.post, s.pre),
        "the rule 'bad': plastic_local_update reads the signal 'pre', which its spec does not declare; add 'pre' to reads=['post']",
    ),
    "in place": (
        {"reads": {"post", "pre", "weight"}},
        lambda s: (s.weight.add_(1), outer(s.post, s.pre))[1],
        "the rule 'bad': plastic_local_update modifies the signal 'weight' in place; "
        "return the increment and let the engine add it",
    ),
    "swapped factors": (
        {},
        lambda s: outer(s.pre, s.post),
        "the rule 'bad': plastic_local_update returned the left factor of shape [2, 3, 5]; "
        "expected [R, K, n_post], here [2, 3, 4] (R=2, K=3, n_post=4, n_pre=5)\n"
        "the rule 'bad': plastic_local_update returned the right factor of shape [2, 3, 4]; "
        "expected [R, K, n_pre], here [2, 3, 5] (R=2, K=3, n_post=4, n_pre=5)",
    ),
    "several at once": (
        {"reads": set()},
        lambda s: outer(s.pre, s.pre.double()),
        "the rule 'bad': plastic_local_update reads the signal 'pre', which its spec does not declare; "
        "add 'pre' to reads=[]\n"
        "the rule 'bad': plastic_local_update returned the left factor of shape [2, 3, 5]; "
        "expected [R, K, n_post], here [2, 3, 4] (R=2, K=3, n_post=4, n_pre=5)\n"
        "the rule 'bad': plastic_local_update returned the right factor of type torch.float64 "
        "from signals of type torch.float32; expected torch.float32, as the signals are",
    ),
    "dense of a wrong shape": (
        {},
        lambda s: torch.bmm(s.pre.mT, s.post),
        "the rule 'bad': plastic_local_update returned the update of shape [2, 5, 4]; "
        "expected [R, n_post, n_pre], here [2, 4, 5] (R=2, K=3, n_post=4, n_pre=5)",
    ),
    "nothing": (
        {},
        lambda s: None,
        "the rule 'bad': plastic_local_update returned None; "
        "expected outer(a, b), decay(), sums of them, or a tensor",
    ),
    "no state": (
        {"state": {"trace": State(over="pre")}},
        lambda s: outer(s.post, s.pre),
        "the rule 'bad': plastic_local_update returned a value of type Outer; expected (update, {name: new state})",
    ),
    "state of a wrong shape": (
        {"state": {"trace": State(over="pre")}},
        lambda s: (outer(s.post, s.pre), {"trace": s.pre}),
        "the rule 'bad': plastic_local_update returned the state 'trace' of shape [2, 3, 5]; "
        "expected [R, 1, n_pre], here [2, 1, 5] (R=2, K=3, n_post=4, n_pre=5)",
    ),
    "tensor times an update": (
        {},
        lambda s: s.post.mean() * outer(s.post, s.pre),
        "the rule 'bad': plastic_local_update multiplied an update by a value of type Tensor; "
        "expected a number there; multiply a factor of outer() by it",
    ),
    "exception": (
        {},
        lambda s: 1 / 0,
        "the rule 'bad': plastic_local_update raised ZeroDivisionError: division by zero in line 73; "
        "expected a result for signals of every size",
    ),
    "shapes that do not fit": (
        {},
        lambda s: s.post.mean(1) * s.pre[..., :2],
        "the rule 'bad': plastic_local_update raised RuntimeError: The size of tensor a (4) must match "
        "the size of tensor b (2) at non-singleton dimension 2 in line 79; expected a result for signals "
        "of every size: activities [R, K, n], matrices [R, n_post, n_pre]",
    ),
}


@pytest.mark.parametrize("fault", BAD_RULES)
def test_a_bad_rule_is_explained_before_training(fault):
    changes, function, message = BAD_RULES[fault]

    class Bad(Rule):
        spec = spec_of("bad", **changes)

        @hookimpl
        def plastic_local_update(self, s):
            return function(s)

    with pytest.raises(PlasticError) as caught:
        build_engine("bad", SIZES, rules=[Bad], dtype="float32")
    assert str(caught.value) == message


def test_what_the_error_hook_is_to_give_cannot_be_read_in_it():
    class Bad(Rule):
        spec = spec_of("bad", reads={"post", "pre", "pre_error", "weight_error"}, propagates=True)

        @hookimpl
        def plastic_propagate_error(self, s):
            return s.weight_error + s.pre_error

        @hookimpl
        def plastic_local_update(self, s):
            return outer(s.post, s.pre)

    with pytest.raises(PlasticError) as caught:
        build_engine("bad", SIZES, rules=[Bad], dtype="float32")
    assert str(caught.value) == (
        "the rule 'bad': plastic_propagate_error raised AttributeError: there is no signal "
        "'pre_error' here; there are batch, error, feedback, feedback_error, loss, output, "
        "output_error, post, pre, recon, source, target, weight, weight_error, z in line 109; "
        "expected a result for signals of every size"
    )


def test_an_engine_of_ones_own_makes_the_states_that_are_missing():
    network, everywhere = NetworkSpec(sizes=SIZES), frozenset(range(3))
    hooks = resolve_hooks([(Threshold(), everywhere)])
    parameters = initial_parameters(network, seeds=[0])
    engine = Engine(network, hooks, {"threshold": 0.01}, parameters)
    x, target = torch.rand(1, 1, SIZES[0]), torch.eye(SIZES[-1])[[0]].unsqueeze(0)
    before = {name: value.clone() for name, value in parameters.state.items()}
    assert set(before) == {f"threshold.{layer}.mean" for layer in (1, 2, 3)}
    engine.step(x, target)
    assert all(not torch.equal(parameters.state[name], value) for name, value in before.items())


def test_an_engine_without_feedback_matrices_is_explained():
    network, everywhere = NetworkSpec(sizes=SIZES), frozenset(range(3))
    hooks = resolve_hooks([(FeedbackAlignment(), everywhere)])
    with pytest.raises(PlasticError) as caught:
        Engine(network, hooks, {"fa": 0.01}, initial_parameters(network, seeds=[0]))
    assert str(caught.value) == (
        "the rules need feedback matrices, and the parameters have none; make them by "
        "initial_parameters(network, seeds, hooks.feedback)"
    )
