"""Data in files wherever networks are trained, kept, found again and resumed."""

import json

from plastic_core import RunSpec, run
from tests.data.points import QUICK, SMALL, WINE, recorded
from tests.processes import CHECKPOINTS, dies, plastic


def test_networks_come_from_the_store_wherever_the_file_lies(wine, tmp_path, capsys):
    store = ["--store", str(tmp_path / "store")]
    flags = ["--target", "target", "--scale", "unit", *SMALL, *store]
    first = recorded(capsys, "run", "--data", wine, *flags, "--out", str(tmp_path / "first"))
    elsewhere = tmp_path / "folder" / "other.csv"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes((tmp_path / "wine.csv").read_bytes())
    where = ["--data", str(elsewhere), "--out", str(tmp_path / "second"), "--reuse"]
    second = recorded(capsys, "run", *where, *flags)
    assert "all 2 networks were taken from the store, and none was trained" in second["notes"]
    assert second["accuracy"] == first["accuracy"]
    where[3] = str(tmp_path / "third")
    flags[3] = "standard"
    assert not any("from the store" in n for n in recorded(capsys, "run", *where, *flags)["notes"])


def test_a_sweep_and_its_comparison(wine, tmp_path, capsys):
    where = ["--store", str(tmp_path / "store"), "--workers", "2"]
    out = tmp_path / "sweep"
    flags = ["--data", wine, "--target", "target", *SMALL, "--rule", "bp", "--grid", "bp=1e-3,1e-2"]
    grid = [*flags, "--grid", "scale=none,standard", *where, "--out"]
    found = recorded(capsys, "sweep", *grid, str(out))
    assert (found["cells"], found["trained"], found["failed"]) == (8, 8, [])
    again = recorded(capsys, "sweep", *grid, str(tmp_path / "again"))
    assert (again["from_store"], again["trained"]) == (8, 0)
    spec = RunSpec(
        rule="0.01*bp", data=wine, target=("target",), scale="standard", eval_half="choose", **QUICK
    )
    assert found["arms"][-1]["accuracy"] == run(spec).summary["accuracy"]["mean"]
    compared = recorded(capsys, "compare", str(out), *where)
    assert [row["conditions"] for row in compared["rules"]] == [
        {"scale": "none"},
        {"scale": "standard"},
    ]
    report = spec.model_copy(
        update={"eval_half": "report", "rule": f"{compared['rules'][1]['thetas']['bp']}*bp"}
    )
    assert compared["rules"][1]["accuracy"] == run(report).summary["accuracy"]["mean"]


def test_a_search(wine, tmp_path, capsys):
    flags = ["--data", wine, "--target", "target", "--scale", "standard", *SMALL, "--rule", "bp"]
    flags += ["--range", "bp=1e-3:1e-1log", "--trials", "4", "--out", str(tmp_path / "search")]
    flags += ["--store", str(tmp_path / "store"), "--workers", "2"]
    best = recorded(capsys, "search", *flags)["best"]
    spec = RunSpec(
        rule=f"{best['point']['bp']!r}*bp", data=wine, target=("target",), scale="standard", **QUICK
    )
    assert best["accuracy"] == run(spec).summary["accuracy"]["mean"]


def test_a_run_that_was_killed_is_resumed_on_the_same_data_alone(wine, tmp_path):
    flags = ["--data", wine, "--target", "target", "--seeds", "2", "--samples", "4000"]
    out = tmp_path / "out"
    killed = CHECKPOINTS + dies("os.rename .*checkpoint", 4)
    assert plastic("run", *flags, "--out", str(out), first=killed).returncode < 0
    moved = tmp_path / "moved.csv"
    moved.write_bytes((tmp_path / "wine.csv").read_bytes())
    WINE.iloc[:-1].to_csv(wine, index=False)
    done = plastic("run", *flags, "--out", str(out), "--resume")
    assert done.returncode == 2
    assert (
        "what this run depends on was changed since, so it cannot be resumed:\n  data: "
        in done.stderr
    )
    flags[1] = str(moved)
    done = plastic("run", *flags, "--out", str(out), "--resume", "--json")
    assert done.returncode == 0
    assert any(note.startswith("resumed at sample") for note in json.loads(done.stdout)["notes"])
    whole = run(RunSpec.from_file(out / "run.json"))
    assert json.loads(done.stdout)["accuracy"] == whole.summary["accuracy"]


def test_records_of_before_are_resumed(tmp_path):
    spec = RunSpec(**QUICK)
    run(spec, out=tmp_path / "out")
    written = json.loads((tmp_path / "out" / "run.json").read_text())["spec"]
    assert not {"data", "target", "target_kind", "scale"} & written.keys()
    assert run(spec, out=tmp_path / "out", resume=True).record["state"] == "finished"


def test_a_file_that_changes_is_read_again(wine):
    spec = RunSpec(data=wine, target=("target",), **QUICK)
    digests = [run(spec).record["sources"]["data"]]
    WINE.iloc[:-1].to_csv(wine, index=False)
    assert run(spec).record["sources"]["data"] not in digests
