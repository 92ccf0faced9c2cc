"""Every map, backward, is what autograd gives in double precision."""

import pytest
import torch

from plastic_core.api.maps import Activate, Add, Map, Normalise
from plastic_core.plugins.catalogue import Catalogue

ACTIVATIONS = {e.name: e.plugin() for e in Catalogue().entries("activation")}


class Product(Map):
    """Says forward alone."""

    def forward(self, *inputs):
        return inputs[0] * inputs[1], inputs


MAPS = {
    **{n: (Activate(a), 1) for n, a in ACTIVATIONS.items() if not a.spec.surrogate},
    "normalise": (Normalise(), 1),
    "add": (Add(), 3),
    "forward alone": (Product(), 2),
}


@pytest.mark.parametrize("name", MAPS)
def test_backward_is_the_gradient(name):
    function, count = MAPS[name]
    source = torch.Generator().manual_seed(0)
    inputs = 2 * torch.randn(count, 2, 3, 5, generator=source, dtype=torch.float64)
    error = torch.randn(2, 3, 5, generator=source, dtype=torch.float64)
    _, kept = function.forward(*inputs)
    found = function.backward(error, kept)
    followed = [one.clone().requires_grad_() for one in inputs]
    expected = torch.autograd.grad(function.forward(*followed)[0], followed, error)
    for ours, gradient in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, gradient, rtol=0, atol=1e-10)
