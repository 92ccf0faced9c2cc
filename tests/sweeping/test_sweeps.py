"""Sweeps: the same numbers as runs, nothing twice, nothing lost."""

import csv
import json
import signal

import pytest

from plastic_core import PlasticError, RunSpec, Store, SweepSpec, run, sweep
from plastic_core.cli import execute
from plastic_core.experiments.sweeping import executors
from plastic_core.experiments.sweeping.arms import expand
from plastic_core.experiments.sweeping.grid import parse_axis
from plastic_core.experiments.sweeping.table import rows_of
from plastic_core.plugins.catalogue import Catalogue
from tests.daily import slow
from tests.processes import dies, plastic, workers_of

SMALL = RunSpec(seeds=3, samples=200, evaluations=2, options={"sizes": [64, 20, 10]})
SPEC = SweepSpec(
    rules=("bp", "oja+bp"),
    grid={"bp": (0.01, 0.1), "oja": (1e-4, 1e-3), "activation": ("softplus", "relu")},
    base=SMALL,
)


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("bp=1e-3:1e-1:3log", ("bp", (0.001, 0.01, 0.1))),
        ("oja=0,1e-4:1e-2:3log", ("oja", (0, 1e-4, 1e-3, 1e-2))),
        ("bp=0:1:3", ("bp", (0.0, 0.5, 1.0))),
        ("layers=5,10", ("layers", (5, 10))),
        ("init=xavier,naive", ("init", ("xavier", "naive"))),
        ("residual=true,false", ("residual", (True, False))),
    ],
)
def test_an_axis_is_read(text, axis):
    assert parse_axis(text) == axis


BAD_AXES = {
    "bp": "expected NAME=VALUES",
    "bp=": "expected NAME=VALUES",
    "=1": "expected NAME=VALUES",
    "bp=1,,2": "a value is missing",
    "bp=1,1.0": "a value stands twice",
    "bp=1:2": "'1:2' is no range",
    "bp=1:2:x": "'1:2:x' is no range",
    "bp=1:inf:3": "'1:inf:3' is no range",
    "bp=1:2:3:4": "'1:2:3:4' is no range",
    "bp=1:2:1": "'1:2:1' has 1 values; expected 2 to 10,000",
    "bp=0:1:3log": "'0:1:3log': both ends of a logarithmic range must be above 0",
}


@pytest.mark.parametrize("text", BAD_AXES)
def test_a_bad_axis_is_explained(text):
    with pytest.raises(PlasticError) as caught:
        parse_axis(text)
    assert str(caught.value) == (
        f"--grid {text}: {BAD_AXES[text]}; write such as bp=1e-4:1e-1:12log, oja=0,1e-4,1e-3 or "
        "layers=5,10"
    )


BAD_SWEEPS = {
    "unknown axis": (
        {"grid": {"layer": (5,)}},
        "axis 'layer': there is no such rule, option of the task or field of the run; did you mean "
        "'layers'?\n  axes can be ",
    ),
    "value out of bounds": ({"grid": {"bp": (-1.0,)}}, "theta of 'bp' = -1.0: expected a finite"),
    "given twice": (
        {"rules": ("0.1*bp",), "grid": {"bp": (0.1,)}},
        "axis 'bp': the expressions give bp",
    ),
    "rule twice": ({"rules": ("bp", "bp")}, "rules bp, bp: one of them stands twice"),
    "unknown rule": (
        {"rules": ("bq",)},
        "there is no rule 'bq'; did you mean 'bp'?\n  installed rules: anti-hebbian, ",
    ),
}


@pytest.mark.parametrize("fault", BAD_SWEEPS)
def test_a_bad_sweep_is_explained_before_anything_is_trained(fault):
    fields, message = BAD_SWEEPS[fault]
    with pytest.raises(PlasticError) as caught:
        expand(SweepSpec(**{"rules": ("bp",), "base": SMALL, **fields}), Catalogue())
    assert str(caught.value).startswith(message)


def test_every_arm_has_the_numbers_of_a_run_of_its_own(tmp_path):
    result = sweep(SPEC, Store(tmp_path), workers=0)
    assert [(arm.arm.rule, arm.arm.point) for arm in result.arms[:2]] == [
        ("bp", {"bp": 0.01, "activation": "softplus"}),
        ("bp", {"bp": 0.01, "activation": "relu"}),
    ]
    assert len(result.arms) == 4 + 8
    for arm in result.arms[::3]:
        alone = run(arm.arm.plan.spec)
        for i, seed in enumerate(alone.spec.seed_list):
            expected = alone.curves["accuracy"][i].to_numpy().tolist()
            assert list(arm.results[seed].accuracy) == expected


def test_what_the_store_holds_is_not_trained_again(tmp_path):
    store = Store(tmp_path)
    first = sweep(SPEC, store, workers=0)
    assert (first.progress.trained, first.progress.found) == (36, 0)
    wider = SPEC.model_copy(update={"base": SMALL.model_copy(update={"seeds": 4})})
    second = sweep(wider, store, workers=0)
    assert (second.progress.trained, second.progress.found) == (12, 36)
    spec = second.arms[0].arm.plan.spec
    reused = run(spec, store=store, reuse=True)
    assert reused.record["result"]["notes"] == [
        "all 4 networks were taken from the store, and none was trained"
    ]
    again = run(spec, store=store)
    assert reused.curves["accuracy"].equals(again.curves["accuracy"])
    assert len(list(store.files())) == 48


def test_the_table_does_not_depend_on_which_seeds_came_first(tmp_path):
    spec = SPEC.model_copy(update={"base": SMALL.model_copy(update={"seeds": 6})})
    expected = rows_of(sweep(spec, Store(tmp_path / "whole"), workers=0))
    late = SMALL.model_copy(update={"first_seed": 2, "seeds": 4})
    store = Store(tmp_path / "late")
    sweep(SPEC.model_copy(update={"base": late}), store, workers=0)
    assert rows_of(sweep(spec, store, workers=0)) == expected


def test_a_run_adds_its_networks_and_says_which_it_could_not_reuse(tmp_path):
    store = Store(tmp_path)
    run(SMALL, store=store)
    more = run(SMALL.model_copy(update={"seeds": 5}), store=store, reuse=True)
    assert "3 of 5 networks were in the store; all are trained" in more.record["result"]["notes"]
    assert len(list(store.files())) == 5


COMMAND = [
    *("sweep", "--rule", "bp", "--rule", "oja+bp", "--grid", "bp=1e-3:1e-1:4log"),
    *("--grid", "oja=1e-5:1e-2:9log", "--samples", "400", "--sizes", "64,50,10"),
    *("--evaluations", "2", "--block", "5", "--json"),
]


# Kills the last worker before the 21st network gets into the store.
KILLS_A_WORKER = """
import psutil
def kill(event, arguments, puts=itertools.count(1)):
    if event == "os.rename" and "/store/" in arguments[1] and next(puts) == 21:
        children = psutil.Process().children(recursive=True)
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        workers[-1].kill()
sys.addaudithook(kill)
"""


@pytest.mark.parametrize(
    ("seeds", "workers", "kills"),
    [(1, "0", ""), slow(5, "2", KILLS_A_WORKER)],
    ids=["of the driver", "of a worker and of the driver"],
)
def test_kills_lose_nothing(tmp_path, seeds, workers, kills):
    def swept(folder, workers, first=""):
        where = ["--store", str(folder / "store"), "--out", str(folder / "out")]
        more = ["--seeds", str(seeds), "--workers", workers]
        return plastic(*COMMAND, *more, *where, first=first)

    undisturbed = swept(tmp_path / "undisturbed", "0")
    assert undisturbed.returncode == 0, undisturbed.stderr
    expected = json.loads(undisturbed.stdout)
    assert (expected["cells"], expected["trained"]) == (40 * seeds, 40 * seeds)

    kept = 12 * seeds
    killed = swept(tmp_path, workers, dies(r"^os\.rename .*/store/", kept + 1) + kills)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list(Store(tmp_path / "store").files())) == kept

    second = swept(tmp_path, "0")
    assert second.returncode == 0, second.stderr
    result = json.loads(second.stdout)
    assert (result["from_store"], result["trained"], result["failed"]) == (
        kept,
        40 * seeds - kept,
        [],
    )
    assert [arm["cells"] for arm in result["arms"]] == [arm["cells"] for arm in expected["arms"]]
    tables = [
        (folder / "out" / "table.csv").read_text()
        for folder in (tmp_path, tmp_path / "undisturbed")
    ]
    assert tables[0] == tables[1]
    with (tmp_path / "out" / "table.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 40


@pytest.mark.parametrize(
    ("limit", "backend", "begun"),
    [
        (3, "auto", False),
        (1, "auto", False),
        pytest.param(3, "eager", True, marks=pytest.mark.slow),
    ],
)
def test_a_few_native_blocks_begin_no_processes(tmp_path, limit, backend, begun):
    seen = set()

    def look(progress):
        seen.update(worker.pid for worker in workers_of())

    base = SMALL.model_copy(update={"backend": backend})
    spec = SweepSpec(rules=("bp",), grid={"bp": (0.01, 0.1)}, base=base)
    sweep(spec, Store(tmp_path / "store"), limit=limit, on_progress=look)
    assert bool(seen) is begun


# how often a worker may die of one block before the block is given up
@pytest.mark.parametrize("deaths", [0, pytest.param(executors._DEATHS, marks=pytest.mark.slow)])
def test_a_block_that_kills_its_worker_is_failed_and_the_rest_goes_on(
    tmp_path, monkeypatch, deaths
):
    from tests.plugins.packages import rule_source

    monkeypatch.setattr(executors, "_DEATHS", deaths)
    file = tmp_path / "deadly.py"
    body = "import os; os._exit(1) if self.params.deadly else None; return outer(s.post, s.pre)"
    source = rule_source("deadly", "Deadly", " params=Params,", body)
    file.write_text(
        "import pydantic\nclass Params(pydantic.BaseModel):\n    deadly: bool = False\n" + source
    )
    spec = SweepSpec(
        rules=("bp+deadly",),
        grid={"deadly.deadly": (False, True)},
        base=SMALL.model_copy(update={"plugins": (str(file),)}),
    )
    result = sweep(spec, Store(tmp_path / "store"), workers=1, limit=3)
    good, bad = rows_of(result)
    assert (good["seeds"], good["missing"], bad["seeds"], bad["missing"]) == (3, 0, 0, 3)
    assert len(result.progress.failed) == 3
    assert all("KilledWorker" in reason for reason in result.progress.failed.values())


def test_the_command_says_what_is_best_and_what_came_from_the_store(tmp_path, capsys):
    command = ["sweep", "--rule", "bp", "--grid", "bp=0.01,0.1", "--seeds", "2", "--samples", "50"]
    command += [
        "--workers",
        "0",
        "--store",
        str(tmp_path / "store"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert execute(command) == 0
    assert "4 networks: 0 from the store, 4 trained, 0 failed" in capsys.readouterr().out
    assert execute(command) == 0
    assert "4 networks: 4 from the store, 0 trained, 0 failed" in capsys.readouterr().out
    assert (
        json.loads((tmp_path / "out" / "sweep.json").read_text())["spec"]["base"]["eval_half"]
        == "choose"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "bp=1", "--grid", "bp=2"], "--grid: one axis is given twice; write all its values in one"),
        (["--block", "0"], "--block 0: expected at least 1"),
        (["--workers", "-1"], "--workers -1: expected 0 to 1024"),
    ],
)  # fmt: skip
def test_bad_flags_are_explained(capsys, arguments, message):
    assert execute(["sweep", *arguments]) == 2
    assert capsys.readouterr().err == f"plastic: {message}\n"


def test_a_theta_in_an_expression_is_no_other_on_an_axis():
    spec = SweepSpec(rules=("0*oja", "bp+oja", "0.1*bp"), grid={"oja": [1e-5, 1e-4], "bp": [0.1]})
    found = [(arm.rule, arm.point) for arm in expand(spec, Catalogue())]
    assert found == [
        ("0*oja", {}),
        ("bp+oja", {"oja": 1e-5, "bp": 0.1}),
        ("bp+oja", {"oja": 1e-4, "bp": 0.1}),
        ("0.1*bp", {}),
    ]
    with pytest.raises(PlasticError) as refused:
        expand(SweepSpec(rules=("0*oja", "bp+0.1*oja"), grid={"oja": [1e-5]}), Catalogue())
    assert str(refused.value) == (
        "axis 'oja': the expressions give oja a theta; leave it out there, or the axis"
    )


@pytest.mark.parametrize(
    ("grid", "settings"),
    [
        ({"oja.theta": [1e-5, 1e-4], "oja": [1e-3]}, {}),
        ({"oja": [1e-5, 1e-4]}, {"oja": {"theta": 1e-3}}),
    ],
)
def test_a_theta_that_is_given_twice_is_refused(grid, settings):
    spec = SweepSpec(rules=("bp+oja",), grid=grid, base=RunSpec(settings=settings))
    with pytest.raises(PlasticError) as refused:
        expand(spec, Catalogue())
    assert str(refused.value) == (
        "theta of 'oja' is given twice: as an axis, and as another axis or a setting; keep one"
    )
