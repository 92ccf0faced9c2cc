"""Files written beside their place and moved there, so that a killed process leaves whole ones."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from plastic_core.base.errors import PlasticError, describe_exception
from plastic_core.base.locks import DRAWING


def write_atomically(final: Path, write: Callable[[Path], Any], remedy: str) -> None:
    """Write a file by `write`, which is given a path beside it; old content or new, never half.

    Raises:
        PlasticError: it cannot be written; ends with `remedy`.
    """
    # hidden, and with the right suffix, by which some writers choose their format
    temporary = final.with_name(f".{os.getpid()}-{final.name}")
    with explained(final, remedy):
        try:
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(final)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_json(final: Path, value: Any, remedy: str) -> None:
    """Write a value as JSON, old content or new.

    Raises:
        PlasticError: it cannot be written; ends with `remedy`.
    """
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_atomically(final, lambda path: path.write_text(text, encoding="utf-8"), remedy)


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` written out; of nobody's name it is a folder, as in a shell."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


@contextlib.contextmanager
def explained(path: Path, remedy: str) -> Iterator[None]:
    """Turn what the system says into one message.

    Raises:
        PlasticError: in place of an OSError, or of a ValueError, which a path with NUL leads to.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) and "null byte" not in str(error):
            raise
        reason = getattr(error, "strerror", None) or error
        raise PlasticError(f"{path}: cannot be written: {reason}; {remedy}") from None


def drawn(name: str, draw: Callable[[], Any]) -> list[str]:
    """Draw a figure of a result that is whole without it; return a note where that fails."""
    try:
        with DRAWING:
            draw()
    except Exception as error:  # whatever matplotlib, its backend or its fonts raise
        return [f"{name} was not drawn: {describe_exception(error)}"]
    return []
