"""The exponential linear unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Activation, ActivationSpec

if TYPE_CHECKING:
    from torch import Tensor


class Elu(Activation):
    """As relu, but it falls to -1."""

    spec = ActivationSpec(
        name="elu",
        summary="z where it is positive, else exp(z) - 1",
        equation=r"\sigma(z) = \max(z, 0) + \min(e^z - 1, 0)",
        reference="Clevert, Unterthiner, Hochreiter 2016, arXiv:1511.07289",
    )

    def apply(self, z: Tensor) -> Tensor:
        """Return sigma(z)."""
        return z.relu() + z.clamp(max=0).expm1()

    def slope(self, z: Tensor, y: Tensor) -> Tensor:
        """Return sigma'(z)."""
        return (y + 1).clamp(max=1)
