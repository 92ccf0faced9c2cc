"""Names in one text, by commas."""

from __future__ import annotations

import csv


def names_in(text: str) -> tuple[str, ...]:
    """Return the names in a text; one in double quotes may have commas, and spaces at its ends.

    Raises:
        ValueError: it runs over several lines, or a quote is not closed.
    """
    try:
        names = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error:
        raise ValueError(
            f"{text!r} is no list of names by commas: a line ends in it, or a quote is not closed"
        ) from None
    return tuple(name if f'"{name}"' in text else name.strip() for name in names)
