"""The run that another one begins from: whose networks they are, and what they have seen."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from plastic_core.base.errors import PlasticError, reason_of
from plastic_core.base.reading import open_file, read_json

RUN_FILE: Final = "run.json"
WEIGHTS_FILE: Final = "weights.safetensors"

# Larger than what any machine trains.
_MOST_WEIGHTS: Final = 2**40

# All of them are counted anew, pass by pass.
_MOST_SAMPLES: Final = 10**11


@dataclass(frozen=True)
class Parent:
    """A finished run whose networks learn on.

    Attributes:
        folder: of the run.
        seeds: of its networks, in the order of its file.
        seen: points that each has seen, in the run and in those before it, by the classes or parts
            that stages have named; "" for all points.
        digest: of its weights.
        labels: what its classes are called, in their order; nothing where it predicts numbers.
        data: what its record says of data in a file, or that were scaled.
        diverged: the seeds of the networks that did.
        predicts: "classes" or "numbers"; None in records of before.
    """

    folder: Path
    seeds: range
    seen: Mapping[str, int]
    digest: str
    labels: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    diverged: tuple[int, ...] = ()
    predicts: str | None = None

    @property
    def samples(self) -> int:
        """Points that each network has seen."""
        return sum(self.seen.values())

    def answers_differ(self, predicts: str, labels: Sequence[str], target: Sequence[str]) -> bool:
        """Return whether other things are predicted, as far as its record says what.

        Args:
            predicts: "classes" or "numbers".
            labels: what the classes are called.
            target: what the columns are called that hold what is to be predicted.
        """
        if self.predicts is None or self.predicts != predicts:
            return self.predicts is not None
        if predicts == "classes":
            return bool(self.labels) and tuple(labels) != self.labels
        before = tuple(self.data.get("target", ()))
        return bool(before and target) and tuple(target) != before

    def rows(self, seeds: Sequence[int]) -> list[int]:
        """Return where the networks of some seeds stand in the file.

        Raises:
            PlasticError: one of them is not there.
        """
        missing = [seed for seed in seeds if seed not in self.seeds]
        if missing:
            raise PlasticError(
                f"--from {self.folder}: holds the networks of the seeds {self.seeds[0]} to "
                f"{self.seeds[-1]}, and none of {missing[0]}; write seeds and first_seed that are "
                "among them"
            )
        return [self.seeds.index(seed) for seed in seeds]


def read_parent(folder: Path) -> Parent:
    """Return the run that a folder holds.

    Raises:
        PlasticError: it holds no finished run, or none whose weights were saved.
    """
    record = _record_of(folder)
    try:
        spec, before = record["spec"], record.get("parent") or {"samples": 0}
        seen = Counter({str(text): int(n) for text, n in (before.get("seen") or {}).items()})
        seen[""] += int(before["samples"]) - seen.total()  # all of them in records of before
        for stage in spec.get("stages") or [spec]:
            seen[stage.get("classes", "")] += int(stage["samples"])
        seeds = range(spec["first_seed"], spec["first_seed"] + spec["seeds"])
        if min(seen.values()) < 0 or not 0 < seen.total() <= _MOST_SAMPLES:
            raise ValueError(f"samples = {seen.total()}")
        finished = record["state"] == "finished"
        labels = _labels_of(record)
        data = record.get("data") or {}
        diverged = tuple(one["seed"] for one in (record.get("result") or {}).get("diverged", ()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PlasticError(
            f"--from {folder}: {RUN_FILE} is no record of a run ({type(error).__name__}: {error})"
        ) from None
    if not finished:
        raise PlasticError(
            f"--from {folder}: this run is not finished; continue it by 'plastic run --resume "
            f"--out {folder}'"
        )
    try:
        with open_file(folder / WEIGHTS_FILE, _MOST_WEIGHTS) as file:
            digest = hashlib.file_digest(file, "blake2b").hexdigest()[:32]  # type: ignore[arg-type]
    except (OSError, ValueError) as error:
        raise PlasticError(
            f"--from {folder}: {WEIGHTS_FILE} cannot be read ({reason_of(error)}); repeat the run "
            "with --save-weights"
        ) from None
    return Parent(folder, seeds, +seen, digest, labels, data, diverged, record.get("predicts"))


def _labels_of(record: Any) -> tuple[str, ...]:
    """Return what the classes of a run are called; 0, 1, ... where nothing else is said."""
    if record.get("predicts") != "classes":
        return ()
    network = record["network"]
    outputs = network.get("outputs") or network.get("classes") or network["sizes"][-1]
    return tuple(record["classes"]) or tuple(map(str, range(outputs)))


def _record_of(folder: Path) -> Any:
    try:
        return read_json(folder / RUN_FILE)
    except (OSError, ValueError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else error
        raise PlasticError(
            f"--from {folder}: expected the folder of a finished run, with its {RUN_FILE} "
            f"({reason})"
        ) from None
