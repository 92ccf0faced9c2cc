"""Several runs at once, in threads of one process, are what each is alone."""

import ast
import gc
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from plastic_core import RunSpec, run
from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer
from plastic_core.results.sources import imported_by


def long_rule():
    """Return a new class of a rule that takes a while to be followed."""

    class Long(Rule):
        spec = RuleSpec(
            name="long",
            summary="of a test",
            equation="x",
            reference="none",
            modifies="forward",
            reads={"post", "pre"},
            theta=Theta(default=1e-3),
        )

        @hookimpl
        def plastic_local_update(self, s):
            right = s.pre
            for _ in range(60):
                right = torch.tanh(right + 0.1)
            return outer(s.post, right)

    return Long


def trained(backend, out):
    options = {"sizes": [64, 7, 10]}
    spec = RunSpec(
        rule="bp+long",
        task="digits-mlp",
        samples=20,
        evaluations=2,
        seeds=1,
        backend=backend,
        eval_samples=20,
        options=options,
    )
    return run(spec, rules=[long_rule()], out=out)


@pytest.mark.parametrize(
    ("backend", "count", "written"),
    [
        ("native", 10, False),
        ("eager", 5, True),
        pytest.param("native", 20, False, marks=pytest.mark.slow),
        pytest.param("eager", 10, True, marks=pytest.mark.slow),
        pytest.param("compiled", 10, False, marks=pytest.mark.slow),
        pytest.param("native", 50, True, marks=pytest.mark.slow),
        pytest.param("eager", 50, True, marks=pytest.mark.slow),
    ],
)
def test_runs_in_ten_threads_have_the_numbers_and_the_backend_of_one_alone(
    backend, count, written, tmp_path
):
    alone = trained(backend, None)
    with ThreadPoolExecutor(10) as pool:
        folders = [tmp_path / str(i) if written else None for i in range(count)]
        results = [*pool.map(lambda folder: trained(backend, folder), folders)]
    for result in results:
        assert result.record["backend"] == backend
        assert result.record["backend_reason"] == "asked for"
        assert result.record["result"]["notes"] == alone.record["result"]["notes"]
        assert all(map(torch.equal, result.parameters.weights, alone.parameters.weights))
        assert result.curves.equals(alone.curves)
        assert not written or (result.run_dir / "learning_curve.png").exists()


def test_threads_that_collect_garbage_while_sources_are_parsed_do_not_disturb_each_other():
    """Python gives way to another thread there, and the parser of 3.11 does not expect it."""

    def give_way(phase, info):
        # in the parser alone: torch holds locks while it makes its objects
        if sys._getframe(1).f_code.co_filename == ast.__file__:
            time.sleep(1e-6)

    imported_by.cache_clear()  # or nothing is parsed any more
    usual = gc.get_threshold()
    gc.callbacks.append(give_way)
    gc.set_threshold(50)
    try:
        with ThreadPoolExecutor(4) as pool:
            results = [*pool.map(lambda _: trained("eager", None), range(8))]
    finally:
        gc.set_threshold(*usual)
        gc.callbacks.remove(give_way)
    assert len({str(result.record["sources"]) for result in results}) == 1
