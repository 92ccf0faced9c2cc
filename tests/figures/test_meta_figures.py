"""The figures about meta-learning at a very small size, on images of noise."""

import json

import numpy as np
import pytest

from plastic_core.cli import execute
from tests.conftest import write_idx
from tests.figures.test_reproduce import verdict_of

# images of each class: 8 to learn from and 4 queries, in each half
EACH = 26


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Return a data folder with enough images of each class."""
    folder = tmp_path_factory.mktemp("images")
    source = np.random.default_rng(0)
    for name, prefix, classes in (
        ("EMNIST", "emnist-balanced-train", 47),
        ("MNIST", "train", 10),
        ("MNIST", "t10k", 10),
    ):
        raw, labels = folder / name / "raw", np.arange(EACH * classes) % classes
        shape = (len(labels), 28, 28)
        write_idx(raw / f"{prefix}-images-idx3-ubyte", source.integers(0, 256, shape))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", labels)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("name", "claims"), [("fig8", 9), ("metagrid", 2)])
def test_a_small_version_and_again(name, claims, images, tmp_path, capsys):
    command = ["reproduce", name, "--quick", "--seeds", "2", "--json"]
    command += ["--data-dir", str(images), "--out", str(tmp_path), "--store", str(tmp_path / "s")]
    reports = []
    for _ in range(2):
        assert execute(command) == 0
        reports.append(json.loads(capsys.readouterr().out)[name])
    report = json.loads((tmp_path / name / "claims.json").read_text())
    assert report["small"]
    assert report["command"] == f"plastic reproduce {name} --seeds 2 --quick"
    assert len(report["claims"]) == claims
    for claim in report["claims"]:
        [one] = claim["verdicts"]
        assert one["verdict"] == verdict_of(claim, one, 0)
    for suffix in ("pdf", "png"):
        assert (tmp_path / name / f"{name}.{suffix}").stat().st_size > 5000
    # the second time everything is read, so that the same seconds of learning stand there
    assert reports[0]["claims"] == reports[1]["claims"]
    assert reports[0]["learned"] == reports[1]["learned"]
    page = tmp_path / "page.html"
    assert execute(["report", str(tmp_path / name), "--out", str(page)]) == 0
    assert report["title"] in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["fig8", "--samples", "100"],
            "--samples does not apply to fig8; it takes --quick, --seeds",
        ),
        (["fig8", "--search"], "--search does not apply to fig8; it takes --quick, --seeds"),
        (
            ["metagrid", "--search"],
            "--search does not apply to metagrid; it takes --quick, --seeds, --samples, --backend, "
            "--workers",
        ),
    ],
)
def test_flags_that_do_not_apply(arguments, message, capsys, tmp_path):
    assert execute(["reproduce", *arguments, "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"plastic: {message}\n"
    assert not list(tmp_path.iterdir())
