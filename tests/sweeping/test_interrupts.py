"""An interrupt ends a sweep, says how to go on, and keeps what was done."""

import json
import os
import signal

import psutil

from plastic_core import RunSpec, Store, SweepSpec
from plastic_core.cli import execute, live
from tests.processes import workers_of

SMALL = ("--seeds", "5", "--samples", "20000", "--sizes", "64,50,10", "--evaluations", "20")


def how_to_go_on(folder):
    return (
        "plastic: interrupted; the same command goes on; what was done is in the store "
        f"{folder / 'store'}"
    )


def test_a_sweep_on_workers_stops_cleanly(tmp_path, capfd, monkeypatch):
    command = ["sweep", "--rule", "bp", "--grid", "bp=1e-3:1e-1:60log", *SMALL, "--block", "5"]
    command += ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "out")]
    children = []

    def interrupt(view, progress):
        if progress.trained and not children:
            children.extend(workers_of())
            for process in (*children, psutil.Process()):  # as a terminal does
                process.send_signal(signal.SIGINT)
        show(view, progress)

    show = live.SweepView.show
    monkeypatch.setattr(live.SweepView, "show", interrupt)
    assert execute([*command, "--workers", "1"]) == 130
    out, err = capfd.readouterr()  # of the workers, too
    assert out == ""
    assert err.splitlines() == ["300 networks, 0 of them in the store", how_to_go_on(tmp_path)]
    assert not any(child.is_running() for child in children)
    assert 5 <= len(list(Store(tmp_path / "store").files())) < 300
    assert not (tmp_path / "out" / "sweep.json").exists()


def test_compare_in_this_process_keeps_each_block_that_ended(tmp_path, capsys, monkeypatch):
    base = RunSpec(seeds=2, samples=20_000, options={"sizes": [64, 50, 10]}, eval_half="choose")
    grid = {"activation": ("softplus", "relu", "tanh", "sigmoid")}  # a block for each
    spec = SweepSpec(rules=("bp",), grid=grid, base=base)
    (tmp_path / "sweep.json").write_text(json.dumps({"spec": spec.model_dump(mode="json")}))

    def interrupt(view, progress):
        if progress.trained == 4:
            os.kill(os.getpid(), signal.SIGINT)
        show(view, progress)

    show = live.SweepView.show
    monkeypatch.setattr(live.SweepView, "show", interrupt)
    store = ["--store", str(tmp_path / "store"), "--workers", "0"]
    assert execute(["compare", str(tmp_path), *store]) == 130
    assert capsys.readouterr().err.splitlines() == [
        "8 networks, 0 of them in the store",
        how_to_go_on(tmp_path),
    ]
    assert len(list(Store(tmp_path / "store").files())) == 4
