"""Kinds of parameters that several commands have."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

#: A flag without a value, and without a form that denies it.
Switch = Annotated[bool, Parameter(negative=())]

#: A flag that may be repeated.
Texts = Annotated[list[str] | None, Parameter(negative=())]

#: RULE.NAME=VALUE; may be repeated.
Settings = Annotated[
    list[str] | None, Parameter(name="--set", negative=(), allow_leading_hyphen=False)
]
