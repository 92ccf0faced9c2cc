"""The step, with a surrogate slope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Activation, ActivationSpec

if TYPE_CHECKING:
    from torch import Tensor


class Step(Activation):
    """A unit fires or it does not; errors go back as through a fast sigmoid."""

    spec = ActivationSpec(
        name="step",
        summary="1 where z is positive, else 0; its slope is that of a fast sigmoid",
        equation=r"\sigma(z) = [z > 0], \quad \sigma'(z) := \frac{1}{(1 + 10 |z|)^2}",
        reference="Zenke, Ganguli 2018, doi:10.1162/neco_a_01086",
        slope_of="z",
        surrogate=True,
    )

    def apply(self, z: Tensor) -> Tensor:
        """Return sigma(z)."""
        return (z > 0).to(z.dtype)

    def slope(self, z: Tensor, y: Tensor) -> Tensor:
        """Return sigma'(z)."""
        return (1 + 10 * z.abs()).square().reciprocal()
