"""The Gaussian error linear unit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from plastic_core.api import Activation, ActivationSpec

if TYPE_CHECKING:
    from torch import Tensor


class Gelu(Activation):
    """z times the share of a normal distribution that lies below it."""

    spec = ActivationSpec(
        name="gelu",
        summary="z times the normal distribution function of z",
        equation=r"\sigma(z) = z\, \Phi(z)",
        reference="Hendrycks, Gimpel 2016, arXiv:1606.08415",
        slope_of="z",
    )

    def apply(self, z: Tensor) -> Tensor:
        """Return sigma(z)."""
        return z * (0.5 * (1 + (z / 2**0.5).erf()))

    def slope(self, z: Tensor, y: Tensor) -> Tensor:
        """Return sigma'(z)."""
        density = (-0.5 * z.square()).exp() / (2 * math.pi) ** 0.5
        slope: Tensor = 0.5 * (1 + (z / 2**0.5).erf()) + z * density
        return slope
