"""A figure drawn into its folder, as PDF and as PNG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from plastic_core.base.files import write_atomically

_REMEDY: Final = "free or allow it, or give another folder with --out"


def draw_to(folder: Path, name: str, draw: Callable[[Path], Any]) -> None:
    """Draw a figure as PDF and PNG by `draw`, which is given a path.

    Raises:
        PlasticError: it cannot be written.
    """
    for suffix in ("pdf", "png"):
        write_atomically(folder / f"{name}.{suffix}", draw, _REMEDY)
