"""No result is lost, mixed with another or handed out as what it is not."""

import json
import threading

import numpy as np
import pytest
import xarray as xr

from plastic_core import MetaSpec, PlasticError, RunSpec, Store, SweepSpec, meta_learn, run, sweep
from plastic_core.cli import execute
from plastic_core.results import result_folder
from tests.processes import start

SMALL = {"seeds": 2, "samples": 200, "evaluations": 2, "options": {"sizes": [64, 12, 10]}}

RULE = """
from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer
{imports}

class Mine(Rule):
    calls = 0
    spec = RuleSpec(
        name="mine",
        summary="for the tests",
        equation="y x^T",
        reference="none",
        modifies="forward",
        reads={{"post", "pre"}},
        theta=Theta(default=1e-4),
    )

    @hookimpl
    def plastic_local_update(self, s):
        {body}
        return {update}
"""

SOUND = "outer(s.post, s.pre)"

#: It counts by a value, which cannot be followed, so that every step calls it.
BAD_LATER = """Mine.calls += int(s.post.amax() > -1)
        if Mine.calls > 99:
            {what}"""


def flags(**changed):
    """Return the flags of a small run."""
    fields = {"seeds": 2, "samples": 200, "evaluations": 2, "sizes": "64,12,10", **changed}
    return [text for name, value in fields.items() for text in (f"--{name}", str(value))]


def plugin(folder, update=SOUND, body="", imports=""):
    """Write a plugin file whose rule is called 'mine'."""
    file = folder / "mine.py"
    file.write_text(RULE.format(update=update, body=body or "pass", imports=imports))
    return str(file)


def test_runs_begun_in_the_same_second_have_folders_of_their_own(tmp_path):
    runs = [start("run", *flags(samples=n), cwd=tmp_path) for n in (200, 300, 400)]
    assert [one.wait() for one in runs] == [0, 0, 0]
    records = [json.loads(f.read_text()) for f in tmp_path.glob("runs/*/run.json")]
    assert sorted(record["spec"]["samples"] for record in records) == [200, 300, 400]
    assert all(record["state"] == "finished" for record in records)


def test_a_folder_belongs_to_one_process(tmp_path, capsys):
    folder, inside, go_on = tmp_path / "out", threading.Event(), threading.Event()

    def hold(curves):
        inside.set()
        go_on.wait()

    other = threading.Thread(
        target=run, args=(RunSpec(**SMALL),), kwargs={"out": folder, "on_point": hold}
    )
    other.start()
    try:
        inside.wait()
        assert execute(["run", *flags(), "--out", str(folder), "--resume"]) == 2
        assert capsys.readouterr().err == (
            f"plastic: --out {folder}: another process is writing there now; wait for its end, or "
            "give another folder\n"
        )
    finally:
        go_on.set()
        other.join()
    assert execute(["run", *flags(), "--out", str(folder), "--resume"]) == 0
    assert sorted(p.name for p in folder.iterdir()) == [
        "curves.nc",
        "learning_curve.png",
        "run.json",
        "weights.safetensors",
    ]


def test_a_mistake_leaves_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert execute(["run", "--task", "mnist-mlp", "--data-dir", str(tmp_path / "none")]) == 2
    capsys.readouterr()
    assert not (tmp_path / "runs").exists()


def test_a_store_that_cannot_be_written_costs_no_run(tmp_path, capsys):
    blocked = tmp_path / "store"
    blocked.write_text("a file")
    out = tmp_path / "out"
    assert execute(["run", *flags(), "--out", str(out), "--store", str(blocked)]) == 0
    printed = capsys.readouterr().out
    record = json.loads((out / "run.json").read_text())
    note = next(n for n in record["notes"] if n.startswith("not added to the store: "))
    assert f"note: {note}\n" in printed
    assert record["state"] == "finished"
    assert record["result"]["notes"] == record["notes"]
    assert xr.load_dataset(out / "curves.nc")["accuracy"].notnull().all()


@pytest.mark.parametrize("command", ["run", "meta"])
def test_a_figure_that_cannot_be_drawn_costs_no_result(tmp_path, monkeypatch, capsys, command):
    def fail(*_):
        raise ValueError("no such backend")

    name = {"run": "draw_learning_curve", "meta": "draw_meta_learning"}[command]
    monkeypatch.setattr(f"plastic_core.figures.{name}", fail)
    out = tmp_path / "out"
    given = flags() if command == "run" else ["--episodes", "2", "--shots", "4", "--queries", "2"]
    assert execute([command, *given, "--out", str(out)]) == 0
    file, picture = {
        "run": ("run.json", "learning_curve.png"),
        "meta": ("meta.json", "meta_learning.png"),
    }[command]
    note = f"{picture} was not drawn: ValueError: no such backend"
    assert f"note: {note}\n" in capsys.readouterr().out
    record = json.loads((out / file).read_text())
    assert record["state"] == "finished"
    assert note in record["notes"]


FAULTS = {
    "raises": ("raise ValueError('boom')", "raised ValueError: boom in line 21"),
    "exits": ("raise SystemExit(3)", "raised SystemExit: 3 in line 21"),
    "nothing": ("return None", "raised TypeError: it returned None, which is no update"),
    "a number": ("return 0.5", "raised TypeError: it returned 0.5, which is no update"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_rule_that_fails_in_the_middle_is_named(tmp_path, monkeypatch, capsys, fault):
    monkeypatch.setattr(result_folder, "_FIRST_CHECKPOINT", 0.0)
    monkeypatch.setattr(result_folder, "_CHECKPOINT_SHARE", float("inf"))
    what, said = FAULTS[fault]
    file = plugin(tmp_path, body=BAD_LATER.format(what=what))
    out = tmp_path / "out"
    given = ["--plugin", file, "--rule", "mine", "--out", str(out)]
    assert execute(["run", *flags(evaluations=10), *given]) == 2
    # tried by two calls, then called once for each of two layers, from the output down
    message = capsys.readouterr().err.splitlines()[-1]
    assert message == (
        f"plastic: the rule 'mine' failed in layer 1: plastic_local_update {said}, at sample 49"
    )
    assert json.loads((out / "run.json").read_text())["state"] == "started"
    assert (out / "checkpoint.safetensors").exists()


def test_a_shape_that_changes_in_the_middle_is_explained(tmp_path, capsys):
    body = BAD_LATER.format(what="return outer(s.post[..., :1], s.pre)")
    given = ["--plugin", plugin(tmp_path, body=body), "--rule", "mine"]
    assert execute(["run", *flags(), *given, "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message == (
        "plastic: what mine returned in layer 1 cannot be added to the matrices: ValueError: "
        "factors of sizes (1, 64) for a matrix of (12, 64), at sample 49"
    )


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_rule_that_fails_costs_a_sweep_its_own_block_alone(tmp_path, workers):
    # the rule fails where weights are large, which is at one of the thetas of bp
    file = plugin(
        tmp_path,
        body="if s.post.amax() > 0.9999 and s.post.shape[-1] == 10:\n            raise SystemExit(3)",
    )
    base = RunSpec(**SMALL, plugins=(file,))
    spec = SweepSpec(rules=("bp+mine",), grid={"bp": (1e-4, 50.0)}, base=base)
    result = sweep(spec, Store(tmp_path / "store"), workers=workers, limit=1)
    good, bad = result.arms
    assert sorted(good.results) == [0, 1]
    assert bad.results == {}
    assert len(result.progress.failed) == 2
    assert all(
        reason.startswith(
            "the rule 'mine' failed in layer 2: plastic_local_update raised SystemExit: 3"
        )
        for reason in result.progress.failed.values()
    )


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("what", ["rule", "helper", "helper of the helper"])
def test_a_run_of_changed_code_is_not_resumed(tmp_path, monkeypatch, capsys, what, finished):
    monkeypatch.setattr(result_folder, "_FIRST_CHECKPOINT", 0.0)
    (tmp_path / "deep_helper.py").write_text("FACTOR = 1.0\n")
    (tmp_path / "mine_helper.py").write_text("import deep_helper\nFACTOR = deep_helper.FACTOR\n")
    file = plugin(tmp_path, f"mine_helper.FACTOR * {SOUND}", imports="import mine_helper")
    spec = RunSpec(rule="mine", plugins=(file,), **SMALL)
    out = tmp_path / "out"
    if finished:
        run(spec, out=out)
    else:
        with pytest.raises(ZeroDivisionError):
            run(spec, out=out, on_point=lambda curves: 1 / 0)
    source = {
        "rule": tmp_path / "mine.py",
        "helper": tmp_path / "mine_helper.py",
        "helper of the helper": tmp_path / "deep_helper.py",
    }[what]
    source.write_text(source.read_text() + "# changed\n")
    with pytest.raises(PlasticError) as caught:
        run(spec, out=out, resume=True)
    lines = str(caught.value).split("\n")
    assert lines[0] == (
        f"--out {out}: what this run depends on was changed since, so it cannot be resumed:"
    )
    assert lines[1].startswith("  mine:mine: file+")
    assert lines[2:] == ["  give another folder, or bring back what was there"]


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_on_changed_data_is_not_resumed(tmp_path, finished):
    source = np.random.default_rng(0)
    x, y = source.random((60, 8)), source.integers(0, 3, 60)
    spec, out = RunSpec(seeds=1, samples=40, evaluations=2), tmp_path / "out"
    if finished:
        run(spec, data=(x, y), out=out)
    else:
        with pytest.raises(ZeroDivisionError):
            run(spec, data=(x, y), out=out, on_point=lambda curves: 1 / 0)
    with pytest.raises(PlasticError) as caught:
        run(spec, data=(x, (y + 1) % 3), out=out, resume=True)
    assert str(caught.value).split("\n")[1].startswith("  data: ")
    assert run(spec, data=(x, y), out=out, resume=True).record["state"] == "finished"


def test_meta_learning_of_changed_code_is_not_handed_out(tmp_path):
    file = plugin(tmp_path)
    options = {"shots": 4, "queries": 2}
    spec = MetaSpec(rule="bp+mine", plugins=(file,), episodes=1, seeds=1, options=options)
    out = tmp_path / "out"
    meta_learn(spec, out=out)
    plugin(tmp_path, update=f"2 * {SOUND}")
    with pytest.raises(PlasticError, match="what this meta-learned rule depends on was changed"):
        meta_learn(spec, out=out, resume=True)


def test_the_store_tells_a_changed_helper(tmp_path):
    (tmp_path / "mine_helper.py").write_text("FACTOR = 1.0\n")
    file = plugin(tmp_path, f"mine_helper.FACTOR * {SOUND}", imports="import mine_helper")
    spec, store = RunSpec(rule="mine", plugins=(file,), **SMALL), Store(tmp_path / "store")
    run(spec, store=store)
    assert run(spec, store=store, reuse=True).record["backend_reason"] == "from the store"
    (tmp_path / "mine_helper.py").write_text("FACTOR = 2.0\n")
    again = run(spec, store=store, reuse=True)
    assert "0 of 2 networks were in the store; all are trained" in again.record["notes"]


@pytest.mark.parametrize(
    ("body", "update"),
    [
        ("Mine.calls += 1", "outer(s.post / Mine.calls, s.pre)"),
        ("", "outer(s.post * numpy.random.default_rng().random(), s.pre)"),
    ],
)
def test_what_cannot_be_repeated_is_said_and_not_kept(tmp_path, body, update):
    file = plugin(tmp_path, update, body, imports="import numpy")
    spec, store = RunSpec(rule="bp+mine", plugins=(file,), **SMALL), Store(tmp_path / "store")
    note = (
        "not repeatable: mine gave other numbers when called again, drawn at random or counted; "
        "the result is not kept in the store"
    )
    assert note in run(spec, store=store).record["notes"]
    sweep(SweepSpec(rules=("bp+mine",), grid={"bp": (0.01,)}, base=spec), store, workers=0)
    assert list(store.files()) == []
    again = run(spec, store=store, reuse=True)
    assert "0 of 2 networks were in the store; all are trained" in again.record["notes"]


def test_samples_and_updates_are_told_apart(tmp_path, capsys):
    given = ["--batch-size", "16", "--json", "--out", str(tmp_path / "out")]
    assert execute(["run", *flags(samples=1000), *given]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    updates = result["updates_per_second"] * result["train_seconds"]
    samples = result["samples_per_second"] * result["train_seconds"]
    assert (round(updates), round(samples)) == (2 * 63, 2 * 1000)  # 62 of 16 and one of 8
    assert (
        f"trained at {result['samples_per_second']:,.0f} samples/s, "
        f"{result['updates_per_second']:,.0f} updates/s, of all networks together\n"
    ) in printed.err


def test_transforms_stand_in_header_table_record_and_curves(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    out = tmp_path / "out"
    given = ["--rule", "bp", "--transform", "momentum", "--out", str(out)]
    assert execute(["run", *flags(), *given]) == 0
    printed = capsys.readouterr()
    assert "transform momentum, beta 0.9\n" in printed.err
    assert "bp, momentum  " in printed.out
    record = json.loads((out / "run.json").read_text())
    assert [one["name"] for one in record["transforms"]] == ["momentum"]
    assert xr.load_dataset(out / "curves.nc").attrs["rule"].endswith("*bp, momentum")
