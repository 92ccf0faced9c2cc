"""The operations that C is generated for: how torch names them, and how C does.

A true comparison is 1 and a false one 0.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

#: C text of elementwise operations; {0}, {1} and {2} stand for the operands.
ELEMENTWISE: Final[dict[str, str]] = {
    "identity": "{0}",
    "add": "({0} + {1})",
    "sub": "({0} - {1})",
    "mul": "({0} * {1})",
    "truediv": "({0} / {1})",
    "neg": "(-{0})",
    "abs": "CALL(fabs)({0})",
    "square": "({0} * {0})",
    "reciprocal": "(1 / {0})",
    "sqrt": "CALL(sqrt)({0})",
    "rsqrt": "(1 / CALL(sqrt)({0}))",
    "exp": "exp_({0})",
    "expm1": "CALL(expm1)({0})",
    "log": "CALL(log)({0})",
    "log2": "CALL(log2)({0})",
    "log1p": "CALL(log1p)({0})",
    "sin": "CALL(sin)({0})",
    "cos": "CALL(cos)({0})",
    "atan": "CALL(atan)({0})",
    "erf": "CALL(erf)({0})",
    "tanh": "tanh_({0})",
    "sigmoid": "sigmoid_({0})",
    "relu": "relu_({0})",
    "softplus": "({0} * {1} > {2} ? {0} : softplus_({0}, {1}))",
    "sign": "sign_({0})",
    "floor": "CALL(floor)({0})",
    "ceil": "CALL(ceil)({0})",
    "round": "CALL(rint)({0})",
    "pow": "CALL(pow)({0}, {1})",
    "maximum": "maximum_({0}, {1})",
    "minimum": "minimum_({0}, {1})",
    "clamp": "minimum_(maximum_({0}, {1}), {2})",
    "lerp": "lerp_({0}, {1}, {2})",
    "like": "{1}",
    "gt": "(real)({0} > {1})",
    "ge": "(real)({0} >= {1})",
    "lt": "(real)({0} < {1})",
    "le": "(real)({0} <= {1})",
    "eq": "(real)({0} == {1})",
    "ne": "(real)({0} != {1})",
    "and": "(real)({0} != 0 && {1} != 0)",
    "or": "(real)({0} != 0 || {1} != 0)",
    "not": "(real)({0} == 0)",
    "where": "({0} != 0 ? {1} : {2})",
}


@dataclass(frozen=True)
class Reduction:
    """A reduction.

    Attributes:
        over: the axes that vanish, of "events" and "units".
        start: C text of what it begins with.
        step: C text of the total after one more value; {0} the total, {1} the value.
        mean: whether the total is divided by the number of values.
    """

    over: frozenset[str]
    start: str
    step: str
    mean: bool = False


_STEPS: Final[dict[str, tuple[str, str, bool]]] = {
    "sum": ("0", "{0} + {1}", False),
    "mean": ("0", "{0} + {1}", True),
    "amax": ("-INFINITY", "maximum_({0}, {1})", False),
    "amin": ("INFINITY", "minimum_({0}, {1})", False),
}
_AXES: Final[dict[str, frozenset[str]]] = {
    "units": frozenset({"units"}),
    "events": frozenset({"events"}),
    "both": frozenset({"events", "units"}),
}
#: By name, such as "mean_units".
REDUCTIONS: Final[dict[str, Reduction]] = {
    f"{name}_{axes}": Reduction(over, start, step, mean)
    for name, (start, step, mean) in _STEPS.items()
    for axes, over in _AXES.items()
}

#: Products with a matrix, and the population that they lead to.
PRODUCTS: Final[dict[str, str]] = {"forward": "post", "back": "pre", "feed_back": "pre"}

#: Products with a matrix that a rule keeps, M v and M' v.
KEPT_PRODUCTS: Final = ("times", "times_back")

_ALIASES: Final[dict[str, str]] = {
    "subtract": "sub",
    "multiply": "mul",
    "div": "truediv",
    "divide": "truediv",
    "true_divide": "truediv",
    "negative": "neg",
    "pos": "identity",
    "positive": "identity",
    "absolute": "abs",
    "and_": "and",
    "logical_and": "and",
    "or_": "or",
    "logical_or": "or",
    "invert": "not",
    "logical_not": "not",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "not_equal": "ne",
    "arctan": "atan",
    "clone": "identity",
    "contiguous": "identity",
    "detach": "identity",
    "to": "identity",
    "type_as": "identity",
    "float": "identity",
    "double": "identity",
}

_Operands = tuple[str, tuple[Any, ...]]

# Where the functions of these names are what torch calls so; a function of somebody else may have
# the same name.
_MODULES: Final = (torch, torch.nn.functional, operator)


def name_of(function: Callable[..., Any]) -> str | None:
    """Return the name of a function of torch or an operator, or None for any other function."""
    name = getattr(function, "__name__", "")
    known = any(getattr(module, name, None) is function for module in _MODULES)
    return name if known else None


def arguments_of(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], method: bool
) -> _Operands | None:
    """Return the operation and its operands for a call in torch's terms, or None.

    Args:
        name: of the function or method, such as "add" or "softplus".
        args: positional arguments.
        kwargs: arguments by name.
        method: whether it is one of the first argument.
    """
    special = _METHODS.get(name) if method else None
    special = special or _SPECIAL.get(name)
    if special is not None:
        try:
            return special(*args, **kwargs)
        except TypeError:  # called in a way that is not supported
            return None
    operation = _ALIASES.get(name, name)
    if operation == "identity":
        return operation, (args[0],)
    if operation not in ELEMENTWISE or kwargs:
        return None
    text = ELEMENTWISE[operation]
    if len(args) != sum(f"{{{i}}}" in text for i in range(3)):
        return None
    return operation, tuple(args)


def _reduction(name: str) -> Callable[..., _Operands | None]:
    def convert(x: Any, dim: Any = None, keepdim: bool = False) -> _Operands | None:
        dims = dim if isinstance(dim, tuple) else (dim,)
        names = {1: "events", -2: "events", 2: "units", -1: "units"}
        axes = {names.get(d) for d in dims}
        if None in axes or not axes:
            return None
        which = "both" if len(axes) == 2 else axes.pop()
        return f"{name}_{which}", (x,)

    return convert


def _clamp(x: Any, *bounds: Any, **named: Any) -> _Operands | None:
    given = dict(zip(("min", "max"), bounds, strict=False)) | named
    low, high = given.pop("min", None), given.pop("max", None)
    if given or (low is None and high is None):
        return None
    if low is None or high is None:
        return ("maximum", (x, low)) if high is None else ("minimum", (x, high))
    return "clamp", (x, low, high)


# arguments are called as torch calls them
def _clamp_min(x: Any, min: Any) -> _Operands:  # noqa: A002
    return "maximum", (x, min)


def _clamp_max(x: Any, max: Any) -> _Operands:  # noqa: A002
    return "minimum", (x, max)


def _where(condition: Any, input: Any, other: Any) -> _Operands:  # noqa: A002
    return "where", (condition, input, other)


def _power(x: Any, exponent: Any) -> _Operands:
    if exponent == 2:
        return "square", (x,)
    return "pow", (x, exponent)


_SPECIAL: Final[dict[str, Callable[..., _Operands | None]]] = {
    **{name: _reduction(name) for name in _STEPS},
    "clamp": _clamp,
    "clip": _clamp,
    "clamp_min": _clamp_min,
    "clamp_max": _clamp_max,
    "pow": _power,
    "rsub": lambda x, other: ("sub", (other, x)),
    "relu": lambda x, inplace=False: None if inplace else ("relu", (x,)),
    "softplus": lambda x, beta=1, threshold=20: ("softplus", (x, beta, threshold)),
    "where": _where,
    "ones_like": lambda x: ("like", (x, 1.0)),
    "zeros_like": lambda x: ("like", (x, 0.0)),
}

#: What is called otherwise as a method than as a function.
_METHODS: Final[dict[str, Callable[..., _Operands | None]]] = {
    "where": lambda x, condition, other: _where(condition, x, other),
}
