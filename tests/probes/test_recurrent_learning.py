"""What single points would teach recurrent networks is what the engine teaches them."""

import pytest
import torch

from plastic_core import Engine, RunSpec, initial_parameters, resolve_hooks
from plastic_core.api import RecurrentSpec
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.probes.point_learning import Learner


@pytest.mark.parametrize(
    "more", [{"steps": 4}, {"steps": 12, "bias": True, "layer_norm": True, "residual": True}]
)
def test_increments_of_points_are_the_updates_of_the_engine(more):
    spec = RecurrentSpec(inputs=6, hidden=5, classes=3, present=2, **more)
    plan = make_plan(RunSpec(rule="0.1*oja+0.05*bp", task="delayed-digits-rnn"), Catalogue())
    hooks = resolve_hooks(plan.selected, dtype=torch.float64)
    thetas = {r.name: torch.full((2,), r.theta, dtype=torch.float64) for r in plan.rules}
    source = torch.Generator().manual_seed(0)
    x = torch.rand(3, 6, generator=source, dtype=torch.float64)
    target = torch.eye(3, dtype=torch.float64)
    parameters = initial_parameters(spec, [0, 1], None, torch.float64)
    look = Learner(spec, hooks, parameters, x, target, matrices=False).look(thetas)
    assert [tuple(e.shape) for e in look.errors] == [
        (2, 3, 2, 5),  # networks, points, events, units
        (2, 3, spec.steps - 1, 5),
        (2, 3, 3),
    ]
    for error, gradient in zip(look.errors, look.gradients, strict=True):
        torch.testing.assert_close(error, gradient)
    for point in range(3):
        taught = initial_parameters(spec, [0, 1], None, torch.float64)
        before = [w.clone() for w in taught.weights]
        shown = x[point].expand(2, 1, -1), target[point].expand(2, 1, -1)
        Engine(spec, hooks, thetas, taught).step(*shown)
        for layer in range(3):
            increments = look.increments[layer][""]
            for network in range(2):
                rows = look.points_of(network)
                expected = taught.weights[layer][network] - before[layer][network]
                assert expected.abs().max() > 0, "the comparison would be empty"
                found = increments.dense(rows)[point]
                torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
                norm = increments.norms[rows][point]
                torch.testing.assert_close(norm, expected.norm(), rtol=1e-9, atol=1e-12)
