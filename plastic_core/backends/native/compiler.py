"""The system's C compiler: found once, and given a minute."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

_FLAGS: Final = (
    "-std=gnu11",
    "-O3",
    "-fPIC",
    "-shared",
    "-fopenmp-simd",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
)


_CC: Final = 'set it to a C compiler, such as gcc or "ccache gcc", or unset it'

# Seconds that a compiler may take; it takes one or two.
_LIMIT: Final = 60


class CompilerError(Exception):
    """There is no compiler, or it failed; the message says why."""


class NoCompilerError(CompilerError):
    """There is no compiler."""


class HangingCompilerError(CompilerError):
    """It had to be stopped."""


@lru_cache
def find_compiler() -> tuple[str, tuple[str, ...], str]:
    """Return the compiler's path, what follows it, and what it says of processor and version.

    CC in the environment is taken alone, and may hold a launcher or flags, such as "ccache gcc";
    without it cc, gcc and clang are looked for.

    Raises:
        NoCompilerError: none was found, or not the one that CC names.
        CompilerError: it cannot compile an empty file.
    """
    path, more = _asked_for() or _usual()
    arm = platform.machine().lower() in ("aarch64", "arm64")
    native = "-mcpu=native" if arm else "-march=native"
    error = ""
    for flags in ((*more, *_FLAGS, native), (*more, *_FLAGS)):
        # every macro that the compiler defines: its version, and what the processor can do
        command = [path, *flags, "-dM", "-E", "-x", "c", os.devnull]
        done = run_compiler(command)
        if done.returncode == 0:
            return path, flags, done.stdout
        error = done.stderr
    raise CompilerError(f"{path} failed: {_first_line(error)}")


def _asked_for() -> tuple[str, tuple[str, ...]] | None:
    """Return the command that CC holds: the path of a program, and what follows it."""
    given = os.environ.get("CC", "")
    try:
        words = shlex.split(given)
    except ValueError as error:
        raise NoCompilerError(f"CC={given}: {str(error).lower()}; {_CC}") from None
    if not words:
        return None
    # the path of a program may hold spaces itself
    program, *more = [given] if shutil.which(given) else words
    path = shutil.which(program)
    if path is None:
        raise NoCompilerError(f"CC={given}: there is no program '{program}'; {_CC}")
    return path, tuple(more)


def _usual() -> tuple[str, tuple[str, ...]]:
    names = ("cc", "gcc", "clang")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        raise NoCompilerError(f"no C compiler was found (looked for {', '.join(names)})")
    return path, ()


def compile_file(code: Path, library: Path, extra: Sequence[str]) -> None:
    """Make a library of a C file.

    Args:
        code: the file.
        library: what is written.
        extra: more flags.

    Raises:
        CompilerError: see `find_compiler`; or the compiler failed, or wrote nothing.
    """
    compiler, flags, _ = find_compiler()
    done = run_compiler([compiler, *flags, *extra, str(code), "-o", str(library), "-lm"])
    if done.returncode:
        raise CompilerError(f"{compiler} failed: {_first_line(done.stderr)}")
    if not library.is_file():
        raise CompilerError(f"{compiler} made no library, and no error")


def run_compiler(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a compiler until it ends, a minute at most; nothing that it started is left running.

    Raises:
        CompilerError: it cannot be run, or does not end.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise CompilerError(f"{command[0]} cannot be run: {error.strerror}") from None
    with process:
        try:
            out, err = process.communicate(timeout=_LIMIT)
        except subprocess.TimeoutExpired:
            raise HangingCompilerError(
                f"{command[0]} did not end within {_LIMIT} seconds"
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _first_line(text: str) -> str:
    lines = [line for line in text.splitlines() if "error" in line] or text.splitlines()
    return lines[0].strip() if lines else "it said nothing"
