"""The hard sigmoid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Activation, ActivationSpec

if TYPE_CHECKING:
    from torch import Tensor


class HardSigmoid(Activation):
    """A line from 0 to 1, and flat outside."""

    spec = ActivationSpec(
        name="hard-sigmoid",
        summary="z / 6 + 1/2, at least 0 and at most 1",
        equation=r"\sigma(z) = \min(\max(z / 6 + 1/2, 0), 1)",
        reference="Courbariaux, Bengio, David 2015, arXiv:1511.00363",
    )

    def apply(self, z: Tensor) -> Tensor:
        """Return sigma(z)."""
        return (z / 6 + 0.5).clamp(0, 1)

    def slope(self, z: Tensor, y: Tensor) -> Tensor:
        """Return sigma'(z)."""
        return y.sign() * (1 - y).sign() / 6
