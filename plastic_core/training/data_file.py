"""Data of one's own in a file: which formats there are, and what is read from arrays.

No format is read in a way that runs code, and how much it unpacks to is known before it is read.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from plastic_core.base.errors import PlasticError, did_you_mean, listing, reason_of
from plastic_core.base.files import expanded
from plastic_core.base.reading import open_file

#: Bytes of the largest file, and of the largest array that one unpacks to.
MOST_BYTES: Final = 2**30

#: What to do with more.
TOO_LARGE: Final = (
    f"that is more than {MOST_BYTES / 2**20:,.0f} MB; write fewer points or smaller numbers "
    "(uint8, float32), or hand the arrays over in Python: run(spec, data=(X, y))"
)

# What npz files call points, and what is to be predicted of them.
_PAIRS: Final = (("X", "y"), ("x", "y"), ("inputs", "labels"), ("data", "target"))
_SPLIT: Final = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("X_train", "y_train", "X_test", "y_test"),
)

_FORMATS: Final = ".csv, .parquet, .npz, .npy, or a folder of images by class"

_HEADERS: Final[dict[tuple[int, int], Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class DataFile:
    """Points, and what is to be predicted of them.

    Attributes:
        inputs: ``[N, n]``, or images ``[N, H, W]`` or ``[N, C, H, W]``.
        labels: ``[N]`` or ``[N, m]``; None where it holds none.
        columns: names of the n columns of a table.
        target: names of the columns that are to be predicted.
        held_out: points and labels that are held out already; None where none are.
        notes: what was left out, or decided.
        names: of the points, such as those of files; nothing where they have none.
    """

    inputs: Any
    labels: Any = None
    columns: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    held_out: tuple[Any, Any] | None = None
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def ordered(self, columns: Sequence[str]) -> NDArray[Any]:
        """Return the points with these columns, in this order; others are left out.

        Raises:
            PlasticError: some are not there; names them.
        """
        missing = [name for name in columns if name not in self.columns]
        if missing:
            near = did_you_mean(missing[0], self.columns) if len(missing) == 1 else ""
            raise PlasticError(
                f"there is no column {', '.join(map(repr, missing))}{near}; the columns are "
                f"{listing(self.columns)}"
            )
        points: NDArray[Any] = self.inputs
        return points[:, [self.columns.index(name) for name in columns]] if columns else points


def read_table(
    path: str,
    target: Sequence[str] = (),
    labelled: bool = False,
    columns: Sequence[str] = (),
) -> DataFile:
    """Return the points that a file holds, or a folder of images by class.

    Args:
        path: .csv, .parquet, .npz, .npy or a folder.
        target: the columns that are to be predicted; of .npz the name of an array, of .npy a file
            beside it.
        labelled: whether what is to be predicted must be there.
        columns: those of a table that are wanted, in their order; others may hold anything.

    Raises:
        PlasticError: it cannot be read, or holds something else.
    """
    place = expanded(path)
    try:
        found = _read(place, tuple(target), labelled, tuple(columns))
        if labelled and found.labels is None:
            raise ValueError(_unlabelled(found, place))
        for part in (found.inputs, *(found.held_out or ())[:1]):
            check_numbers(part, found.columns)
        return found
    except MemoryError:
        raise PlasticError(f"{path}: cannot be read: there is too little memory for it") from None
    except (
        *(OSError, ValueError, TypeError, KeyError, EOFError, OverflowError),
        *(RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, SyntaxError),
    ) as error:
        reason = reason_of(error).splitlines() or [type(error).__name__]
        raise PlasticError(f"{path}: {reason[0]}") from None


def _read(
    place: Path, target: tuple[str, ...], labelled: bool, columns: tuple[str, ...]
) -> DataFile:
    if place.is_dir():
        from plastic_core.training.image_folder import read_images

        return read_images(place, labelled)
    kind = place.suffix.lower()
    if kind not in (".csv", ".parquet", ".npz", ".npy"):
        place.stat()  # what is not there is said before what it is called
        raise ValueError(f"is of a kind that is not read; expected {_FORMATS}")
    if kind == ".npy":
        return _read_npy_pair(place, target)
    with open_file(place, MOST_BYTES) as file:
        if kind == ".npz":
            return _read_npz(file, target, labelled)
        from plastic_core.training.tables import read_csv, read_parquet

        return (read_csv if kind == ".csv" else read_parquet)(file, target, labelled, columns)


def _unlabelled(found: DataFile, place: Path) -> str:
    """Return what to write where nothing says what is to be predicted."""
    if place.suffix.lower() == ".npy":
        return "holds points alone; name the file beside it that holds y: --target y.npy"
    if place.suffix.lower() == ".npz":
        return "holds points alone; write both X and y: numpy.savez(FILE, X=X, y=y)"
    return f"say which column is to be predicted: --target NAME; there are {listed(found.columns)}"


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return names in their order, cut short."""
    return ", ".join(names[:most]) + ", ..." * (len(names) > most)


def check_numbers(inputs: NDArray[Any], columns: Sequence[str] = ()) -> None:
    """Check that all numbers are there.

    Raises:
        ValueError: some are missing or infinite; says how many, in which columns, and where first.
    """
    if inputs.dtype.kind != "f" or inputs.ndim < 2:
        return
    found = ~np.isfinite(inputs.reshape(len(inputs), -1))
    if not found.any():
        return
    where = np.flatnonzero(found.any(0)).tolist()
    names = columns or [str(i + 1) for i in range(found.shape[1])]
    rows = np.flatnonzero(found.any(1))
    one = "column" if len(where) == 1 else "columns"
    which = f" in the {one} {listed([names[i] for i in where], 5)}" if inputs.ndim == 2 else ""
    raise ValueError(
        f"{int(found.sum())} numbers are missing or not finite{which}, in {len(rows)} of "
        f"{len(inputs)} points, first in point {rows[0] + 1}; fill them in or leave these points "
        "out"
    )


def _read_npz(file: IO[bytes], target: tuple[str, ...], labelled: bool) -> DataFile:
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        total = sum(info.file_size for info in members.values())
        if total > MOST_BYTES:
            raise ValueError(f"unpacks to {total / 2**20:,.0f} MB, and {TOO_LARGE}")
        arrays = {name.removesuffix(".npy"): info for name, info in members.items()}

        def read(name: str) -> NDArray[Any]:
            with archive.open(arrays[name]) as stream:
                return _read_array(stream, arrays[name].file_size, name)

        for names in _SPLIT:
            if set(names) <= arrays.keys() and not target:
                x, y, held_out_x, held_out_y = map(read, names)
                return DataFile(x, y, held_out=(held_out_x, held_out_y))
        asked = target if labelled or {*target} <= arrays.keys() else ()
        points, labels = _pair(tuple(arrays), asked)
        if asked != target:  # what stands there is not what was learned
            labels = None
        return DataFile(read(points), None if labels is None else read(labels))


def _pair(names: tuple[str, ...], target: tuple[str, ...]) -> tuple[str, str | None]:
    """Return what the arrays of points and of labels are called.

    Raises:
        ValueError: it cannot be said.
    """
    if len(target) > 1:
        raise ValueError(f"--target {','.join(target)}: of an npz file name one array")
    if target and target[0] not in names:
        near = did_you_mean(target[0], names)
        raise ValueError(f"there is no array {target[0]!r}{near}; the arrays are {listing(names)}")
    for points, labels in _PAIRS:
        if points in names and (target or labels in names):
            return points, target[0] if target else labels
    others = [name for name in names if name not in target]
    if len(others) == 1:
        return others[0], target[0] if target else None
    raise ValueError(
        f"holds the arrays {listing(names)}; call them X and y, or x_train, y_train, x_test and "
        "y_test where points are held out already"
    )


def _read_npy_pair(place: Path, target: tuple[str, ...]) -> DataFile:
    if len(target) > 1 or any(Path(name).name != name for name in target):
        raise ValueError(
            f"--target {','.join(target)}: of an npy file name one file that lies beside it, "
            "without a folder, such as y.npy"
        )
    arrays = []
    for file in (place, *(place.parent / name for name in target)):
        try:
            with open_file(file, MOST_BYTES) as stream:
                arrays.append(_read_array(stream, file.stat().st_size))
        except (OSError, ValueError) as error:
            if file == place:
                raise
            raise ValueError(f"--target {file.name}: {reason_of(error)}") from None
    return DataFile(arrays[0], arrays[1] if target else None)


def _read_array(stream: IO[bytes], size: int, name: str = "") -> NDArray[Any]:
    """Return an array in NumPy's format, whose size is compared with its header's before.

    Raises:
        ValueError: it is none, is cut off, or holds something else than numbers or labels.
    """
    of = f"the array {name!r} " if name else ""
    try:
        shape, transposed, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
    except zipfile.BadZipFile:
        raise
    except Exception:  # of a damaged header Python's own parser raises what it likes
        raise ValueError(f"{of}is no array in NumPy's format, or its header is damaged") from None
    if dtype.hasobject:
        raise ValueError(
            f"{of}holds Python objects, which may be code and are not read; save numbers, or "
            "labels as text: y.astype(str)"
        )
    if dtype.kind not in "biufUS":
        raise ValueError(f"{of}is of type {dtype}; expected real numbers, or labels as text")
    wanted, held = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if wanted != held or min(shape, default=0) < 0:
        raise ValueError(
            f"{of}is cut off or damaged: its header says {wanted:,} bytes, and {held:,} are there"
        )
    content = stream.read(wanted)
    if len(content) < wanted:
        raise ValueError(f"{of}is cut off or damaged")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if transposed else "C")
    return np.char.decode(array, "utf-8") if dtype.kind == "S" else array
