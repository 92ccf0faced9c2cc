"""The data sets: MNIST and its relatives, downloaded by torchvision, and the embedded digits."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from plastic_core.api import DataDir, DataError, Dataset

# A download is given up when no byte has arrived for this long.
_STALL_SECONDS: Final = 15.0


class ImageSet(NamedTuple):
    """How torchvision calls a data set, and where its files lie."""

    cls: str
    keywords: dict[str, Any]
    folder: str
    files: tuple[str, ...]
    classes: int
    transposed: bool = False


def _idx_files(*prefixes: str) -> tuple[str, ...]:
    return tuple(f"{p}-{k}-ubyte" for p in prefixes for k in ("images-idx3", "labels-idx1"))


IMAGE_SETS: Final = {
    "mnist": ImageSet("MNIST", {}, "MNIST/raw", _idx_files("train", "t10k"), 10),
    "fashion-mnist": ImageSet(
        "FashionMNIST", {}, "FashionMNIST/raw", _idx_files("train", "t10k"), 10
    ),
    "emnist-balanced": ImageSet(
        "EMNIST",
        {"split": "balanced"},
        "EMNIST/raw",
        _idx_files("emnist-balanced-train", "emnist-balanced-test"),
        47,
        transposed=True,
    ),
}


def load_image_set(name: str, data_dir: DataDir) -> Dataset:
    """Return one of `IMAGE_SETS`, pixels in [0, 1]; downloaded where no data folder holds it.

    Raises:
        DataError: it is not there and cannot be downloaded, or its files cannot be read.
    """
    train, test = _load(name, data_dir, (True, False))
    return Dataset(*train, *test, classes=IMAGE_SETS[name].classes, shape=(28, 28))


def load_training_images(name: str, data_dir: DataDir) -> tuple[Any, Any]:
    """Return pixels in [0, 1], ``[N, 784]``, and labels of the training part of an image set.

    Raises:
        DataError: it is not there and cannot be downloaded, or its files cannot be read.
    """
    (train,) = _load(name, data_dir, (True,))
    return train


def load_digits() -> Dataset:
    """Return scikit-learn's 1,797 digits of 8 x 8 pixels: 1,297 to train, 500 held out.

    Raises:
        DataError: this version of scikit-learn keeps them elsewhere.
    """
    # its file alone: to import scikit-learn takes as long as to import torch
    package = importlib.util.find_spec("sklearn")
    assert package is not None  # which is required
    assert package.origin is not None
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        digits = np.loadtxt(file, delimiter=",", dtype=np.int64)
    except OSError as error:
        raise DataError(
            f"digits: {file} cannot be read ({type(error).__name__}); install scikit-learn again, "
            "in a version that constraints.txt names"
        ) from error
    # the file is ordered by writer; mix it once, the same for everybody
    digits = np.random.default_rng(0).permutation(digits)
    inputs, labels = (digits[:, :-1] / 16).astype(np.float32), digits[:, -1].copy()
    return Dataset(inputs[:-500], labels[:-500], inputs[-500:], labels[-500:], 10, shape=(8, 8))


def _load(name: str, data_dir: DataDir, parts: tuple[bool, ...]) -> list[tuple[Any, Any]]:
    """Return the training part for True, the test part for False."""
    image_set = IMAGE_SETS[name]
    files = image_set.files if False in parts else image_set.files[:2]
    folder = data_dir.holding(*(f"{image_set.folder}/{file}" for file in files))
    if folder is None:
        folder = Path(data_dir)
        _download(name, image_set, data_dir)
    try:
        return [_read(image_set, folder, 0 if train else 2) for train in parts]
    except Exception as error:
        raise DataError(
            f"{name}: the files in {folder / image_set.folder} cannot be read "
            f"({type(error).__name__}: {error}); delete them to download them again, "
            "or use --task digits-mlp, which needs no download"
        ) from error


def _read(image_set: ImageSet, folder: Path, first: int) -> tuple[Any, Any]:
    """Return pixels and labels of the files `first` and `first` + 1 of an image set."""
    raw = folder / image_set.folder
    images, marks = image_set.files[first : first + 2]
    pixels, labels = _read_idx(raw / images, 3), _read_idx(raw / marks, 1)
    if len(pixels) != len(labels):
        raise ValueError(f"{len(pixels)} images and {len(labels)} labels")
    if image_set.transposed:
        pixels = pixels.transpose(0, 2, 1)
    inputs = pixels.reshape(len(pixels), -1).astype(np.float32)
    inputs /= 255
    return inputs, labels.astype(np.int64)


def _read_idx(file: Path, dimensions: int) -> Any:
    """Return the array of bytes in a file of the format IDX, in which MNIST is given out.

    torchvision reads it too, but takes seconds to be imported.
    """
    content = file.read_bytes()
    if content[:4] != bytes([0, 0, 8, dimensions]):  # 8: unsigned bytes
        raise ValueError(f"{file.name} is no IDX file of bytes in {dimensions} dimensions")
    shape = np.frombuffer(content, ">i4", dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _download(name: str, image_set: ImageSet, data_dir: DataDir) -> None:
    folder = Path(data_dir)
    failure: list[BaseException] = []

    def fetch() -> None:
        try:
            cls = getattr(_torchvision_datasets(), image_set.cls)
            cls(str(folder), download=True, **image_set.keywords)
        except BaseException as error:
            failure.append(error)

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_data(
            name, image_set, data_dir, f"{folder} cannot be made: {error.strerror}"
        ) from None
    # torchvision prints to standard output, which belongs to the command's result
    with contextlib.redirect_stdout(sys.stderr):
        stalled = _stalls(fetch, folder / image_set.folder)
    if stalled:
        reason = f"no byte arrived for {_STALL_SECONDS:g} s"
        raise _no_data(name, image_set, data_dir, f"the download was given up: {reason}")
    if failure:
        reason = " ".join(str(failure[0]).split()) or type(failure[0]).__name__
        raise _no_data(name, image_set, data_dir, f"the download failed: {reason}") from failure[0]


def _stalls(fetch: Callable[[], None], folder: Path) -> bool:
    """Run `fetch`, and return whether nothing arrived in `folder` for too long.

    It runs in a thread, because torchvision has no time limit, and is left behind if it hangs.
    """
    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    size, since = -1, time.monotonic()
    while thread.is_alive():
        thread.join(0.2)
        now = _bytes_in(folder)
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > _STALL_SECONDS:
            return True
    return False


def _no_data(name: str, image_set: ImageSet, data_dir: DataDir, reason: str) -> DataError:
    looked = ", ".join(str(folder / image_set.folder) for folder in data_dir.folders)
    return DataError(
        f"no data: {name} is not in {looked}, and {reason}\n"
        f"  put {', '.join(image_set.files)} there,\n"
        "  or name the folder above it by --data-dir or PLASTIC_DATA_DIR,\n"
        "  or use --task digits-mlp, which needs no download"
    )


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # files come and go while it unpacks
            total += path.stat().st_size
    return total


def _torchvision_datasets() -> Any:
    """Import torchvision.datasets, also where torchvision's operators do not fit this torch.

    torchvision from PyPI is built for CUDA and stops at import beside a CPU build of torch,
    because its compiled operators are missing. The data sets are pure Python: with the two
    operators that it asks for declared, it imports. They are declared only after that failure,
    for beside a working torchvision it would abort the process.
    """
    try:
        return importlib.import_module("torchvision.datasets")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    import torch

    for module in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
        del sys.modules[module]
    global _operators  # must live as long as the process
    library: Any = torch.library.Library
    _operators = library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        _operators.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("torchvision.datasets")


_operators: Any = None
