"""momentum, rmsprop and adam against torch.optim in float64, through the engine."""

import pytest
import torch

from tests.building import build_engine, random_points
from tests.reference import slow

SIZES = (9, 7, 6, 4)

# the transform, its settings, and torch's optimiser, for which the summed increment is -gradient
CASES = {
    "momentum": ("momentum", {"beta": 0.8}, torch.optim.SGD, {"lr": 1.0, "momentum": 0.8}),
    "rmsprop": (
        "rmsprop",
        {"rate": 0.003, "beta": 0.95, "epsilon": 1e-6},
        torch.optim.RMSprop,
        {"lr": 0.003, "alpha": 0.95, "eps": 1e-6},
    ),
    "adam": (
        "adam",
        {"rate": 0.003, "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6},
        torch.optim.Adam,
        {"lr": 0.003, "betas": (0.8, 0.99), "eps": 1e-6},
    ),
}

RULES = {
    "0.05*bp": ([(slow.bp, 0.05)], "W"),
    "0.05*bp + 0.02*oja": ([(slow.bp, 0.05), (slow.oja, 0.02)], "W"),
    "0.05*fa + 0.03*b-update + 0.01*b-decay": (
        [(slow.fa, 0.05), (slow.b_update, 0.03), (slow.b_decay, 0.01)],
        "B",
    ),
}


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", CASES)
def test_transform_is_the_optimiser_of_torch(case, rule, batch):
    name, settings, optimiser, arguments = CASES[case]
    terms, through = RULES[rule]
    engine, _, before = build_engine(
        rule, SIZES, seeds=2, transforms=(name,), settings={name: settings}
    )
    x, target = random_points(2, 40, batch, SIZES)
    for step in range(40):
        engine.step(x[step], target[step])
    after = engine.parameters.named()
    for replica in range(2):
        matrices = {
            key: value[replica].clone()
            for key, value in before.items()
            if key.startswith(("weight", "feedback"))
        }
        theirs = optimiser([*matrices.values()], **arguments)
        for step in range(40):
            now = {key: value.numpy().copy() for key, value in matrices.items()}
            weights = [now[f"weight.{i}"] for i in (1, 2, 3)]
            feedback = [now.get(f"feedback.{i}", w.T.copy()) for i, w in enumerate(weights, 1)]
            slow.step(
                weights,
                feedback,
                terms,
                x[step, replica].numpy(),
                target[step, replica].numpy(),
                through,
            )
            for key, value in matrices.items():
                value.grad = value - torch.from_numpy(now[key])
            theirs.step()
        for key, value in matrices.items():
            assert (value - before[key][replica]).abs().max() > 1e-3
            torch.testing.assert_close(after[key][replica], value, rtol=0, atol=1e-10)
