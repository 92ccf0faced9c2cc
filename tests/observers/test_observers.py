"""Observers see a run from its plan to its result, and change nothing of it, whatever they do."""

import json
import re

import numpy as np
import pytest

from plastic_core import PlasticError, Store, run
from plastic_core.api import Observer, ObserverSpec
from plastic_core.results import result_folder
from tests.observers.watched import METHODS, Raising, Seen, small


def test_a_run_is_seen_from_its_plan_to_its_result(tmp_path):
    seen = Seen()
    spec = small(
        first_seed=3, probes=("weight-norm", "explained-variance"), transforms=("momentum",)
    )
    result = run(spec, out=tmp_path / "run", observers=[seen])
    assert seen.methods == ["on_plan", *["on_point"] * 4, "on_result"]
    for _, watched, *_ in seen.calls:
        assert watched.folder == tmp_path / "run"
        assert (watched.label, watched.score, watched.seeds) == ("bp, momentum", "accuracy", (3, 4))
        assert watched.spec == result.record["spec"]
    assert [call[1].result for call in seen.calls[:-1]] == [None] * 5
    assert seen.calls[-1][1].result == result.record["result"]
    curves = result.curves
    assert [point.sample for point in seen.points] == curves["step"].values.tolist()
    for i, point in enumerate(seen.points):
        for name, values in (("accuracy", point.score), ("loss", point.loss)):
            assert np.array_equal(values, curves[name].isel(step=i))
        for name in ("weight_norm", "orthonormality_gap"):
            assert np.array_equal(point.probes[name], curves[name].isel(step=i))
    # what is measured at the last evaluation alone comes with the last point
    assert ["explained_variance" in point.probes for point in seen.points] == [False] * 3 + [True]
    last = seen.points[-1].probes["explained_variance"]
    assert np.array_equal(last, curves["explained_variance"], equal_nan=True)


def test_without_a_folder_there_is_none_and_a_network_that_diverged_has_no_loss():
    seen = Seen()
    run(small(rule="1e30*bp"), observers=[seen])
    assert seen.calls[0][1].folder is None
    assert np.isnan(seen.points[-1].loss).all()
    assert np.isfinite(seen.points[-1].score).all()


class Meddling(Observer):
    """Overwrites all that it is given."""

    spec = ObserverSpec(name="meddling", summary="overwrites what it is given")

    def on_plan(self, run):
        run.spec["settings"]["bp"] = run.spec["samples"] = None

    def on_point(self, run, point):
        for array in (point.score, point.loss, *point.probes.values()):
            array[:] = -1
        run.spec.clear()
        np.random.seed(0)

    def on_result(self, run):
        run.result["score"].clear()
        run.result["notes"].append("mine")


def same_numbers(one, other):
    return one.curves.identical(other.curves) and all(
        np.array_equal(a, other.parameters.named()[name])
        for name, a in one.parameters.named().items()
    )


def test_what_an_observer_writes_into_what_it_is_given_reaches_neither_run_nor_others():
    spec, seen = small(rule="oja+bp", probes=("weight-norm",)), Seen()
    plain = run(spec)
    watched = run(spec, observers=[Meddling(), seen])
    assert same_numbers(plain, watched)
    assert seen.points[0].score.min() >= 0
    assert seen.calls[0][1].spec == seen.calls[-1][1].spec == watched.record["spec"]
    assert watched.record["notes"] == plain.record["notes"]
    assert watched.record["spec"] == plain.record["spec"]


class End(BaseException):
    """None of the exceptions that one thinks of."""


class SilentError(Exception):
    def __str__(self):
        raise ValueError


FAILURES = {
    "no disk": (
        OSError(28, "No space left on device"),
        "OSError: [Errno 28] No space left on device",
    ),
    "no server": (ConnectionRefusedError("nobody there"), "ConnectionRefusedError: nobody there"),
    "an exit": (SystemExit(3), "SystemExit: 3"),
    "anything": (End("now"), "End: now"),
    "no text": (SilentError(), "SilentError: (its text cannot be shown)"),
    "lines": (ValueError("a\n  b"), "ValueError: a b"),
    "a message": (PlasticError("not so"), "PlasticError: not so"),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("method", METHODS)
def test_one_that_raises_is_switched_off_and_the_run_goes_on(tmp_path, capsys, method, failure):
    error, described = FAILURES[failure]
    raising, seen = Raising(method, error), Seen()
    plain = run(small())
    watched = run(small(), out=tmp_path, observers=[raising, seen])
    line = (
        f"observer raising failed at {method} ({described}) and was switched off; the run goes on"
    )
    assert capsys.readouterr().err == f"note: {line}\n"
    assert raising.methods.count("raised") == 1
    assert raising.methods[-1] == "raised", "it is called no more"
    assert seen.methods == ["on_plan", *["on_point"] * 4, "on_result"]
    assert same_numbers(plain, watched)
    assert watched.record["notes"] == [*plain.record["notes"], line]
    written = json.loads((tmp_path / "run.json").read_text())
    assert written["notes"] == written["result"]["notes"] == watched.record["notes"]
    assert written["state"] == "finished"


def test_an_interrupt_is_the_users():
    with pytest.raises(KeyboardInterrupt):
        run(small(), observers=[Raising("on_point", KeyboardInterrupt())])


def test_a_standard_error_that_cannot_be_written_harms_nothing(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    watched = run(small(), observers=[Raising("on_plan", OSError("no"))])
    assert "observer raising failed at on_plan (OSError: no)" in watched.record["notes"][-1]


def test_a_run_that_goes_on_shows_the_points_that_follow(tmp_path, monkeypatch):
    monkeypatch.setattr(result_folder, "_FIRST_CHECKPOINT", 0.0)
    monkeypatch.setattr(result_folder, "_CHECKPOINT_SHARE", float("inf"))
    before, after = Seen(), Seen()

    def stop(curves):
        if curves.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(small(), out=tmp_path, on_point=stop, observers=[before])
    resumed = run(small(), out=tmp_path, resume=True, observers=[after])
    assert "resumed at sample 40" in resumed.record["notes"]
    assert before.methods == ["on_plan", "on_point", "on_point"]
    assert after.methods == ["on_plan", "on_point", "on_point", "on_result"]
    assert [point.sample for point in after.points] == [60, 80]
    assert resumed.curves.identical(run(small()).curves)


def test_a_run_that_was_finished_shows_nothing(tmp_path):
    first, seen = run(small(), out=tmp_path), Seen()
    again = run(small(), out=tmp_path, resume=True, observers=[seen])
    assert again.record == first.record
    assert seen.calls == []


def test_networks_from_the_store_show_all_points_and_observers_are_no_part_of_the_key(tmp_path):
    store, first, second = Store(tmp_path / "store"), Seen(), Seen()
    trained = run(small(), store=store, observers=[first])
    reused = run(small(), store=store, reuse=True, observers=[second])
    assert reused.record["backend_reason"] == "from the store"
    assert second.methods == first.methods
    for one, other in zip(first.points, second.points, strict=True):
        assert one.sample == other.sample
        assert np.array_equal(one.score, other.score)
        assert np.array_equal(one.loss, other.loss)
    assert second.calls[-1][1].result == reused.record["result"]
    assert trained.record["spec"] == reused.record["spec"]


class NoSpec(Observer):
    def __init__(self): ...

    def on_plan(self, run): ...


class NoMethod(Observer):
    spec = ObserverSpec(name="idle", summary="does nothing")


class Misspelt(Observer):
    spec = ObserverSpec(name="misspelt", summary="has a method of another name")

    def on_points(self, run, point): ...


class Narrow(Observer):
    spec = ObserverSpec(name="narrow", summary="takes too little")

    def on_point(self, point): ...


class Lacking(Observer):
    spec = ObserverSpec(
        name="lacking",
        summary="needs what is not there",
        requires={"a_library_that_is_not_there.part": "pip install it"},
    )

    def on_plan(self, run): ...


LISTS = "expected a list of names of observers, or of observers that are made already, such as"
REFUSED = {
    "no list": (Seen(), LISTS),
    "a text": ("tensorboard", LISTS),
    "a class": ([Seen], LISTS),
    "nothing of the kind": ([3], LISTS),
    "no spec": (
        [NoSpec()],
        "NoSpec.spec is None, no ObserverSpec; write spec = "
        'ObserverSpec(name="my-observer", summary="...") in the class',
    ),
    "no method": (
        [NoMethod()],
        "the observer 'idle' cannot be used: NoMethod has no method of its own; write one of "
        "on_plan, on_point, on_result",
    ),
    "a misspelt method": (
        [Misspelt()],
        "the observer 'misspelt' cannot be used: there is no method 'on_points'; did you mean "
        "'on_point'?; the methods are on_plan, on_point, on_result",
    ),
    "too few arguments": (
        [Narrow()],
        "the observer 'narrow' cannot be used: Narrow.on_point takes (self, point), expected "
        "(self, run, point); write def on_point(self, run, point)",
    ),
    "a library": (
        [Lacking()],
        "the observer 'lacking' needs the module a_library_that_is_not_there.part, which is not "
        "installed; install it: pip install it",
    ),
    "an unknown name": (
        ["tensorbord"],
        "there is no observer 'tensorbord'; did you mean 'tensorboard'?",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_observer_is_refused_before_anything_is_trained(tmp_path, kind):
    observers, message = REFUSED[kind]
    with pytest.raises(PlasticError, match=re.escape(message)):
        run(small(), out=tmp_path / "run", observers=observers)
    assert not (tmp_path / "run").exists()


def test_progress_says_on_one_line_how_far_a_run_is(capsys):
    result = run(small(), observers=["progress"])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    *_, last = err.strip().split("\r")
    mean = result.record["result"]["score"]["mean"]
    assert re.fullmatch(rf"bp: 80 of 80 samples, accuracy {mean:.4g}, 0:00:00 left *", last)
    assert len(err.split("\r")) == 6
