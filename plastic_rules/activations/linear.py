"""The identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Activation, ActivationSpec

if TYPE_CHECKING:
    from torch import Tensor


class Linear(Activation):
    """What comes goes on."""

    spec = ActivationSpec(
        name="linear",
        summary="z",
        equation=r"\sigma(z) = z",
        reference="Oja 1982, J. Math. Biology 15:267",
    )

    def apply(self, z: Tensor) -> Tensor:
        """Return sigma(z)."""
        return z

    def slope(self, z: Tensor, y: Tensor) -> Tensor:
        """Return sigma'(z)."""
        import torch  # here, for a run is checked before torch is loaded

        return torch.ones_like(y)
