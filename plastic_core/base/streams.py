"""The standard streams: what belongs to a command's result, and what does not."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def stdout_aside() -> Iterator[None]:
    """Send to standard error what is printed, by C code and child processes too.

    Standard output is a command's result alone. Where the streams are no files, as in a notebook,
    only what Python prints is sent aside.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            before = os.dup(1)
            stack.callback(os.close, before)
            os.dup2(2, 1)
            stack.callback(os.dup2, before, 1)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield


def open_closed_streams() -> None:
    """Let closed standard streams lead nowhere, for the next file opened would be one of them."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", closefd=False))
