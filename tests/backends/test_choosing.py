"""Which backend a run gets, what is printed and what is recorded."""

import json

import platformdirs
import pytest
import torch

from plastic_core import RunSpec, run
from plastic_core.api import Rule, RuleSpec, Theta, hookimpl
from plastic_core.backends.native import compiler
from plastic_core.backends.native.follower import FOLLOWED
from plastic_core.cli import execute
from plastic_core.results import result_folder

SMALL = {"task": "digits-mlp", "samples": 60, "evaluations": 2, "options": {"sizes": [64, 9, 10]}}


class Dense(Rule):
    """bp as an increment for the whole matrix."""

    spec = RuleSpec(
        name="dense",
        summary="of a test",
        equation="x",
        reference="none",
        modifies="forward",
        reads={"error", "pre"},
        theta=Theta(default=0.001),
    )

    @hookimpl
    def plastic_local_update(self, s):
        return -torch.einsum("rki,rkj->rij", s.error, s.pre) / s.batch


@pytest.fixture
def no_compiler(monkeypatch):
    compiler.find_compiler.cache_clear()
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    yield
    compiler.find_compiler.cache_clear()


def test_native_where_it_can(tmp_path, capsys):
    command = ["run", "--samples", "60", "--evaluations", "2", "--seeds", "2", "--json"]
    assert execute([*command, "--out", str(tmp_path / "run")]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["backend"] == "native"
    assert "2 networks, 60 samples each, backend native (auto: the fastest)" in err


LINE = Dense.plastic_local_update.__code__.co_firstlineno + 2
NOT_NATIVE = f"the rule 'dense': line {LINE}: C is not generated for 'einsum'; {FOLLOWED}"


@pytest.mark.parametrize("seeds", [1, 5])
def test_eager_where_native_cannot_and_compiling_does_not_pay(seeds):
    result = run(RunSpec(rule="bp+dense", seeds=seeds, **SMALL), rules=[Dense])
    assert result.record["backend"] == "eager"
    assert result.record["backend_reason"] == (
        f"auto; not native: {NOT_NATIVE}; "
        "not compiled: 60 updates are too few to repay half a minute of compiling"
    )
    assert result.record["result"]["backend"] == "eager"


def test_in_place_of_native_nothing_is_compiled_that_is_never_repaid_and_the_user_is_told():
    spec = RunSpec(rule="bp+dense", seeds=1, backend="native", **SMALL)
    result = run(spec, rules=[Dense])
    reason = (
        f"in place of native: {NOT_NATIVE}; "
        "not compiled: 60 updates are too few to repay half a minute of compiling"
    )
    assert result.record["backend"] == "eager"
    assert result.record["backend_reason"] == reason
    assert f"backend eager {reason}" in result.record["result"]["notes"]


def test_without_a_c_compiler_everything_works_and_says_what_one_would_bring(no_compiler):
    result = run(RunSpec(rule="bp+oja", seeds=1, **SMALL))
    assert result.record["backend"] == "eager"
    assert result.record["backend_reason"] == (
        "auto; not native: no C compiler was found (looked for cc, gcc, clang); "
        "a C compiler (gcc or clang) would make it several times faster; "
        "not compiled: 60 updates are too few to repay half a minute of compiling"
    )


def test_a_compiler_that_is_asked_for_and_is_not_there_is_said(no_compiler, monkeypatch):
    monkeypatch.setenv("CC", "ccache nocc")
    result = run(RunSpec(rule="bp+oja", seeds=1, **SMALL))
    assert result.record["backend"] == "eager"
    assert result.record["backend_reason"] == (
        "auto; not native: CC=ccache nocc: there is no program 'ccache'; set it to a C compiler, such "
        'as gcc or "ccache gcc", or unset it; '
        "a C compiler (gcc or clang) would make it several times faster; "
        "not compiled: 60 updates are too few to repay half a minute of compiling"
    )


@pytest.mark.parametrize("more", ["cc -DA='b c'", "cc"])
def test_a_compiler_may_be_several_words(tmp_path, monkeypatch, more):
    launcher = tmp_path / "a launcher"
    launcher.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nexec "$@"\n')
    launcher.chmod(0o755)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    monkeypatch.setenv("CC", f"'{launcher}' {more}")
    compiler.find_compiler.cache_clear()
    assert run(RunSpec(rule="bp", seeds=1, **SMALL)).record["backend"] == "native"
    assert len((tmp_path / "calls").read_text().splitlines()) == 2
    compiler.find_compiler.cache_clear()


@pytest.mark.parametrize("name", ["eager", "native"])
def test_the_one_asked_for(name):
    result = run(RunSpec(rule="bp+oja", seeds=1, backend=name, **SMALL))
    assert result.record["backend"] == name
    assert result.record["backend_reason"] == "asked for"


@pytest.mark.usefixtures("users_compilers")
def test_native_and_eager_give_the_same_curve():
    curves = [
        run(RunSpec(rule="bp+oja", seeds=3, backend=name, **SMALL)).curves
        for name in ("eager", "native")
    ]
    for name in ("accuracy", "loss"):
        torch.testing.assert_close(
            *(torch.from_numpy(c[name].to_numpy()) for c in curves), rtol=1e-4, atol=1e-4
        )


def test_a_run_begun_by_another_backend_says_so(tmp_path, monkeypatch):
    spec = RunSpec(rule="bp", seeds=1, **SMALL)
    monkeypatch.setattr(result_folder, "_FIRST_CHECKPOINT", 0.0)
    monkeypatch.setattr(result_folder, "_CHECKPOINT_SHARE", float("inf"))

    def stop(curves):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(spec, out=tmp_path / "run", on_point=stop)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["backend"] == "native"
    record["backend"] = "eager"
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    notes = run(spec, out=tmp_path / "run", resume=True).record["result"]["notes"]
    assert "resumed by the backend native; it was begun by eager" in notes
