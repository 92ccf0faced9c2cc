"""Kinds of parameters that several commands have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token


def _whole(kind: Any, tokens: Sequence[Token]) -> int:
    """Return a whole number; fractions are refused, as those of a spec are."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"expected a whole number, found {tokens[0].value!r}") from None


#: A whole number.
Whole = Annotated[int, Parameter(converter=_whole)]

#: A flag without a value, and without a form that denies it.
Switch = Annotated[bool, Parameter(negative=())]

#: A flag that may be repeated.
Texts = Annotated[list[str] | None, Parameter(negative=())]

#: RULE.NAME=VALUE; may be repeated.
Settings = Annotated[
    list[str] | None, Parameter(name="--set", negative=(), allow_leading_hyphen=False)
]
