"""One axis of a grid, as text: ``bp=1e-4:1e-1:12log``, ``oja=0,1e-4``, ``layers=5,10``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final

from plastic_core.base.errors import PlasticError

# Between values, and not within a schedule such as decay(0.1, 0.01).
_COMMA: Final = re.compile(r",(?![^(]*\))")

# Values that a widened axis has more.
_MORE: Final = 4


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
    parts = _COMMA.split(values)
    found = [value for part in parts for value in _values(text, part.strip())]
    if len(set(found)) < len(found):
        raise _fault(text, "a value stands twice")
    return name, tuple(found)


def widened(
    values: str, best: Any, to_zero: bool, accepted: Callable[[float], bool] = lambda value: True
) -> str | None:
    """Return an axis with more values beyond the end at which the best of them lies.

    They go on by the ratio of the last two, by 10 where there is one beside 0, and below the least
    value down to 0 where it may be 0.

    >>> widened("1e-3,2e-3", 1e-3, to_zero=True)
    '0,6.25e-05,0.000125,0.00025,0.0005,1e-3,2e-3'
    >>> widened("1e-3,2e-3", 2e-3, to_zero=True)
    '1e-3,2e-3,0.004,0.008,0.016,0.032'
    >>> widened("0.5,0.9", 0.9, to_zero=False, accepted=lambda beta: beta < 1)
    >>> widened("-1e-2,1e-2", -1e-2, to_zero=False)
    >>> widened("0,1e-5", 1e-5, to_zero=True)
    '0,1e-5,0.0001,0.001,0.01,0.1'

    Args:
        values: of the axis, as text.
        best: the best of them.
        to_zero: whether 0 is the least that is accepted.
        accepted: whether a value is.

    Returns:
        The axis, or None where the best lies inside, is 0, no value beyond it is accepted, or they
        are no numbers from 0 on.
    """
    found = parse_axis(f"axis={values}")[1]
    if any(isinstance(value, bool | str) for value in found):
        return None
    above = sorted(value for value in found if value > 0)
    low, high = min(found) == best, max(found) == best
    if not above or min(found) < 0 or best == 0 or low == high:
        return None
    above = above if len(above) > 1 else [above[0] / 10, above[0]]
    ratio = above[0] / above[1] if low else above[-1] / above[-2]
    beyond = [f"{best * ratio**step:.5g}" for step in range(1, _MORE + 1)]
    beyond += ["0"] if low and to_zero else []
    more = [text for text in beyond if float(text) not in found and accepted(float(text))]
    if not more:
        return None
    return ",".join([values, *more] if high else [*reversed(more), values])


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
