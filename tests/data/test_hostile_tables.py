"""Tables that are not what they should be: one message, and nothing is evaluated."""

import numpy as np
import pandas as pd
import pytest

from tests.data.refusals import (
    CSV,
    FRAME,
    KIND,
    NO_NUMBERS,
    TOO_LARGE,
    assert_refused,
    content,
    text,
)


def parquet(path):
    FRAME.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-200])


def wide(path):
    path.write_text("a,kind\n1," + "x" * 10**6 + "\n2,b\n")


# what is written, the name of the file, flags, and the message
CASES = {
    "csv without a target": (
        text(CSV),
        "data.csv",
        (),
        "say which column is to be predicted, by target (--target NAME); the columns are a, b, kind",
    ),
    "csv with another target": (
        text(CSV),
        "data.csv",
        ("--target", "kid"),
        "there is no column 'kid' to be predicted; did you mean 'kind'?; the columns are a, b, kind",
    ),
    "csv with a formula": (
        text(CSV.replace("\n", "\n=cmd|'/C touch written'!A0,0.5,up\n", 1)),
        "data.csv",
        KIND,
        f"the column 'a' holds text, first \"=cmd|'/C touch written'!A0\" in point 1; {NO_NUMBERS}",
    ),
    "csv with text": (
        text("a,b,kind\n1,2,x\n2,red,y\n"),
        "data.csv",
        KIND,
        f"the column 'b' holds text, first 'red' in point 2; {NO_NUMBERS}",
    ),
    "csv with a row too long": (
        text(CSV + "1,2,up,4\n"),
        "data.csv",
        KIND,
        "is no table: Expected 3 fields in line 42, saw 4",
    ),
    "csv with all rows too long": (
        text("a,kind\n1,2,up\n3,4,down\n"),
        "data.csv",
        KIND,
        "is no table: the first line names 2 columns, and the next has 3",
    ),
    "csv with a row too short": (
        text(CSV + "1\n"),
        "data.csv",
        KIND,
        "the column 'kind', which is to be predicted, is empty or NaN in 1 of 41 points, first in "
        "point 41; leave these points out",
    ),
    "csv with an open quote": (
        text(CSV + '"1,2,up\n'),
        "data.csv",
        KIND,
        "is no table: EOF inside string starting at row 41",
    ),
    "csv with a NUL byte": (
        text(CSV + "1,\0,up\n"),
        "data.csv",
        KIND,
        "holds a NUL byte, as no CSV file does; save it as text in UTF-8",
    ),
    "csv in UTF-16": (
        content(CSV.encode("utf-16")),
        "data.csv",
        KIND,
        "holds a NUL byte, as no CSV file does; save it as text in UTF-8",
    ),
    "csv in Latin-1": (
        content(CSV.replace("kind", "größe").encode("latin-1")),
        "data.csv",
        ("--target", "größe"),
        "is no text in UTF-8 (byte 7 is 0xf6); save it in UTF-8",
    ),
    "csv in Latin-1 further down": (
        content(CSV.encode() + "1,2,größer\n".encode("latin-1")),
        "data.csv",
        KIND,
        "is no text in UTF-8",
    ),
    "csv with missing values": (
        text("a,b,kind\n1,2,x\n2,,y\n,3,x\nNA,4,y\n"),
        "data.csv",
        KIND,
        "3 numbers are missing or not finite in the columns a, b, in 3 of 4 points, first in point "
        "2; fill them in or leave these points out",
    ),
    "csv with inf": (
        text("a,b,kind\n1,2,x\n2,-inf,y\n"),
        "data.csv",
        KIND,
        "1 numbers are missing or not finite in the column b, in 1 of 2 points, first in point 2; "
        "fill them in or leave these points out",
    ),
    "csv with one column": (
        text("kind\nup\ndown\n"),
        "data.csv",
        KIND,
        "holds kind alone; expected columns to predict from, beside that to be predicted",
    ),
    "csv with semicolons": (
        text(CSV.replace(",", ";")),
        "data.csv",
        KIND,
        "is separated by semicolons; separate the columns by commas",
    ),
    "csv with a name twice": (
        text(CSV.replace("a,b", "a,a")),
        "data.csv",
        KIND,
        "two columns are called 'a'; give each a name of its own",
    ),
    "csv without a name": (
        text(CSV.replace("a,b", "a,")),
        "data.csv",
        KIND,
        "column 2 has no name; name it in the first line, or leave it out: pandas writes no index "
        "by to_csv(index=False)",
    ),
    "csv without names": (
        text("1,2,0\n3,4,1\n"),
        "data.csv",
        KIND,
        "begins with numbers (1, 2, 0); its first line must name the columns",
    ),
    "an empty csv": (
        text(""),
        "data.csv",
        KIND,
        "is empty; expected a line with the names of the columns, then the points",
    ),
    "csv of names": (
        text("a,b,kind\n"),
        "data.csv",
        KIND,
        "holds the names of columns, and no point",
    ),
    "csv of two points": (
        text("a,kind\n1,x\n2,y\n"),
        "data.csv",
        KIND,
        "2 points are too few to split; give at least 4",
    ),
    "csv of one class": (
        text("a,kind\n1,x\n2,x\n"),
        "data.csv",
        KIND,
        "y holds 1 label; expected two classes at least",
    ),
    "csv with numbers too large": (
        text("a,kind\n1e300,x\n2,y\n3,y\n4,x\n"),
        "data.csv",
        KIND,
        "X holds numbers that are too large for float32; scale them",
    ),
    "csv with a label that is long": (
        wide,
        "data.csv",
        KIND,
        "its first lines cannot be read: field larger than field limit (131072)",
    ),
    # Parquet
    "parquet cut off": (parquet, "data.parquet", KIND, "Parquet magic bytes not found in footer"),
    "parquet that is none": (text(CSV), "data.parquet", KIND, "Parquet magic bytes not found"),
    "parquet with text": (
        lambda path: FRAME.assign(b="=1+1").to_parquet(path),
        "data.parquet",
        KIND,
        f"the column 'b' holds large_string; {NO_NUMBERS}",
    ),
    "parquet of many rows": (
        lambda path: pd.DataFrame({"a": np.zeros(7 * 10**7, np.int8), "kind": False}).to_parquet(
            path
        ),
        "data.parquet",
        KIND,
        f"unpacks to 1,068 MB, and {TOO_LARGE}",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_message_and_no_code(tmp_path, case):
    assert_refused(tmp_path, CASES[case])
