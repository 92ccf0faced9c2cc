"""Fixtures shared by all tests."""

import os
import struct

import numpy as np
import pytest
import torch

# the tests run side by side, and threads of torch wait for each other
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch, tmp_path_factory):
    """Keep the user's settings out of the tests."""
    for name in ("PLASTIC_DISABLE", "PLASTIC_STRICT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PLASTIC_STORE", str(tmp_path_factory.getbasetemp() / "store"))


@pytest.fixture
def mnist_dir():
    """Return the folder with the real MNIST; where the data folder is set, it must be there."""
    folder = os.environ.get("PLASTIC_DATA_DIR")
    if not folder:
        pytest.skip("needs the real MNIST: set PLASTIC_DATA_DIR")
    return folder


def write_idx(path, array):
    """Write an array in the format of MNIST's files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def small_mnist(tmp_path):
    """Return a data folder with images of noise in MNIST's format.

    60 to train and 40 to test, and of EMNIST balanced 188 to train, 4 of each class.
    """
    source = np.random.default_rng(0)
    raw = tmp_path / "data" / "EMNIST" / "raw" / "emnist-balanced-train"
    images = source.integers(0, 256, (188, 28, 28))
    write_idx(raw.with_name(f"{raw.name}-images-idx3-ubyte"), images)
    write_idx(raw.with_name(f"{raw.name}-labels-idx1-ubyte"), np.arange(188) % 47)
    for prefix, count in (("train", 60), ("t10k", 40)):
        raw = tmp_path / "data" / "MNIST" / "raw"
        write_idx(raw / f"{prefix}-images-idx3-ubyte", source.integers(0, 256, (count, 28, 28)))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", source.integers(0, 10, count))
    return tmp_path / "data"
