"""Files with data that are not what they should be: one message, exit code 2, no code is run."""

import io
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.processes import plastic

X = np.random.default_rng(0).random((40, 3))
Y = np.arange(40) % 2
FRAME = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "kind": np.where(Y, "up", "down")})
CSV = FRAME.to_csv(index=False)


def npy(array, allow_pickle=False):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


def npy_of(shape, descr="'<f8'"):
    """Return a file in NumPy's format whose header says what is not there."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 80


def write_zip(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


class Writes:
    """Written as a pickle, it writes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "code was run")


def objects(path):
    return np.array([Writes(path.with_name("written"))] * 40, dtype=object)


def zip_bomb(path):
    """Write an npz file of 7 MB that unpacks to 1.5 GB."""
    size = 3 * 2**29
    header = npy_of(f"({size // 8},)")[:-80]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("X.npy", "w", force_zip64=True) as stream:
            stream.write(header)
            for _ in range(size // 2**24):
                stream.write(bytes(2**24))
        archive.writestr("y.npy", npy(Y))


def lying_zip(path):
    """Write an npz file whose directory says less than it unpacks to."""
    write_zip(path, X=npy(np.zeros((2**20, 3))), y=npy(Y))
    content = path.read_bytes()
    true = struct.pack("<I", len(npy(np.zeros((2**20, 3)))))
    path.write_bytes(content.replace(true, struct.pack("<I", 1088)))


def png(width, height, pixels=None):
    """Return a PNG of grey pixels, whose header may say what is not there."""

    def chunk(kind, content):
        whole = kind + content
        return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))

    rows = zlib.compress(b"\0" * (width + 1) * height if pixels is None else pixels)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def images(path, *, classes=2, **more):
    for name in "ab"[:classes]:
        (path / name).mkdir(parents=True)
        for place in range(6):
            (path / name / f"{place}.png").write_bytes(png(4, 3))
    for name, content in more.items():
        (path / "b" / f"{name}.png").write_bytes(content)


def text(content):
    return lambda path: path.write_text(content)


def content(made):
    return lambda path: path.write_bytes(made)


def parquet(path):
    FRAME.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-200])


def wide(path):
    path.write_text("a,kind\n1," + "x" * 10**6 + "\n2,b\n")


def sparse(path):
    with path.open("wb") as file:
        file.truncate(2 * 2**30)


NO_NUMBERS = (
    "a network takes numbers: write it as numbers, or leave the column out of the file; if it is "
    "what is to be predicted, name it by --target"
)
TOO_LARGE = (
    "that is more than 1,024 MB; write fewer points or smaller numbers (uint8, float32), or hand "
    "the arrays over in Python: run(spec, data=(X, y))"
)
KIND = ("--target", "kind")

# what is written, the name of the file, flags, and the message
CASES = {
    "nothing there": (lambda path: None, "no.csv", KIND, "No such file or directory"),
    "nothing there of no kind": (lambda path: None, "no.xls", KIND, "No such file or directory"),
    "another kind": (
        text(CSV),
        "data.xlsx",
        KIND,
        "is of a kind that is not read; expected .csv, .parquet, .npz, .npy, or a folder of images "
        "by class",
    ),
    "a pipe": (os.mkfifo, "data.csv", KIND, "it is no regular file"),
    "a device": (
        lambda path: path.symlink_to("/dev/zero"),
        "data.npz",
        (),
        "it is no regular file",
    ),
    "a link to itself": (
        lambda path: path.symlink_to(path.name),
        "data.csv",
        KIND,
        "Too many levels of symbolic links",
    ),
    "2 GB": (sparse, "data.csv", KIND, "it is larger than 1,024 MB"),
    "an empty folder": (
        Path.mkdir,
        "data.csv",
        KIND,
        "is a folder with 0 folders in it; expected one of images for each class, two at least",
    ),
    # npz and npy
    "npz cut off": (
        lambda path: (np.savez(path, X=X, y=Y), path.write_bytes(path.read_bytes()[:300])),
        "data.npz",
        (),
        "File is not a zip file",
    ),
    "npz that is none": (text("X,y"), "data.npz", (), "File is not a zip file"),
    "npz with a pickle": (
        lambda path: np.savez(path, X=X, y=objects(path)),
        "data.npz",
        (),
        "the array 'y' holds Python objects, which may be code and are not read; save numbers, or "
        "labels as text: y.astype(str)",
    ),
    "npz that is a pickle": (
        lambda path: path.write_bytes(pickle.dumps(Writes(path.with_name("written")))),
        "data.npz",
        (),
        "File is not a zip file",
    ),
    "npz that unpacks to 1.5 GB": (
        zip_bomb,
        "data.npz",
        (),
        f"unpacks to 1,536 MB, and {TOO_LARGE}",
    ),
    "npz whose directory lies": (
        lying_zip,
        "data.npz",
        (),
        "Bad CRC-32 for file 'X.npy'",
    ),
    "npz whose bytes are damaged": (
        lambda path: (
            np.savez(path, X=X, y=Y),
            path.write_bytes(path.read_bytes().replace(X[7].tobytes(), X[8].tobytes())),
        ),
        "data.npz",
        (),
        "Bad CRC-32 for file 'X.npy'",
    ),
    "npz without names": (
        lambda path: np.savez(path, X, Y),
        "data.npz",
        (),
        "holds the arrays arr_0, arr_1; call them X and y, or x_train, y_train, x_test and y_test "
        "where points are held out already",
    ),
    "npz with another target": (
        lambda path: np.savez(path, X=X, label=Y),
        "data.npz",
        ("--target", "labl"),
        "there is no array 'labl'; did you mean 'label'?; the arrays are X, label",
    ),
    "npz of points alone": (
        lambda path: np.savez(path, X=X),
        "data.npz",
        (),
        "holds points alone; write both X and y: numpy.savez(FILE, X=X, y=y)",
    ),
    "npz with a y of another length": (
        lambda path: np.savez(path, X=X, y=Y[:-1]),
        "data.npz",
        (),
        "y has shape (39,); expected [40], a label a point, or [40, m], m numbers a point",
    ),
    "npz with held-out points of another shape": (
        lambda path: np.savez(path, x_train=X, y_train=Y, x_test=X[:, :2], y_test=Y),
        "data.npz",
        (),
        "X of a training point has shape (3,), and of a held-out one (2,); give both the same",
    ),
    "npz with NaN": (
        lambda path: np.savez(path, X=np.where(np.eye(40, 3, -8), np.nan, X), y=Y),
        "data.npz",
        (),
        "3 numbers are missing or not finite in the columns 1, 2, 3, in 3 of 40 points, first in "
        "point 9; fill them in or leave these points out",
    ),
    "npz of complex numbers": (
        lambda path: np.savez(path, X=X + 1j, y=Y),
        "data.npz",
        (),
        "the array 'X' is of type complex128; expected real numbers, or labels as text",
    ),
    "npz of structures": (
        lambda path: np.savez(path, X=np.zeros(40, [("a", "f8"), ("b", "i4")]), y=Y),
        "data.npz",
        (),
        "the array 'X' is of type [('a', '<f8'), ('b', '<i4')]; expected real numbers, or labels "
        "as text",
    ),
    "npz of text": (
        lambda path: np.savez(path, X=X.astype(str), y=Y),
        "data.npz",
        (),
        "X holds no array of real numbers: they are of type <U32",
    ),
    "npy of petabytes": (
        content(npy_of("(10**15, 8)".replace("10**15", str(10**15)))),
        "X.npy",
        ("--target", "y.npy"),
        "is cut off or damaged: its header says 64,000,000,000,000,000 bytes, and 80 are there",
    ),
    "npy of a negative size": (
        content(npy_of("(-2, -5)")),
        "X.npy",
        ("--target", "y.npy"),
        "is cut off or damaged: its header says 80 bytes, and 80 are there",
    ),
    "npy with a header that is code": (
        content(npy_of("(__import__('os').system('touch written'),)")),
        "X.npy",
        ("--target", "y.npy"),
        "is no array in NumPy's format, or its header is damaged",
    ),
    "npy with a huge header": (
        content(npy_of("(" + "1," * 20000 + ")")),
        "X.npy",
        ("--target", "y.npy"),
        "is no array in NumPy's format, or its header is damaged",
    ),
    "npy that is a pickle": (
        lambda path: path.write_bytes(npy(objects(path), allow_pickle=True)),
        "X.npy",
        ("--target", "y.npy"),
        "holds Python objects, which may be code and are not read; save numbers, or labels as "
        "text: y.astype(str)",
    ),
    "npy cut off": (
        content(npy(X)[:400]),
        "X.npy",
        ("--target", "y.npy"),
        "is cut off or damaged: its header says 960 bytes, and 272 are there",
    ),
    "npy of points alone": (
        content(npy(X)),
        "X.npy",
        (),
        "holds points alone; name the file beside it that holds y: --target y.npy",
    ),
    "npy without its y": (
        content(npy(X)),
        "X.npy",
        ("--target", "y.npy"),
        "--target y.npy: No such file or directory",
    ),
    "npy with a y elsewhere": (
        content(npy(X)),
        "X.npy",
        ("--target", "../y.npy"),
        "--target ../y.npy: of an npy file name one file that lies beside it, without a folder, "
        "such as y.npy",
    ),
    # CSV
    "csv without a target": (
        text(CSV),
        "data.csv",
        (),
        "say which column is to be predicted, by --target NAME; the columns are a, b, kind",
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
        "column 2 has no name; the first line must name each",
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
    # images
    "one class": (
        lambda path: images(path, classes=1),
        "images",
        (),
        "is a folder with 1 folders in it; expected one of images for each class, two at least",
    ),
    "no images": (
        lambda path: [path.joinpath(name).mkdir(parents=True) for name in "ab"],
        "images",
        (),
        "the folder 'a' holds no image (.png, .jpg, .jpeg, .bmp, .gif, .tif, .tiff, .webp, .pgm, "
        ".ppm); name the folder whose folders are the classes",
    ),
    "a broken image": (
        lambda path: images(path, broken=png(4, 3)[:44]),
        "images",
        (),
        "the image b/broken.png cannot be read: ",
    ),
    "an image that is none": (
        lambda path: images(path, none=b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 3\n"),
        "images",
        (),
        "the image b/none.png cannot be read: UnidentifiedImageError: ",
    ),
    "images of two sizes": (
        lambda path: images(path, x=png(5, 3)),
        "images",
        (),
        "the images a/0.png and b/x.png differ: 3 rows, 4 columns, grey and 3 rows, 5 columns, "
        "grey; make all of one size, and all grey or all in colour",
    ),
    "an image that unpacks to 10 GB": (
        lambda path: images(path, bomb=png(10**5, 10**5, b"")),
        "images",
        (),
        "the image b/bomb.png cannot be read: DecompressionBombError: ",
    ),
    "images that unpack to 3 GB": (
        lambda path: [
            (path / name).mkdir(parents=True)
            or [(path / name / f"{i}.png").write_bytes(png(8000, 8000, b"")) for i in range(6)]
            for name in "ab"
        ],
        "images",
        (),
        f"unpacks to 2,930 MB, and {TOO_LARGE}",
    ),
    "images of 16 bits": (
        lambda path: (
            images(path),
            Image.fromarray(np.zeros((3, 4), np.uint16)).save(path / "b" / "deep.png"),
        ),
        "images",
        (),
        "the image b/deep.png cannot be read: its mode is I;16; save it with 8 bits a colour",
    ),
}

# Bytes beyond those at the start of the command; a run of torch takes some of them.
MOST_MEMORY = 300 * 2**20

MEASURE = """
import atexit, pathlib, resource
def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
atexit.register(lambda: pathlib.Path({file!r}).write_text(str(peak() - before)))
"""


@pytest.mark.parametrize("case", CASES)
def test_one_message_and_no_code(tmp_path, case):
    make, name, flags, message = CASES[case]
    file, peak = tmp_path / "data" / name, tmp_path / "peak"
    file.parent.mkdir()
    make(file)
    out = tmp_path / "out"
    done = plastic(
        *("run", "--data", str(file), *flags, "--samples", "10", "--out", str(out)),
        first=f"import os; os.chdir({str(file.parent)!r})" + MEASURE.format(file=str(peak)),
    )
    assert done.stderr.startswith(f"plastic: {file}: {message}")
    assert done.stderr.count("\n") == 1
    assert (done.returncode, done.stdout) == (2, "")
    assert not (file.parent / "written").exists()
    assert not out.exists()
    assert int(peak.read_text()) < MOST_MEMORY
