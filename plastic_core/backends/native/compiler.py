"""The system's C compiler, and the folder of what it made."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import platformdirs

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


class CompilerError(Exception):
    """There is no compiler, or it failed; the message says why."""


@lru_cache
def find_compiler() -> tuple[str, tuple[str, ...], str]:
    """Return the compiler's path, its flags, and all that it says about processor and version.

    CC in the environment goes first, then cc, gcc and clang.

    Raises:
        CompilerError: none was found, or it cannot compile an empty file.
    """
    names = [name for name in (os.environ.get("CC"), "cc", "gcc", "clang") if name]
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        raise CompilerError(f"no C compiler was found (looked for {', '.join(names)})")
    arm = platform.machine().lower() in ("aarch64", "arm64")
    native = "-mcpu=native" if arm else "-march=native"
    error = ""
    for flags in ((*_FLAGS, native), _FLAGS):
        # every macro that the compiler defines: its version, and what the processor can do
        command = [path, *flags, "-dM", "-E", "-x", "c", os.devnull]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return path, flags, done.stdout
        error = done.stderr
    raise CompilerError(f"{path} failed: {_first_line(error)}")


def cache_folder() -> Path:
    """Return the folder of compiled libraries, which only the user can write.

    Raises:
        CompilerError: it cannot be made, or somebody else can write into it.
    """
    folder = Path(platformdirs.user_cache_dir("plastic")) / "native"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise CompilerError(f"the cache folder {folder} cannot be made: {error.strerror}") from None
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CompilerError(
            f"the cache folder {folder} can be written by others, who could put code into it; "
            f"run: chmod 700 {folder}"
        )
    return folder


def compile_library(source: str, extra: Sequence[str] = ()) -> tuple[ctypes.CDLL, bool]:
    """Return the library of a C source, and whether it had to be compiled.

    Libraries are kept by the content of source, flags, compiler and processor.

    Args:
        source: C.
        extra: more flags.

    Raises:
        CompilerError: see `find_compiler` and `cache_folder`; or the compiler failed.
    """
    compiler, flags, says = find_compiler()
    folder = cache_folder()
    content = "\0".join([source, *flags, *extra, says, compiler])
    library = folder / f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.so"
    compiled = not library.exists()
    if compiled:
        # under another name first, so that nobody loads half a library
        with tempfile.TemporaryDirectory(dir=folder) as work:
            code, made = Path(work) / "plastic.c", Path(work) / "plastic.so"
            code.write_text(source)
            command = [compiler, *flags, *extra, str(code), "-o", str(made), "-lm"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise CompilerError(f"{compiler} failed: {_first_line(done.stderr)}")
            made.replace(library)
    return ctypes.CDLL(str(library)), compiled


def _first_line(text: str) -> str:
    lines = [line for line in text.splitlines() if "error" in line] or text.splitlines()
    return lines[0].strip() if lines else "it said nothing"
