"""What the tests of the parts of a rule have in common: its spec, short runs, and derivatives."""

import pytest
import torch

from plastic_core import RunSpec, run
from plastic_core.api import RuleSpec, Theta
from plastic_core.backends.dual.tangent_step import TangentStep
from plastic_core.backends.eager.engine import Engine
from plastic_core.results import result_folder
from tests.building import random_points, resolve

#: Task, options and mini-batch of a network of each kind.
RUNS = {
    "dense": ("digits-mlp", {"net": "dense 9 / dense 8 bias layer-norm"}, 3),
    "recurrent": ("delayed-digits-rnn", {"hidden": 12, "delay": 9}, 1),
    "sequence": ("delayed-xor", {"hidden": 9, "steps": 5}, 2),
    "convolution": ("digits-cnn", {"net": "conv 3 3x3 / pool 2 / dense 8"}, 2),
    "attention": ("digits-attention", {"net": "tokens 4x4 6 / attention 2 / mean"}, 1),
}


def spec_of(name, reads, **more):
    """Return a spec whose theta may have either sign."""
    given = {"modifies": "forward", "theta": Theta(default=0.01, min=None), **more}
    return RuleSpec(
        name=name, summary="of a test", equation="x", reference="none", reads=reads, **given
    )


def trained(rule, expression, name, backend, threads=None, **more):
    """Return the parameters by name after a short run on a network of `RUNS`, and its record."""
    task, options, batch = RUNS[name]
    given = {"task": task, "options": options, "batch_size": batch, "seeds": 2, "samples": 60}
    given |= {"evaluations": 2, "dtype": "float64", **more}
    spec = RunSpec(rule=expression, backend=backend, **given)
    result = run(spec, rules=[rule], threads=threads)
    return result.parameters.named(), result.record


def small(rule, backend="native", **more):
    """Return a short run on the digits, evaluated at multiples of 15 samples."""
    given = {"task": "digits-mlp", "options": {"net": "dense 9"}, "seeds": 2, **more}
    return RunSpec(rule=rule, backend=backend, samples=60, evaluations=4, **given)


class KilledError(Exception):
    pass


def kill(spec, folder, monkeypatch, **given):
    """Leave the folder of a run that was killed after its first evaluation, with a checkpoint."""
    monkeypatch.setattr(result_folder, "_FIRST_CHECKPOINT", 0.0)
    monkeypatch.setattr(result_folder, "_CHECKPOINT_SHARE", float("inf"))

    def kill_it(curves):
        if curves.done == 1:
            raise KilledError

    with pytest.raises(KilledError):
        run(spec, out=folder, on_point=kill_it, **given)


def killed_and_resumed(spec, folder, monkeypatch, **given):
    """Return a run that was killed and goes on, which has the bits of one that was not killed."""
    whole = run(spec, **given)
    kill(spec, folder, monkeypatch, **given)
    rest = run(spec, out=folder, resume=True, **given)
    assert rest.curves.equals(whole.curves)
    for key, value in whole.parameters.named().items():
        assert torch.equal(rest.parameters.named()[key], value), key
    return rest


def assert_agree(rule, expression, name, backend, used=None, **more):
    """Assert that a backend, or the one that is used in its place, gives eager's numbers."""
    eager, _ = trained(rule, expression, name, "eager", **more)
    other, record = trained(rule, expression, name, backend, **more)
    assert record["backend"] == (used or backend), record["backend_reason"]
    for key, value in eager.items():
        assert value.double().isfinite().all(), key
        torch.testing.assert_close(other[key], value, rtol=1e-9, atol=1e-12)


def assert_tangents(rule, sizes=(6, 5, 3), theta=0.3, rtol=1e-6, **options):
    """Assert that tangents after a few steps are those of finite differences."""
    name = rule.spec.name
    x, target = random_points(1, 5, 2, sizes)

    def learned(theta, tangents=False):
        plan, hooks, parameters = resolve(f"1*{name}", sizes, rules=[rule], **options)
        thetas = {name: torch.tensor([theta], dtype=torch.float64)}
        step = (TangentStep if tangents else Engine)(plan.circuit, hooks, thetas, parameters)
        for shown, wanted in zip(x, target, strict=True):
            step.step(shown, wanted)
        named = {key: value.clone() for key, value in parameters.named().items()}
        return step.tangents if tangents else named

    tangents, h = learned(theta, tangents=True), 1e-6
    above, below = learned(theta + h), learned(theta - h)
    for key, tangent in tangents.items():
        finite = (above[key] - below[key]) / (2 * h)
        torch.testing.assert_close(tangent[:, 0], finite, rtol=rtol, atol=rtol / 100)
