"""One axis of a grid, as text: ``bp=1e-4:1e-1:12log``, ``oja=0,1e-4``, ``layers=5,10``."""

from __future__ import annotations

import json
import math
from typing import Any

from plastic_core.base.errors import PlasticError


def parse_axis(text: str) -> tuple[str, tuple[Any, ...]]:
    """Return name and values of an axis.

    Values are separated by commas; ``first:last:count`` are that many with equal steps,
    ``first:last:countlog`` with equal ratios, both ends included.

    >>> parse_axis("oja=0,1e-4:1e-2:3log")
    ('oja', (0, 0.0001, 0.001, 0.01))

    Raises:
        PlasticError: it is malformed, empty, or holds a value twice.
    """
    name, equals, values = text.partition("=")
    name = name.strip()
    if not (equals and name and values.strip()):
        raise _fault(text, "expected NAME=VALUES")
    found = [value for part in values.split(",") for value in _values(text, part.strip())]
    if len(set(found)) < len(found):
        raise _fault(text, "a value stands twice")
    return name, tuple(found)


def _values(text: str, part: str) -> list[Any]:
    if ":" not in part:
        if not part:
            raise _fault(text, "a value is missing")
        return [_scalar(part)]
    pieces = part.split(":")
    logarithmic = pieces[-1].endswith("log")
    try:
        first, last = float(pieces[0]), float(pieces[1])
        count = int(pieces[2].removesuffix("log").removesuffix("lin"))
        if len(pieces) != 3 or not math.isfinite(first - last):
            raise ValueError
    except (ValueError, IndexError):
        raise _fault(text, f"{part!r} is no range") from None
    if not 2 <= count <= 10_000:
        raise _fault(text, f"{part!r} has {count} values; expected 2 to 10,000")
    if not logarithmic:
        return [first + (last - first) * i / (count - 1) for i in range(count)]
    if first <= 0 or last <= 0:
        raise _fault(text, f"{part!r}: both ends of a logarithmic range must be above 0")
    # rounded, so that the same value from two ranges is the same cell
    steps = [first * (last / first) ** (i / (count - 1)) for i in range(count)]
    return [float(f"{step:.6g}") for step in steps]


def _scalar(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text


def _fault(text: str, reason: str) -> PlasticError:
    return PlasticError(
        f"--grid {text}: {reason}; write such as bp=1e-4:1e-1:12log, oja=0,1e-4,1e-3 or layers=5,10"
    )
