"""The journal of a search: a line of JSON for each operation, which several processes write."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final

from optuna.storages.journal import JournalFileBackend

from plastic_core.base.errors import PlasticError
from plastic_core.base.files import explained, write_atomically

_REMEDY: Final = "free or allow it, or give another folder with --out"

# Operations of Optuna that make what others speak of.
_CREATE_STUDY, _CREATE_TRIAL = 0, 4


class Journal(JournalFileBackend):
    """A journal whose writers may be killed at any moment.

    Optuna's own locks outlive their process by half a minute, and a line that was cut off spoils
    all that follow it. Blank lines are passed over.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path = Path(path)
        # operations read so far, and the place in the file and the lines behind them
        self._read = (0, 0, 0)

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the operations from a number on.

        Raises:
            PlasticError: a line is damaged.
        """
        number, place, row = self._read if log_number_from == self._read[0] else (0, 0, 0)
        with self._path.open("rb") as file:
            file.seek(place)
            for line in file:
                if not line.endswith(b"\n"):  # still being written, or cut off
                    return
                place, row = place + len(line), row + 1
                if not line.strip():
                    continue
                operation = parse(line)
                if operation is None:
                    raise PlasticError(
                        f"{self._path}: line {row} is damaged; the same command with --repair "
                        "takes it out and keeps the rest"
                    )
                number += 1
                self._read = number, place, row
                if number > log_number_from:
                    yield operation

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write operations, behind the last whole line."""
        with explained(self._path, _REMEDY), locked(self._path.with_suffix(".lock")):
            lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
            with self._path.open("r+b") as file:
                whole = file.seek(0, os.SEEK_END)
                if whole:
                    file.seek(whole - 1)
                    if file.read(1) != b"\n":
                        file.seek(0)
                        whole = file.read().rfind(b"\n") + 1
                        file.truncate(whole)
                file.seek(whole)
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())


def parse(line: bytes) -> dict[str, Any] | None:
    """Return the operation of a line, or None where it is none."""
    try:
        operation = json.loads(line)
    except (ValueError, RecursionError):
        return None
    known = isinstance(operation, dict) and isinstance(operation.get("op_code"), int)
    return operation if known else None


def repair(path: Path) -> list[int]:
    """Take damaged lines out of a journal, and return their numbers; they are kept beside it.

    What others speak of is put in again: a trial whose beginning was lost has what is known of it,
    and one whose end was lost is begun again.

    Raises:
        PlasticError: the journal cannot be read or written.
    """
    if not path.exists():
        return []
    with explained(path, _REMEDY), locked(path.with_suffix(".lock")):
        lines = path.read_bytes().split(b"\n")
        damaged = {n: x for n, x in enumerate(lines, 1) if x.strip() and parse(x) is None}
        if not damaged:
            return []
        kept = [operation for x in lines if x.strip() and (operation := parse(x)) is not None]
        worker = {"worker_id": "repaired"}
        if not kept or kept[0]["op_code"] != _CREATE_STUDY:
            study = {"op_code": _CREATE_STUDY, **worker, "study_name": "search", "directions": [2]}
            kept.insert(0, study)
        whole: list[dict[str, Any]] = []
        trials = 0
        for operation in kept:
            trials += operation["op_code"] == _CREATE_TRIAL
            while operation.get("trial_id", -1) >= trials:
                begun = {"op_code": _CREATE_TRIAL, **worker, "study_id": 0}
                whole.append({**begun, "datetime_start": "2000-01-01T00:00:00"})
                trials += 1
            whole.append(operation)
        text = "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in whole)
        beside = path.with_suffix(".damaged")
        write_atomically(beside, lambda p: p.write_bytes(b"\n".join(damaged.values())), _REMEDY)
        write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"), _REMEDY)
    return list(damaged)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock on a file, which the system takes away from a process that dies."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock on a file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
