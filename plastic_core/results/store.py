"""The store of results: a file for each finished cell, named by its key.

Only JSON is written and read, and everything that is read is checked: nothing in a store can
hold code.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
import platformdirs
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from plastic_core.base.errors import PlasticError
from plastic_core.base.files import expanded, explained, write_atomically
from plastic_core.base.reading import read_json
from plastic_core.base.scores import ACCURACY
from plastic_core.results.cell import Cell, key_of
from plastic_core.results.curves import Curves

_REMEDY: Final = "free or allow it, or give another folder with --store or PLASTIC_STORE"

# Beyond any cell; what is larger is not read into memory.
_MOST_BYTES: Final = 64 * 2**20


class Measured(BaseModel):
    """What a probe measured, as plain numbers.

    Attributes:
        shape: of the array.
        values: in the order of C, rounded to float32; None where there is no number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[Annotated[int, Field(ge=0)], ...]
    values: tuple[FiniteFloat | None, ...]

    @model_validator(mode="after")
    def _fills_its_shape(self) -> Self:
        if math.prod(self.shape) != len(self.values):
            raise ValueError(f"{len(self.values)} values do not fill the shape {self.shape}")
        return self

    @classmethod
    def of(cls, array: NDArray[np.float32]) -> Self:
        """Return an array as plain numbers, each as short as float32 allows."""
        shortest = map(float, array.ravel().astype(str).tolist())
        values = [None if math.isnan(value) else value for value in shortest]
        return cls(shape=array.shape, values=tuple(values))

    def array(self) -> NDArray[np.float32]:
        """Return the array, NaN where there is no number."""
        filled = [math.nan if value is None else value for value in self.values]
        return np.array(filled, np.float32).reshape(self.shape)


class OtherScore(BaseModel):
    """A score that is no accuracy, at each evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    values: tuple[FiniteFloat, ...]


class CellResult(BaseModel):
    """What one network gave.

    Attributes:
        steps: samples seen at each evaluation.
        accuracy: at each evaluation, chance level from divergence on; None where the score is
            another one.
        score: that one.
        loss: None where diverged.
        diverged_at: the sample at which the network left the finite range, or -1.
        backend: that computed it.
        seconds: share of the training time.
        probes: by variable, ``[points, ...]``, or ``[...]`` for what is measured at the last
            point alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: tuple[Annotated[int, Field(gt=0)], ...]
    accuracy: tuple[Annotated[float, Field(ge=0, le=1)], ...] | None = None
    score: OtherScore | None = None
    loss: tuple[FiniteFloat | None, ...]
    diverged_at: Annotated[int, Field(ge=-1)]
    backend: str
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    probes: dict[str, Measured] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _of_equal_length(self) -> Self:
        if (self.accuracy is None) == (self.score is None):
            raise ValueError("expected either accuracy or score")
        lengths = {len(self.steps), len(self.scores), len(self.loss)}
        if len(lengths) > 1 or 0 in lengths:
            raise ValueError("steps, accuracy and loss must have the same length, at least 1")
        return self

    @model_serializer(mode="wrap")
    def _with_one_score(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        del written["accuracy" if self.accuracy is None else "score"]
        return written

    @property
    def scores(self) -> tuple[float, ...]:
        """The score at each evaluation, whichever it is."""
        return (self.score.values if self.score else self.accuracy) or ()


def results_of(curves: Curves, backend: str) -> list[CellResult]:
    """Return the result of each network of finished curves, and the backend that computed it."""
    return [
        CellResult(
            steps=curves.steps.tolist(),
            **_score(curves.score_name, curves.score[i].tolist()),
            loss=[value if math.isfinite(value) else None for value in curves.loss[i].tolist()],
            diverged_at=int(curves.diverged_at[i]),
            backend=backend,
            seconds=curves.train_seconds / len(curves.diverged_at),
            probes={name: Measured.of(array[i]) for name, array in curves.probes.items()},
        )
        for i in range(len(curves.diverged_at))
    ]


def _score(name: str, values: list[float]) -> dict[str, Any]:
    if name == ACCURACY:
        return {"accuracy": values}
    return {"score": OtherScore(name=name, values=tuple(values))}


class _Named(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str


class _Content(BaseModel):
    """What is read of a cell's content where many cells are listed; all of it makes the key."""

    model_config = ConfigDict(extra="allow")

    task: str
    rules: list[_Named]
    versions: dict[str, str]


class _StoredCell(BaseModel):
    """The content of one file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1]
    key: str
    content: _Content
    result: CellResult


class Store:
    """Finished cells in a folder.

    Args:
        folder: None for ``PLASTIC_STORE``, or else the user's data folder.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        default = Path(platformdirs.user_data_dir("plastic")) / "store"
        self.folder = expanded(folder or os.environ.get("PLASTIC_STORE") or default)

    def find(self, cell: Cell) -> CellResult | None:
        """Return the result of a cell, or None where it is not there.

        Raises:
            PlasticError: its file is damaged.
        """
        file = self._file(cell.key)
        with explained(file, _REMEDY):
            there = os.path.lexists(file)
        return self.read(file)[1] if there else None

    def add(self, cell: Cell, result: CellResult) -> None:
        """Write the result of a cell, and with probes also what it is without them.

        So whoever asks for no probes finds it too.

        Raises:
            PlasticError: it cannot be written.
        """
        if result.probes:
            self._write(cell.bare, result.model_copy(update={"probes": {}}))
        self._write(cell, result)

    def _write(self, cell: Cell, result: CellResult) -> None:
        file = self._file(cell.key)
        stored = _StoredCell(
            format=1, key=cell.key, content=_Content(**cell.content), result=result
        )
        text = stored.model_dump_json() + "\n"
        with explained(file, _REMEDY):
            file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, lambda path: path.write_text(text, encoding="utf-8"), _REMEDY)

    def read(self, file: Path) -> tuple[dict[str, Any], CellResult]:
        """Return content and result of one file, checked.

        Raises:
            PlasticError: it is damaged, or was changed.
        """
        try:
            stored = _StoredCell.model_validate(read := read_json(file, _MOST_BYTES))
            content = read["content"]
            if not stored.key == file.stem == key_of(content):
                raise ValueError("its content does not fit its key")
        except (OSError, ValueError, RecursionError) as error:
            reason = " ".join(str(error).split("\n")[:3])
            raise PlasticError(
                f"{file}: is no cell of a store ({reason}); 'plastic store prune --damaged' "
                "removes what is damaged"
            ) from None
        return content, stored.result

    def files(self) -> Iterator[Path]:
        """Return all files that could be cells, sorted."""
        yield from sorted(self.folder.glob("??/[!.]*.json"))

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"
