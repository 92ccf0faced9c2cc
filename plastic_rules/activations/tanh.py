"""The hyperbolic tangent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Activation, ActivationSpec

if TYPE_CHECKING:
    from torch import Tensor


class Tanh(Activation):
    """Between -1 and 1."""

    spec = ActivationSpec(
        name="tanh",
        summary="tanh(z)",
        equation=r"\sigma(z) = \tanh z",
        reference="LeCun et al. 1998, Efficient BackProp",
    )

    def apply(self, z: Tensor) -> Tensor:
        """Return sigma(z)."""
        return z.tanh()

    def slope(self, z: Tensor, y: Tensor) -> Tensor:
        """Return sigma'(z)."""
        return 1 - y * y
