"""Losses: on every backend the same numbers; a stranger's loss; initialisations of a stranger."""

import json
import re
from pathlib import Path

import pytest
import torch

from plastic_core import NetworkSpec, PlasticError, RunSpec, initial_parameters, run
from plastic_core.api import Initialisation, InitialisationSpec, RecurrentSpec
from plastic_core.backends.compiled.compiled_backend import CompiledBackend
from plastic_core.backends.dual.tangent_step import TangentStep
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.backends.native.native_tangents import NativeTangents
from plastic_core.circuits.network import circuit_of
from plastic_core.cli import execute
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.plugins.plugin_file import import_file
from plastic_rules.losses.cross_entropy import CrossEntropy
from tests.building import random_points, resolve

LOSSES = sorted(Catalogue().names("loss"))
SIZES = (6, 5, 4, 3)
DOCUMENTED = Path(__file__).parents[2] / "docs" / "howto" / "train_on_numbers.md"


class Peculiar(CrossEntropy):
    """Neither softmax nor elementwise."""

    spec = CrossEntropy.spec.model_copy(update={"name": "peculiar"})

    def output(self, z):
        return (z - z.logsumexp(-1, keepdim=True)).exp()


@pytest.fixture
def log_cosh(tmp_path):
    """Return the file with the loss that the documentation shows."""
    (code,) = re.findall(r"```python\n(from.*?)```", DOCUMENTED.read_text(), re.S)
    file = tmp_path / "log_cosh.py"
    file.write_text(code)
    return file


def circuit_with(network, loss):
    def find(kind, name):
        return (lambda: loss) if kind == "loss" else Catalogue().class_of(kind, name)

    return circuit_of(network, find)


def trained(backend, network, loss, batch, **arguments):
    plan, hooks, parameters = resolve("0.1*bp+0.02*oja", SIZES, seeds=2, activation="tanh")
    x, target = random_points(1, 1, 30, SIZES)
    if loss.spec.targets == "numbers":
        target = target + torch.linspace(-1, 1, 30, dtype=torch.float64)[:, None]
    thetas = {r.name: torch.full((2,), r.theta, dtype=torch.float64) for r in plan.rules}
    if isinstance(network, RecurrentSpec):
        parameters = initial_parameters(network, [0, 1], hooks.feedback, torch.float64)
    circuit = circuit_with(network, loss)
    made = backend(circuit, hooks, thetas, parameters, x[0, 0], target[0, 0], batch, **arguments)
    made.advance(torch.arange(30).expand(2, -1))
    return parameters.weights


@pytest.mark.parametrize("name", [*LOSSES, "log-cosh"])
@pytest.mark.parametrize("recurrent", [False, True])
def test_backends_agree(name, recurrent, log_cosh):
    loss = (
        import_file(log_cosh).LogCosh()
        if name == "log-cosh"
        else Catalogue().find("loss", name).plugin()
    )
    network = NetworkSpec(sizes=SIZES, activation="tanh")
    if recurrent:
        network = RecurrentSpec(inputs=6, hidden=5, classes=3, present=2, steps=4)
    expected = trained(EagerBackend, network, loss, 1)
    others = [trained(NativeBackend, network, loss, 1)]
    if name == "squared-error" and not recurrent:
        others.append(trained(CompiledBackend, network, loss, 1, chunk=2))
    before = initial_parameters(network, [0, 1], None, torch.float64).weights
    for weights in others:
        for ours, theirs, start in zip(weights, expected, before, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
            assert (ours - start).abs().max() > 1e-3


@pytest.mark.parametrize("name", LOSSES)
def test_tangents_are_those_of_differences_and_native_agrees(name):
    loss = Catalogue().find("loss", name).plugin()
    circuit = circuit_with(NetworkSpec(sizes=SIZES, activation="tanh"), loss)
    x, target = random_points(1, 8, 1, SIZES)

    def step_of(theta):
        _, hooks, parameters = resolve("0.1*bp", SIZES, activation="tanh")
        thetas = {"bp": torch.tensor([theta], dtype=torch.float64)}
        return TangentStep(circuit, hooks, thetas, parameters), (hooks, thetas, parameters)

    def outputs(theta):
        step, _ = step_of(theta)
        for one, wanted in zip(x, target, strict=True):
            step.step(one, wanted)
        return step.outputs(x[0])

    _, tangents = outputs(0.1)
    slope = (outputs(0.1 + 1e-6)[0] - outputs(0.1 - 1e-6)[0]) / 2e-6
    torch.testing.assert_close(tangents[0], slope, rtol=1e-6, atol=1e-8)

    step, parts = step_of(0.1)
    native = NativeTangents(circuit, *parts, x.flatten(0, 2), target.flatten(0, 2), 1)
    native.carry(step.tangents)
    native.advance(torch.arange(8).unsqueeze(0))
    torch.testing.assert_close(step.outputs(x[0])[1], tangents, rtol=1e-9, atol=1e-11)


def test_a_loss_that_c_cannot_be_made_of_is_refused_and_trains_by_another_backend():
    spec = RunSpec(rule="bp", seeds=1, samples=40, backend="native", options={"loss": "peculiar"})
    result = run(spec, parts=[Peculiar])
    assert result.record["backend"] == "eager"
    reason = (
        r"^in place of native: the loss 'peculiar': line \d+: C is not generated for 'logsumexp'"
    )
    assert re.search(reason, result.record["backend_reason"])
    usual = run(spec.model_copy(update={"options": {}, "backend": "eager"}))
    assert abs(result.curves["loss"] - usual.curves["loss"]).max() < 1e-4


def test_the_documented_loss_runs_natively_and_passes_the_kit(log_cosh, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["run", "--task", "sine-regression", "--plugin", str(log_cosh), "--json", "--seeds"]
    command += ["2", "--rule", "0.05*bp", "--samples", "400", "--out", str(out), "--loss"]
    assert execute([*command, "log-cosh"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["score"]["name"], found["backend"]) == ("mae", "native")
    assert 0 < found["score"]["mean"] < 0.6
    sources = json.loads((out / "run.json").read_text())["sources"]
    assert sources["loss log_cosh:log-cosh"].startswith("file+")
    assert execute(["check", str(log_cosh)]) == 0
    text = log_cosh.read_text().replace(".tanh()", "")
    log_cosh.write_text(text)
    assert execute(["check", str(log_cosh)]) == 1
    assert (
        "LogCosh.error\n"
        "  found     is off the derivative of value(output(z)) by z by 2.8\n"
        "  accepted  expected dL/dz of each sample, which autograd gives\n"
        "  example   return output - target\n"
    ) in capsys.readouterr().out


def test_less_is_better_where_the_score_says_so(log_cosh, tmp_path, capsys):
    where = ["--task", "sine-regression", "--plugin", str(log_cosh), "--loss", "log-cosh"]
    where += ["--seeds", "2", "--samples", "300", "--evaluations", "1"]
    out = ["--out", str(tmp_path / "sweep")]
    rules = ["--rule", "bp", "--rule", "bp+oja", "--grid", "bp=1e-5,0.05"]
    assert execute(["sweep", *rules, *where, *out, "--workers", "0"]) == 0
    capsys.readouterr()
    compare = ["compare", *out[1:], "--plugin", str(log_cosh), "--json", "--workers", "0"]
    assert execute(compare) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["score"] == "mae"
    assert [row["point"]["bp"] for row in found["rules"]] == [0.05, 0.05]
    (difference,) = found["differences"]
    assert difference["wins"] in (0, 1, 2)


class Halves(Initialisation):
    spec = InitialisationSpec(name="halves", summary="1/2", equation="1/2", reference="a test")

    def draw(self, shape, std, source):
        return torch.full(shape[:2], 0.5, dtype=torch.float64)


def test_an_initialisation_of_a_stranger():
    spec = RunSpec(rule="0*bp", seeds=1, samples=1, options={"init": "halves"})
    result = run(spec, parts=[Halves])
    assert all((weight == 0.5).all() for weight in result.parameters.weights)

    class Wrong(Halves):
        def draw(self, shape, std, source):
            return torch.zeros(shape.n_pre, shape.n_post)

    with pytest.raises(PlasticError) as caught:
        run(spec, parts=[Wrong])
    assert str(caught.value) == (
        "the initialisation 'halves': draw() returned torch.float32 [64, 170]; expected "
        "torch.float64 [170, 64]"
    )


def test_unknown_names_are_explained():
    for kind, options in {
        "loss": {"loss": "squared-eror"},
        "initialisation": {"init": "zeroes"},
    }.items():
        with pytest.raises(PlasticError) as caught:
            run(RunSpec(options=options))
        (name,) = options.values()
        right = {"squared-eror": "squared-error", "zeroes": "zeros"}[name]
        known = ", ".join(sorted(Catalogue().names(kind)))
        several = {"loss": "losses"}.get(kind, f"{kind}s")
        assert str(caught.value) == (
            f"there is no {kind} '{name}'; did you mean '{right}'?\n"
            f"  installed {several}: {known}\n  'plastic plugins' shows where each comes from"
        )


def test_losses_whose_scores_differ_are_not_swept_together(capsys):
    grid = ["--grid", "loss=cross-entropy,squared-error"]
    assert execute(["sweep", "--rule", "bp", *grid]) == 2
    assert capsys.readouterr().err == (
        "plastic: the losses of this sweep have the scores accuracy, r2, which cannot be "
        "compared; sweep each by itself\n"
    )
