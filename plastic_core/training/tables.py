"""Tables: data frames, CSV and Parquet."""

from __future__ import annotations

import csv
import importlib
import io
import warnings
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from plastic_core.base.errors import PlasticError, brief, did_you_mean
from plastic_core.base.files import write_atomically
from plastic_core.training.data_file import MOST_BYTES, TOO_LARGE, DataFile, listed

# A CSV file of single digits takes ten times its size while it is read.
_MOST_CSV = 2**28

_PYARROW = (
    "Parquet needs pyarrow, which is not installed: pip install 'plastic-learning[parquet]', or "
    "write the table as"
)

# How pandas calls the rows of a table where it stores them.
_INDEX = "__index_level_"


def read_csv(
    file: IO[bytes], target: tuple[str, ...], labelled: bool, columns: tuple[str, ...]
) -> DataFile:
    """Return the table of a CSV file, whose first line names the columns.

    Raises:
        ValueError: it is no such file, or `of_frame` says so.
    """
    import pandas

    if file.seek(0, io.SEEK_END) > _MOST_CSV:
        raise ValueError(
            f"is larger than {_MOST_CSV / 2**20:,.0f} MB; write it as .parquet or .npz, which are "
            "smaller"
        )
    file.seek(0)
    while chunk := file.read(2**20):
        if b"\0" in chunk:
            raise ValueError("holds a NUL byte, as no CSV file does; save it as text in UTF-8")
    file.seek(0)
    names = _header(file)
    check_names(names, target, labelled)
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)  # of fields that are lost
            frame = pandas.read_csv(
                file,
                names=names,
                header=0,
                index_col=False,
                encoding="utf-8-sig",
                low_memory=False,
                memory_map=False,
            )
    except UnicodeDecodeError as error:
        raise _no_text(error) from None
    except pandas.errors.ParserError as error:
        reason = str(error).strip().rpartition("C error: ")[2]
        raise ValueError(f"is no table: {reason}") from None
    except pandas.errors.ParserWarning:
        raise ValueError(
            f"is no table: the first line names {len(names)} columns, and another line has more"
        ) from None
    return of_frame(frame, target, labelled, columns=columns)


def _header(file: IO[bytes]) -> list[str]:
    """Return the names in the first line."""
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
    try:
        rows = filter(None, csv.reader(text))
        names = [name.strip() for name in next(rows, [])]
        first = next(rows, [])
    except UnicodeDecodeError as error:
        raise _no_text(error) from None
    except csv.Error as error:
        raise ValueError(f"its first lines cannot be read: {error}") from None
    finally:
        text.detach()
    if not names:
        raise ValueError("is empty; expected a line with the names of the columns, then the points")
    if all(map(_is_number, names)):
        raise ValueError(
            f"begins with numbers ({listed(names, 3)}); its first line must name the columns"
        )
    for mark, called in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and mark in names[0]:
            raise ValueError(f"is separated by {called}; separate the columns by commas")
    if len(first) > len(names):  # whose first field pandas would take for the name of the row
        raise ValueError(
            f"is no table: the first line names {len(names)} columns, and the next has {len(first)}"
        )
    return names


def _no_text(error: UnicodeDecodeError) -> ValueError:
    return ValueError(
        f"is no text in UTF-8 (byte {error.start + 1} is {error.object[error.start]:#04x}); save "
        "it in UTF-8"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_parquet(
    file: IO[bytes], target: tuple[str, ...], labelled: bool, columns: tuple[str, ...]
) -> DataFile:
    """Return the table of a Parquet file.

    Raises:
        ValueError: it is no such file, pyarrow is not there, or `of_frame` says so.
    """
    try:
        parquet = importlib.import_module("pyarrow.parquet")
        types = importlib.import_module("pyarrow").types
    except ImportError:
        raise ValueError(f"{_PYARROW} .csv") from None
    # texts that stand in many rows are kept once, and so cannot unpack to more than the file says
    table = parquet.ParquetFile(file, read_dictionary=[*target])
    schema, metadata = table.schema_arrow, table.metadata
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    held = sum(group.total_byte_size for group in groups)
    size = max(held, 8 * metadata.num_rows * len(schema.names))
    if size > MOST_BYTES:
        raise ValueError(f"unpacks to {size / 2**20:,.0f} MB, and {TOO_LARGE}")
    left_out = [name for name in schema.names if name.startswith(_INDEX)]
    names = [name for name in schema.names if name not in left_out]
    check_names(names, target, labelled)
    others = []
    for field in schema:
        plain = types.is_integer(field.type) or types.is_floating(field.type)
        skipped = field.name in (*target, *left_out) or (columns and field.name not in columns)
        if not (plain or types.is_boolean(field.type) or skipped):
            others.append(f"{field.name!r} holds {field.type}")
    if others:
        raise ValueError(f"the column {listed(others)}; {_CODE_IT}")
    frame = table.read(columns=names, use_pandas_metadata=False).to_pandas(ignore_metadata=True)
    notes = [f"the rows' own labels, {name}, were left out" for name in left_out]
    return of_frame(frame, target, labelled, notes, columns)


def write_table(table: Any, file: Path) -> None:
    """Write a data frame of pandas, as CSV or Parquet by its name.

    Raises:
        PlasticError: it cannot be written, or pyarrow is not there.
    """
    remedy = "free or allow it, or write --to another file"
    if file.suffix == ".csv":
        text = table.to_csv(index=False)
        write_atomically(file, lambda path: path.write_text(text, encoding="utf-8"), remedy)
        return
    try:
        importlib.import_module("pyarrow")
    except ImportError:
        raise PlasticError(f"{file}: {_PYARROW} .csv") from None
    content = table.to_parquet(index=False)
    write_atomically(file, lambda path: path.write_bytes(content), remedy)


_CODE_IT = (
    "a network takes numbers: write it as numbers, or leave the column out of the file; if it is "
    "what is to be predicted, name it by --target"
)


def check_names(names: Sequence[str], target: Sequence[str], labelled: bool) -> None:
    """Check the names of the columns of a table.

    Raises:
        ValueError: one is empty or stands twice, or those to be predicted are not among them.
    """
    for place, name in enumerate(names):
        if not name:
            raise ValueError(
                f"column {place + 1} has no name; name it in the first line, or leave it out: "
                "pandas writes no index by to_csv(index=False)"
            )
        if name in names[:place]:
            raise ValueError(f"two columns are called {name!r}; give each a name of its own")
    missing = [name for name in target if name not in names]
    if missing and (labelled or len(missing) < len(target)):
        raise ValueError(
            f"there is no column {missing[0]!r} to be predicted"
            f"{did_you_mean(missing[0], names)}; the columns are {listed(names)}"
        )
    if not set(names) - set(target):
        raise ValueError(
            f"holds {listed(names)} alone; expected columns to predict from, beside that to be "
            "predicted"
        )
    if labelled and not target:
        raise ValueError(
            "say which column is to be predicted, by target (--target NAME); the columns are "
            f"{listed(names)}"
        )


def of_frame(
    frame: Any,
    target: Sequence[str],
    labelled: bool = True,
    notes: Sequence[str] = (),
    columns: Sequence[str] = (),
) -> DataFile:
    """Return the points of a data frame of pandas.

    Raises:
        ValueError: a column holds no numbers, or some are missing.
    """
    names = [str(name) for name in frame.columns]
    check_names(names, target, labelled)
    if not len(frame):
        raise ValueError("holds the names of columns, and no point")
    features = [name for name in names if name not in target]
    if columns:
        if absent := [name for name in columns if name not in names]:
            raise ValueError(
                f"there is no column {', '.join(map(repr, absent))}; the columns are "
                f"{listed(names)}"
            )
        if others := [name for name in features if name not in columns]:
            notes = [*notes, f"left out, for the networks do not know them: {listed(others)}"]
        features = [*columns]
    series = {name: frame.iloc[:, place] for place, name in enumerate(names)}
    if wrong := [name for name in features if series[name].dtype.kind not in "biuf"]:
        also = f"; and so do {listed(list(map(repr, wrong[1:])))}" if wrong[1:] else ""
        raise ValueError(
            f"the column {wrong[0]!r} holds {_text_in(series[wrong[0]])}{also}; {_CODE_IT}"
        )
    inputs = np.empty((len(frame), len(features)))
    for place, name in enumerate(features):
        inputs[:, place] = series[name].to_numpy(np.float64, na_value=np.nan)
    known = [name for name in target if name in series]
    empty = [name for name in known if series[name].isna().any()]
    if empty and not labelled:  # points that are to be predicted, as most are
        notes = [*notes, f"nothing is compared, for {listed(empty)} is empty in some points"]
        known = []
    for name in known:
        missing = np.flatnonzero(series[name].isna().to_numpy())
        if len(missing):
            raise ValueError(
                f"the column {name!r}, which is to be predicted, is empty or NaN in {len(missing)} "
                f"of {len(frame)} points, first in point {missing[0] + 1}; leave these points out"
            )
    labels: NDArray[Any] | None = None
    if len(known) == 1:
        labels = series[known[0]].to_numpy()
        if labels.dtype == object and all(isinstance(one, Decimal) for one in labels):
            labels = labels.astype(np.float64)
    elif known:
        for name in known:
            if series[name].dtype.kind not in "biuf":
                raise ValueError(
                    f"the column {name!r} holds {_text_in(series[name])}; several columns are "
                    "predicted as numbers"
                )
        labels = np.stack([series[name].to_numpy(np.float64) for name in known], 1)
    return DataFile(inputs, labels, tuple(features), tuple(target), notes=tuple(notes))


def _text_in(column: Any) -> str:
    """Return what a column holds that is no number, and where it stands first."""
    import pandas

    if column.dtype.kind not in "OU":
        return str(column.dtype)
    wrong = pandas.to_numeric(column, errors="coerce").isna() & column.notna()
    if not wrong.any():
        return f"values of type {column.dtype}"
    place = int(np.flatnonzero(wrong.to_numpy())[0])
    return f"text, first {brief(column.iloc[place])} in point {place + 1}"
