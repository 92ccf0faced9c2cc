"""The sigmoid-weighted linear unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Activation, ActivationSpec

if TYPE_CHECKING:
    from torch import Tensor


class Silu(Activation):
    """z times its sigmoid, known as swish too."""

    spec = ActivationSpec(
        name="silu",
        summary="z times the sigmoid of z",
        equation=r"\sigma(z) = \frac{z}{1 + e^{-z}}",
        reference="Elfwing, Uchibe, Doya 2018, arXiv:1702.03118",
        slope_of="z",
    )

    def apply(self, z: Tensor) -> Tensor:
        """Return sigma(z)."""
        return z * z.sigmoid()

    def slope(self, z: Tensor, y: Tensor) -> Tensor:
        """Return sigma'(z)."""
        gate = z.sigmoid()
        return gate * (1 + z * (1 - gate))
