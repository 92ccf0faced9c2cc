"""Activation functions: the documented one of a stranger on every backend, and what is refused."""

import json
import re
from pathlib import Path

import pytest
import torch

from plastic_core import PlasticError, RunSpec, run
from plastic_core.cli import execute

DOCUMENTED = Path(__file__).parents[2] / "docs" / "howto" / "write_an_activation.md"
SMALL = {"samples": 200, "seeds": 2, "evaluations": 2, "options": {"sizes": [64, 9, 7, 10]}}


@pytest.fixture
def softsign(tmp_path):
    """Return the file with the activation function that the documentation shows."""
    code, _ = re.findall(r"```python\n(.*?)```", DOCUMENTED.read_text(), re.S)
    file = tmp_path / "softsign.py"
    file.write_text(code)
    return file


def weights_of(backend, activations=(), **options):
    spec = RunSpec(
        rule="0.05*bp+0.001*oja",
        dtype="float64",
        backend=backend,
        **{**SMALL, "options": SMALL["options"] | options},
    )
    result = run(spec, parts=activations)
    assert result.record["backend"] == backend
    return result.parameters.weights


def test_the_documented_one_runs_on_every_backend_and_passes_the_kit(softsign, capsys):
    assert execute(["check", str(softsign)]) == 0
    assert "softsign" in capsys.readouterr().out
    flags = ["--samples", "200", "--seeds", "2", "--json", "--dtype", "float64"]
    found = []
    for backend in ("eager", "native"):
        command = ["run", "--plugin", str(softsign), "--activation", "softsign", *flags]
        assert execute([*command, "--backend", backend]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["backend"] == backend
        found.append(result["score"]["per_seed"])
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["elu", "hard-sigmoid", "softplus", "gelu", "silu", "step"])
def test_native_is_eager(name):
    for ours, reference in zip(
        weights_of("native", activation=name), weights_of("eager", activation=name), strict=True
    ):
        torch.testing.assert_close(ours, reference, rtol=0, atol=1e-10)


def test_a_slope_that_is_none_is_found(tmp_path, capsys):
    file = tmp_path / "wrong.py"
    file.write_text(
        "from plastic_core.api import Activation, ActivationSpec\n\n\n"
        "class Wrong(Activation):\n"
        '    spec = ActivationSpec(name="wrong", summary="s", equation="y", reference="r")\n\n'
        "    def apply(self, z):\n        return z.tanh()\n\n"
        "    def slope(self, z, y):\n        return 1 - z * z\n"
    )
    assert execute(["check", str(file)]) == 1
    said = capsys.readouterr().out
    assert "reads z, and the spec says slope_of='y'" in said
    assert "write slope_of='z' in the spec, or the slope as a function of y" in said


def test_an_unknown_name_is_explained():
    with pytest.raises(PlasticError, match="there is no activation 'tahn'; did you mean 'tanh'"):
        run(RunSpec(**{**SMALL, "options": SMALL["options"] | {"activation": "tahn"}}))
