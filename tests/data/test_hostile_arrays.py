"""Arrays in files that are not what they should be, and files that are none."""

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.data.refusals import (
    CSV,
    KIND,
    TOO_LARGE,
    X,
    Y,
    assert_refused,
    content,
    text,
)


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


def sparse(path):
    with path.open("wb") as file:
        file.truncate(2 * 2**30)


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
    "npz with a number in place of points": (
        lambda path: np.savez(path, x_train=3.0, y_train=Y, x_test=4.0, y_test=Y),
        "data.npz",
        (),
        "X and y have the shapes () and (40,); expected as many points, and at least two to train "
        "on and two that are held out",
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
}


@pytest.mark.parametrize("case", CASES)
def test_one_message_and_no_code(tmp_path, case):
    assert_refused(tmp_path, CASES[case])
