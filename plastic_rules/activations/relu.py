"""The rectifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Activation, ActivationSpec

if TYPE_CHECKING:
    from torch import Tensor


class Relu(Activation):
    """What is negative becomes 0."""

    spec = ActivationSpec(
        name="relu",
        summary="max(z, 0)",
        equation=r"\sigma(z) = \max(z, 0)",
        reference="Nair, Hinton 2010, ICML",
    )

    def apply(self, z: Tensor) -> Tensor:
        """Return sigma(z)."""
        return z.relu()

    def slope(self, z: Tensor, y: Tensor) -> Tensor:
        """Return sigma'(z)."""
        return y > 0
