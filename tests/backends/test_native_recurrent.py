"""Recurrent networks in C: the numbers of the eager backend."""

import pytest
import torch

from plastic_core import RunSpec, initial_parameters, resolve_hooks
from plastic_core.api import RecurrentSpec, Rule, RuleSpec, Theta, hookimpl, outer
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.networks.parameters import add_states
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue
from tests.backends.trained_parts import POINTS, assert_same
from tests.daily import combined

pytestmark = pytest.mark.usefixtures("compilers")

RULES = [
    "0.01*bp",
    "0.01*bp+0.001*oja",
    "0.01*fa+0.001*oja+0.001*weight-decay+0.01*b-update+0.001*b-decay",
    "0.01*dfa+0.001*oja-single",
    "0.01*kolen-pollack+0.001*hebbian-error",
]


def make(backend, rule, spec, seeds=2, dtype="float64", batch=1, transforms=(), rules=(), **more):
    """Return a backend for a recurrent network, and its parameters."""
    plan = make_plan(
        RunSpec(rule=rule, task="delayed-digits-rnn", transforms=transforms), Catalogue(rules=rules)
    )
    kind = getattr(torch, dtype)
    hooks = resolve_hooks(plan.selected, [t.transform for t in plan.transforms], kind)
    parameters = initial_parameters(spec, range(seeds), hooks.feedback, kind)
    add_states(parameters, hooks)
    thetas = {r.name: torch.full((seeds,), r.theta, dtype=kind) for r in plan.rules}
    source = torch.Generator().manual_seed(0)
    x = torch.rand(POINTS, spec.inputs, generator=source, dtype=torch.float64).to(kind)
    labels = torch.randint(spec.classes, (POINTS,), generator=source)
    targets = torch.eye(spec.classes, dtype=kind)[labels]
    return backend(spec, hooks, thetas, parameters, x, targets, batch, **more), parameters


@pytest.mark.parametrize(
    ("rule", "sizes"),
    combined(RULES, [(7, 5, 3, 2, 6), (33, 17, 4, 1, 2), (20, 48, 4, 5, 5), (1, 1, 2, 1, 3)]),
)
def test_the_numbers_of_eager(rule, sizes):
    names = ("inputs", "hidden", "classes", "present", "steps")
    order = torch.randint(POINTS, (2, 40), generator=torch.Generator().manual_seed(1))
    for activation in ("tanh", "softplus"):
        spec = RecurrentSpec(**dict(zip(names, sizes, strict=True)), activation=activation)
        eager, reference = make(EagerBackend, rule, spec)
        native, ours = make(NativeBackend, rule, spec, threads=2)
        for backend in (eager, native):
            assert (backend.advance(order) == -1).all()
        assert_same(ours, reference, 1e-9)


class Counting(Rule):
    """Reads K, the mini-batch, and what is reduced over the events, also on the way back."""

    spec = RuleSpec(
        name="counting",
        summary="of a test",
        equation="x",
        reference="none",
        modifies="forward",
        reads={"pre", "post", "error", "weight_error", "pre_error"},
        theta=Theta(default=0.01),
        propagates=True,
    )

    @hookimpl
    def plastic_propagate_error(self, s):
        return s.weight_error / s.weight_error.shape[1] + s.weight_error.mean(1, keepdim=True)

    @hookimpl
    def plastic_local_update(self, s):
        left = s.error / s.pre.shape[1] - s.error.mean(1, keepdim=True) * s.post.size(-2)
        return -outer(left, s.pre * s.batch) + outer(s.post, s.pre_error)


@pytest.mark.parametrize("sizes", [(7, 5, 3, 2, 6), (5, 4, 3, 1, 2)])
def test_k_counts_steps_and_the_mini_batch_is_one(sizes):
    names = ("inputs", "hidden", "classes", "present", "steps")
    spec = RecurrentSpec(**dict(zip(names, sizes, strict=True)))
    order = torch.randint(POINTS, (2, 20), generator=torch.Generator().manual_seed(1))
    trained = []
    for backend in (NativeBackend, EagerBackend):
        made, parameters = make(backend, "counting", spec, rules=[Counting])
        assert (made.advance(order) == -1).all()
        trained.append(parameters)
    assert_same(*trained, 1e-9)


def test_a_seed_is_the_same_alone_and_among_others():
    spec = RecurrentSpec(inputs=30, hidden=25, classes=10, present=3, steps=10)
    order = torch.randint(POINTS, (5, 40), generator=torch.Generator().manual_seed(1))
    five, together = make(NativeBackend, RULES[1], spec, 5, "float32", threads=2)
    one, alone = make(NativeBackend, RULES[1], spec, 1, "float32")
    five.advance(order)
    one.advance(order[:1])
    for name, value in alone.named().items():
        assert torch.equal(value[0], together.named()[name][0])


def test_a_network_that_diverges_is_found():
    spec = RecurrentSpec(inputs=7, hidden=5, classes=3, present=2, steps=20)
    native, _ = make(NativeBackend, "0.01*bp+10*oja", spec)
    assert (native.advance(torch.zeros(2, 30, dtype=torch.int64)) >= 0).all()


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
@pytest.mark.parametrize("rule", [RULES[1], RULES[2]])
def test_biases_normalisation_residual_connections_and_mini_batches(rule, activation):
    spec = RecurrentSpec(
        inputs=20,
        hidden=17,
        classes=4,
        present=2,
        steps=6,
        activation=activation,
        bias=True,
        layer_norm=True,
        residual=True,
    )
    # the last mini-batch is a smaller one
    order = torch.randint(POINTS, (2, 23), generator=torch.Generator().manual_seed(1))
    for dtype, tolerance in (("float64", 1e-10), ("float32", 1e-4)):
        trained = []
        for backend in (NativeBackend, EagerBackend):
            made, parameters = make(backend, rule, spec, dtype=dtype, batch=3)
            assert (made.advance(order) == -1).all()
            trained.append(parameters)
        assert_same(*trained, tolerance)


def test_a_seed_in_mini_batches_is_the_same_alone_and_among_others():
    spec = RecurrentSpec(inputs=30, hidden=25, classes=10, present=3, steps=10, layer_norm=True)
    order = torch.randint(POINTS, (3, 40), generator=torch.Generator().manual_seed(1))
    three, together = make(NativeBackend, RULES[1], spec, 3, "float32", batch=7, threads=2)
    one, alone = make(NativeBackend, RULES[1], spec, 1, "float32", batch=7)
    three.advance(order)
    one.advance(order[:1])
    for name, value in alone.named().items():
        assert torch.equal(value[0], together.named()[name][0])
