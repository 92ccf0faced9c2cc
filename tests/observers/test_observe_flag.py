"""plastic run --observe: named, given parameters, refused, failing, and out of the way of --json."""

import json

import pytest

from plastic_core.cli import execute
from tests.observers.watched import FLAGS, METHODS, observer_file
from tests.plugins.packages import build_wheel, unpack
from tests.processes import plastic

THETA = ["--set", "bp.theta=0.05"]


def observed(file, *more):
    return [
        "run",
        *FLAGS,
        "--rule",
        "bp",
        *THETA,
        "--plugin",
        str(file),
        "--observe",
        "mine",
        *more,
    ]


@pytest.fixture
def plain(tmp_path, capsys):
    """Return the score of the run that nothing observes."""
    out = str(tmp_path / "plain")
    assert execute(["run", *FLAGS, "--rule", "bp", *THETA, "--json", "--out", out]) == 0
    return json.loads(capsys.readouterr().out)["score"]


def test_an_observer_from_a_file_with_a_parameter(tmp_path, capsys, plain):
    said = '(run.folder / "said").write_text(self.params.text)'
    file, out = observer_file(tmp_path, plan=said), tmp_path / "run"
    more = ["--set", "mine.text=hello", "--json", "--out", str(out)]
    assert execute(observed(file, *more)) == 0
    result = json.loads(capsys.readouterr().out)
    assert (out / "said").read_text() == "hello"
    assert result["score"] == plain
    spec = json.loads((out / "run.json").read_text())["spec"]
    assert spec["settings"] == {"bp": {"theta": 0.05}}


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("raise OSError('no disk')", "OSError: no disk"),
        ("raise SystemExit", "SystemExit"),
        (
            "import a_library_that_is_not_there",
            "ModuleNotFoundError: No module named 'a_library_that_is_not_there'",
        ),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_one_that_fails_says_so_at_once_and_in_the_notes(
    tmp_path, capsys, plain, method, raised, said
):
    file = observer_file(tmp_path, **{method.removeprefix("on_"): raised})
    assert execute(observed(file, "--json", "--out", str(tmp_path / "run"))) == 0
    out, err = capsys.readouterr()
    line = f"observer mine failed at {method} ({said}) and was switched off; the run goes on"
    assert f"note: {line}\n" in err
    result = json.loads(out)
    assert result["score"] == plain
    assert line in result["notes"]


def test_what_it_prints_stays_out_of_the_json(tmp_path):
    prints = "import os; print('by print'); os.system('echo by echo'); os.write(1, b'by write')"
    file = observer_file(tmp_path, plan=prints, point=prints, result=prints)
    file.write_text(
        f"{file.read_text()}\n    def __init__(self):\n        super().__init__(); print('made')\n"
    )
    done = plastic(*observed(file, "--json", "--out", str(tmp_path / "run")))
    assert json.loads(done.stdout)["rule"] == "bp"
    for word in ("by print", "by echo", "by write", "made"):
        assert word in done.stderr


MISTAKES = {
    "unknown": (
        {},
        ["--observe", "tensorbord"],
        "there is no observer 'tensorbord'; did you mean 'tensorboard'?",
    ),
    "twice": ({}, ["--observe", "mine"], "observe mine, mine: one of them stands twice"),
    "no such parameter": (
        {},
        ["--set", "mine.txt=1"],
        "setting of 'mine': there is no 'txt' (value 1); did you mean 'text'?\n  accepted are text",
    ),
    "the setting of an observer that does not observe": (
        {},
        ["--set", "tensorboard.folder=x"],
        "setting of 'tensorboard': it is no rule, transform or probe of this run",
    ),
    "a bad name": (
        {"name": "no name"},
        [],
        "importing it raised SpecError: ObserverSpec: name = 'no name': string should match pattern",
    ),
    "a spec that is none": (
        {"more": ", sumary='x'"},
        [],
        "there is no field 'sumary'; did you mean 'summary'? The fields are api, name, params, "
        "requires, summary",
    ),
    "at import": (
        {"more": ", x=1/0"},
        [],
        "importing it raised ZeroDivisionError: division by zero",
    ),
    "of another API": ({"more": ", api=2"}, [], "it was written for API 2"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_is_one_message_before_anything_is_trained(tmp_path, capsys, kind):
    change, more, message = MISTAKES[kind]
    file = observer_file(tmp_path, **change)
    assert execute(observed(file, *more, "--out", str(tmp_path / "run"))) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("plastic: ")
    assert message in err
    assert not (tmp_path / "run").exists()


def test_one_that_cannot_be_made_is_refused(tmp_path, capsys):
    file = observer_file(tmp_path)
    for raised in ("1/0", "raise SystemExit(3)"):
        file.write_text(
            observer_file(tmp_path).read_text() + f"\n    def __init__(self):\n        {raised}\n"
        )
        assert execute(observed(file, "--out", str(tmp_path / "run"))) == 2
        err = capsys.readouterr().err
        assert err.startswith(
            "plastic: plastic_plugin_file_mine:Mine cannot be used as an observer: "
        )
        assert "raised" in err
    assert not (tmp_path / "run").exists()


def test_a_strangers_package_comes_in_by_its_entry_point(tmp_path):
    source = observer_file(
        tmp_path, result='print("stranger saw", run.result["seeds"])'
    ).read_text()
    points = {"plastic.observers": {"mine": "stranger:Mine"}}
    unpack(
        build_wheel(tmp_path, "plastic-stranger", {"stranger": source}, points), tmp_path / "site"
    )
    site = {"path": tmp_path / "site"}
    listed = json.loads(plastic("plugins", "--json", **site).stdout)
    (mine,) = [one for one in listed if one["name"] == "mine"]
    assert (mine["kind"], mine["distribution"], mine["state"]) == (
        "observer",
        "plastic-stranger",
        "ok",
    )
    for name in ("mine", "plastic-stranger:mine"):
        done = plastic("run", *FLAGS, "--observe", name, "--out", str(tmp_path / name), **site)
        assert done.returncode == 0, done.stderr
        assert "stranger saw 2" in done.stdout


def test_check_calls_no_method_of_an_observer(tmp_path, capsys):
    file = observer_file(tmp_path, plan="raise SystemExit")
    assert execute(["check", str(file)]) == 0
    assert "no faults in observer mine" in capsys.readouterr().out
    file.write_text(
        file.read_text().replace("def on_point(self, run, point)", "def on_pont(self, run)")
    )
    assert execute(["check", str(file)]) == 1
    assert "there is no method 'on_pont'; did you mean 'on_point'?" in capsys.readouterr().out
