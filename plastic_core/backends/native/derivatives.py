"""Derivatives of what rules compute, as further values for C.

A tangent is with respect to one theta, the direction, which the C code loops over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from plastic_core.backends.native.operations import KEPT_PRODUCTS, PRODUCTS
from plastic_core.backends.native.program import (
    Kind,
    MatrixUpdate,
    NotNativeError,
    RankOne,
    Value,
    Values,
)


@dataclass
class TangentUpdate:
    """All that changes the tangent of one matrix.

    Attributes:
        products: the outer products.
        row_change: tangent of the fraction of each row that decays, or None.
        column_change: the same for columns.
    """

    products: list[RankOne]
    row_change: Value | None = None
    column_change: Value | None = None


@dataclass
class TangentKind:
    """What happens to the tangents at projections of one kind; the fields are those of `Kind`."""

    weight: TangentUpdate | None
    feedback: TangentUpdate | None
    propagate: Value | None


class Differentiator:
    """Differentiates values with respect to the theta of the direction.

    Args:
        values: makes them.
        still: signals without a tangent.
    """

    def __init__(self, values: Values, still: Collection[str] = ()) -> None:
        self._values, self._still = values, still
        self._found: dict[Value, Value | None] = {}

    def kind(self, kind: Kind) -> TangentKind:
        """Return the tangents of all that happens at a kind of projection.

        Raises:
            NotNativeError: something of it has no derivative here.
        """
        if kind.states or kind.matrices:
            raise NotNativeError("a rule has a state")
        if kind.forward is not None:
            raise NotNativeError("a rule computes z in a way of its own (plastic_forward)")
        return TangentKind(
            self._update(kind.weight),
            self._update(kind.feedback),
            self._or_zero(kind.propagate),
        )

    def _update(self, update: MatrixUpdate | None) -> TangentUpdate | None:
        if update is None:
            return None
        products = []
        for product in update.products:
            row, column = self.of(product.row), self.of(product.column)
            if row is not None:
                products.append(RankOne(row, product.column))
            if column is not None:
                products.append(RankOne(product.row, column))
        return TangentUpdate(
            products,
            self._or_zero(update.row_decay),
            self._or_zero(update.column_decay),
        )

    def _or_zero(self, value: Value | None) -> Value | None:
        if value is None:
            return None
        found = self.of(value)
        return self._values.make("like", value, self._values.number(0)) if found is None else found

    def of(self, value: Value) -> Value | None:
        """Return the tangent of a value, or None where it is 0."""
        if value not in self._found:
            self._found[value] = self._derive(value)
        return self._found[value]

    def _derive(self, value: Value) -> Value | None:
        make, operation, arguments = self._values.make, value.operation, value.arguments
        if operation == "signal":
            if arguments[0] in self._still:
                return None
            return make("tangent", arguments[0], value.units)
        if operation == "noise":
            raise NotNativeError("what is made of noise is not differentiated in C")
        if operation in (*PRODUCTS, *KEPT_PRODUCTS):
            raise NotNativeError("products that a rule asks for are not differentiated in C")
        if operation == "theta":
            return make("chosen", arguments[0])
        if operation in ("number", "batch", "events", "units"):
            return None
        if operation in _FLAT:
            return None
        tangents = [self.of(argument) for argument in arguments]
        if all(tangent is None for tangent in tangents):
            return None
        if operation in _LINEAR:
            (argument,), (tangent,) = arguments, tangents
            assert tangent is not None
            if (tangent.events, tangent.units) != (argument.events, argument.units):
                tangent = make("like", argument, tangent)
            return make(operation, tangent)
        rule = _RULES.get(operation)
        if rule is None:
            raise NotNativeError(f"the derivative of '{operation}' is not generated")
        return rule(_Maker(make, self._values), value, arguments, tangents)


class _Maker:
    """Makes values; a tangent None is 0."""

    def __init__(self, make: Callable[..., Value], values: Values) -> None:
        self.make, self.values = make, values

    def add(self, a: Value | None, b: Value | None) -> Value | None:
        if a is None or b is None:
            return a or b
        return self.make("add", a, b)

    def mul(self, a: Value | None, b: Value) -> Value | None:
        return None if a is None else self.make("mul", a, b)

    def neg(self, a: Value | None) -> Value | None:
        return None if a is None else self.make("neg", a)

    def number(self, value: float) -> Value:
        return self.values.number(value)


_Rule = Callable[[_Maker, Value, Any, Any], Value | None]

#: Operations of one value whose tangent is the same operation on the tangent.
_LINEAR: Final = frozenset(
    {"identity", "neg"} | {f"{n}_{o}" for n in ("sum", "mean") for o in ("units", "events", "both")}
)


#: Operations whose result changes nowhere or in jumps.
_FLAT: Final = frozenset({"gt", "ge", "lt", "le", "eq", "ne", "sign", "floor", "ceil", "round"})


def _product(m: _Maker, _: Value, x: Any, d: Any) -> Value | None:
    return m.add(m.mul(d[0], x[1]), m.mul(d[1], x[0]))


def _quotient(m: _Maker, y: Value, x: Any, d: Any) -> Value | None:
    above = m.add(d[0], m.neg(m.mul(d[1], y)))
    assert above is not None
    return m.make("truediv", above, x[1])


def _slope_times(slope: Callable[[_Maker, Value, Value], Value]) -> _Rule:
    """Return the rule of a function of one value, from its slope at (result, argument)."""
    return lambda m, y, x, d: m.mul(d[0], slope(m, y, x[0]))


def _power(m: _Maker, _: Value, x: Any, d: Any) -> Value | None:
    if x[1].operation != "number":
        raise NotNativeError("the derivative of 'pow' with a computed exponent is not generated")
    one_less = m.make("pow", x[0], m.make("sub", x[1], m.number(1)))
    return m.mul(d[0], m.make("mul", x[1], one_less))


def _where(m: _Maker, condition: Value, d: Any) -> Value | None:
    first, second = (m.number(0) if tangent is None else tangent for tangent in d)
    return m.make("where", condition, first, second)


def _slope_of_erf(m: _Maker, _: Value, x: Value) -> Value:
    density = m.make("exp", m.make("neg", m.make("square", x)))
    return m.make("mul", density, m.number(2 / math.sqrt(math.pi)))


_RULES: Final[dict[str, _Rule]] = {
    "add": lambda m, y, x, d: m.add(d[0], d[1]),
    "sub": lambda m, y, x, d: m.add(d[0], m.neg(d[1])),
    "mul": _product,
    "truediv": _quotient,
    "pow": _power,
    "like": lambda m, y, x, d: d[1] and m.make("like", x[0], d[1]),
    "square": _slope_times(lambda m, y, x: m.make("mul", x, m.number(2))),
    "abs": _slope_times(lambda m, y, x: m.make("sign", x)),
    "exp": _slope_times(lambda m, y, x: y),
    "log": _slope_times(lambda m, y, x: m.make("reciprocal", x)),
    "sqrt": _slope_times(lambda m, y, x: m.make("truediv", m.number(0.5), y)),
    "expm1": _slope_times(lambda m, y, x: m.make("add", y, m.number(1))),
    "reciprocal": _slope_times(lambda m, y, x: m.make("neg", m.make("square", y))),
    "erf": _slope_times(_slope_of_erf),
    "maximum": lambda m, y, x, d: _where(m, m.make("ge", x[0], x[1]), d),
    "minimum": lambda m, y, x, d: _where(m, m.make("le", x[0], x[1]), d),
    "relu": _slope_times(lambda m, y, x: m.make("gt", x, m.number(0))),
    "tanh": _slope_times(lambda m, y, x: m.make("sub", m.number(1), m.make("square", y))),
    "sigmoid": _slope_times(lambda m, y, x: m.make("mul", y, m.make("sub", m.number(1), y))),
}
