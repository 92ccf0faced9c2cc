"""Several runs at once, in threads of one process, are what each is alone."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from plastic_core import RunSpec, run
from plastic_core.api import Rule, RuleSpec, Theta, hookimpl, outer


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
