"""Rule expressions such as ``0.01*bp + 0.0003*oja``: a small grammar, parsed, never evaluated.

    expression = term { "+" term }
    term       = [ number "*" ] name
    name       = [ distribution ":" ] letter { letter | digit | "_" | "-" }

Names may hold hyphens, so there is no subtraction; a negative number is a number.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from plastic_core.api.specs import NAME_PATTERN
from plastic_core.base.errors import PlasticError
from plastic_core.plan.schedule import FORMS

_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_COMMA = re.compile(r",([0-9]+)")
_NAME = re.compile(rf"([A-Za-z0-9][A-Za-z0-9_.-]*:)?{NAME_PATTERN}")
_OVER_TIME = re.compile(rf"((?:{'|'.join(FORMS)})\([^()]*\))\s*\*\s*({_NAME.pattern})")


class ExpressionError(PlasticError):
    """A malformed expression; the message shows the position and what was expected."""


@dataclass(frozen=True)
class Term:
    """One term: the rule's name as written, and its coefficient if one was given."""

    name: str
    coefficient: float | None


def taken_away(rest: str) -> str:
    """Return how a rule is taken away, where it can be."""
    factor = "" if _NUMBER.match(rest) else "1*"
    return f"to take away a rule whose theta may be negative, write + -{factor}{rest}"


def parse(text: str) -> tuple[Term, ...]:
    """Return the terms of a rule expression, in order.

    >>> parse("0.01*bp + oja")
    (Term(name='bp', coefficient=0.01), Term(name='oja', coefficient=None))

    Raises:
        ExpressionError: the text does not follow the grammar, a number is not finite, or a rule
            stands twice.
    """
    terms: list[Term] = []
    position = 0

    def skip_space() -> None:
        nonlocal position
        match = _SPACE.match(text, position)
        position = match.end() if match else position

    def expected(what: str, hint: str = "") -> ExpressionError:
        found = repr(text[position]) if position < len(text) else "the end"
        return ExpressionError(
            f"rule expression, position {position + 1}: expected {what}, found {found}\n"
            f"  {text}\n  {' ' * position}^\n"
            "  an expression is a sum of rules with optional numbers: 0.01*bp + oja" + hint
        )

    while True:
        skip_space()
        coefficient = None
        if number := _NUMBER.match(text, position):
            coefficient = float(number.group())
            if not math.isfinite(coefficient):
                raise expected("a finite number")
            position = number.end()
            skip_space()
            if not text.startswith("*", position):
                comma = _COMMA.match(text, position)
                point = (
                    f"; a decimal point is a point: {number.group()}.{comma[1]}" if comma else ""
                )
                raise expected("'*' and the name of a rule after the number", point)
            position += 1
            skip_space()
        name = _NAME.match(text, position)
        if name is None:
            raise expected(
                "the name of a rule"
                if coefficient is not None
                else "a number or the name of a rule"
            )
        if any(term.name == name.group() for term in terms):
            raise ExpressionError(
                f"rule expression, position {position + 1}: '{name.group()}' stands twice in "
                f"{text!r}; write it once, with one coefficient"
            )
        terms.append(Term(name.group(), coefficient))
        begun, position = position, name.end()
        skip_space()
        if position == len(text):
            return tuple(terms)
        if text[position] == "-":
            rest = text[position + 1 :].lstrip("- ").rstrip()
            raise expected("'+' or the end", f"; {taken_away(rest)}")
        if over_time := _OVER_TIME.match(text, begun):
            schedule, rule = over_time.group(1, 2)
            setting = f"write {rule}, and --set {rule}.theta={schedule}"
            raise expected("'+' or the end", f"; a theta over time is a setting: {setting}")
        if text[position] == ".":
            setting = f"--set {name.group()}.NAME=VALUE"
            layers = f"{name.group()}.layers=5"
            raise expected(
                "'+' or the end", f"; a setting is given by {setting}, in a stage also {layers}"
            )
        if text[position] != "+":
            raise expected("'+' or the end")
        position += 1
