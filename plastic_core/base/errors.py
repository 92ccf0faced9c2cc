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
    close = sorted(n for n, ratio in ratios.items() if ratio >= max(0.6, best - 0.05))
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


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
