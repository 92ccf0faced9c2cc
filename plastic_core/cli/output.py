"""What the commands print: tables for people, JSON for programs."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from plastic_core.circuits.table import LayerRow
from plastic_core.plugins.catalogue import Entry

# Longer words, such as paths, may be broken; where there is no room, those longer than this.
_LONGEST_WORD: Final = 16
_SHORTEST: Final = 8


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
    """Print a table; text is shown as it is, with no markup, and broken between words."""
    console = console or Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    texts = [[_breakable(str(cell)) for cell in row] for row in rows]
    # else rich takes from every column in turn, and breaks short words before long lines
    widths = [
        min(_LONGEST_WORD, max(len(word) for cell in column for word in (*cell.split(), "")))
        for column in zip(headers, *texts, strict=True)
    ]
    while sum(widths) + 2 * len(widths) - 2 > console.width and max(widths) > _SHORTEST:
        widths[widths.index(max(widths))] -= 1
    for header, width in zip(headers, widths, strict=True):
        table.add_column(header, overflow="fold", min_width=width)
    for row in texts:
        table.add_row(*map(Text, row))
    console.print(table)


def print_layers(layers: Sequence[LayerRow], console: Console | None = None) -> None:
    """Print the layers of a network, and how many weights there are in all."""
    total = sum(layer.weights for layer in layers)
    rows = [(row.name, row.output, f"{row.weights:,}" if row.weights else "") for row in layers]
    print_table(("layer", "output", "weights"), [*rows, ("", "", f"{total:,}")], console)


def _breakable(text: str) -> str:
    """Return text with spaces in a long sum of rules, where it may be broken."""
    sums = r"(?<![\d.][eE])(?<=\w)\+(?=[\w.])"  # not the sign of an exponent
    return re.sub(sums, " + ", text) if len(text) > _LONGEST_WORD else text


def usable(entries: Iterable[Entry]) -> list[Entry]:
    """Return the plugins that can be used; those that cannot are named on standard error."""
    found = []
    for entry in entries:
        if entry.state in ("ok", "clash"):
            found.append(entry)
        elif entry.state == "failed":
            said = f"{entry.kind} {entry.qualified} cannot be used: {entry.error}; {entry.remedy}"
            print(f"note: {said}", file=sys.stderr)
    return found
