"""Classes and data that are handed over work wherever networks are trained from Python."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from plastic_core import (
    MetaSpec,
    PlasticError,
    Range,
    RunSpec,
    SearchSpec,
    Store,
    SweepSpec,
    choose,
    compare,
    meta_learn,
    reporting_arms,
    run,
    search,
    sweep,
    train_arms,
)
from plastic_core.api import (
    Dataset,
    NetworkOptions,
    Rule,
    RuleSpec,
    Task,
    TaskSpec,
    Theta,
    hookimpl,
    outer,
)

BASE = RunSpec(rule="bp+mine", seeds=2, samples=60, evaluations=2)


class Mine(Rule):
    spec = RuleSpec(
        name="mine",
        summary="for the tests",
        equation="y x^T",
        reference="none",
        modifies="forward",
        reads={"post", "pre"},
        theta=Theta(default=1e-4),
    )

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post, s.pre)


class Corners(Task[NetworkOptions]):
    spec = TaskSpec(name="corners", summary="for the tests", options=NetworkOptions)

    def load(self, data_dir, options):
        x, y = points()
        x = x.astype(np.float32)
        return Dataset(x[:60], y[:60], x[60:], y[60:], 2)

    def network(self, options):
        return options.network_for(5, 2)


def points():
    x = np.random.default_rng(0).random((100, 5))
    return x, (x[:, 0] > x[:, 1]).astype(np.int64)


GIVEN = {
    "a rule and data": {"rules": [Mine], "data": points()},
    "a rule and a task": {"rules": [Mine], "tasks": [Corners]},
}


def base(given, **changes):
    return BASE.model_copy(update={"task": "corners", **changes} if "tasks" in given else changes)


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_a_sweep_gives_the_numbers_of_runs(tmp_path, given):
    store = Store(tmp_path / "store")
    spec = SweepSpec(rules=("bp+mine",), grid={"bp": (0.01, 0.1)}, base=base(given))
    arms = sweep(spec, store, **given).arms
    for arm, theta in zip(arms, (0.01, 0.1), strict=True):
        alone = run(base(given, rule=f"{theta}*bp + 1e-4*mine"), **given)
        assert arm.curves()["accuracy"].equals(alone.curves["accuracy"])
    assert list(store.files()) == []


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_rules_are_compared(tmp_path, given):
    store = Store(tmp_path / "store")
    changed = base(given, eval_half="choose")
    spec = SweepSpec(rules=("bp", "bp+mine"), grid={"bp": (0.01, 0.1)}, base=changed)
    choices = choose(spec, sweep(spec, store, **given))
    reported = train_arms(reporting_arms(choices), store, data=given.get("data"))
    assert [row["rule"] for row in compare(choices, reported)["rules"]] == ["bp", "bp+mine"]


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_a_search_reports_the_numbers_of_a_run(tmp_path, given):
    spec = SearchSpec(
        ranges={"bp": Range(low=0.01, high=0.1, log=True)}, base=base(given, eval_half="choose")
    )
    store = Store(tmp_path / "store")
    found = search(spec, tmp_path / "out", store, trials=2, **given)["best"]
    alone = run(base(given, rule=f"{found['point']['bp']!r}*bp + 1e-4*mine"), **given)
    assert found["accuracy"] == alone.summary["accuracy"]["mean"]
    assert list(store.files()) == []


def test_meta_learning_of_a_rule_on_data():
    source = np.random.default_rng(0)
    x = np.repeat(np.eye(6), 20, 0) + 0.1 * source.random((120, 6))
    options = {"ways": 3, "shots": 4, "queries": 2, "sizes": [64, 8, 10]}
    spec = MetaSpec(rule="bp+mine", episodes=2, seeds=1, options=options)
    labels = np.repeat(["a", "b", "c", "d", "e", "f"], 20)
    result = meta_learn(spec, rules=[Mine], data=(x, labels))
    assert result.record["network"]["sizes"] == [6, 8, 6]
    assert list(result.history["rule"].to_numpy()) == ["bp", "mine"]


def test_workers_do_not_know_what_is_handed_over(tmp_path):
    given = GIVEN["a rule and data"]
    spec = SweepSpec(rules=("bp+mine",), grid={"bp": (0.01,)}, base=BASE)
    with pytest.raises(PlasticError) as caught:
        sweep(spec, Store(tmp_path), workers=2, **given)
    assert str(caught.value) == (
        "workers, scheduler, slurm: classes and data that are handed over are trained in this "
        "process; leave them out, or put the classes into a file for 'plugins'"
    )
    spec = SearchSpec(
        ranges={"bp": Range(low=0.01, high=0.1)}, base=base(given, eval_half="choose")
    )
    with pytest.raises(PlasticError) as caught:
        search(spec, tmp_path / "out", Store(tmp_path), trials=1, workers=2, **given)
    assert str(caught.value) == (
        "workers = 2: with classes or data handed over this process trains alone; leave workers "
        "out, or put the classes into a file for 'plugins'"
    )


@pytest.mark.slow
def test_a_script_without_a_main_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from plastic_core import RunSpec, Store, SweepSpec, sweep\n"
        "base = RunSpec(seeds=1, samples=10, evaluations=1, options={'sizes': [64, 8, 10]})\n"
        "spec = SweepSpec(rules=('bp',), grid={'bp': (0.01,)}, base=base)\n"
        "sweep(spec, Store('store'), workers=2)\n"
    )
    done = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr.endswith(
        "PlasticError: the worker processes do not start: each of them imports this script again, "
        "so that what it does must stand below if __name__ == '__main__': ; or train in this "
        "process by workers=0\n"
    )


def test_modules_beside_a_plugin_file_can_be_imported_and_shadow_nothing(tmp_path):
    (tmp_path / "beside.py").write_text("FACTOR = 1.0\n")
    (tmp_path / "json.py").write_text("raise ImportError('shadows the standard library')\n")
    source = Path(__file__).read_text()
    body = source[source.index("class Mine") : source.index("class Corners")]
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "import json\nimport beside\n"
        "from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer\n\n"
        + body.replace("outer(s.post", "beside.FACTOR * outer(s.post")
    )
    spec = RunSpec(rule="bp+mine", plugins=(str(plugin),), seeds=1, samples=20)
    assert run(spec).record["state"] == "finished"
