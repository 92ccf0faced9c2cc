"""plastic check: every mistake found, its message in full."""

import json
import re
import sys
from pathlib import Path

import pytest

from plastic_core import __version__
from plastic_core.backends.native.follower import FOLLOWED
from plastic_core.cli import execute
from tests.plugins.broken import MISTAKES, broken_wheel
from tests.plugins.packages import rule_source, unpack

TEXT = (Path(__file__).parent / "broken_messages.txt").read_text(encoding="utf-8")
MESSAGES = dict(
    re.findall(r"##### (.*)\n((?:(?!#####).*\n)*)", TEXT.replace("VERSION", __version__))
)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_found_and_explained(tmp_path, monkeypatch, capsys, mistake):
    unpack(broken_wheel(tmp_path, mistake), tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "broken_0", raising=False)
    assert execute(["check", "plastic-broken-0"]) == 1
    assert capsys.readouterr().out == MESSAGES[mistake]


def test_all_faults_of_a_folder_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "plastic-two"
    (folder / "src").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "plastic-two"\ndependencies = ["numpy"]\n'
        '[project.entry-points."plastic.rules"]\n'
        'one = "two_modules_one:Mine"\n"1two" = "two_modules_two:Mine"\n'
        '[project.entry-points."plastic.task"]\n'
    )
    bad = rule_source("one").replace("(self, s)", "(self, x)").replace("1e-4", "-1")
    (folder / "src" / "two_modules_one.py").write_text(bad)
    (folder / "src" / "two_modules_two.py").write_text(rule_source("1two"))
    assert execute(["check", str(folder), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [(f["plugin"], f["file"], f["line"], f["found"]) for f in report["faults"]] == [
        (
            *("", "", 0),
            "the name '1two' cannot be written in a rule expression",
        ),
        ("", "", 0, "there is no group 'plastic.task'; did you mean 'plastic.tasks'?"),
        ("", "", 0, "the dependencies do not name plastic-learning"),
        (
            *("rule one", "src/two_modules_one.py", 9),
            "importing two_modules_one:Mine raised SpecError: Theta: default = -1 is outside the bounds: "
            "a finite number of at least 0",
        ),
        (
            *("rule one", "src/two_modules_one.py", 13),
            "Mine.plastic_local_update takes (self, x), expected (self, s)",
        ),
        (
            *("rule 1two", "src/two_modules_two.py", 7),
            "importing two_modules_two:Mine raised SpecError: RuleSpec: name = '1two': string should match "
            "pattern '^[A-Za-z][A-Za-z0-9_-]*$'",
        ),
    ]
    assert report["plugins"] == {"rule one": "", "rule 1two": ""}


def test_a_good_file_runs_on_every_backend(tmp_path, capsys):
    file = tmp_path / "good.py"
    file.write_text(rule_source("good"))
    assert execute(["check", str(file)]) == 0
    assert capsys.readouterr().out == (
        f"{file}: no faults in rule good\n  rule good: runs on native, compiled, eager\n"
    )


def test_faults_of_a_file_that_can_and_that_cannot_be_imported(tmp_path, capsys):
    file = tmp_path / "bad.py"
    file.write_text(rule_source("bad", body="return s.state.memory"))
    assert execute(["check", str(file)]) == 1
    assert "found     raised AttributeError: " in capsys.readouterr().out
    file.write_text("1/0")
    assert execute(["check", str(file)]) == 1
    assert capsys.readouterr().out == (
        f"{file}: 1 fault in rule bad\n\nrule bad, bad.py:1, bad.py\n"
        "  found     importing bad.py raised ZeroDivisionError: division by zero\n"
        "  accepted  let the module be imported without raising\n"
        '  example   python -c "import bad.py"\n'
    )


def test_the_built_in_transforms_and_a_faulty_one(tmp_path, capsys):
    file = tmp_path / "shrink.py"
    file.write_text(
        "from plastic_core.api import Transform, TransformSpec, hookimpl\n"
        "class Shrink(Transform):\n"
        "    spec = TransformSpec(name='shrink', summary='s', reference='r')\n"
        "    @hookimpl\n"
        "    def plastic_transform_update(self, u):\n"
        "        return u.increment.sum()\n"
    )
    assert execute(["check", str(file)]) == 1
    assert capsys.readouterr().out == (
        f"{file}: 1 fault in transform shrink\n\n"
        "transform shrink, shrink.py:4, Shrink.plastic_transform_update\n"
        "  found     returned []\n"
        "  accepted  expected the new increment, here [2, 4, 5]\n"
        "  example   return 0.5 * u.increment\n"
    )
    file.write_text(
        "from plastic_core.api import State, Transform, TransformSpec, hookimpl\n"
        "class Shrink(Transform):\n"
        "    spec = TransformSpec(name='shrink', summary='s', reference='r',\n"
        "                         state={'mean': State(over='post')})\n"
        "    @hookimpl\n"
        "    def plastic_transform_update(self, u):\n"
        "        return u.increment, {'mean': u.increment.mean(1, keepdim=True)}\n"
    )
    assert execute(["check", str(file)]) == 1
    found = "raised ValueError: the state 'mean' became [2, 1, 5] in place of [2, 1, 4]"
    assert f"  found     {found}\n" in capsys.readouterr().out


TRANSFORM = """
import torch
from plastic_core.api import Transform, TransformSpec, hookimpl
class Shrink(Transform):
    spec = TransformSpec(name="shrink", summary="s", reference="r")
    @hookimpl
    def plastic_transform_update(self, u):
        return {}
"""


def test_it_says_which_backends_take_a_transform(tmp_path, capsys):
    file = tmp_path / "shrink.py"
    file.write_text(TRANSFORM.format("0.5 * u.increment"))
    assert execute(["check", str(file)]) == 0
    assert capsys.readouterr().out == (
        f"{file}: no faults in transform shrink\n"
        "  transform shrink: runs on native, compiled, eager\n"
    )
    file.write_text(
        TRANSFORM.format("u.increment / (1 + u.increment.norm(dim=(1, 2), keepdim=True))")
    )
    assert execute(["check", str(file)]) == 0
    assert capsys.readouterr().out.endswith(
        f"runs on compiled, eager; not native: line 8: C is not generated for 'norm'; {FOLLOWED}\n"
    )


def test_a_transform_that_does_something_else_where_it_is_followed(tmp_path, capsys):
    file = tmp_path / "shrink.py"
    file.write_text(TRANSFORM.format("u.increment * (1 + torch.is_grad_enabled())"))
    assert execute(["check", str(file)]) == 1
    out = capsys.readouterr().out
    assert "gives other numbers on the backend native than on eager, in weight.1: off by " in out
    assert "  accepted  compute from the increment, the weight and the states alone\n" in out


def test_a_faulty_probe(tmp_path, capsys):
    file = tmp_path / "mean.py"
    file.write_text(
        "from plastic_core.api import Measure, Probe, ProbeSpec, hookimpl\n"
        "class Mean(Probe):\n"
        "    spec = ProbeSpec(name='mean', summary='s', equation='x', reference='r',\n"
        "                     measures={'mean': Measure(long_name='mean')})\n"
        "    @hookimpl\n"
        "    def plastic_measure(self, n):\n"
        "        return {'mean': n.activities[-1].mean((1, 2))}\n"
    )
    assert execute(["check", str(file)]) == 1
    assert capsys.readouterr().out == (
        f"{file}: 1 fault in probe mean\n\n"
        "probe mean, mean.py:5, Mean.plastic_measure\n"
        "  found     returned 'mean' of shape [2]\n"
        "  accepted  expected [R, layer], here R 2, layer 3\n"
        '  example   "mean": torch.stack([... for y in n.activities[1:]], 1)\n'
    )


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "nobody",
            "check nobody: there is no such file or folder, and no package of that name is "
            "installed\n  installed packages with plugins: plastic-learning",
        ),
        (
            "{folder}",
            "check {folder}: the folder holds no pyproject.toml; give the folder of a package, a file such "
            "as my_rule.py, or the name of an installed package",
        ),
        (
            "numpy",
            "check numpy {numpy}: numpy has no entry point in plastic.activations, plastic.initialisations, "
            "plastic.layers, plastic.losses, plastic.observers, plastic.probes, plastic.rules, plastic.tasks, plastic.transforms, so that there is nothing to check",
        ),
        (
            "{folder}/empty.py",
            "check {folder}/empty.py: defines no rule, transform, probe, task, layer, activation, loss, "
            "initialisation or observer; expected a subclass of plastic_core.api.Rule, Transform, Probe, Task, "
            "Layer, Activation, Loss, Initialisation or Observer",
        ),
    ],
)
def test_where_there_is_nothing_to_look_at_the_code_is_2(tmp_path, capsys, target, message):
    import numpy

    (tmp_path / "empty.py").write_text("x = 1")
    filled = {"folder": tmp_path, "numpy": numpy.__version__}
    assert execute(["check", target.format(**filled)]) == 2
    assert capsys.readouterr().err == f"plastic: {message.format(**filled)}\n"


def test_backends_that_do_not_take_a_rule_are_named(tmp_path, capsys):
    file = tmp_path / "branching.py"
    body = "return outer(s.post if s.post.max() > 0 else -s.post, s.pre)"
    file.write_text(rule_source("branching", body=body))
    assert execute(["check", str(file)]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith("  rule branching: runs on eager; not native: ")
    assert "; not compiled: " in line


HOOKS = {
    "plastic_forward": "return torch.bmm(s.pre, s.weight.mT)",
    "plastic_propagate_error": "return s.weight_error",
    "plastic_local_update": "return outer(s.post, s.pre)",
}


@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_is_of_the_hook_at_fault(tmp_path, capsys, hook):
    file = tmp_path / "my_rule.py"
    more = " propagates=True," if hook == "plastic_propagate_error" else ""
    source = rule_source(more=more, body="return 1 / 0")
    file.write_text(source.replace("plastic_local_update", hook))
    assert execute(["check", str(file), "--json"]) == 1
    (fault,) = json.loads(capsys.readouterr().out)["faults"]
    assert fault["place"] == f"Mine.{hook}"
    assert fault["found"] == "raised ZeroDivisionError: division by zero in line 14"
    assert fault["example"] == HOOKS[hook]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (
            "return outer(s.post * torch.rand_like(s.post), s.pre)",
            "draws numbers of torch's generator",
        ),
        (
            "Mine.calls = getattr(Mine, 'calls', 0) + 1; return outer(s.post * Mine.calls, s.pre)",
            "gives other numbers when it is called again: it draws random numbers, or counts",
        ),
    ],
)
def test_what_is_not_repeatable_is_named_and_nothing_else(tmp_path, capsys, body, found):
    file = tmp_path / "my_rule.py"
    file.write_text("import torch\n" + rule_source(body=body))
    assert execute(["check", str(file), "--json"]) == 1
    (fault,) = json.loads(capsys.readouterr().out)["faults"]
    assert fault["found"] == found


def test_compiling_can_be_left_out_and_has_a_limit(tmp_path, capsys):
    file = tmp_path / "my_rule.py"
    file.write_text(rule_source())
    assert execute(["check", str(file), "--no-compiled"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{file}: no faults in rule mine\n  rule mine: runs on native, eager\n"
    assert printed.err == "1 of 1: rule mine\n"
    assert execute(["check", str(file), "--limit", "1e-6"]) == 0
    printed = capsys.readouterr()
    assert (
        "note: rule mine: 'check compiled' was given up after 1e-06 s; --limit SECONDS gives it "
        "longer\n"
    ) in printed.out
    assert "  rule mine: compiling; --no-compiled leaves it out\n" in printed.err
    assert execute(["check", str(file), "--limit", "0"]) == 2
    assert capsys.readouterr().err == "plastic: --limit 0: expected a number above 0\n"
