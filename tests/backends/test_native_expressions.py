"""Random vector expressions, and the functions that C code has of its own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native.native_backend import NativeBackend
from tests.backends.parts import assert_same, make, order

SPEC = {
    "summary": "of a test",
    "equation": "x",
    "reference": "none",
    "modifies": "forward",
    "theta": Theta(default=0.01),
}

_UNARY = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "abs": torch.abs,
    "neg": torch.neg,
    "square": torch.square,
    "sign": torch.sign,
    "sin": torch.sin,
    "exp of less than 1": lambda x: torch.exp(-x.abs()),
    "log of more than 1": lambda x: torch.log1p(x.abs()),
    "root": lambda x: (x.abs() + 0.1).sqrt(),
    "power": lambda x: (x.abs() + 0.1) ** 1.7,
    "softplus": lambda x: torch.nn.functional.softplus(x, beta=3.0),
    "clamp": lambda x: x.clamp(-0.3, 0.4),
    "floor": lambda x: (3.3 * x).floor(),
}
_BINARY = {
    "add": torch.add,
    "sub": lambda a, b: a - b,
    "mul": torch.mul,
    "div": lambda a, b: a / (b.abs() + 0.5),
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "where": lambda a, b: torch.where(a > b, a, 0.5 * b),
    "comparison": lambda a, b: (a <= b) * a,
}
_REDUCED = {
    "mean": lambda x: x - x.mean(-1, keepdim=True),
    "sum": lambda x: x / (x.abs().sum(-1, keepdim=True) + 1),
    "largest": lambda x: x - x.amax(-1, keepdim=True),
    "events": lambda x: x * x.mean(1, keepdim=True),
    "all": lambda x: x + x.mean((1, 2), keepdim=True),
}
_PRE, _POST = ("pre", "recon", "weight_error", "pre_error"), ("post", "error")


def expressions(signals):
    """Return a strategy of functions of the signals, all of one population."""
    leaf = st.sampled_from(signals).map(lambda name: ("signal", name))
    number = st.floats(-2, 2).map(lambda value: ("number", value))

    def grow(inner):
        return st.one_of(
            st.tuples(st.sampled_from(sorted(_UNARY)), inner),
            st.tuples(st.sampled_from(sorted(_REDUCED)), inner),
            st.tuples(st.sampled_from(sorted(_BINARY)), inner, inner),
            st.tuples(st.just("mul"), inner, number),
        )

    return st.recursive(leaf, grow, max_leaves=5)


def evaluate(tree, s):
    name, *inner = tree
    if name == "signal":
        return getattr(s, inner[0])
    if name == "number":
        return inner[0]
    functions = {**_UNARY, **_BINARY, **_REDUCED}
    return functions[name](*(evaluate(one, s) for one in inner))


DRAWN = given(left=expressions(_POST), right=expressions(_PRE), batch=st.sampled_from([1, 3]))


@settings(max_examples=10, deadline=None, derandomize=True)
@DRAWN
def test_random_expressions(left, right, batch):
    assert_the_numbers_of_eager(left, right, batch)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@DRAWN
def test_many_random_expressions(left, right, batch):
    assert_the_numbers_of_eager(left, right, batch)


def assert_the_numbers_of_eager(left, right, batch):
    class Drawn(Rule):
        spec = RuleSpec(name="drawn", reads={*_PRE, *_POST}, **SPEC)

        @hookimpl
        def plastic_local_update(self, s):
            # bounded, so that no weight runs away and rounding stays rounding
            return outer(torch.tanh(evaluate(left, s)), torch.tanh(evaluate(right, s)))

    arguments = {"seeds": 2, "batch": batch, "dtype": "float64", "rules": [Drawn]}
    rule, sizes = "0.01*bp+drawn", (9, 7, 5, 3)
    native, ours = make(NativeBackend, rule, sizes, more={"flags": ("-O0",)}, **arguments)
    eager, reference = make(EagerBackend, rule, sizes, **arguments)
    points = order(2, 6)
    assert torch.equal(native.advance(points), eager.advance(points))
    assert_same(ours, reference, 1e-7)


@pytest.mark.usefixtures("compilers")
@pytest.mark.parametrize(
    ("function", "tolerance"),
    [
        (torch.exp, 4e-7),
        (torch.tanh, 4e-7),
        (torch.sigmoid, 4e-7),
        # 10 x is rounded before its exponential is taken
        (lambda x: torch.nn.functional.softplus(x, beta=10.0), 1e-5),
    ],
)
def test_functions_of_single_precision(function, tolerance):
    class Traced(Rule):
        """Moves its weights from 0 to the function of its inputs."""

        spec = RuleSpec(
            name="traced", reads={"pre", "post"}, **{**SPEC, "theta": Theta(default=1.0)}
        )

        @hookimpl
        def plastic_local_update(self, s):
            return outer(torch.ones_like(s.post), function(s.pre))

    native, parameters = make(NativeBackend, "traced", (1000, 1), rules=[Traced])
    values = torch.cat([torch.linspace(-100, 88, 900), torch.linspace(-1e-3, 1e-3, 100)])
    inputs = next(t for t in native._kept if t.shape == (200, 1000))  # the training points
    inputs[0] = values
    parameters.weights[0].zero_()
    assert native.advance(torch.zeros(1, 1, dtype=torch.int64)).tolist() == [-1]
    expected = function(values.double()).numpy()
    found = parameters.weights[0][0, 0].double().numpy()
    # numbers below the normal range are zero
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=2e-38)
