"""Data of the figures' tests."""

from itertools import product

import numpy as np
import pytest

from tests.conftest import made_once, write_idx

#: Options of a figure at a small size.
SMALL = ["--quick", "--seeds", "2", "--samples", "40", "--workers", "0"]

COUNTS = (("train", 60), ("t10k", 200))


@pytest.fixture(scope="session")
def noise(tmp_path_factory):
    """Return a data folder with images of noise in MNIST's format."""

    def make(folder):
        source = np.random.default_rng(0)
        for data, (prefix, count) in product(("MNIST", "FashionMNIST"), COUNTS):
            raw = folder / data / "raw"
            write_idx(raw / f"{prefix}-images-idx3-ubyte", source.integers(0, 256, (count, 28, 28)))
            write_idx(raw / f"{prefix}-labels-idx1-ubyte", source.integers(0, 10, count))

    return made_once(tmp_path_factory, "noise", make)
