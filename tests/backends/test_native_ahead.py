"""The first layer learns in blocks of updates, natively; with what it reads, decays and sizes."""

import pytest
import torch

from plastic_core.api import Rule, State, Theta, decay, hookimpl, outer
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native.native_backend import NativeBackend
from tests.backends.trained_parts import assert_same, make, order
from tests.daily import combined
from tests.engine.trained_rules import spec_of

pytestmark = pytest.mark.usefixtures("compilers")


def spec(name, **more):
    reads = {"pre", "post", "error", "recon", "weight_error", "loss"}
    return spec_of(name, reads, theta=Theta(default=0.02), **more)


class Linear(Rule):
    """What is sent back is read in sums alone, in both ways and with numbers of each sample."""

    spec = spec("linear")

    @hookimpl
    def plastic_local_update(self, s):
        both = (s.recon - s.weight_error * s.loss) / 2
        return (
            outer(s.post * s.loss, s.pre - s.recon)
            - outer(s.error, s.pre + 0.3 * both)
            + 0.1 * outer(s.error - s.post, -(s.recon + s.pre.tanh()))
        )


class Square(Rule):
    spec = spec("square")

    @hookimpl
    def plastic_local_update(self, s):
        return -outer(s.error, s.pre) + outer(s.post, s.pre - s.recon.square())


class Mixed(Rule):
    """One of the two is read in sums, the other otherwise."""

    spec = spec("mixed")

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post, s.pre - s.recon) - outer(s.error, s.pre + s.weight_error.square())


class Remembered(Rule):
    spec = spec("remembered", state={"mean": State(over="pre")})

    @hookimpl
    def plastic_local_update(self, s):
        mean = 0.9 * s.state.mean + 0.1 * s.recon.mean(1, keepdim=True)
        return outer(s.post, s.pre - s.recon - s.state.mean), {"mean": mean}


class Asked(Rule):
    spec = spec("asked")

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post, s.pre - s.recon) - outer(s.error, s.back(s.post.tanh()))


class ByRow(Rule):
    spec = spec("by-row")

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post, s.pre - s.recon) - outer(s.error, s.pre) + decay(0.1 * s.post.square())


#: Rules, and how many products of what is sent back wait.
RULES = {Linear: 2, Square: 0, Mixed: 0, Remembered: 0, Asked: 0, ByRow: 0}


@pytest.mark.parametrize(
    ("lost", "batch", "rule"), combined([0, 0.002, 0.3, 1.0], [1, 3, 20], list(RULES))
)
def test_against_the_eager_backend(rule, batch, lost):
    """`lost` is what decays in an update: little waits, and much is taken away at once."""
    made = []
    for backend in (NativeBackend, EagerBackend):
        made.append(
            make(
                backend,
                f"0.01*bp+{rule.spec.name}" + f"+{lost}*weight-decay" * (lost > 0),
                (53, 19, 7, 5),
                seeds=2,
                batch=batch,
                dtype="float64",
                rules=[rule],
            )
        )
    (native, ours), (eager, reference) = made
    points = order(2, 180)
    for part in (points[:, :60], points[:, 60:]):  # the first ends within a block
        assert torch.equal(native.advance(part), eager.advance(part))
        assert_same(ours, reference, 1e-9)
    program = native.code.program
    assert len(program.kinds[program.kind_of[0]].weight.sent_back) == RULES[rule]


@pytest.mark.parametrize("propagates", ["bp", "fa"])
def test_the_error_below_the_first_layer_is_that_of_the_weights_as_they_are(propagates):
    """It is read by the rule between errors, beside what waits of Oja's."""
    finals = []
    for backend in (NativeBackend, EagerBackend):
        more = {"seeds": 2, "dtype": "float64"}
        made, parameters = make(backend, f"{propagates}+oja+hebbian-error", (20, 12, 5), **more)
        made.advance(order(2, 40))
        finals.append(parameters)
    assert_same(*finals, 1e-11)


@pytest.mark.parametrize("columns", [1, 8, 24, 25, 100])
@pytest.mark.parametrize("rows", [1, 2, 13])
def test_sizes(rows, columns):
    finals = []
    for backend in (NativeBackend, EagerBackend):
        sizes = (columns, rows, 3)
        made, parameters = make(backend, "0.01*bp+0.01*oja", sizes, seeds=2, dtype="float64")
        made.advance(order(2, 40))
        finals.append(parameters)
    assert_same(*finals, 1e-9)


@pytest.mark.parametrize(("sizes", "strength"), [((53, 19, 7, 5), 1e3), ((53, 5), 1e6)])
def test_a_network_that_diverges_within_a_block_leaves_nothing_to_the_next(sizes, strength):
    """One leaves vectors that wait, the other in their padding what is no number."""
    finals = []
    for of_the_first in (strength, 0.01):
        thetas = {"oja": torch.tensor([of_the_first, 0.01]), "bp": torch.tensor([0.01, 0.01])}
        more = {"thetas": thetas, "activation": "relu"}
        native, parameters = make(NativeBackend, "bp+oja", sizes, seeds=2, **more)
        failed = native.advance(order(2, 61))
        assert (failed[0] >= 0) == (of_the_first == strength)
        assert failed[1] < 0
        finals.append({name: value[1] for name, value in parameters.named().items()})
    for name, value in finals[0].items():
        assert torch.equal(value, finals[1][name]), name


class Alone(Rule):
    """More products of what is sent back wait than others."""

    spec = spec("alone")

    @hookimpl
    def plastic_local_update(self, s):
        return -outer(s.post, s.recon) - outer(s.error * s.loss, s.weight_error)


@pytest.mark.parametrize("batch", [1, 3])
def test_one_layer_where_more_is_sent_back_than_known(batch):
    finals = []
    for backend in (NativeBackend, EagerBackend):
        more = {"batch": batch, "dtype": "float64", "rules": [Alone]}
        made, parameters = make(backend, "0.01*bp+alone", (8, 9), **more)
        made.advance(order(1, 40))
        finals.append(parameters)
    assert_same(*finals, 1e-9)
