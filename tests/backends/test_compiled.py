"""The compiled backend against the eager one."""

import pytest
import torch
from torch._dynamo.eval_frame import OptimizedModule

from plastic_core import RunSpec, run
from plastic_core.api import Rule, RuleSpec, State, Theta, hookimpl, outer
from plastic_core.backends.compiled import compiled_backend
from plastic_core.backends.compiled.compiled_backend import CannotCompileError, CompiledBackend
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native import compiler
from tests.backends.trained_parts import assert_same, make, order
from tests.conftest import compilers_of_the_user


@pytest.fixture(scope="module", autouse=True)
def _really():
    """Compile, each function once."""
    with compilers_of_the_user(), torch._dynamo.config.patch(error_on_recompile=True):
        yield


# updates of one call, the fewest that follow each other; and what users have, which takes longer
CHUNKS = [2, pytest.param(compiled_backend._CHUNK, marks=pytest.mark.slow)]


class Bcm(Rule):
    """A rule with a state."""

    spec = RuleSpec(
        name="bcm",
        summary="of a test",
        equation="y (y - t) x",
        reference="none",
        modifies="forward",
        reads={"pre", "post"},
        theta=Theta(default=1e-3),
        state={"threshold": State(over="post", initial=0.1)},
    )

    @hookimpl
    def plastic_local_update(self, s):
        threshold = s.state.threshold
        mean = s.post.square().mean(1, keepdim=True)
        update = outer(s.post * (s.post - threshold), s.pre)
        return update, {"threshold": threshold + 0.1 * (mean - threshold)}


# some terms, and all of Equation 9, which takes longest; with a state
FEW = "{theta}*bp+bcm"
WHOLE = "fa+{theta}*hebbian-error+oja+weight-decay+b-update+b-decay+hebbian+bcm"


@pytest.fixture(
    scope="module",
    params=[
        (FEW, 2),
        *(pytest.param((WHOLE, n), marks=pytest.mark.slow) for n in (2, compiled_backend._CHUNK)),
    ],
    ids=["few", "whole", "whole in users' chunks"],
)
def equation(request):
    """Return a function that makes both backends with such a rule."""
    rule, updates = request.param
    chunk = {"chunk": updates}

    def both(theta, seeds):
        arguments = {"seeds": seeds, "rules": [Bcm]}
        if rule == WHOLE:
            arguments["settings"] = {"weight-decay": {"theta": 0.01}}
        terms = rule.format(theta=theta)
        return [
            make(backend, terms, (9, 9, 5), residual=True, more=more, **arguments)
            for backend, more in ((CompiledBackend, chunk), (EagerBackend, {}))
        ]

    return both


def test_agrees_with_eager_and_compiles_once(equation):
    # 203 updates are no multiple of what one call takes
    compiled_backend._KNOWN.clear()
    for theta in (0.001, 0.002):
        (ours, ours_parameters), (eager, eager_parameters) = equation(theta, seeds=3)
        for samples in (203, 4):
            points = order(3, samples)
            assert torch.equal(ours.advance(points), eager.advance(points))
        assert_same(ours_parameters, eager_parameters, 1e-4)
    [made] = compiled_backend._KNOWN.values()
    assert isinstance(made, OptimizedModule), "it was not compiled"


def test_frozen_replicas_stay_as_they_are(equation):
    (ours, parameters), (eager, reference) = equation(0.001, seeds=3)
    before = [w[1].clone() for w in parameters.weights]
    for backend in (ours, eager):
        backend.freeze(1)
        backend.advance(order(3, 20))
    assert all(torch.equal(w[1], old) for w, old in zip(parameters.weights, before, strict=True))
    assert_same(parameters, reference, 1e-4)
    shown = ours.activities(torch.rand(1, 4, 9), 0)
    assert [y.shape for y in shown] == [(1, 4, 9), (1, 4, 9), (1, 4, 5)]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_mini_batches_transforms_and_what_is_left_of_a_batch(chunk):
    made = [
        make(
            backend,
            "bp+oja",
            (7, 6, 4),
            seeds=2,
            batch=3,
            transforms=["weight-bounds"],
            settings={"weight-bounds": {"low": -0.5, "high": 0.5}},
            more=more,
        )
        for backend, more in ((CompiledBackend, {"chunk": chunk}), (EagerBackend, {}))
    ]
    for backend, _ in made:
        # 33 batches and one point, fewer points than a batch, none
        for points in (100, 2, 0):
            assert backend.advance(order(2, points)).tolist() == [-1, -1]
    assert_same(made[0][1], made[1][1], 1e-4)
    assert max(w.abs().max() for w in made[0][1].weights) <= 0.5


def test_a_rule_that_looks_at_values_is_refused():
    class Branching(Rule):
        spec = Bcm.spec.model_copy(update={"name": "branching", "state": {}})

        @hookimpl
        def plastic_local_update(self, s):
            return outer(s.post, s.pre) if s.post.max() > 0.1 else outer(-s.post, s.pre)

    with pytest.raises(CannotCompileError):
        make(CompiledBackend, "bp+branching", (4, 3, 2), rules=[Branching])


def test_a_rule_that_does_something_else_at_each_call_is_refused():
    class Counting(Rule):
        spec = Bcm.spec.model_copy(update={"name": "counting", "state": {}})
        calls = 0

        @hookimpl
        def plastic_local_update(self, s):
            Counting.calls += 1
            return outer(s.post * Counting.calls, s.pre)

    with pytest.raises(CannotCompileError) as caught:
        make(CompiledBackend, "bp+counting", (4, 3, 2), rules=[Counting])
    assert str(caught.value) == "a rule does something else at each call"


def test_a_compiler_that_hangs_is_stopped_and_the_next_backend_trains(tmp_path, monkeypatch):
    monkeypatch.setattr(compiler, "_LIMIT", 1)
    hanging = tmp_path / "c++"
    hanging.write_text("#!/bin/sh\nsleep 600\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("CXX", str(hanging))
    spec = RunSpec(
        rule="bp", backend="compiled", samples=20, seeds=1, options={"sizes": [64, 5, 10]}
    )
    record = run(spec).record
    assert record["backend"] == "eager"
    assert record["backend_reason"] == (
        f"in place of compiled: {hanging} did not end within 1 seconds"
    )
