"""The native backend against the eager one: every rule, size, activation and batch."""

import platform

import pytest
import torch

from plastic_core.api import (
    Rule,
    RuleSpec,
    State,
    Theta,
    decay,
    hookimpl,
    outer,
)
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native.native_backend import NativeBackend
from tests.backends.trained_parts import assert_same, make, order
from tests.building import resolve
from tests.daily import combined, some

EQUATION_9 = "fa+hebbian-error+oja+weight-decay+b-update+b-decay"

pytestmark = pytest.mark.usefixtures("compilers")


def compare(rule, sizes, *, samples=200, tolerance=1e-4, **arguments):
    """Train both backends on the same points and compare all that learns."""
    seeds = arguments.setdefault("seeds", 2)
    native, ours = make(NativeBackend, rule, sizes, **arguments)
    eager, reference = make(EagerBackend, rule, sizes, **arguments)
    before = [w.clone() for w in reference.weights]
    points = order(seeds, samples)
    # in two pieces, of which the first ends between two passes that write
    for part in (points[:, :50], points[:, 50:]):
        assert torch.equal(native.advance(part), eager.advance(part))
    assert_same(ours, reference, tolerance)
    assert any((w != b).any() for w, b in zip(ours.weights, before, strict=True))


class Bcm(Rule):
    spec = RuleSpec(
        name="bcm",
        summary="a sliding threshold over post, and an average over pre",
        equation="y (y - t) x",
        reference="none",
        modifies="forward",
        reads={"pre", "post"},
        theta=Theta(default=1e-3),
        state={"threshold": State(over="post", initial=0.1), "mean": State(over="pre")},
    )

    @hookimpl
    def plastic_local_update(self, s):
        threshold, mean = s.state.threshold, s.state.mean
        new = {
            "threshold": threshold + 0.1 * (s.post.square().mean(1, keepdim=True) - threshold),
            "mean": 0.9 * mean + 0.1 * s.pre.mean(1, keepdim=True),
        }
        return outer(s.post * (s.post - threshold), s.pre - mean), new


class Populations(Rule):
    """Sums and means over a population, comparisons, and a decay of each row."""

    spec = RuleSpec(
        name="populations",
        summary="of a test",
        equation="x",
        reference="none",
        modifies="forward",
        reads={"pre", "post", "recon"},
        theta=Theta(default=1e-3),
    )

    @hookimpl
    def plastic_local_update(self, s):
        strong = s.post > s.post.mean(-1, keepdim=True)
        left = torch.where(strong, s.post, -0.1 * torch.tanh(s.post))
        total = (s.pre - s.recon).sum(-1, keepdim=True) / s.pre.shape[-1]
        most = s.recon.amax(-1, keepdim=True).clamp(-1, 1)
        return 2 * outer(left * total, s.pre - most) - 0.5 * decay(
            s.post.clamp_min(0.01).log().abs()
        )


class Direct(Rule):
    """Direct feedback alignment, learning its feedback too."""

    spec = RuleSpec(
        name="direct",
        summary="of a test",
        equation="x",
        reference="none",
        modifies={"forward", "feedback"},
        reads={"pre", "error", "feedback_error", "output_error"},
        theta=Theta(default=1e-2),
        propagates=True,
        feedback="output",
    )

    @hookimpl
    def plastic_propagate_error(self, s):
        return s.feedback_error

    @hookimpl
    def plastic_local_update(self, s):
        forward = -outer(s.error, s.pre)
        return {"forward": forward, "feedback": -outer(s.pre, s.output_error) + decay(s.pre * 0.1)}


RULES = [
    "bp",
    "fa",
    "bp+hebbian+hebbian-error",
    "oja",
    "bp+oja",
    "0.01*bp+0.3*weight-decay",
    "bp+0.001*weight-decay",
    EQUATION_9,
    "fa+0.01*b-update+0.2*b-decay",
]


@pytest.mark.parametrize(("batch", "rule"), combined([1, 3], RULES))
def test_every_built_in_rule(rule, batch):
    compare(rule, (17, 9, 7, 5), batch=batch)
    compare(rule, (17, 9, 7, 5), batch=batch, dtype="float64", tolerance=1e-9)


def test_the_printed_form_of_the_feedback_update_and_rules_on_some_layers():
    settings = {"b-update": {"printed": True}, "oja": {"layers": "1,3"}, "b-decay": {"layers": "2"}}
    compare("fa+oja+b-update+b-decay", (17, 9, 7, 5), settings=settings)


@pytest.mark.parametrize("rule", [Bcm, Populations, Direct])
@pytest.mark.parametrize("batch", [1, 3])
def test_rules_of_third_parties(rule, batch):
    name = rule.spec.name
    expression = name if rule.spec.propagates else f"bp+{name}"
    compare(expression, (17, 9, 7, 5), rules=[rule], batch=batch)


ODD = [(1, 1, 2), (7, 17, 1, 3), (1000, 7, 17, 10), (33, 1000, 2)]


@pytest.mark.parametrize(("batch", "sizes"), combined([1, 3], ODD))
def test_odd_sizes(sizes, batch):
    compare(EQUATION_9, sizes, batch=batch, samples=61)


@pytest.mark.parametrize(
    ("residual", "activation"),
    combined([False, True], ["softplus", "relu", "tanh", "sigmoid", "linear"]),
)
def test_activations_with_and_without_residual_connections(activation, residual):
    compare("0.01*bp+oja", (9, 9, 9, 9, 4), activation=activation, residual=residual)


@pytest.mark.parametrize("init", some(["xavier", "kaiming", "orthogonal", "identity", "naive"], 2))
def test_initialisations(init):
    compare("0.01*bp+oja", (17, 9, 7, 5), init=init)


@pytest.mark.parametrize("seeds", some(range(1, 8), 3))
def test_numbers_of_replicas(seeds):
    compare("bp+oja", (17, 9, 7, 5), seeds=seeds, samples=60)


@pytest.mark.usefixtures("users_compilers")
def test_the_networks_of_the_paper():
    compare("bp+oja", (784, 170, 130, 100, 70, 10), seeds=1)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of another processor")
@pytest.mark.parametrize(
    ("dtype", "processor"), combined(["float32", "float64"], ["x86-64", "x86-64-v3"])
)
def test_smaller_vectors(processor, dtype):
    arguments = {"seeds": 2, "dtype": dtype}
    more = {"flags": (f"-march={processor}",)}
    native, ours = make(NativeBackend, EQUATION_9, (33, 9, 7, 5), more=more, **arguments)
    eager, reference = make(EagerBackend, EQUATION_9, (33, 9, 7, 5), **arguments)
    for backend in (native, eager):
        backend.advance(order(2, 50))
    assert_same(ours, reference, 1e-4)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_seed_is_the_same_bit_for_bit_alone_and_among_twenty_on_two_threads(batch):
    weights = []
    for seeds, threads in ((20, 2), (20, 1), (4, 2)):
        more = {"threads": threads}
        native, parameters = make(
            NativeBackend, EQUATION_9, (17, 9, 7, 5), seeds=seeds, batch=batch, more=more
        )
        native.advance(order(20, 100)[:seeds])
        weights.append(parameters.named())
    for name, value in weights[2].items():
        assert torch.equal(weights[0][name], weights[1][name])
        assert torch.equal(weights[0][name][:4], value)


@pytest.mark.parametrize("rule", ["bp", "bp+oja", "bp+oja+0.3*weight-decay"])
def test_divergence_is_found_where_eager_finds_it_and_spares_the_others(rule):
    thetas = {"bp": torch.tensor([0.01, 1e30, 0.01])}
    thetas |= {name: torch.full((3,), 0.01) for name in ("oja", "weight-decay") if name in rule}
    failed, finals = [], []
    for backend in (NativeBackend, EagerBackend):
        made, parameters = make(backend, rule, (17, 9, 5), seeds=3, thetas=thetas)
        failed.append(made.advance(order(3, 40)).tolist())
        finals.append([w[2] for w in parameters.weights])
        assert made.advance(order(3, 40))[1] == -1  # frozen from then on
    assert failed[0] == failed[1]
    assert failed[0][1] >= 0
    assert failed[0][0] == failed[0][2] == -1
    for ours, reference in zip(*finals, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-3, atol=1e-5)


def test_freezing_and_no_points():
    native, parameters = make(NativeBackend, "bp", (17, 9, 5), seeds=2)
    before = parameters.weights[0].clone()
    native.freeze(1)
    assert native.advance(order(2, 10)[:, :0]).tolist() == [-1, -1]
    assert torch.equal(parameters.weights[0], before)
    native.advance(order(2, 10))
    assert torch.equal(parameters.weights[0][1], before[1])
    assert not torch.equal(parameters.weights[0][0], before[0])


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("backend", [NativeBackend, EagerBackend])
def test_what_is_no_number_goes_on_through_a_pool_wherever_it_is(backend, place):
    """2 x - 2 x is infinity less infinity at one of three places, and the others are finite."""
    net = {"net": "conv 1 1x2 stride 1x2 / pool 1x3", "image": (1, 1, 6)}
    plan, hooks, parameters = resolve("bp", None, dtype="float32", activation="hard-sigmoid", **net)
    parameters.weights[0].copy_(torch.tensor([[[2.0, -2.0]]]))
    x = torch.zeros(1, 6)
    x[0, 2 * place : 2 * place + 2] = 3e38
    thetas = {"bp": torch.tensor([0.01])}
    made = backend(plan.network, hooks, thetas, parameters, x, torch.eye(10)[:1], 1)
    assert made.advance(torch.tensor([[0]])).tolist() == [0]
