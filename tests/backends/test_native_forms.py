"""Every operation that C is generated for, in every form that torch has, against eager.

The table of operations is gone through by its names: function, method, operator and reflected
operator, numbers on either side, states, populations and events that are reduced, and keywords.
Each form is followed and gives eager's numbers, or is refused with the reason.
"""

import functools
import itertools
import operator

import pytest
import torch
from torch import fx
from torch.nn import functional

from plastic_core import NetworkSpec, initial_parameters, resolve_hooks
from plastic_core.api import Rule, RuleSpec, State, Theta, hookimpl, outer
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native import operations
from plastic_core.backends.native.capture import capture
from plastic_core.backends.native.follower import FOLLOWED
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.backends.native.program import NotNativeError
from plastic_core.backends.step.description import Description
from plastic_core.circuits.network import circuit_of
from plastic_core.networks.parameters import add_states

# Both signs, zeros, ties, halves that are rounded to even, and arguments beyond every function's
# usual range; the events of a unit are these times 1, 3 and 0.5, which is exact.
VALUES = (
    0.0, -0.0, 0.25, -0.25, 0.5, -0.5, 0.75, 1.0, -1.0, 1.5, -1.5, 2.0, 2.5, -2.5, 3.0, 7.0, -7.0,
    12.0, 19.5, 20.5, -30.0, 60.0, 88.0, -88.0, 100.0, 1e-6, -1e-6, 1e5, -1e5, 123456.0, 1e8, -1e8,
)  # fmt: skip
EVENTS = (1.0, 3.0, 0.5)
NETWORK = NetworkSpec(sizes=(len(VALUES), 2))

# What an operand may be; each is a function of the signals.
OPERANDS = {
    "signal": lambda s: s.pre,
    "state": lambda s: s.state.other,
    "over events": lambda s: s.pre.amax(1, keepdim=True),
    "over units": lambda s: s.pre.amin(-1, keepdim=True),
    "of a state": lambda s: s.state.other.amax(-1, keepdim=True),
    "float": lambda s: 0.75,
    "int": lambda s: 3,
    "two": lambda s: 2,
    "bool": lambda s: True,
    "tensor": lambda s: torch.tensor(0.75),
    "truth": lambda s: s.pre > s.state.other,
    "events": lambda s: s.pre.shape[1],
    "batch": lambda s: s.batch,
}
FEW = ("signal", "state", "over units", "float", "truth")
KEYWORDS = (
    {"alpha": 2},
    {"rounding_mode": "floor"},
    {"rounding_mode": "trunc"},
    {"rounding_mode": None},
    {"decimals": 1},
    {"inplace": False},
    {"inplace": True},
    {"beta": 3.0},
    {"beta": 0.5, "threshold": 1.0},
    {"threshold": 4},
    {"min": 0.5},
    {"max": 0.5},
    {"min": -0.5, "max": None},
    {"dtype": torch.float64},
    {"dtype": torch.float32},
    {"dim": -1},
    {"dim": 1},
    {"dim": (1, 2)},
    {"dim": [-1]},
    {"dim": 0},
    {"dim": ()},
    {"dim": None},
    {"axis": -1},
    {"dim": -1, "keepdim": True},
    {"dim": 1, "keepdim": True},
    {"dim": (-2, -1), "keepdim": True},
    {"dim": 0, "keepdim": True},
    {"dim": (0, 1), "keepdim": True},
    {"keepdim": True},
)
NAMES = sorted({*operations.ELEMENTWISE, *operations._ALIASES, *operations._SPECIAL})
REDUCTIONS = sorted({name.split("_")[0] for name in operations.REDUCTIONS})


def calls(name):
    """Return the ways in which Python calls an operation: (how, function)."""
    found = {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in (torch, functional, operator)
        if callable(getattr(module, name, None)) and not isinstance(getattr(module, name), type)
    }
    if callable(getattr(torch.Tensor, name, None)):
        # asked of what it is given, as a rule does
        found[f"Tensor.{name}"] = lambda x, *more, **named: getattr(x, name)(*more, **named)
    return found


def forms():
    """Return all forms, by what they are called; each is a function of the signals."""
    found = {}

    def add(how, function, operands, named):
        what = f"{how}({', '.join(operands)}{', ' if named else ''}{named or ''})"
        picked = [OPERANDS[operand] for operand in operands]
        found[what] = lambda s: function(*(pick(s) for pick in picked), **named)

    for name in NAMES:
        for how, function in calls(name).items():
            for operand in FEW:
                add(how, function, [operand], {})
            add(how, function, ["signal", "signal"], {})
            add(how, function, ["float", "signal"], {})
            if name in operations._ALIASES:
                continue  # taken for the operation that it is a name of
            for operand in OPERANDS:
                add(how, function, ["signal", operand], {})
                add(how, function, [operand, "over units"], {})
            for operands in itertools.product(("signal", "over units", "float"), repeat=2):
                add(how, function, ["signal", *operands], {})
                add(how, function, ["truth", *operands], {})
            for keywords in KEYWORDS:
                add(how, function, ["signal"], keywords)
                add(how, function, ["signal", "state"], keywords)
    for name, dims in itertools.product(REDUCTIONS, (-1, 2, 1, -2, (1, 2), (-1,))):
        for operand, keep in itertools.product(("signal", "over units"), (False, True)):
            what = f"{name} of {operand} over {dims}, {keep}"
            found[what] = lambda s, n=name, o=operand, d=dims, k=keep: getattr(OPERANDS[o](s), n)(
                d, k
            )
            found[f"{what}, put back"] = lambda s, w=what, d=dims: found[w](s).unsqueeze(
                d if isinstance(d, int) else -1
            )
            found[f"{what}, put elsewhere"] = lambda s, w=what: found[w](s).unsqueeze(1)
    return found


@fx.wrap
def sign(x):
    """Not what torch calls so."""
    return x * 2


# What is no call of an operation by its name alone.
OTHERS = {
    "of a function of somebody else": lambda s: sign(s.pre),
    "keywords of where": lambda s: torch.where(
        condition=s.pre > 0, input=s.pre, other=s.state.other
    ),
    "keywords of the method where": lambda s: s.pre.where(condition=s.pre > 0, other=0.5),
    "keywords of an addition": lambda s: torch.add(input=s.pre, other=s.state.other),
    "keywords of a power": lambda s: torch.pow(s.pre, exponent=2),
    "of the built-in abs": lambda s: abs(s.pre),
    "of the built-in round": lambda s: round(s.pre),
    "a rounded quotient": lambda s: torch.div(s.pre, s.state.other, rounding_mode="floor"),
    "in place": lambda s: (s.pre * 2).add_(1),
    "a function that changes in place": lambda s: functional.relu(s.pre * 1, True),
    "augmented": lambda s: operator.iadd(s.pre * 2, 1),
    "an index over networks": lambda s: s.pre * s.pre[-1],
    "an index of units": lambda s: s.pre * s.pre[..., :1],
    "a size by method": lambda s: s.pre * s.pre.size(-1),
    "sizes by method": lambda s: s.pre * s.pre.size()[1],
    "a size from the end": lambda s: s.pre * s.pre.shape[-2],
    "the number of networks": lambda s: s.pre * s.pre.shape[0],
    "all sizes": lambda s: s.pre * len(s.pre.shape),
    "truths as numbers": lambda s: (s.pre > 0).to(s.pre.dtype) * s.pre,
    "truths as numbers of the kind of another": lambda s: (s.pre > 0).type_as(s.pre),
    "a sum of truths": lambda s: (s.pre > 0) + (s.pre > 1),
    "a product of truths": lambda s: (s.pre > 0) * (s.pre > 1),
    "bits of numbers": lambda s: s.pre * (s.pre.shape[1] & 2),
    "no bits of numbers": lambda s: s.pre * ~s.pre.shape[1],
    "a sum of a sum": lambda s: s.pre.sum(-1).sum(-1).unsqueeze(-1).unsqueeze(-1),
    "the other dimension put back": lambda s: s.pre.sum(-1).unsqueeze(1).sum(-1, keepdim=True),
    "the transpose": lambda s: s.pre.mT.amax(1).unsqueeze(1),
    "one over minus zero": lambda s: 1 / (s.pre.abs() * -0.0),
    "one over zero": lambda s: 1 / (s.pre.abs() * 0.0),
}


ALL = {**forms(), **OTHERS}


def some_forms():
    """Return those that are tried daily: each operation, each way to call it, some of the rest."""
    ends = ("(signal)", "(signal, signal)", "(truth)", "(truth, signal, float)")
    ends += ("(signal, {'dim': -1, 'keepdim': True})", "lerp(signal, signal, float)")
    plain = {what for what in ALL if what.endswith(ends)}
    chosen = {*plain, *OTHERS, *REFUSED, *[*ALL][::40]}
    return {what: form for what, form in ALL.items() if what in chosen}


def rule_of(forms):
    """Return a rule with a state for each form, which becomes the mean of its events."""

    class Tried(Rule):
        spec = RuleSpec(
            name="tried",
            summary="of a test",
            equation="x",
            reference="none",
            modifies="forward",
            reads={"pre", "post"},
            theta=Theta(default=0),
            state={name: State(over="pre") for name in ("other", *map(named, range(len(forms))))},
        )

        @hookimpl
        def plastic_local_update(self, s):
            new = {
                named(i): (0 * s.state.other + form(s)).mean(1, keepdim=True)
                for i, form in enumerate(forms)
            }
            return outer(s.post, s.pre), {"other": s.state.other, **new}

    return Tried


def named(number):
    return f"form{number}"


def exists(form, dtype):
    """Return whether eager has a form, and whether it gives numbers that a rule may return."""
    signals = type("S", (), {})()
    signals.pre = torch.rand(2, 3, 5, dtype=dtype)
    signals.state = type("S", (), {"other": torch.rand(2, 1, 5, dtype=dtype)})()
    signals.batch = 3
    before = signals.pre.clone(), signals.state.other.clone()
    try:
        result = 0 * signals.state.other + form(signals)
    except Exception:  # a form that torch itself does not take
        return False
    unchanged = torch.equal(before[0], signals.pre) and torch.equal(before[1], signals.state.other)
    return unchanged and result.dtype == dtype and result.shape in ((2, 3, 5), (2, 1, 5))


def hooks_of(forms, dtype):
    """Return the hooks of a rule of forms, on the first layer alone."""
    return resolve_hooks([(rule_of(forms)(), frozenset({0}))], dtype=dtype)


def refusals(forms, dtype):
    """Return for each form why it is refused, or None where it is followed."""
    try:
        capture(Description(circuit_of(NETWORK), hooks_of([*forms.values()], dtype)), dtype)
    except NotNativeError as error:
        if len(forms) == 1:
            return dict.fromkeys(forms, str(error))
        items = [*forms.items()]
        half = len(items) // 2
        return refusals(dict(items[:half]), dtype) | refusals(dict(items[half:]), dtype)
    return dict.fromkeys(forms)


@functools.cache
def sort(dtype, chosen):
    """Return the forms that are followed in a precision, and why the others are not."""
    there = {what: form for what, form in chosen().items() if exists(form, dtype)}
    reasons = {}
    # nothing but the types of results differs between the precisions
    known = sort(torch.float64, chosen)[0] if dtype == torch.float32 else {}
    items = [(what, form) for what, form in there.items() if what not in known]
    for start in range(0, len(items), 16):
        reasons |= refusals(dict(items[start : start + 16]), dtype)
    followed = {what: form for what, form in there.items() if reasons.get(what) is None}
    return followed, {what: reason for what, reason in reasons.items() if reason}


def all_forms():
    return ALL


FORMS = [
    pytest.param((torch.float64, some_forms), id="some"),
    pytest.param((torch.float64, all_forms), id="float64", marks=pytest.mark.slow),
    pytest.param((torch.float32, all_forms), id="float32", marks=pytest.mark.slow),
]


@pytest.fixture(params=FORMS)
def sorted_out(request):
    """Return the precision, the forms that are followed, and why the others are not."""
    dtype, chosen = request.param
    return dtype, *sort(dtype, chosen)


def trained(backend, forms, dtype, **more):
    """Return the states that one update gives, by form; the first signals are exact."""
    hooks = hooks_of([*forms.values()], dtype)
    parameters = initial_parameters(NETWORK, [0], None, dtype)
    add_states(parameters, hooks)
    values = torch.tensor(VALUES, dtype=dtype)
    parameters.state["tried.1.other"].copy_(values.roll(1).where(values > 1, values))
    inputs = torch.stack([values * factor for factor in EVENTS])
    targets = torch.eye(2, dtype=dtype)[[0, 1, 0]]
    thetas = {"tried": torch.zeros(1, dtype=dtype)}
    made = backend(NETWORK, hooks, thetas, parameters, inputs, targets, 3, **more)
    made.advance(torch.arange(3).unsqueeze(0))
    return {what: parameters.state[f"tried.1.{named(i)}"][0, 0] for i, what in enumerate(forms)}


def test_every_form_that_is_followed_gives_the_numbers_of_eager(sorted_out):
    dtype, followed, _ = sorted_out
    assert len(followed) > 150
    ours = trained(NativeBackend, followed, dtype, flags=("-O0",))
    assert_equal(ours, trained(EagerBackend, followed, dtype), dtype)


@pytest.mark.usefixtures("users_compilers")
def test_functions_of_one_argument_give_the_numbers_of_eager_as_a_run_compiles_them(sorted_out):
    dtype, followed, _ = sorted_out
    ones = {what: form for what, form in followed.items() if what.endswith("(signal)")}
    ours = trained(NativeBackend, ones, dtype)
    assert_equal(ours, trained(EagerBackend, ones, dtype), dtype)


def assert_equal(ours, expected, dtype):
    tolerance = 8 * torch.finfo(dtype).eps
    for what, value in expected.items():
        # a sum is as exact as its largest part
        largest = 3e8 if "sum" in what or "mean" in what else 1.0
        found = zip(VALUES, ours[what].tolist(), value.tolist(), strict=True)
        assert torch.allclose(ours[what], value, tolerance, tolerance * largest, equal_nan=True), (
            what,
            [*found],
        )


def test_every_operation_of_the_table_is_followed_in_some_form(sorted_out):
    _, followed, _ = sorted_out
    called = {what.partition("(")[0].rpartition(".")[2] for what in followed}
    # what is a name of C's own, and what is of another precision
    own = {"like", "identity", "and", "or", "not"}
    assert {*NAMES} - called - {"and_", "or_", "float", "double"} == own


REFUSED = {
    "torch.add(signal, state, {'alpha': 2})": "C is not generated for 'add' with 'alpha'; {instead}",
    "a rounded quotient": ("C is not generated for 'div' with 'rounding_mode'; {instead}"),
    "torch.round(signal, {'decimals': 1})": (
        "C is not generated for 'round' with 'decimals'; {instead}"
    ),
    "torch.sum(signal)": "C is not generated for 'sum'; {instead}",
    "an index over networks": "C is not generated for 'getitem'; {instead}",
    "in place": "C is not generated for 'add_'; {instead}",
    "bits of numbers": "C is not generated for 'and_' of numbers; {instead}",
    "no bits of numbers": "C is not generated for 'invert' of numbers; {instead}",
    "a sum of truths": (
        "'add' gives numbers of type torch.bool; write torch.where(condition, a, b) with signals "
        "or s.post.dtype to stay with theirs"
    ),
    "a sum of a sum": "'sum' of a result without keepdim=True; add it",
    "the other dimension put back": (
        "'unsqueeze' combines dimensions that do not belong together; keep K in dim 1 and the "
        "population in dim -1"
    ),
    "the number of networks": (
        "it reads a size that is none of K or of a population; write s.post.shape[1] for K, "
        "s.batch for the size of the mini-batch, or s.post.shape[-1] for that of a population"
    ),
    "of a function of somebody else": "C is not generated for 'sign'; {instead}",
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_form_that_is_not_known_is_refused_with_its_line(sorted_out, what):
    _, _, refused = sorted_out
    rule, line, reason = refused[what].split(": ", 2)
    assert rule == "the rule 'tried'"
    assert line.startswith("line ")
    assert reason == REFUSED[what].format(instead=FOLLOWED)
