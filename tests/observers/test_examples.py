"""The observers on the page about watching a run work as they are written there.

MLflow and Weights & Biases are played by modules that take what the real ones take, and keep it.
"""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

from plastic_core import run
from plastic_core.cli import execute
from plastic_core.plugins.plugin_file import import_file, plugins_in
from plastic_core.testing import ObserverConformance
from tests.observers.watched import FLAGS, small

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "watch_a_run.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
SOURCES = {re.search(r'name="(\w+)"', text)[1]: text for text in BLOCKS if "ObserverSpec" in text}

MLFLOW = """
calls = []

def start_run(run_id=None, experiment_id=None, run_name=None):
    calls.append(("start_run", run_name))

def log_params(params):
    calls.append(("log_params", dict(params)))

def log_metrics(metrics, step=None):
    calls.append(("log_metrics", {name: float(value) for name, value in metrics.items()}, step))

def log_artifact(local_path, artifact_path=None):
    calls.append(("log_artifact", local_path.read_bytes()[:4]))

def end_run(status="FINISHED"):
    calls.append(("end_run", status))
"""

WANDB = """
calls = []

class Run:
    def __init__(self):
        self.summary = {}

    def log(self, data, step=None, commit=None):
        calls.append(("log", {name: float(value) for name, value in data.items()}, step))

    def finish(self, exit_code=None):
        calls.append(("finish", self.summary))

def init(entity=None, project=None, dir=None, id=None, name=None, notes=None, tags=None, config=None):
    calls.append(("init", project, name, dict(config)))
    return Run()
"""


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Return the class of an example, and the module that plays its library."""
    monkeypatch.syspath_prepend(tmp_path)

    def load(name, library=None):
        played = None
        if library is not None:
            monkeypatch.delitem(sys.modules, name, raising=False)
            (tmp_path / f"{name}.py").write_text(library)
            played = importlib.import_module(name)
        file = tmp_path / f"{name}_example.py"
        file.write_text(SOURCES[name])
        ((kind, cls),) = plugins_in(import_file(file))
        assert kind == "observer"
        return cls, played

    yield load
    for name in ("mlflow", "wandb"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def points_of(result):
    means = result.curves[["accuracy", "loss"]].mean("seed")
    return [
        ({name: float(means[name][i]) for name in means}, int(step))
        for i, step in enumerate(means["step"])
    ]


def test_the_page_has_three_short_ones():
    assert list(SOURCES) == ["lines", "mlflow", "wandb"]
    for source in SOURCES.values():
        assert len([line for line in source.splitlines() if line.strip()]) <= 16


def test_lines_of_json(tmp_path, capsys):
    file, out = tmp_path / "lines.py", tmp_path / "run"
    file.write_text(SOURCES["lines"])
    assert (
        execute(["run", *FLAGS, "--plugin", str(file), "--observe", "lines", "--out", str(out)])
        == 0
    )
    lines = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    assert [line["sample"] for line in lines] == [20, 40, 60, 80]
    score = json.loads((out / "run.json").read_text())["result"]["score"]
    assert lines[-1]["accuracy"] == score["mean"]


def test_mlflow(tmp_path, example):
    cls, mlflow = example("mlflow", MLFLOW)
    result = run(small(), out=tmp_path / "run", observers=[cls()])
    begun, params, *points, artifact, ended = mlflow.calls
    assert begun == ("start_run", "bp")
    assert params == ("log_params", result.record["spec"])
    assert points == [("log_metrics", *one) for one in points_of(result)]
    assert artifact == ("log_artifact", b"\x89HDF")
    assert ended == ("end_run", "FINISHED")


def test_weights_and_biases(tmp_path, example):
    cls, wandb = example("wandb", WANDB)
    result = run(small(), observers=[cls()])
    begun, *points, ended = wandb.calls
    assert begun == ("init", "plastic", "bp", result.record["spec"])
    assert points == [("log", *one) for one in points_of(result)]
    score = result.record["result"]["score"]
    assert ended == ("finish", {"interval": [score["low"], score["high"]]})


class TestLines(ObserverConformance):
    @pytest.fixture(autouse=True)
    def _load(self, example):
        self.observer, _ = example("lines")
