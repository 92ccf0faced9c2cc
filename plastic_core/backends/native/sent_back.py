"""Increments that read W' post or W' error linearly, where inputs are known ahead; see ahead.c."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from plastic_core.api.signals import BACK
from plastic_core.backends.native.operations import PRODUCTS
from plastic_core.backends.native.program import Kind, MatrixUpdate, RankOne, Value, Values

#: What is sent back, and what of.
_SOURCES: Final = {signal: source for source, signal in BACK.items()}

# Products with W, which what waits as a vector over "post" takes no part in.
_WITH_W: Final = frozenset(PRODUCTS) - {"feed_back"}


def send_back_later(kind: Kind, values: Values) -> None:
    """Let what is sent back wait as what it is made of, where increments alone read it.

    An increment outer(a, x - W' y) becomes outer(a, x) and one whose column is W' y, so that W' y
    is computed for many updates at once.

    Args:
        kind: of the projection whose inputs are known ahead, changed in place.
        values: makes values.
    """
    update = kind.weight
    if update is None or update.column_decay is not None:
        return
    if update.row_decay is not None and not update.uniform_decay:
        return
    rows: dict[Value, Value] = {}
    for product in update.products:
        parts = _linear_parts(product.column, values)
        for column, factor in ({product.column: None} if parts is None else parts).items():
            row = product.row if factor is None else values.make("mul", product.row, factor)
            rows[column] = values.make("add", rows[column], row) if column in rows else row
    later = {column: row for column, row in rows.items() if _sent_back(column) is not None}
    known = [RankOne(row, column) for column, row in rows.items() if column not in later]
    back = [
        RankOne(row, values.signal(_SOURCES[column.arguments[0]])) for column, row in later.items()
    ]
    others = [value for product in (*known, *back) for value in (product.row, product.column)]
    others += [value for _, value in (*kind.states, *kind.matrices)]
    others += [v for v in (update.row_decay, kind.forward, kind.propagate) if v is not None]
    read = _all_of(others)
    names = {column.arguments[0] for column in later}
    needs = kind.needs._replace(**dict.fromkeys(names, False))
    # what is multiplied by W at each update would lack what waits
    at_each = needs.recon or needs.weight_error
    at_each = at_each or any(value in later or value.operation in _WITH_W for value in read)
    if later and not at_each:
        kind.weight = MatrixUpdate(known, update.row_decay, sent_back=back)
        kind.needs = needs


def _sent_back(value: Value) -> str | None:
    """Return the name of a signal that is sent back, or None."""
    name = value.arguments[0] if value.operation == "signal" else None
    return name if name in _SOURCES else None


def _linear_parts(value: Value, values: Values) -> dict[Value, Value] | None:
    """Return vectors over "pre" and numbers that the value is the sum of, or None.

    Args:
        value: over "pre".
        values: makes values.
    """
    if value.units != "pre":
        return None
    operation, arguments = value.operation, value.arguments
    if operation == "identity":
        return _linear_parts(arguments[0], values)
    if operation == "neg":
        return _times(_linear_parts(arguments[0], values), "mul", values.number(-1), values)
    if operation in ("add", "sub"):
        first, second = (_linear_parts(one, values) for one in arguments)
        if operation == "sub":
            second = _times(second, "mul", values.number(-1), values)
        if first is None or second is None:
            return None
        both = dict(first)
        for column, factor in second.items():
            both[column] = values.make("add", both[column], factor) if column in both else factor
        return both
    if operation == "mul" and arguments[0].units is None:
        return _times(_linear_parts(arguments[1], values), operation, arguments[0], values)
    if operation in ("mul", "truediv") and arguments[1].units is None:
        return _times(_linear_parts(arguments[0], values), operation, arguments[1], values)
    return {value: values.number(1)}


def _times(
    parts: dict[Value, Value] | None, operation: str, factor: Value, values: Values
) -> dict[Value, Value] | None:
    if parts is None:
        return None
    return {column: values.make(operation, one, factor) for column, one in parts.items()}


def _all_of(values: Iterable[Value]) -> set[Value]:
    """Return values and all that they are made of."""
    found: set[Value] = set()
    left = [*values]
    while left:
        value = left.pop()
        if value not in found:
            found.add(value)
            left += [one for one in value.arguments if isinstance(one, Value)]
    return found
