"""What the commands print: tables for people, JSON for programs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def print_json(value: Any) -> None:
    """Print one JSON value on standard output."""
    print(json.dumps(value, indent=2, allow_nan=False))


@contextlib.contextmanager
def interrupted_with(how: str) -> Iterator[None]:
    """Let an interrupt say how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(how) from None


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[object]], console: Console | None = None
) -> None:
    """Print a table; text is shown as it is, with no markup."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*[_plain(cell) for cell in row])
    (console or Console()).print(table)


def _plain(cell: object) -> Any:
    from rich.text import Text

    return Text(str(cell))
