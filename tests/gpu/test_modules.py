"""A user's own model learns the same on a GPU as on the CPU."""

import pytest
import torch
from torch.nn import functional

from plastic_core import Plasticity, RunSpec, load, run
from tests.modules.models import LeNet, mini_batch


@pytest.mark.parametrize("rule", ["0.01*bp + 1e-3*oja", "0.01*fa + 1e-4*sanger + 1e-3*hebbian"])
def test_a_model_learns_the_same(device, rule):
    weights = []
    for place in ("cpu", device):
        torch.manual_seed(0)
        model = LeNet().double().to(place)
        plasticity = Plasticity(model, rule, transforms=["adam"])
        for step in range(3):
            x, y = (one.to(place) for one in mini_batch(4, step))
            plasticity.step(functional.cross_entropy(model(x), y))
        weights.append([one.detach().cpu() for one in model.parameters()])
    for here, there in zip(*weights, strict=True):
        torch.testing.assert_close(there, here, rtol=1e-8, atol=1e-10)


def test_networks_of_a_device_predict_anywhere(device, tmp_path):
    spec = RunSpec(rule="bp", seeds=2, samples=64, evaluations=2, dtype="float64", device=device)
    result = run(spec, out=tmp_path / "run")
    points = torch.rand(5, 64, dtype=torch.float64)
    there, here = result.networks.outputs(points), load(tmp_path / "run").networks.outputs(points)
    torch.testing.assert_close(torch.from_numpy(there), torch.from_numpy(here))
    spec = spec.model_copy(update={"parent": str(tmp_path / "run")})
    assert run(spec).record["parent"]["samples"] == 64
