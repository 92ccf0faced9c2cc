"""What a sweep and a search say while they run."""

import re
import time

from plastic_core import Counts, Progress, RunSpec, SearchProgress, SweepSpec
from plastic_core.cli import execute, live
from plastic_core.experiments.sweeping.arms import expand
from plastic_core.plugins.catalogue import Catalogue
from tests.processes import wait_until

BASE = RunSpec(seeds=2, samples=20, evaluations=1, options={"sizes": [64, 5, 10]})


def test_a_sweep_says_all_that_is_asked_of_it():
    # so long ago that the time of this test does not count
    progress = Progress(total=4_000_160, found=20, begun=time.monotonic() - 1e6)
    line = live.sweep_line(progress)
    assert line == "20 of 4000160 networks, 0 running, 0 failed, 0 diverged"
    progress.trained, progress.running, progress.diverged = 4_000_000, 12, 3
    progress.failed = {"key": "KilledWorker: ..."}
    progress.best = 0.91234
    progress.best_arm = expand(
        SweepSpec(rules=("oja+bp",), grid={"bp": (0.0123456,), "init": ("naive",)}, base=BASE),
        Catalogue(),
    )[0]
    line = live.sweep_line(progress)
    assert line == (
        "4000021 of 4000160 networks, 12 running, 1 failed, 3 diverged, 4/s, 0:00:35 left, "
        "best so far 91.2% by oja+bp bp 0.01235 init naive"
    )


def test_a_search_says_all_that_is_asked_of_it():
    counts = Counts(complete=5, pruned=3, diverged=2, failed=1, running=2, reclaimed=1)
    progress = SearchProgress(60, counts, 0.87654, {"bp": 0.0123456, "oja": 1e-4}, rate=0.1)
    assert live.search_line(progress) == (
        "11 of 60 trials, 2 running, 3 pruned, 2 diverged, 1 failed, 6/min, 0:08:10 left, "
        "best so far 87.7% by bp 0.01235 oja 0.0001"
    )
    assert live.search_line(SearchProgress(60, Counts(), None, {}, rate=0)) == (
        "0 of 60 trials, 0 running, 0 pruned, 0 diverged, 0 failed"
    )


def test_without_a_terminal_a_line_comes_each_minute_where_nothing_ends(capsys, monkeypatch):
    assert live._LINE_SECONDS == 60
    monkeypatch.setattr(live, "_LINE_SECONDS", 0.01)
    lines = []

    def three_came():
        lines.extend(capsys.readouterr().err.splitlines())
        return len(lines) > 3

    with live.SweepView() as view:
        view.show(Progress(total=8, found=1, running=7))
        wait_until(three_came)
    assert lines[0] == "8 networks, 1 of them in the store"
    assert set(lines[1:]) == {"1 of 8 networks, 7 running, 0 failed, 0 diverged"}


def test_without_a_terminal_what_ends_at_once_says_no_more_than_its_beginning(capsys):
    with live.SweepView() as view:
        view.show(Progress(total=8, found=1, running=7))
    assert capsys.readouterr().err == "8 networks, 1 of them in the store\n"


def test_a_sweep_knows_what_is_running_and_what_is_best(tmp_path, capsys, monkeypatch):
    seen = []
    show = live.SweepView.show

    def look(view, progress):
        show(view, progress)
        seen.append(live.sweep_line(progress))

    monkeypatch.setattr(live.SweepView, "show", look)
    command = ["sweep", "--rule", "bp", "--grid", "bp=0.01,0.1", "--seeds", "2", "--samples", "50"]
    command += ["--sizes", "64,5,10", "--evaluations", "1", "--block", "2", "--workers", "0"]
    command += ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "out")]
    assert execute(command) == 0
    seen = [re.sub(r"[\d.e+]+/s, \S+ left", "RATE", line) for line in seen]
    assert seen[:2] == [
        "0 of 4 networks, 0 running, 0 failed, 0 diverged",
        "0 of 4 networks, 2 running, 0 failed, 0 diverged",
    ]
    assert re.fullmatch(
        r"2 of 4 networks, 2 running, 0 failed, 0 diverged, RATE, best so far \S+% by bp bp 0.01",
        seen[2],
    )
    assert re.fullmatch(
        r"4 of 4 networks, 0 running, 0 failed, 0 diverged, RATE, best so far \S+% by bp bp \S+",
        seen[-1],
    )
    assert "4 networks, 0 of them in the store\n" in capsys.readouterr().err
