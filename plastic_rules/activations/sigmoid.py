"""The logistic function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Activation, ActivationSpec

if TYPE_CHECKING:
    from torch import Tensor


class Sigmoid(Activation):
    """Between 0 and 1."""

    spec = ActivationSpec(
        name="sigmoid",
        summary="1 / (1 + exp(-z))",
        equation=r"\sigma(z) = \frac{1}{1 + e^{-z}}",
        reference="Rumelhart, Hinton, Williams 1986, Nature 323:533",
    )

    def apply(self, z: Tensor) -> Tensor:
        """Return sigma(z)."""
        return z.sigmoid()

    def slope(self, z: Tensor, y: Tensor) -> Tensor:
        """Return sigma'(z)."""
        return y * (1 - y)
