"""Schedules: thetas that change over a run, by a factor that is the same in all networks."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final

from plastic_core.api.specs import Theta
from plastic_core.base.errors import PlasticError, did_you_mean

#: How each is written.
FORMS: Final = {"cosine": "cosine(a)", "linear": "linear(a)", "decay": "decay(a, f)"}

_EXAMPLES: Final = {"cosine": "cosine(0.1)", "linear": "linear(0.1)", "decay": "decay(0.1, 0.01)"}
_FORM: Final = re.compile(r"\s*([A-Za-z_]+)\s*\((.*)\)\s*")


@dataclass(frozen=True)
class Schedule:
    r"""What a theta a is multiplied by at update k of n, counted from 0; x = k / n.

    ==============  =====================  ============================================
    cosine(a)       a (1 + cos(pi x)) / 2  Loshchilov and Hutter 2017, without restarts
    linear(a)       a (1 - x)
    decay(a, f)     a f^x                  exponential, from a to f a
    ==============  =====================  ============================================

    Attributes:
        name: one of `FORMS`.
        last: f, what is left of a theta at the end; 0 but in a decay.
    """

    name: str
    last: float = 0.0

    def factor(self, x: float) -> float:
        """Return the factor after the part x of all updates."""
        if self.name == "cosine":
            return (1 + math.cos(math.pi * x)) / 2
        return 1 - x if self.name == "linear" else float(self.last**x)

    def text(self, theta: float) -> str:
        """Return how it is written for a theta."""
        numbers = (theta, self.last) if self.name == "decay" else (theta,)
        return f"{self.name}({', '.join(map(repr, numbers))})"


def read_theta(name: str, theta: Theta, value: Any) -> tuple[float, Schedule | None]:
    """Return the value of a theta, and its schedule where it has one.

    Args:
        name: of the theta, for messages.
        theta: what is accepted, of the least and of the greatest value over the run.
        value: a number, or a text such as "cosine(0.1)".

    Raises:
        PlasticError: it is neither, or not accepted.
    """
    schedule, number = None, value
    if isinstance(value, str) and (found := _FORM.fullmatch(value)):
        number, schedule = _parse(name, value, found[1], found[2])
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if not is_number or not theta.contains(float(number)):
        raise PlasticError(f"theta of '{name}' = {value!r}: expected {theta.accepted}")
    if schedule is not None and not theta.contains(end := number * schedule.last):
        raise PlasticError(
            f"theta of '{name}' = {value!r}, which goes to {end:g}: expected {theta.accepted}"
        )
    return float(number), schedule


def with_theta(text: Any, theta: Any) -> str | None:
    """Return a schedule with another a; None where the text is none, or theta no number.

    >>> with_theta("decay(0.1, 0.01)", 0.5)
    'decay(0.5, 0.01)'
    """
    found = _FORM.fullmatch(text) if isinstance(text, str) else None
    if found is None or isinstance(theta, str | bool):
        return None
    _, comma, rest = found[2].partition(",")
    return f"{found[1]}({theta!r}{comma}{rest})"


def _parse(name: str, value: str, kind: str, inside: str) -> tuple[float, Schedule]:
    """Return a and the schedule of "cosine(a)".

    Raises:
        PlasticError: there is none of that name, or it is given something else.
    """
    if kind not in FORMS:
        raise PlasticError(
            f"theta of '{name}' = {value!r}: there is no schedule '{kind}'"
            f"{did_you_mean(kind, FORMS)}\n  schedules are {', '.join(FORMS.values())}"
        )
    try:
        numbers = [float(part) for part in inside.split(",")]
    except ValueError:
        numbers = []
    decays = kind == "decay"
    if len(numbers) != 1 + decays or (decays and not 0 < numbers[1] <= 1):
        given = ", numbers with f above 0 and at most 1" if decays else ", a number"
        raise PlasticError(
            f"theta of '{name}' = {value!r}: expected {FORMS[kind]}{given}, such as "
            f"{_EXAMPLES[kind]}"
        )
    return numbers[0], Schedule(kind, numbers[1] if decays else 0.0)
