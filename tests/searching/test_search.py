"""Searches: the trials of one that was killed are those of one that was not, and none is lost."""

import json
import os
import re
import signal
import sys
import threading

import psutil
import pytest

from plastic_core import Counts, PlasticError, Range, RunSpec, Store, run
from plastic_core.cli import execute, live
from plastic_core.experiments.searching.search_spec import parse_range
from plastic_core.experiments.searching.study import Study
from tests.plugins.packages import rule_source
from tests.processes import dies, plastic, start, wait_until, workers_of

SMALL = ["--seeds", "3", "--samples", "300", "--sizes", "64,20,10", "--evaluations", "3"]
SEARCH = ["search", "--range", "bp=1e-3:1log", "--range", "oja=1e-5:1log", *SMALL]


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("bp=1e-4:1e-1log", ("bp", Range(low=1e-4, high=1e-1, log=True))),
        ("oja=0:0.1", ("oja", Range(low=0, high=0.1))),
        ("kolen-pollack.decay=0:1e-2", ("kolen-pollack.decay", Range(low=0, high=0.01))),
    ],
)
def test_a_range_is_read(text, axis):
    assert parse_range(text) == axis


FORM = "expected NAME=LOW:HIGH, or NAME=LOW:HIGHlog for equal ratios"
BAD_RANGES = {
    "bp": FORM,
    "bp=": FORM,
    "=0:1": FORM,
    "bp=1": FORM,
    "bp=0:1:3": FORM,
    "bp=a:b": FORM,
    "bp=0:inf": "high = inf: input should be a finite number",
    "bp=1:0": "1 is not below 0",
    "bp=1:1": "1 is not below 1",
    "bp=0:1log": "both ends of a logarithmic range must be above 0",
}


@pytest.mark.parametrize("text", BAD_RANGES)
def test_a_bad_range_is_explained(text):
    with pytest.raises(PlasticError) as caught:
        parse_range(text)
    assert str(caught.value) == (
        f"--range {text}: {BAD_RANGES[text]}; write such as bp=1e-4:1e-1log or bp=0:0.1"
    )


BAD_FLAGS = {
    "no range": ([], "search needs --range NAME=LOW:HIGH, such as bp=1e-4:1e-1log"),
    "twice": (
        ["--range", "bp=0:1", "--range", "bp=0:2"],
        "--range: one axis is given twice; keep one of its ranges",
    ),
    "no trial": (["--range", "bp=0:1", "--trials", "0"], "--trials 0: expected 1 to 1,000,000"),
    "workers": (["--range", "bp=0:1", "--workers", "-1"], "--workers -1: expected 0 to 1024"),
    "below the least": (
        ["--range", "bp=-1:1"],
        "theta of 'bp' = -1.0: expected a finite number of at least 0",
    ),
    "whole numbers": (
        ["--range", "bp=0:1", "--range", "batch_size=1:9"],
        "batch_size = 4.313708: input should be a valid integer, got a number with a fractional part",
    ),
    "twice theta": (
        ["--rule", "0.1*bp", "--range", "bp=0:1"],
        "axis 'bp': the expressions give bp a theta; leave it out there, or the axis",
    ),
}


@pytest.mark.parametrize("fault", BAD_FLAGS)
def test_bad_flags_are_explained_before_anything_is_trained(tmp_path, capsys, fault):
    arguments, message = BAD_FLAGS[fault]
    assert execute(["search", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"plastic: {message}\n"
    assert not (tmp_path / "out").exists()


def test_an_axis_of_nothing_is_explained(capsys):
    assert execute(["search", "--rule", "bp", "--range", "oja=0:1"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(
        "plastic: axis 'oja': there is no such rule, option of the task or field of the run\n"
        "  axes can be activation, backend, batch_size, bias, bp, "
    )


def test_without_optuna_it_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert execute(SEARCH) == 2
    assert capsys.readouterr().err == (
        "plastic: search needs optuna: pip install 'plastic-learning[search]'\n"
    )


def where(folder, name="out"):
    return ["--store", str(folder / "store"), "--out", str(folder / name)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder of an undisturbed search of 20 trials."""
    folder = tmp_path_factory.mktemp("whole")
    assert execute([*SEARCH, "--trials", "20", *where(folder)]) == 0
    return folder


def outcomes(folder):
    content = json.loads((folder / "search.json").read_text())
    rows = [row for row in content["table"] if row["outcome"] != "reclaimed"]
    return [(row["outcome"], row["point"], row["sample"], row["accuracy"]) for row in rows]


def test_the_result_states_the_budget_and_reports_the_best_on_the_other_half(whole, capsys):
    assert execute([*SEARCH, "--trials", "20", "--json", *where(whole)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert json.loads((whole / "out" / "search.json").read_text()) == {
        name: value for name, value in result.items() if name != "out"
    }
    assert result["budget"] == 20
    trials = result["trials"]
    assert list(trials) == ["complete", "pruned", "diverged", "failed", "reclaimed"]
    assert sum(trials.values()) == len(result["table"]) == 20
    assert min(trials["complete"], trials["pruned"], trials["diverged"]) > 0
    complete = [row for row in result["table"] if row["outcome"] == "complete"]
    assert result["best"]["chosen_by"] == max(row["accuracy"] for row in complete)
    settings = {name: {"theta": theta} for name, theta in result["best"]["thetas"].items()}
    small = {"seeds": 3, "samples": 300, "evaluations": 3, "options": {"sizes": "64,20,10"}}
    for half, value in (("choose", "chosen_by"), ("report", "accuracy")):
        alone = run(RunSpec(**small, settings=settings, eval_half=half))
        assert alone.record["result"]["accuracy"]["mean"] == pytest.approx(result["best"][value])
    low, high = (alone.record["result"]["accuracy"][end] for end in ("low", "high"))
    assert (result["best"]["low"], result["best"]["high"]) == pytest.approx((low, high))


def test_trials_that_are_stopped_say_why(whole):
    rows = json.loads((whole / "out" / "search.json").read_text())["table"]
    reasons = {outcome: [] for outcome in ("complete", "pruned", "diverged")}
    for row in rows:
        reasons[row["outcome"]].append(row["reason"])
    assert set(reasons["complete"]) == {None}
    for reason in reasons["pruned"]:
        assert re.fullmatch(
            r"at sample [12]00 its best accuracy was \d+\.\d\d%, below the median of the complete trials",
            reason,
        )
    for reason in reasons["diverged"]:
        assert re.fullmatch(r"[23] of 3 networks diverged before sample [123]00", reason)


def test_finished_networks_are_in_the_store_and_are_taken_from_there(whole, capsys):
    files = {file: file.stat().st_mtime_ns for file in Store(whole / "store").files()}
    # those of the complete trials, and of the best on the other half
    complete = [row for row in outcomes(whole / "out") if row[0] == "complete"]
    assert len(files) == 3 * (len(complete) + 1)
    assert execute([*SEARCH, "--trials", "20", *where(whole, "again")]) == 0
    assert outcomes(whole / "again") == outcomes(whole / "out")
    assert {file: file.stat().st_mtime_ns for file in Store(whole / "store").files()} == files
    assert "budget of 20 trials: " in capsys.readouterr().out


def test_a_larger_budget_goes_on(whole, tmp_path):
    assert execute([*SEARCH, "--trials", "6", *where(tmp_path)]) == 0
    assert outcomes(tmp_path / "out") == outcomes(whole / "out")[:6]
    assert execute([*SEARCH, "--trials", "9", *where(tmp_path)]) == 0
    assert outcomes(tmp_path / "out") == outcomes(whole / "out")[:9]


# a change of the study, such as a new trial or what one reported
CHANGE = r"^open .*/study\.jsonl r\+ "


def test_a_search_that_is_killed_and_interrupted_makes_the_same_trials(
    whole, tmp_path, capsys, monkeypatch
):
    command = [*SEARCH, "--trials", "20", *where(tmp_path)]
    killed = plastic(*command, first=dies(CHANGE, 40))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with (tmp_path / "out" / "study.jsonl").open("a") as journal:
        journal.write('{"op_code":')  # as if it had been killed while it wrote

    show = live.SearchView.show

    def interrupt(view, progress):
        show(view, progress)
        if progress.counts.ended == 10:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(live.SearchView, "show", interrupt)
        assert execute(command) == 130
    begun, *rest = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"20 trials, [1-9] of them done before", begun)
    assert rest == [
        f"plastic: interrupted; the same command with --out {tmp_path / 'out'} goes on; what was "
        "done is kept"
    ]
    assert execute(command) == 0
    assert outcomes(tmp_path / "out") == outcomes(whole / "out")
    assert not list((tmp_path / "out" / "alive").iterdir())


def processes_of(folder):
    """Return how many processes have claimed a trial, as the journal has it."""
    journal = folder / "out" / "study.jsonl"
    found = re.findall(r'"process":"\w+"', journal.read_text()) if journal.exists() else []
    return len(set(found))


def two_commands(command):
    """Begin two commands, and return them, the one that is to be killed last."""
    return [start(*command) for _ in range(2)]


def two_workers(command):
    """Begin a command with two workers, and return it and the one that is to be killed."""
    first = start(*command, "--workers", "2")
    wait_until(lambda: len(workers_of(first.pid)) == 2, first)
    return [first, workers_of(first.pid)[-1]]


@pytest.mark.parametrize("begin", [two_commands, pytest.param(two_workers, marks=pytest.mark.slow)])
def test_processes_and_commands_share_one_budget_and_none_is_lost(tmp_path, capsys, begin):
    # every trial waits for the file, so that one process is killed while it trains
    file, gate = tmp_path / "gated.py", tmp_path / "gate"
    body = f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)"
    body += "\n        return outer(s.post, s.pre)"
    file.write_text("import os, time\n" + rule_source("gated", "Gated", body=body))
    command = [*SEARCH[:5], "--plugin", str(file), "--rule", "bp+oja+0*gated", *SMALL]
    command += ["--trials", "12", "--json", *where(tmp_path)]
    first, killed = begin(command)
    wait_until(lambda: processes_of(tmp_path) == 2, first)
    others = workers_of(first.pid)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    gate.touch()
    assert execute(command) == 0
    out, err = first.communicate()
    assert first.returncode == 0, err
    results = [json.loads(out), json.loads(capsys.readouterr().out)]
    assert results[0]["table"] == results[1]["table"]
    assert results[0]["best"] == results[1]["best"]
    # a command counts the processes that are its own
    died = ["processes that died: 1; their trials were begun again"] if others else []
    assert results[0]["notes"] == died
    trials = results[0]["trials"]
    assert (trials["failed"], trials["reclaimed"]) == (0, 1)
    assert sum(trials.values()) == 12 + 1
    points = [json.dumps(row["point"]) for row in results[0]["table"]]
    assert len(points) - len(set(points)) == 1
    assert not any(worker.is_running() for worker in others)


def test_an_interrupt_ends_all_processes_of_a_search(tmp_path, capsys):
    long = ["--samples", "3000000", "--evaluations", "3000", "--trials", "9"]
    workers = []

    def interrupt():
        wait_until(lambda: processes_of(tmp_path) == 2)
        workers.extend(workers_of())
        for process in (*workers, psutil.Process()):  # as a terminal does
            process.send_signal(signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    assert execute([*SEARCH[:5], *long, *where(tmp_path), "--workers", "2"]) == 130
    watcher.join()
    assert capsys.readouterr().err.splitlines() == [
        "9 trials, 0 of them done before",
        f"plastic: interrupted; the same command with --out {tmp_path / 'out'} goes on; what was "
        "done is kept",
    ]
    assert len(workers) == 2
    assert not any(worker.is_running() for worker in workers)
    journal = (tmp_path / "out" / "study.jsonl").read_text()
    assert journal.count('"stopped before its end"') == 2


PARAMS = "import os, pydantic\nclass Params(pydantic.BaseModel):\n    worse: float = 0\n"


def plugin(folder, name, body):
    file = folder / f"{name}.py"
    body = f"{body} if self.params.worse > 0.5 else None; return outer(s.post, s.pre)"
    file.write_text(PARAMS + rule_source(name, name.capitalize(), " params=Params,", body))
    return ["search", "--plugin", str(file), "--rule", f"bp+{name}", *SMALL, "--json"]


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_a_rule_that_raises_stops_the_search_with_one_message(tmp_path, capsys, workers):
    command = plugin(tmp_path, "raising", "1 / 0")
    command += ["--range", "raising.worse=0.6:1", "--trials", "6", *where(tmp_path)]
    assert execute([*command, "--workers", workers]) == 2
    assert capsys.readouterr().err == (
        "6 trials, 0 of them done before\n"
        "plastic: the rule 'raising': plastic_local_update raised ZeroDivisionError: division by "
        "zero in line 17; expected a result for signals of every size\n"
    )


def test_a_trial_that_kills_its_process_is_failed_at_the_third_time(tmp_path):
    points = []
    for _ in range(3):
        study = Study(tmp_path, {"bp": Range(low=0, high=1)}, budget=1)
        points.append(study.claim().params)
        study.close()  # all that is seen of a process that dies
    study = Study(tmp_path, {"bp": Range(low=0, high=1)}, budget=1)
    assert study.claim() is None
    assert points == points[:1] * 3
    assert study.counts() == Counts(failed=1, reclaimed=2)
    assert study.trials()[-1].user_attrs["reason"] == "its process died 3 times"
    study.close()


def test_a_trial_that_was_stopped_is_begun_again_as_often_as_it_takes(tmp_path):
    for _ in range(4):
        study = Study(tmp_path, {"bp": Range(low=0, high=1)}, budget=1)
        study.give_back(study.claim())
        study.close()
    study = Study(tmp_path, {"bp": Range(low=0, high=1)}, budget=1)
    study.end(study.claim(), 0.5)
    assert study.counts() == Counts(complete=1, reclaimed=4)
    study.close()


def test_a_search_without_a_complete_trial_says_so(tmp_path, capsys):
    command = ["search", "--rule", "hebbian", "--range", "hebbian=1:2", *SMALL, *where(tmp_path)]
    assert execute([*command, "--trials", "2"]) == 1
    assert capsys.readouterr().out == (
        "no trial was trained to the end; search.json says why\n"
        "budget of 2 trials: 0 complete, 0 pruned, 2 diverged, 0 failed; 0 were stopped and begun again\n"
        "note: no rule of 'hebbian' is told what is right; the score is that of a readout: ridge "
        "regression of the targets on the activity of the last hidden layer, fitted to 500 training "
        "points at each evaluation; readout none judges the networks' own outputs\n"
        f"written to {tmp_path / 'out'}; store {tmp_path / 'store'}\n"
    )


def test_another_search_in_the_folder_is_refused_with_what_differs(whole, capsys):
    small = ["--seeds", "4", *SMALL[2:]]
    command = [*SEARCH[:5], *small, "--range", "init_std=0.1:1", *where(whole)]
    assert execute(command) == 2
    assert capsys.readouterr().err == (
        f"plastic: --out {whole / 'out'}: holds another search, so it cannot go on:\n"
        "  range of init_std: None there, {'low': 0.1, 'high': 1.0, 'log': False} asked\n"
        "  seeds: 3 there, 4 asked\n"
        "  give another folder, or the same spec\n"
    )


DAMAGED = {
    "foreign files": ({"notes.txt": "x"}, "--out {out}: holds files that are no search (notes.txt); name a folder that is new or empty"),
    "no JSON": ({"search.json": "{"}, "{out}/search.json: is no record of a search (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); move the folder away, or give another --out"),
    "no spec": ({"search.json": "{}"}, "{out}/search.json: is no record of a search ('spec'); move the folder away, or give another --out"),
    "a foreign journal": ({"search.json": None, "study.jsonl": '{"op_code": 99}\n'}, "{out}/study.jsonl: is no journal of a search (AssertionError: Should not reach.); move the folder away, or give another --out"),
    "a broken journal": ({"search.json": None, "study.jsonl": "[\n[\n"}, "{out}/study.jsonl: line 1 is damaged; the same command with --repair takes it out and keeps the rest"),
}  # fmt: skip


@pytest.mark.parametrize("fault", DAMAGED)
def test_a_damaged_folder_is_explained(whole, tmp_path, capsys, fault):
    files, message = DAMAGED[fault]
    out = tmp_path / "out"
    out.mkdir()
    for name, text in files.items():
        text = (whole / "out" / name).read_text() if text is None else text
        (out / name).write_text(text)
    assert execute([*SEARCH, *where(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err[err.index("plastic: ") :] == f"plastic: {message.format(out=out)}\n"


def test_a_file_in_place_of_the_folder_is_explained(tmp_path, capsys):
    (tmp_path / "out").write_text("")
    assert execute([*SEARCH, *where(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"plastic: {tmp_path / 'out'}: cannot be written: File exists; free or allow it, or give "
        "another folder with --out\n"
    )
