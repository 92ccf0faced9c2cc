"""Files that are read back, of which anybody may have written anything."""

from __future__ import annotations

import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any, BinaryIO, Final

#: Bytes of the largest file that is read as text; what plastic writes is far smaller.
MOST_TEXT: Final = 64 * 2**20

# Deeper than any file that plastic writes.
_MOST_LEVELS: Final = 64

# Longer than any number that plastic writes.
_MOST_DIGITS: Final = 30


def open_file(path: Path, most: int) -> BinaryIO:
    """Return a regular file, opened to be read.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, such as a pipe or a device, or is larger than `most`.
    """
    # else a pipe that nobody writes to would be waited for
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    found = os.fstat(file.fileno())
    if stat.S_ISREG(found.st_mode) and found.st_size <= most:
        return file
    file.close()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file")
    raise ValueError(f"it is larger than {most / 2**20:,.0f} MB")


def read_bytes(path: Path, most: int = MOST_TEXT) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, such as a pipe or a device, or is larger than `most`.
    """
    with open_file(path, most) as file:
        return file.read(most)


def read_json(path: Path, most: int = MOST_TEXT) -> Any:
    """Return the content of a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such file; or it holds a key twice, NaN, numbers too long for any use,
            text that is none, or is nested deeper than 64 levels.
    """
    return parse_json(read_bytes(path, most))


def parse_json(text: bytes | str) -> Any:
    """Return what JSON stands for; see `read_json`."""
    try:
        value = json.loads(
            text.decode() if isinstance(text, bytes) else text,
            object_pairs_hook=_pairs,
            parse_constant=_refuse,
            parse_int=_integer,
        )
    except RecursionError:
        raise ValueError(f"it is nested deeper than {_MOST_LEVELS} levels") from None
    _check(value)
    return value


def read_toml(path: Path, most: int = MOST_TEXT) -> dict[str, Any]:
    """Return the content of a TOML file; see `read_json`."""
    try:
        value = tomllib.loads(read_bytes(path, most).decode())
    except RecursionError:
        raise ValueError(f"it is nested deeper than {_MOST_LEVELS} levels") from None
    _check(value)
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it holds the key {twice!r} twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number here")


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"it holds a number of {len(digits)} digits")
    return int(digits)


def _check(value: Any, level: int = 0) -> None:
    """Check what was read, so that whatever is done with it is done without surprise."""
    if level > _MOST_LEVELS:
        raise ValueError(f"it is nested deeper than {_MOST_LEVELS} levels")
    if isinstance(value, dict):
        for name, one in value.items():
            _check(name, level)
            _check(one, level + 1)
    elif isinstance(value, list):
        for one in value:
            _check(one, level + 1)
    elif isinstance(value, str):
        if not _is_text(value):
            raise ValueError(f"it holds {value[:40]!r}, which is no text")
    elif isinstance(value, int) and abs(value) >= 10**_MOST_DIGITS:
        raise ValueError("it holds a number of too many digits")


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates
        return False
    return "\0" not in value
