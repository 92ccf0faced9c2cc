"""bp is the gradient: against autograd in float64, through the engine's one step."""

import pytest
import torch
import torch.nn.functional as F

from tests.building import build_engine, random_points

FIVE = (20, 12, 12, 9, 9, 5)
TEN = (20, 12, 12, 11, 11, 10, 10, 9, 9, 8, 5)

ACTIVATIONS = {
    "softplus": lambda z: torch.logaddexp(10 * z, torch.zeros_like(z)) / 10,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "linear": lambda z: z,
}


def autograd_increments(weights, x, target, activation, skips):
    """Return -dL/dW of the mean loss over the batch, by autograd."""
    weights = [w.clone().requires_grad_() for w in weights]
    y = x
    for weight, skip in zip(weights[:-1], skips, strict=False):
        z = ACTIVATIONS[activation](y @ weight.T)
        y = z + y if skip else z
    loss = F.cross_entropy(y @ weights[-1].T, target.argmax(-1))
    return [-g for g in torch.autograd.grad(loss, weights)]


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("sizes", [FIVE, TEN], ids=["5 layers", "10 layers"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_increments_are_the_gradient(activation, sizes, batch, residual):
    # large weights, so that softplus is used far into its linear part
    engine, plan, before = build_engine(
        "1*bp", sizes, seeds=2, activation=activation, init="kaiming", residual=residual
    )
    assert any(plan.network.skips) == residual
    x, target = random_points(2, 1, batch, sizes)
    engine.step(10 * x[0], target[0])
    for replica in range(2):
        weights = [before[f"weight.{i}"][replica] for i in range(1, len(sizes))]
        expected = autograd_increments(
            weights, 10 * x[0, replica], target[0, replica], activation, plan.network.skips
        )
        for layer, (weight, old, increment) in enumerate(
            zip(engine.parameters.weights, weights, expected, strict=True)
        ):
            assert increment.abs().max() > 0, "the comparison would be empty"
            difference = (weight[replica] - old - increment).abs().max()
            assert difference < 1e-10, f"layer {layer + 1}: {difference:.2e}"


def test_whole_network_of_the_paper_in_both_depths():
    for layers in (5, 10):
        hidden = {5: (170, 130, 100, 70), 10: (170, 150, 130, 120, 110, 100, 90, 80, 70)}[layers]
        sizes = (784, *hidden, 10)
        engine, _, before = build_engine("1*bp", sizes)
        x, target = random_points(1, 1, 1, sizes)
        engine.step(x[0], target[0])
        weights = [before[f"weight.{i}"][0] for i in range(1, len(sizes))]
        expected = autograd_increments(weights, x[0, 0], target[0, 0], "softplus", [False] * layers)
        for weight, old, increment in zip(
            engine.parameters.weights, weights, expected, strict=True
        ):
            assert (weight[0] - old - increment).abs().max() < 1e-10
