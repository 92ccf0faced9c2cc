"""Layer normalisation: bp through it is the gradient, on every backend that takes it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from plastic_core.backends.compiled.compiled_backend import CompiledBackend
from plastic_core.backends.eager.eager_backend import EagerBackend
from tests.backends.test_native import compare
from tests.backends.trained_parts import assert_same, make, order
from tests.building import build_engine, random_points
from tests.daily import combined
from tests.probes.snapshots import Photographed
from tests.reference.test_backprop import ACTIVATIONS

SIZES = (20, 12, 12, 9, 9, 5)


def loss_and_drives(weights, x, target, activation, residual):
    """Return the mean loss and every z = W y, by PyTorch's own layer normalisation."""
    y, drives = x, []
    for weight in weights[:-1]:
        drives.append(y @ weight.T)
        z = ACTIVATIONS[activation](F.layer_norm(drives[-1], drives[-1].shape[-1:], eps=1e-5))
        y = z + y if residual and z.shape == y.shape else z
    drives.append(y @ weights[-1].T)
    return F.cross_entropy(drives[-1], target.argmax(-1)), drives


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_increments_are_the_gradient(activation, batch, residual):
    engine, _, before = build_engine(
        "1*bp", SIZES, seeds=2, activation=activation, residual=residual, layer_norm=True
    )
    x, target = random_points(2, 1, batch, SIZES)
    outputs = engine.step(x[0], target[0])
    for replica in range(2):
        weights = [before[f"weight.{i}"][replica].requires_grad_() for i in range(1, len(SIZES))]
        loss, drives = loss_and_drives(
            weights, x[0, replica], target[0, replica], activation, residual
        )
        torch.testing.assert_close(outputs[replica], torch.softmax(drives[-1].detach(), -1))
        gradients = torch.autograd.grad(loss, weights)
        after = [w[replica] for w in engine.parameters.weights]
        for new, old, gradient in zip(after, weights, gradients, strict=True):
            assert gradient.abs().max() > 0, "the comparison would be empty"
            assert (new - old + gradient).abs().max() < 1e-10


def test_evaluation_normalises_too():
    engine, _, before = build_engine("bp", SIZES, layer_norm=True)
    x, target = random_points(1, 1, 4, SIZES)
    weights = [before[f"weight.{i}"][0] for i in range(1, len(SIZES))]
    _, drives = loss_and_drives(weights, x[0, 0], target[0, 0], "softplus", False)
    torch.testing.assert_close(engine.activities(x[0], 0)[-1][0], torch.softmax(drives[-1], -1))


@pytest.mark.parametrize("residual", [False, True])
def test_probes_see_the_gradient_whatever_rule_learns(residual):
    made = Photographed("fa", SIZES, residual=residual, layer_norm=True, dtype="float64")
    x, target = (torch.from_numpy(a[:10]) for a in (made.x, made.target))
    weights = [w[0].clone().requires_grad_() for w in made.parameters.weights]
    loss, drives = loss_and_drives(weights, x, target, "softplus", residual)
    expected = torch.autograd.grad(loss * len(x), drives)
    found = made.snapshot().gradients
    for [one], other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("compilers")
def test_compiled_is_eager_with_normalisation_and_with_states_of_transforms():
    made = [
        make(
            backend,
            "oja+bp",
            (7, 6, 4),
            seeds=2,
            batch=2,
            layer_norm=True,
            transforms=["adam"],
            more=more,
        )
        # two updates a call, for it takes long to compile many of them
        for backend, more in ((CompiledBackend, {"chunk": 2}), (EagerBackend, {}))
    ]
    for backend, _ in made:
        assert backend.advance(order(2, 60)).tolist() == [-1, -1]
    assert_same(made[0][1], made[1][1], 1e-4)


@pytest.mark.usefixtures("compilers")
@pytest.mark.parametrize(
    ("batch", "rule"),
    combined([1, 3], ["bp", "bp+oja+hebbian-error", "fa+hebbian-error", "dfa", "oja"]),
)
def test_native_is_eager(rule, batch):
    for residual, activation in ((False, "softplus"), (True, "tanh")):
        compare(
            rule,
            SIZES,
            batch=batch,
            layer_norm=True,
            residual=residual,
            activation=activation,
            dtype="float64",
            tolerance=1e-9,
        )
