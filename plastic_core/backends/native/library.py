"""Compiled libraries: made once, kept by content, and checked before each use."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import platformdirs

from plastic_core.backends.native.compiler import (
    CompilerError,
    HangingCompilerError,
    compile_file,
    find_compiler,
)


@dataclass(frozen=True)
class Library:
    """A library that is loaded.

    Attributes:
        loaded: its functions.
        compiled: whether it had to be compiled.
        notes: what was wrong with the folder of libraries.
    """

    loaded: ctypes.CDLL
    compiled: bool
    notes: tuple[str, ...] = ()


def cache_folder() -> Path:
    """Return the folder of compiled libraries, which only the user can write.

    Raises:
        CompilerError: it cannot be made, or is somebody else's to write.
    """
    folder = Path(platformdirs.user_cache_dir("plastic")) / "native"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise CompilerError(f"the cache folder {folder} cannot be made: {error.strerror}") from None
    if status.st_uid != os.getuid():
        raise CompilerError(f"the cache folder {folder} belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CompilerError(
            f"the cache folder {folder} can be written by others, who could put code into it; "
            f"run: chmod 700 {folder}"
        )
    return folder


def load_library(source: str, entry: str, extra: Sequence[str] = ()) -> Library:
    """Return the library of a C source.

    Libraries are kept by the content of source, flags, compiler and processor, in the user's
    cache, or where that cannot be used in a temporary folder of this process.

    Args:
        source: C.
        entry: a function that it must have.
        extra: more flags for the compiler.

    Raises:
        CompilerError: see `find_compiler`; or what the compiler made cannot be loaded.
    """
    find_compiler()
    try:
        folder = cache_folder()
    except CompilerError as error:
        reason = str(error)
    else:
        try:
            return _kept_or_made(folder, source, entry, extra)
        except HangingCompilerError:
            raise
        except (CompilerError, OSError) as error:
            said = getattr(error, "strerror", None) or error
            reason = f"the cache folder {folder} cannot be used: {said}"
    try:
        library = _kept_or_made(Path(_private_folder().name), source, entry, extra)
    except OSError as error:
        raise CompilerError(
            f"{find_compiler()[0]} made a library that cannot be loaded: {error.strerror or error}"
        ) from None
    note = f"compiled libraries are kept in a temporary folder until this process ends: {reason}"
    return Library(library.loaded, library.compiled, (*library.notes, note))


@lru_cache
def _private_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="plastic-")


def _kept_or_made(folder: Path, source: str, entry: str, extra: Sequence[str]) -> Library:
    """Return a library from a folder, where it is kept from then on.

    Raises:
        CompilerError: it cannot be compiled, or lacks the function.
        OSError: the folder cannot be written, or the library not be loaded.
    """
    compiler, flags, says = find_compiler()
    content = "\0".join([source, *flags, *extra, says, compiler])
    name = hashlib.sha256(content.encode()).hexdigest()[:32]
    notes = []
    for kept in folder.glob(f"{name}-*.so"):
        if kept.stem == f"{name}-{_digest(kept)}":
            return Library(_load(kept, entry), compiled=False)
        _remove(kept)
        notes.append(f"the compiled library {kept} was damaged, and is compiled again")
    # in a folder of its own first, so that nobody loads half a library
    with tempfile.TemporaryDirectory(dir=folder) as work:
        code, made = Path(work) / "plastic.c", Path(work) / "plastic.so"
        code.write_text(source)
        compile_file(code, made, extra)
        loaded = _load(made, entry)
        made.replace(folder / f"{name}-{_digest(made)}.so")
    return Library(loaded, True, tuple(notes))


def _digest(file: Path) -> str | None:
    """Return the digest of a file, or None where it is something else."""
    if not file.is_file():
        return None
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:32]


def _load(file: Path, entry: str) -> ctypes.CDLL:
    try:
        loaded = ctypes.CDLL(str(file))
    except OSError as error:
        raise OSError(str(error).removeprefix(f"{file}: ")) from None
    if not hasattr(loaded, entry):
        raise CompilerError(f"{find_compiler()[0]} made a library without its function '{entry}'")
    return loaded


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
