"""A stranger's distribution, written against the public contract alone, installed by pip."""

import json

import pytest

from tests.plugins.packages import build_wheel, pip_install
from tests.processes import plastic

MODULE = '''
import torch
from pydantic import BaseModel, Field
from plastic_core.api import (
    Dataset, NetworkOptions, NetworkSpec, Rule, RuleSpec, State, Task, TaskSpec, Theta,
    Transform, TransformSpec, hookimpl, outer,
)


class Params(BaseModel):
    """Parameters of bcm."""

    rate: float = Field(0.01, description="rate of the sliding threshold")


class Bcm(Rule):
    """Learning with a sliding threshold."""

    spec = RuleSpec(
        name="bcm", summary="sliding threshold", equation=r"y (y - h) x^\\top",
        reference="Bienenstock, Cooper, Munro 1982", modifies="forward", reads={"post", "pre"},
        theta=Theta(default=1e-5), params=Params, state={"threshold": State(over="post", initial=0.1)},
    )

    @hookimpl
    def plastic_local_update(self, s):
        h = s.state.threshold
        rate = self.params.rate
        new = (1 - rate) * h + rate * s.post.square().mean(-2, keepdim=True)
        return outer(s.post * (s.post - h), s.pre), {"threshold": new}


class Anti(Rule):
    """Anti-Hebbian learning."""

    spec = RuleSpec(
        name="anti", summary="anti-Hebbian", equation=r"-y x^\\top", reference="none",
        modifies="forward", reads={"post", "pre"}, theta=Theta(default=1e-5),
    )

    @hookimpl
    def plastic_local_update(self, s):
        return -outer(s.post, s.pre)


class Halve(Transform):
    """Half of every increment."""

    spec = TransformSpec(name="halve", summary="half of every increment", reference="none")

    @hookimpl
    def plastic_transform_update(self, u):
        return 0.5 * u.increment


class Options(NetworkOptions):
    """Options of blobs."""

    spread: float = Field(0.1, description="width of a blob")


class Blobs(Task):
    """Two blobs in the plane."""

    spec = TaskSpec(name="blobs", summary="two blobs in the plane", options=Options)

    def load(self, data_dir, options):
        source = torch.Generator().manual_seed(0)
        labels = torch.arange(400) % 2
        centres = torch.tensor([[0.7, 0.3], [0.3, 0.7]])
        inputs = centres[labels] + options.spread * torch.randn(400, 2, generator=source)
        x, y = inputs.float().numpy(), labels.numpy()
        return Dataset(x[:200], y[:200], x[200:], y[200:], classes=2)

    def network(self, options):
        return NetworkSpec(sizes=(2, 20, 2), activation=options.activation, init=options.init)
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stranger")
    wheel = build_wheel(
        folder,
        "plastic-stranger",
        {"plastic_stranger": MODULE},
        {
            "plastic.rules": {"bcm": "plastic_stranger:Bcm", "anti": "plastic_stranger:Anti"},
            "plastic.transforms": {"halve": "plastic_stranger:Halve"},
            "plastic.tasks": {"blobs": "plastic_stranger:Blobs"},
        },
        version="2.5",
    )
    pip_install(wheel, folder / "site")
    return folder / "site"


def test_it_is_listed(installed):
    entries = json.loads(plastic("plugins", "--json", path=installed).stdout)
    theirs = [e for e in entries if e["distribution"] == "plastic-stranger"]
    assert [(e["kind"], e["name"], e["version"], e["state"], e["api"]) for e in theirs] == [
        ("rule", "anti", "2.5", "ok", 1),
        ("rule", "bcm", "2.5", "ok", 1),
        ("transform", "halve", "2.5", "ok", 1),
        ("task", "blobs", "2.5", "ok", 1),
    ]
    rules = json.loads(plastic("rules", "--json", path=installed).stdout)
    assert {"bcm", "anti", "oja"} <= {rule["name"] for rule in rules}
    shown = plastic("rules", "show", "bcm", path=installed).stdout
    assert "y (y - h) x^\\top" in shown
    assert "state threshold" in shown
    assert "bcm.rate = 0.01   rate of the sliding threshold" in shown


def test_it_is_trained(installed, tmp_path):
    done = plastic(
        *("run", "--rule", "0.05*bp + bcm + plastic-stranger:anti", "--task", "blobs"),
        *("--spread", "0.05", "--transform", "halve", "--set", "bcm.rate=0.1"),
        *(
            "--seeds",
            "3",
            "--samples",
            "2000",
            "--save-weights",
            "--json",
            "--out",
            str(tmp_path / "run"),
        ),
        path=installed,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["accuracy"]["mean"] > 0.9
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    built_in = ("bp", "cross-entropy", "dense", "softplus", "xavier")
    assert record["plugins"] == {
        **{f"plastic-learning:{n}": record["environment"]["plastic-learning"] for n in built_in},
        "plastic-stranger:bcm": "2.5",
        "plastic-stranger:anti": "2.5",
        "plastic-stranger:halve": "2.5",
        "plastic-stranger:blobs": "2.5",
    }
    from safetensors.torch import load_file

    weights = load_file(tmp_path / "run" / "weights.safetensors")
    assert weights["state.bcm.1.threshold"].shape == (3, 1, 20)
    assert (weights["state.bcm.1.threshold"] != 0.1).all()


def test_without_it_the_others_are_as_before():
    entries = json.loads(plastic("plugins", "--json").stdout)
    assert "plastic-stranger" not in {e["distribution"] for e in entries}


def test_an_installed_rule_may_be_handed_over_too(installed, monkeypatch):
    monkeypatch.syspath_prepend(installed)
    from plastic_stranger import Anti

    from plastic_core import RunSpec, run

    result = run(RunSpec(rule="bp+anti", seeds=1, samples=20), rules=[Anti])
    assert result.record["plugins"]["plastic-stranger:anti"] == "2.5"
