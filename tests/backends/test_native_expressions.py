"""Random vector expressions, and the functions that C code has of its own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plastic_core.api import Rule, RuleSpec, State, Theta, decay, hookimpl, outer
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native.native_backend import NativeBackend
from tests.backends.trained_parts import assert_same, make, order

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
    "cos": torch.cos,
    "arc tangent": torch.atan,
    "error function": torch.erf,
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
    "method where": lambda a, b: a.where(a > b, -0.25),
    "lerp": lambda a, b: torch.lerp(a, b, 0.3),
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
_FUNCTIONS = {**_UNARY, **_BINARY, **_REDUCED}


@st.composite
def programs(draw, signals):
    """Draw up to six operations: (name, operands), each a signal, a number or an earlier result."""
    program = []
    for _ in range(draw(st.integers(0, 6))):
        operand = st.sampled_from([*signals, *range(len(program))])
        name = draw(st.sampled_from(sorted(_FUNCTIONS)))
        operands = [draw(operand)]
        if name in _BINARY:
            number = st.floats(-2, 2).map(lambda value: ("number", value))
            operands.append(draw(st.one_of(operand, operand, number) if name == "mul" else operand))
        program.append((name, operands))
    return program


def evaluate(program, signals):
    """Return the result of a program, or the first signal where it has no operation."""
    results = []

    def value(operand):
        if isinstance(operand, tuple):
            return operand[1]
        return results[operand] if isinstance(operand, int) else signals[operand]

    for name, operands in program:
        results.append(_FUNCTIONS[name](*map(value, operands)))
    return results[-1] if results else next(iter(signals.values()))


DRAWN = given(
    left=programs((*_POST, "state")),
    right=programs((*_PRE, "state")),
    factor=programs((*_POST, "state")),
    new_post=programs((*_POST, "state")),
    new_pre=programs((*_PRE, "state")),
    batch=st.sampled_from([1, 2, 3]),
)


@settings(max_examples=15, deadline=None, derandomize=True)
@DRAWN
def test_random_rules_of_up_to_six_operations_with_states_and_batches(**drawn):
    assert_the_numbers_of_eager(**drawn)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@DRAWN
def test_many_random_rules(**drawn):
    assert_the_numbers_of_eager(**drawn)


def assert_the_numbers_of_eager(left, right, factor, new_post, new_pre, batch):
    class Drawn(Rule):
        spec = RuleSpec(
            name="drawn",
            reads={*_PRE, *_POST},
            state={"post": State(over="post", initial=0.3), "pre": State(over="pre")},
            **SPEC,
        )

        @hookimpl
        def plastic_local_update(self, s):
            post = {name: getattr(s, name) for name in _POST} | {"state": s.state.post}
            pre = {name: getattr(s, name) for name in _PRE} | {"state": s.state.pre}

            def bounded(program, signals):
                # so that no weight runs away and rounding stays rounding; of the signals' shape
                return torch.tanh(evaluate(program, signals)) + 0 * next(iter(signals.values()))

            update = outer(bounded(left, post), bounded(right, pre)) + decay(bounded(factor, post))
            return update, {
                "post": bounded(new_post, post).mean(1, keepdim=True),
                "pre": bounded(new_pre, pre).mean(1, keepdim=True),
            }

    arguments = {"seeds": 2, "batch": batch, "dtype": "float64", "rules": [Drawn]}
    rule, sizes = "0.01*bp+drawn", (9, 7, 5, 3)
    native, ours = make(NativeBackend, rule, sizes, more={"flags": ("-O0",)}, **arguments)
    eager, reference = make(EagerBackend, rule, sizes, **arguments)
    points = order(2, 7)
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
