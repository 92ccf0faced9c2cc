"""The one exception for mistakes in the input, and the wording shared by its messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


class PlasticError(ValueError):
    """Something the user gave is wrong; the message says what, where, and what to write instead.

    The command line prints the message alone and exits with code 2.
    """


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return ``"; did you mean 'oja'?"`` for the nearest of `names`, or nothing."""
    ratios = {n: difflib.SequenceMatcher(None, name.lower(), n.lower()).ratio() for n in names}
    best = max(ratios.values(), default=0.0)
    # of two letters, one that is right is half
    least = 0.5 if len(name) <= 2 else 0.6
    close = sorted(n for n, ratio in ratios.items() if ratio >= max(least, best - 0.05))
    if len(close) > 3:  # as where names differ by a number
        distance = {n: _distance(name, n) for n in close}
        close = [n for n in close if distance[n] == min(distance.values())]
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def _distance(first: str, second: str) -> float:
    """Return by how much the letters and digits of two names differ."""
    if len(first) != len(second):
        return float("inf")
    return sum(abs(ord(a) - ord(b)) for a, b in zip(first, second, strict=True))


def reason_of(error: Exception) -> str:
    """Return why a file cannot be used, without its path, which the message names already."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def brief(value: Any) -> str:
    """Return a value as it is written, cut short where it fills more than two lines."""
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:120]} ... ({len(text)} characters)"


def listing(names: Iterable[str]) -> str:
    """Return the names in order, separated by commas, or ``(none)``."""
    return ", ".join(sorted(names)) or "(none)"


def differences(there: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Return a line for each name whose value differs."""
    return [
        f"{name}: {there.get(name)!r} there, {asked.get(name)!r} asked"
        for name in sorted(there.keys() | asked.keys())
        if there.get(name) != asked.get(name)
    ]


class TrainingError(PlasticError):
    """A plugin failed in the middle of training; what is trained beside it goes on.

    Attributes:
        sample: training points seen before, as far as it is known where it is raised.
    """

    sample: int = 0


class DataError(PlasticError):
    """There are no data; the message names the folder, the reason and what to do instead."""


def describe_exception(error: BaseException) -> str:
    """Return the exception's type and message on one line."""
    try:
        text = str(error)
    except Exception:  # of a stranger's exception even its text may raise
        text = "(its text cannot be shown)"
    return " ".join(f"{type(error).__name__}: {text}".split()).removesuffix(":")


def line_of(error: BaseException) -> str:
    """Return the place in the plugin's own file where an exception came from."""
    trace, line = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if "/torch/" not in file and "/plastic_core/" not in file:
            line = f" in line {trace.tb_lineno}"
        trace = trace.tb_next
    return line
