"""Data of the figures' tests."""

import sys
from itertools import product

import numpy as np
import pytest

from tests.conftest import made_once, write_idx
from tests.plugins.packages import build_wheel, rule_source, unpack

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


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """Return a function that installs a package with figures, by file, in this test."""

    def install(figures, name="zoo", code="", distribution="plastic-strange"):
        site, module = tmp_path / distribution, distribution.replace("-", "_")
        source = rule_source(body="return 0.01 * outer(s.post, s.pre)")
        points = {"plastic.figures": {name: f"{module}.figures"}}
        if distribution == "plastic-strange":
            points["plastic.rules"] = {"mine": f"{module}.rule:Mine"}
        modules = {f"{module}/__init__": code, f"{module}/rule": source}
        data = {f"{module}/figures/{file}": text for file, text in figures.items()}
        unpack(build_wheel(tmp_path, distribution, modules, points, data=data), site)
        monkeypatch.syspath_prepend(site)
        return site / module / "figures"

    before = {*sys.modules}
    yield install
    for module in {*sys.modules} - before:
        if module.startswith("plastic_strange"):
            del sys.modules[module]
