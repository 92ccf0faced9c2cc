"""Data: splits, order, files in MNIST's format, and what is said when there are none."""

import importlib.machinery
import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_digits

from plastic_core import PlasticError, RunSpec, bootstrap_interval, run
from plastic_core.api import DataDir, DataError, Dataset
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.training.datasets import data_folders, held_out_half, training_order
from tests.conftest import write_idx
from tests.processes import HANGS


def load(task, folder, **options):
    plugin = Catalogue().find("task", task).plugin()
    return plugin.load(DataDir([folder]), plugin.spec.options(**options))


def test_digits_are_those_of_scikit_learn_mixed_and_split(tmp_path):
    data, theirs = load("digits-mlp", tmp_path), load_digits()
    assert (len(data.labels), len(data.held_out_labels), data.classes) == (1297, 500, 10)
    order = np.random.default_rng(0).permutation(1797)
    inputs = np.concatenate([data.inputs, data.held_out_inputs])
    labels = np.concatenate([data.labels, data.held_out_labels])
    assert (inputs.dtype, labels.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(inputs * 16, theirs.data[order])
    np.testing.assert_array_equal(labels, theirs.target[order])


def test_digits_that_are_not_where_they_were_are_explained(tmp_path, monkeypatch):
    moved = importlib.machinery.ModuleSpec("sklearn", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: moved)
    with pytest.raises(DataError) as caught:
        load("digits-mlp", tmp_path)
    file = tmp_path / "datasets" / "data" / "digits.csv.gz"
    assert str(caught.value) == (
        f"digits: {file} cannot be read (FileNotFoundError); install scikit-learn again, "
        "in a version that constraints.txt names"
    )


def test_halves_do_not_overlap_and_do_not_follow_the_file():
    points = np.arange(1000, dtype=np.float32)[:, None]
    labels = np.zeros(1000, np.int64)
    data = Dataset(points, labels, points, labels, classes=1)
    choose, _ = held_out_half(data, "choose", 1000)
    report, _ = held_out_half(data, "report", 1000)
    assert sorted(np.concatenate([choose, report]).ravel()) == list(range(1000))
    assert abs(choose.mean() - report.mean()) < 50
    np.testing.assert_array_equal(held_out_half(data, "report", 10)[0], report[:10])


def test_order_is_of_the_seed_alone_and_reshuffled_in_passes():
    order = training_order(3, points=50, samples=120)
    assert sorted(order[:50]) == sorted(order[50:100]) == list(range(50))
    assert (order[:50] != order[50:100]).any()
    np.testing.assert_array_equal(order[:70], training_order(3, 50, 70))
    assert (training_order(4, 50, 120) != order).any()


def test_images_are_read_from_the_first_folder_that_holds_them(small_mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("PLASTIC_DATA_DIR", f"{tmp_path / 'empty'}:{small_mnist}")
    plugin = Catalogue().find("task", "mnist-mlp").plugin()
    data = plugin.load(data_folders(), plugin.spec.options())
    assert (data.inputs.shape, data.held_out_inputs.shape) == ((60, 784), (40, 784))
    assert data.inputs.dtype == np.float32
    raw = (small_mnist / "MNIST/raw/train-images-idx3-ubyte").read_bytes()[16:]
    np.testing.assert_allclose(data.inputs[0], np.frombuffer(raw[:784], np.uint8) / 255, rtol=1e-6)


def test_emnist_images_are_turned_upright(tmp_path):
    image = np.zeros((1, 28, 28))
    image[0, 2, 20] = 255  # as stored: transposed
    for part in ("train", "test"):
        raw = tmp_path / "EMNIST" / "raw"
        write_idx(raw / f"emnist-balanced-{part}-images-idx3-ubyte", image)
        write_idx(raw / f"emnist-balanced-{part}-labels-idx1-ubyte", np.array([46]))
    data = load("mnist-mlp", tmp_path, dataset="emnist-balanced")
    assert data.classes == 47
    assert data.inputs[0].reshape(28, 28)[20, 2] == 1


def test_real_mnist(mnist_dir):
    data = load("mnist-mlp", mnist_dir)
    assert (data.inputs.shape, data.held_out_inputs.shape) == ((60000, 784), (10000, 784))
    assert np.bincount(data.labels).tolist() == [
        5923,
        6742,
        5958,
        6131,
        5842,
        5421,
        5918,
        6265,
        5851,
        5949,
    ]


def test_no_data_and_no_network(tmp_path, monkeypatch):
    # a proxy that nobody answers stands for a missing network, on any machine
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(DataError) as caught:
        load("mnist-mlp", tmp_path)
    first, *rest = str(caught.value).splitlines()
    assert first.startswith(
        f"no data: mnist is not in {tmp_path}/MNIST/raw, and the download failed: "
    )
    assert rest == [
        "  put train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, "
        "t10k-labels-idx1-ubyte there,",
        "  or name the folder above it by --data-dir or PLASTIC_DATA_DIR,",
        "  or use --task digits-mlp, which needs no download",
    ]


def test_a_download_that_hangs_is_given_up(tmp_path):
    # in a process of its own, for it leaves a thread behind that waits for the server
    code = """
import sys, threading
from plastic_core.api import DataDir, DataError
from plastic_tasks import datasets
class Hanging:
    def __init__(self, *args, **kwargs):
        threading.Event().wait()
datasets._torchvision_datasets = lambda: type("Module", (), {"MNIST": Hanging})
datasets._STALL_SECONDS = 0.5
try:
    datasets.load_image_set("mnist", DataDir([sys.argv[1]]))
except DataError as error:
    print(str(error).splitlines()[0])
"""
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=True,
    )
    assert out.stdout.strip() == (
        f"no data: mnist is not in {tmp_path}/MNIST/raw, and the download was given up: "
        "no byte arrived for 0.5 s"
    )


def test_damaged_files_are_explained(small_mnist):
    file = small_mnist / "MNIST/raw/train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:500])
    beginning = r"mnist: the files in .*MNIST/raw cannot be read "
    with pytest.raises(DataError, match=beginning + r"\(ValueError: cannot reshape array"):
        load("mnist-mlp", small_mnist)
    file.write_bytes(b"<html>")
    reason = r"\(ValueError: train-images-idx3-ubyte is no IDX file of bytes in 3 dimensions\)"
    with pytest.raises(DataError, match=beginning + reason):
        load("mnist-mlp", small_mnist)
    write_idx(file, np.zeros(60))
    with pytest.raises(DataError, match=beginning + reason):
        load("mnist-mlp", small_mnist)
    write_idx(file, np.zeros((59, 28, 28)))
    with pytest.raises(DataError, match=beginning + r"\(ValueError: 59 images and 60 labels\)"):
        load("mnist-mlp", small_mnist)


def test_a_task_that_returns_nonsense_is_explained(small_mnist):
    raw = small_mnist / "MNIST/raw"
    write_idx(raw / "train-labels-idx1-ubyte", np.full(60, 12))
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(task="mnist-mlp", seeds=1), data_dir=small_mnist)
    assert str(caught.value) == "the data of mnist-mlp: labels reach from 12 to 12; expected 0 to 9"


def test_mnist_task_trains_on_files(small_mnist):
    result = run(
        RunSpec(task="mnist-mlp", seeds=2, samples=100, evaluations=2), data_dir=small_mnist
    )
    assert result.summary["accuracy"]["per_seed"]
    assert "evaluations use 20 points" in result.record["notes"][0]


def test_torchvision_is_loaded_by_the_tasks_alone():
    code = "import sys; from plastic_core import run; print('torchvision' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_bootstrap_interval_agrees_with_scipy():
    values = np.random.default_rng(1).normal(0.8, 0.05, 20)
    low, high = bootstrap_interval(values, resamples=20000)
    reference = stats.bootstrap(
        (values,), np.mean, confidence_level=0.98, n_resamples=20000, method="percentile", rng=1
    ).confidence_interval
    assert low == pytest.approx(reference.low, abs=1e-3)
    assert high == pytest.approx(reference.high, abs=1e-3)
    assert bootstrap_interval(values) == bootstrap_interval(values)
