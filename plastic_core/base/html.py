"""HTML for notebooks; all text is escaped, so that a name is never markup."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape


def element(tag: str, text: object) -> str:
    """Return a text in an element, such as a paragraph."""
    return f"<{tag}>{escape(str(text))}</{tag}>"


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of texts; without headers where there are none."""
    head = "".join(element("th", one) for one in headers)
    lines = [head, *("".join(element("td", cell) for cell in row) for row in rows)]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines if line)}</table>"


def picture(png: bytes) -> str:
    """Return a picture that needs no file beside it."""
    return f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}">'
