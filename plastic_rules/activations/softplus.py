"""Softplus with beta = 10."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Activation, ActivationSpec

if TYPE_CHECKING:
    from torch import Tensor

#: Sharpness.
BETA = 10.0

# Above this value of beta z, softplus(z) is taken to be z. torch's default of 20 leaves a
# relative error of 2e-9 in the derivative, which float64 shows; exp(30) fits float32 as well.
_THRESHOLD = 30.0


class Softplus(Activation):
    """A smooth rectifier, close to relu."""

    spec = ActivationSpec(
        name="softplus",
        summary="log(1 + exp(10 z)) / 10",
        equation=r"\sigma(z) = \frac{1}{\beta} \log(1 + e^{\beta z}), \quad \beta = 10",
        reference="Shervani-Tabar et al. 2024, section 4.1",
    )

    def apply(self, z: Tensor) -> Tensor:
        """Return sigma(z)."""
        import torch  # here, for a run is checked before torch is loaded

        return torch.nn.functional.softplus(z, BETA, _THRESHOLD)

    def slope(self, z: Tensor, y: Tensor) -> Tensor:
        """Return sigma'(z)."""
        import torch  # here, for a run is checked before torch is loaded

        return torch.rsub(torch.exp(-BETA * y), 1)
