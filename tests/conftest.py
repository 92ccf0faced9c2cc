"""Fixtures shared by all tests."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import struct
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

from plastic_core.backends.compiled import compiled_backend
from plastic_core.backends.native import compiler

# the tests run side by side, and threads of torch wait for each other
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

# How long an example takes, and how soon it is drawn, depends on the machine.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")

# A shell lets what it begins in the background ignore interrupts, which tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Numbers are tested, not speed: C is compiled without -O3, and what torch.compile would be given
# runs as it is. The fixtures below take the user's compilers.
_QUICK = {"TORCHDYNAMO_DISABLE": "1"}
if shutil.which("cc"):
    _QUICK["CC"] = str(Path(__file__).with_name("quick_cc"))
# workers of xdist inherit what is set here
_FOUND = json.dumps({name: os.environ.get(name) for name in _QUICK})
_USERS = json.loads(os.environ.setdefault("PLASTIC_TESTS_FOUND", _FOUND))
os.environ.update(_QUICK)


@contextlib.contextmanager
def compilers_of_the_user():
    """Compile as users do: by torch.compile, and by the system's C compiler with -O3."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _USERS.items():
            patch.delenv(name, raising=False) if value is None else patch.setenv(name, value)
        patch.setattr(compiled_backend, "_KNOWN", {})
        compiler.find_compiler.cache_clear()
        yield
    compiler.find_compiler.cache_clear()


def pytest_addoption(parser):
    parser.addoption("--device", help="of tests/gpu; default cuda where it is, else cpu")


@pytest.fixture(scope="session")
def device(request):
    """Return the device of the tests of devices."""
    return request.config.getoption("--device") or ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def users_compilers():
    """See `compilers_of_the_user`."""
    with compilers_of_the_user():
        yield


@pytest.fixture(params=["quick", pytest.param("full", marks=pytest.mark.slow)])
def compilers(request):
    """Run a test with the quick compilers, and among the slow tests with the user's."""
    with compilers_of_the_user() if request.param == "full" else contextlib.nullcontext():
        yield


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


def made_once(tmp_path_factory, name, make):
    """Return a folder that one of the workers fills by `make(folder)`, for all of them."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / name
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            beside = base / f"{name}-begun"  # where it fails, the next one tries anew
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir()
            make(beside)
            beside.rename(folder)
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
