"""Plugins that do worse than raise while they are imported."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Protocol


class InterruptError(BaseException):
    """The user wants to stop; a KeyboardInterrupt may be a plugin's own."""


class Loadable(Protocol):
    """A plugin that can be loaded, or be said to fail."""

    target: str

    def load(self) -> None:
        """Load it."""
        ...

    def fail(self, error: str) -> None:
        """Say that it cannot be loaded."""
        ...


@contextlib.contextmanager
def real_interrupts() -> Iterator[None]:
    """Raise InterruptError where the user interrupts, in the main thread.

    It belongs outside of what catches whatever a plugin raises: an interrupt may come while this
    is entered or left.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return

    def interrupt(*_: Any) -> None:
        signal.signal(signal.SIGINT, before)
        raise InterruptError

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def fail_those_that_end_the_process(plugins: Sequence[Loadable]) -> None:
    """Load plugins in a child, and let those fail that end it, by ``os._exit`` or a signal."""
    waiting = list(plugins)
    while waiting:
        loaded, code = _load_in_a_child(waiting)
        if loaded < len(waiting):
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            culprit = waiting[loaded]
            culprit.fail(f"importing {culprit.target} ended the process: {how}")
        waiting = waiting[loaded + 1 :]


def _load_in_a_child(plugins: Sequence[Loadable]) -> tuple[int, int]:
    """Return how many plugins were loaded, and the exit code or minus the signal of the child."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reads)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        for plugin in plugins:
            plugin.load()
            os.write(writes, b".")
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads, "rb") as pipe:
        loaded = len(pipe.read())
    _, status = os.waitpid(child, 0)
    return loaded, os.waitstatus_to_exitcode(status)
