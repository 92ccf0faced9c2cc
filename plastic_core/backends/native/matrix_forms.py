"""What rules write with matrices that they keep, and with vectors that they turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from plastic_core.backends.native.program import NotNativeError, Value, Values, is_matrix

#: What to write where another product is not followed.
INSTEAD: Final = (
    "of products C is generated for s.forward(v), s.back(v) and s.feed_back(v), for "
    "torch.bmm(v, m) and torch.bmm(v, m.mT) of a state m as it is, and for torch.bmm(a.mT, b) of "
    "vectors"
)


@dataclass(frozen=True)
class Turned:
    """What was turned, so that its rows are columns: vectors of all events, or a state."""

    value: Value


def turns(name: str | None, args: tuple[Any, ...]) -> bool:
    """Return whether a call exchanges rows and columns of its first argument."""
    dims = args[1:]
    if name == "permute":
        return dims in ((0, 2, 1), ((0, 2, 1),))
    swaps = name in ("transpose", "swapaxes", "swapdims") and len(dims) == 2
    return swaps and {dim % 3 for dim in dims if isinstance(dim, int)} == {1, 2}


def turned(values: Values, one: Any) -> Value | Turned:
    """Return what has rows for columns.

    Raises:
        NotNativeError: it is nothing that C is generated for.
    """
    if isinstance(one, Turned):
        return one.value
    if isinstance(one, Value):
        if one.operation == "rows":
            row: Value = one.arguments[0]
            return row
        if one.operation == "outer":
            return values.make("outer", *reversed(one.arguments))
        if is_kept(one) or (one.events and one.units):
            return Turned(one)
        if one.units and not is_matrix(one.units):
            return values.make("rows", one)
    raise NotNativeError(f"it turns a matrix; {INSTEAD}")


def unturned(args: Sequence[Any]) -> tuple[Any, ...]:
    """Return the arguments of an elementwise operation on turned vectors, as they were before.

    Raises:
        NotNativeError: there is something else among them that has rows or columns.
    """
    for one in args:
        value = one.value if isinstance(one, Turned) else one
        alone = isinstance(value, Value) and value.units is None and not value.events
        vectors = isinstance(one, Turned) and _is_vector(value)
        if isinstance(value, Value | Turned) and not (vectors or alone):
            raise NotNativeError(f"it turns a matrix; {INSTEAD}")
    return tuple(one.value if isinstance(one, Turned) else one for one in args)


def is_kept(one: Any) -> bool:
    """Return whether it is a state over a matrix, as it is."""
    return isinstance(one, Value) and one.operation in ("matrix_state", "own_matrix")


def multiplied(values: Values, left: Any, right: Any) -> Value | Turned:
    """Return what ``torch.bmm(left, right)`` is.

    Raises:
        NotNativeError: C is not generated for it.
    """
    if _is_vector(left) and is_kept(right):
        return values.times(left, right, transposed=True)
    if _is_vector(left) and isinstance(right, Turned) and is_kept(right.value):
        return values.times(left, right.value)
    matrix = left.value if isinstance(left, Turned) else left
    if is_kept(matrix):
        vectors = turned(values, right) if isinstance(right, Turned) or _is_rows(right) else None
        if isinstance(vectors, Value) and _is_vector(vectors):
            product = values.times(vectors, matrix, transposed=matrix is not left)
            return turned(values, product)
    if isinstance(left, Turned) and _is_vector(left.value) and _is_vector(right):
        return values.make("outer", left.value, right)
    if _is_rows(left) and _is_vector(right) and not right.events:
        return values.make("mul", left, right)
    raise NotNativeError(INSTEAD)


def _is_vector(one: Any) -> bool:
    return isinstance(one, Value) and one.units is not None and not is_matrix(one.units)


def _is_rows(one: Any) -> bool:
    return isinstance(one, Value) and one.operation == "rows"
