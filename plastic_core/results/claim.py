"""Folders that belong to one process: new ones of their own, and given ones kept from others."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from plastic_core.base.errors import PlasticError
from plastic_core.base.files import explained

_REMEDY = "free or allow it, or give another folder with --out"


@contextlib.contextmanager
def new_folder(task: str, label: str) -> Iterator[Path]:
    """Make ``runs/<time>-<task>-<label>`` in the working folder, which no other process has.

    What is still empty at the end is removed.

    Raises:
        PlasticError: it cannot be made.
    """
    label = re.sub(r"[^\w.+-]+", "_", label.replace(" ", ""))[:80]
    base = Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{task.replace(':', '_')}-{label}"
    folder, count = base, 1
    with explained(folder, _REMEDY):
        while True:
            try:
                folder.mkdir(parents=True)
                break
            except FileExistsError:  # a second run within the same second
                count += 1
                folder = base.with_name(f"{base.name}-{count}")
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()
            folder.parent.rmdir()


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make a folder, and keep other processes off it until the end.

    Raises:
        PlasticError: it cannot be made, or another process has it.
    """
    lock = FileLock(folder / ".lock")
    with explained(folder, _REMEDY):
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise PlasticError(
                f"--out {folder}: another process is writing there now; wait for its end, or give "
                "another folder"
            ) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / ".lock").unlink()
        lock.release()
        if new:  # where nothing was written, it is not left behind
            with contextlib.suppress(OSError):
                folder.rmdir()
