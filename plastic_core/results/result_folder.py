"""A folder that holds one result: a record, what was measured, and a checkpoint on the way.

Every file is written beside its place and moved there, so that a killed process leaves whole
files. No format used here can hold code.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, Literal, Protocol, Self, TypeVar

import torch
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from plastic_core.base.errors import PlasticError, differences, reason_of
from plastic_core.base.files import explained, write_atomically, write_json
from plastic_core.base.reading import parse_json, read_json
from plastic_core.results.claim import claimed
from plastic_core.results.labelled_arrays import LabelledArrays
from plastic_core.results.tensor_file import save_tensors

CHECKPOINT_FILE: Final = "checkpoint.safetensors"

# Checkpoints are written so seldom that they take at most this share of the time, and none in the
# first moments.
_CHECKPOINT_SHARE: Final = 0.02
_FIRST_CHECKPOINT: Final = 0.2

# Fields of a spec that may be others where a result is continued; of data the digest is compared.
_FREE: Final = {"device", "data"}

_REMEDY: Final = "free or allow it, or give another folder with --out"


class Record(Protocol):
    """What a record says of its result."""

    state: Literal["started", "finished"]
    spec: dict[str, Any]
    sources: dict[str, str]

    @classmethod
    def model_validate(cls, content: Any) -> Self:
        """Check what was read."""
        ...


AnyRecord = TypeVar("AnyRecord", bound=Record)


class ResultFolder(Generic[AnyRecord]):
    """The folder of one result.

    Args:
        path: where it is, or shall be.
        spec: the spec that decides the result.
        resume: whether the folder may hold this very result, to be continued.
        sources: what the numbers depend on beside the spec, by name.

    Attributes:
        state: "new", "started" (by this spec, not finished) or "finished".
        record_file: the file that says what the folder holds.
        noun: what messages call the result.
        model: of the record, which is checked when it is read.

    Raises:
        PlasticError: the folder cannot be written, or holds something else.
    """

    record_file: ClassVar[str]
    noun: ClassVar[str]
    model: type[AnyRecord]

    def __init__(
        self, path: Path, spec: BaseModel, resume: bool, sources: Mapping[str, str]
    ) -> None:
        self.path, self._spec, self._resume, self._sources = path, spec, resume, sources
        self._next_checkpoint = time.monotonic() + _FIRST_CHECKPOINT
        self.state = self._look()

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Make the folder, and keep other processes off it until the end.

        Raises:
            PlasticError: it cannot be made, or another process has it, or has had it meanwhile.
        """
        with claimed(self.path):
            self.state = self._look()
            if self.state == "finished":  # by a process that was killed before it did this
                self.drop_checkpoint()
            yield

    def read_record(self) -> AnyRecord:
        """Return the content of the record.

        Raises:
            PlasticError: it is damaged.
        """
        remedy = "move the folder away, or give another --out"
        return read_record(self.path / self.record_file, self.model, self.noun, remedy)

    def write_record(self, content: dict[str, Any]) -> None:
        """Write the record."""
        write_json(self.path / self.record_file, content, _REMEDY)

    def checkpoint(
        self, content: Callable[[], tuple[dict[str, torch.Tensor], dict[str, Any]]]
    ) -> None:
        """Write what is needed to continue, unless that was done a short while ago.

        Args:
            content: returns tensors, and what goes beside them as JSON.
        """
        begun = time.monotonic()
        if begun < self._next_checkpoint:
            return
        tensors, values = content()
        metadata = {name: json.dumps(value) for name, value in values.items()}
        self._write(CHECKPOINT_FILE, lambda path: save_tensors(tensors, path, metadata))
        ended = time.monotonic()
        self._next_checkpoint = ended + (ended - begun) / _CHECKPOINT_SHARE

    @contextlib.contextmanager
    def stored_checkpoint(
        self,
    ) -> Iterator[tuple[dict[str, torch.Tensor], dict[str, Any]] | None]:
        """Give tensors and values of the last checkpoint, or None where there is none.

        Raises:
            PlasticError: it is damaged, or what is made of it within the context fails.
        """
        file = self.path / CHECKPOINT_FILE
        if not os.path.lexists(file):
            yield None
            return
        try:
            if not file.is_file():
                raise ValueError("it is no regular file")
            with safe_open(file, framework="pt") as checkpoint:
                values = {k: parse_json(v) for k, v in checkpoint.metadata().items()}
            yield load_file(file), values
        except (
            OSError,
            SafetensorError,
            AttributeError,
            KeyError,
            ValueError,
            TypeError,
            RuntimeError,
            RecursionError,
        ) as error:
            raise PlasticError(
                f"{file}: is damaged ({error}); delete it to begin this {self.noun} anew"
            ) from None

    def write_arrays(self, name: str, measured: LabelledArrays) -> None:
        """Write a file of what was measured."""
        content = measured.netcdf()
        self._write(name, lambda path: path.write_bytes(content))

    def drop_checkpoint(self) -> None:
        """Remove the checkpoint of a finished result."""
        with explained(self.path, _REMEDY):
            (self.path / CHECKPOINT_FILE).unlink(missing_ok=True)

    def _look(self) -> Literal["new", "started", "finished"]:
        """Return what the folder holds of this result."""
        path = self.path
        with explained(path, _REMEDY):
            exists = path.exists()
        if exists and not path.is_dir():
            raise PlasticError(f"--out {path}: is a file; name a folder that is new or empty")
        with explained(path, _REMEDY):
            holds = sorted(p.name for p in path.iterdir()) if exists else []
        if self.record_file not in holds:
            if all(name.startswith(".") for name in holds):
                return "new"
            raise PlasticError(
                f"--out {path}: holds files that are no {self.noun} ({', '.join(holds[:3])}); "
                "name a folder that is new or empty"
            )
        if not self._resume:
            raise PlasticError(
                f"--out {path}: holds a {self.noun} already; add --resume to continue it, or "
                "give another folder"
            )
        record = self.read_record()
        kept = {name: value for name, value in record.spec.items() if name not in _FREE}
        differs = differences(kept, self._spec.model_dump(mode="json", exclude=_FREE))
        if differs:
            raise PlasticError(
                f"--out {path}: holds another {self.noun}, so it cannot be resumed:\n  "
                + "\n  ".join(differs)
                + "\n  give another folder, or the same spec"
            )
        # records of before hold none
        now = self._sources if record.sources else {}
        changed = [
            f"{name}: {record.sources.get(name)} then, {now.get(name)} now"
            for name in sorted(record.sources.keys() | now.keys())
            if record.sources.get(name) != now.get(name)
        ]
        if changed:
            raise PlasticError(
                f"--out {path}: what this {self.noun} depends on was changed since, so it cannot "
                "be resumed:\n  "
                + "\n  ".join(changed)
                + "\n  give another folder, or bring back what was there"
            )
        return record.state

    def _write(self, name: str, write: Callable[[Path], Any]) -> None:
        write_atomically(self.path / name, write, _REMEDY)


def read_record(file: Path, model: type[AnyRecord], noun: str, remedy: str) -> AnyRecord:
    """Return the content of a record, checked.

    Raises:
        PlasticError: it cannot be read, or is damaged; ends with `remedy`.
    """
    try:
        return model.model_validate(read_json(file))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(reason_of(error).split("\n")[:3])
        raise PlasticError(f"{file}: is no record of a {noun} ({reason}); {remedy}") from None


def whole_number(name: str, value: Any, most: int) -> int:
    """Return a stored number, from 0 to `most`.

    Raises:
        ValueError: it is none.
    """
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{name} = {value!r}; expected a whole number from 0 to {most}")
    return value
