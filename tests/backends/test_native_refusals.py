"""What the native backend does not take, and what it needs of the machine."""

import os
import stat
from dataclasses import replace

import platformdirs
import pytest
import torch

from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer
from plastic_core.api.maps import Activate, Map
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native import compiler
from plastic_core.backends.native.compiler import CompilerError
from plastic_core.backends.native.follower import FOLLOWED
from plastic_core.backends.native.matrix_forms import INSTEAD
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.backends.native.program import NotNativeError
from plastic_core.circuits.network import circuit_of
from tests.backends.trained_parts import make
from tests.building import resolve


def rule_of(update, **fields):
    """Return a rule class with the local update `update`."""

    class Made(Rule):
        spec = RuleSpec(
            **{
                "name": "made",
                "summary": "of a test",
                "equation": "x",
                "reference": "none",
                "modifies": "forward",
                "reads": {"pre", "post", "weight"},
                "theta": Theta(default=1e-3),
                **fields,
            }
        )

        @hookimpl
        def plastic_local_update(self, s):
            return update(s)

    return Made


class OwnForward(Rule):
    spec = RuleSpec(
        name="own",
        summary="of a test",
        equation="x",
        reference="none",
        modifies="forward",
        reads={"pre", "weight"},
        theta=Theta(default=1e-3),
    )

    @hookimpl
    def plastic_forward(self, s):
        return torch.bmm(s.pre, s.weight.mT)


calls = []


def counting(s):
    calls.append(1)
    return outer(s.post * len(calls), s.pre)


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        (
            lambda s: outer(torch.cumsum(s.post, -1), s.pre),
            f"C is not generated for 'cumsum'; {FOLLOWED}",
        ),
        (
            lambda s: outer(torch.bmm(s.pre, s.weight.mT), s.pre),
            f"it turns a matrix; {INSTEAD}",
        ),
        (
            lambda s: outer(s.post, s.pre) + torch.baddbmm(s.weight, s.post.mT, s.pre),
            f"it turns a matrix; {INSTEAD}",
        ),
        (
            lambda s: s.weight / s.weight.sum(-1, keepdim=True),
            "it looks at more than one element of a matrix at a time; write it with functions of "
            "single elements",
        ),
        (
            lambda s: outer(s.post * s.pre.mean(), s.pre),
            f"C is not generated for 'mean'; {FOLLOWED}",
        ),
        (
            lambda s: outer(s.post if s.post.max() > 0 else -s.post, s.pre),
            "it cannot be followed (symbolically traced variables cannot be used as inputs to "
            "control flow); write torch.where(condition, a, b) in place of branching on values",
        ),
    ],
)
def test_rules_that_c_is_not_generated_for(update, reason):
    with pytest.raises(NotNativeError) as caught:
        make(NativeBackend, "bp+made", (4, 3, 2), rules=[rule_of(update)])
    line = update.__code__.co_firstlineno
    assert str(caught.value) == f"the rule 'made': line {line}: {reason}"


def test_a_rule_that_does_something_else_at_each_call():
    with pytest.raises(NotNativeError) as caught:
        make(NativeBackend, "bp+made", (4, 3, 2), rules=[rule_of(counting)])
    assert str(caught.value) == (
        "the rule 'made': it cannot be followed (it does something else at each call); compute "
        "from the signals, the state and the parameters alone"
    )


def test_own_forward():
    with pytest.raises(NotNativeError) as caught:
        make(NativeBackend, "bp+own", (4, 3, 2), rules=[OwnForward])
    rule, line, reason = str(caught.value).split(": ", 2)
    assert (rule, line[:5]) == ("the rule 'own'", "line ")
    assert reason == f"it turns a matrix; {INSTEAD}"


class Halved(Map):
    """Whose C nobody wrote."""

    def forward(self, *inputs):
        return inputs[0] / 2, inputs


def test_a_map_that_is_not_known():
    plan, hooks, parameters = resolve("bp", (4, 3, 2))
    circuit = circuit_of(plan.network)
    operations = tuple(
        replace(one, map=Halved()) if isinstance(getattr(one, "map", None), Activate) else one
        for one in circuit.operations
    )
    thetas = {"bp": torch.ones(1, dtype=torch.float64)}
    x, target = torch.rand(5, 4).double(), torch.eye(2).double()[[0, 1, 0, 1, 0]]
    made_of = (replace(circuit, operations=operations), hooks, thetas, parameters, x, target, 1)
    with pytest.raises(NotNativeError) as caught:
        NativeBackend(*made_of)
    assert str(caught.value) == (
        "no C is made of the map 'Halved'; the eager and the compiled backend take it"
    )
    assert EagerBackend(*made_of).advance(torch.arange(5).view(1, 5)).tolist() == [-1]


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """Return an empty cache folder; what is known of the compiler is forgotten."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    monkeypatch.delenv("CC", raising=False)
    compiler.find_compiler.cache_clear()
    yield tmp_path / "plastic" / "native"
    compiler.find_compiler.cache_clear()


def bp():
    return make(NativeBackend, "bp", (4, 3, 2), more={"flags": ("-O0",)})[0]


def test_a_library_is_compiled_once_whatever_size_and_theta(fresh):
    assert bp().code.library.compiled
    assert not bp().code.library.compiled
    other, _ = make(NativeBackend, "0.3*bp", (9, 8, 7, 6, 5), seeds=3, more={"flags": ("-O0",)})
    assert not other.code.library.compiled
    assert len(list(fresh.iterdir())) == 1
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o700


def test_no_compiler(fresh, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CompilerError) as caught:
        bp()
    assert str(caught.value) == "no C compiler was found (looked for cc, gcc, clang)"


def test_a_compiler_that_fails(fresh, monkeypatch, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'error: out of order' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(CompilerError) as caught:
        bp()
    assert str(caught.value) == f"{broken} failed: error: out of order"


def test_clang_where_it_is_installed(fresh, monkeypatch):
    if not any(os.access(f"{folder}/clang", os.X_OK) for folder in os.get_exec_path()):
        pytest.skip("clang is not installed")
    monkeypatch.setenv("CC", "clang")
    assert bp().code.library.compiled
