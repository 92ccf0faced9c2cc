"""Transforms of the increment in C: the numbers of the eager backend."""

import pytest
import torch

from plastic_core.api import RecurrentSpec, Rule, State, Transform, TransformSpec, hookimpl
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native.follower import FOLLOWED
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.backends.native.program import NotNativeError
from tests.backends import test_native_recurrent
from tests.backends.test_native import Populations, compare
from tests.backends.trained_parts import POINTS, assert_same, make, order
from tests.daily import combined
from tests.engine.test_step import spec_of

pytestmark = pytest.mark.usefixtures("compilers")

SIZES = (17, 9, 7, 5)

SETTINGS = {
    "momentum": {"beta": 0.7},
    "rmsprop": {"rate": 0.003},
    "adam": {"rate": 0.003, "epsilon": 1e-5},
    "weight-bounds": {"low": -0.2, "high": 0.2},
}


def transform_of(update, name="made", **state):
    """Return a transform class that does `update`."""

    class Made(Transform):
        spec = TransformSpec(name=name, summary="of a test", reference="none", state=state)

        @hookimpl
        def plastic_transform_update(self, u):
            return update(u)

    return Made


def homeostasis(u):
    """States over rows, columns and the matrix; the last reads the others."""
    s = u.state
    new = {
        "gain": 0.9 * s.gain + 0.1,
        "use": s.use * s.use + 0.01,
        "trace": 0.5 * s.trace + torch.where(u.increment > 0, u.increment, s.use),
    }
    return u.increment * s.gain.mT + 1e-3 * s.trace * new["use"] - 1e-3 * u.weight.tanh(), new


Homeostasis = transform_of(
    homeostasis,
    gain=State(over="post", initial=0.5),
    use=State(over="pre", initial=0.1),
    trace=State(over="weight"),
)


@pytest.mark.parametrize(
    ("name", "rule", "batch"),
    combined(SETTINGS, ["0.05*bp", "0.05*bp+0.02*oja+0.3*weight-decay", "0.1*fa"], [1, 3]),
)
def test_built_in_transforms(name, rule, batch):
    for dtype, tolerance in (("float64", 1e-9), ("float32", 1e-3)):
        compare(
            rule,
            SIZES,
            batch=batch,
            dtype=dtype,
            tolerance=tolerance,
            transforms=[name],
            settings={name: SETTINGS[name]},
        )


def late(u):
    """The increment of the update before, and states that take the old values of others."""
    s = u.state
    return s.last, {"last": u.increment, "first": s.second, "second": s.first + 1}


Late = transform_of(
    late,
    last=State(over="weight"),
    first=State(over="post"),
    second=State(over="post"),
)


def test_new_states_are_made_of_the_old_ones():
    more = {"transform_classes": [Late], "transforms": ["made"], "dtype": "float64"}
    compare("0.05*bp", SIZES, tolerance=1e-9, **more)
    for backend in (NativeBackend, EagerBackend):
        made, parameters = make(backend, "0.05*bp", SIZES, **more)
        before = [w.clone() for w in parameters.weights]
        made.advance(order(1, 1))
        assert all(map(torch.equal, before, parameters.weights))
        made.advance(order(1, 3))
        assert not any(map(torch.equal, before, parameters.weights))
        states = [parameters.state[f"made.forward.1.{name}"] for name in ("first", "second")]
        # (0, 0) becomes (second, first + 1): (0, 1), (1, 1), (1, 2), (2, 2)
        assert [s.unique().tolist() for s in states] == [[2.0], [2.0]]


def test_truths_are_no_numbers():
    for update, operation in (
        (lambda u: u.increment * u.weight.to(torch.bool), "to"),
        (lambda u: u.increment * ((u.weight > 0) + (u.increment > 0)), "add"),
    ):
        more = {"transform_classes": [transform_of(update)], "transforms": ["made"]}
        with pytest.raises(NotNativeError) as caught:
            make(NativeBackend, "bp", (4, 3, 2), **more)
        assert str(caught.value) == (
            f"the transform 'made': line {update.__code__.co_firstlineno}: '{operation}' gives "
            "numbers of type torch.bool; write torch.where(condition, a, b) with signals or "
            "s.post.dtype to stay with theirs"
        )


class Messenger(Rule):
    spec = spec_of("messenger", reads={"weight_error"}, propagates=True)

    @hookimpl
    def plastic_propagate_error(self, s):
        return s.weight_error


def test_where_nothing_changes_there_is_nothing_to_be_transformed():
    made, parameters = make(
        NativeBackend, "messenger", SIZES, rules=[Messenger], transforms=["adam"]
    )
    before = [w.clone() for w in parameters.weights]
    assert made.advance(order(1, 5)).tolist() == [-1]
    assert all(map(torch.equal, before, parameters.weights))


@pytest.mark.parametrize("sizes", [SIZES, (1, 1, 2), (33, 50, 26, 3)])
def test_several_in_order_and_states_of_every_kind(sizes):
    for names in (["made"], ["momentum", "made", "weight-bounds"], ["weight-bounds", "momentum"]):
        compare(
            "0.05*bp+1e-3*populations",
            sizes,
            dtype="float64",
            tolerance=1e-9,
            rules=[Populations],
            transform_classes=[Homeostasis],
            transforms=names,
            settings={n: SETTINGS[n] for n in names if n in SETTINGS},
        )


def test_layers_without_a_rule_keep_their_weights_and_states():
    more = {"transforms": ["adam"], "dtype": "float64", "tolerance": 1e-9}
    layers = {"bp": {"layers": "1,3"}, "weight-decay": {"layers": "3"}}
    compare("0.05*bp+0.3*weight-decay", SIZES, settings=layers, **more)
    layers.pop("bp")
    compare("0.3*weight-decay", SIZES, settings=layers, **more)


def test_what_one_part_leaves_the_next_goes_on_from():
    whole, ours = make(NativeBackend, "0.05*bp", SIZES, transforms=["adam"])
    parts, others = make(NativeBackend, "0.05*bp", SIZES, transforms=["adam"])
    points = order(1, 60)
    whole.advance(points)
    for part in points.split(7, 1):
        parts.advance(part)
    for name, value in ours.named().items():
        assert torch.equal(value, others.named()[name])


@pytest.mark.parametrize("name", SETTINGS)
def test_recurrent_networks(name):
    spec = RecurrentSpec(inputs=33, hidden=17, classes=4, present=2, steps=5)
    points = torch.randint(POINTS, (2, 40), generator=torch.Generator().manual_seed(1))
    rule, results = "0.01*bp+0.001*oja+0.1*weight-decay", []
    for backend in (EagerBackend, NativeBackend):
        made, parameters = test_native_recurrent.make(backend, rule, spec, transforms=[name])
        assert (made.advance(points) == -1).all()
        results.append(parameters)
    assert_same(*results, 1e-9)


def test_networks_that_diverge_are_found():
    grows = transform_of(lambda u: u.increment + 10 * u.weight)
    arguments = {"transform_classes": [grows], "transforms": ["made"], "seeds": 2}
    points = order(2, 200)
    native, _ = make(NativeBackend, "bp", SIZES, **arguments)
    eager, _ = make(EagerBackend, "bp", SIZES, **arguments)
    failed = native.advance(points)
    assert torch.equal(failed, eager.advance(points))
    assert (failed >= 0).all()


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        (
            lambda u: u.increment / u.increment.square().sum((-2, -1), keepdim=True),
            "it looks at more than one element of a matrix at a time; write it with functions of "
            "single elements",
        ),
        (lambda u: u.increment.cumsum(-1), f"C is not generated for 'cumsum'; {FOLLOWED}"),
        (
            lambda u: (u.increment.mT * 2).mT,
            "'mul' combines dimensions that do not belong together; keep rows in dim 1 and columns "
            "in dim -1",
        ),
        (
            lambda u: u.increment / u.increment.size(-1),
            "it reads the size of a matrix; write a parameter for it",
        ),
        (
            lambda u: u.increment / u.increment.shape[-1],
            "it reads the size of a matrix; write a parameter for it",
        ),
        (
            lambda u: 1 * u.increment.real,
            f"it reads the attribute 'real' of a tensor; {FOLLOWED}",
        ),
        (
            lambda u: u.increment if u.increment.max() > 0 else u.weight,
            "it cannot be followed (symbolically traced variables cannot be used as inputs to "
            "control flow); write torch.where(condition, a, b) in place of branching on values",
        ),
    ],
)
def test_what_c_is_not_generated_for(update, reason):
    made = transform_of(update)
    with pytest.raises(NotNativeError) as caught:
        make(NativeBackend, "bp", (4, 3, 2), transform_classes=[made], transforms=["made"])
    line = update.__code__.co_firstlineno
    assert str(caught.value) == f"the transform 'made': line {line}: {reason}"


def test_the_feedback_is_not_transformed_in_c():
    with pytest.raises(NotNativeError) as caught:
        make(NativeBackend, "fa+b-update", (4, 3, 2), transforms=["momentum"])
    assert str(caught.value) == "C is not generated for transforms of a feedback matrix"
