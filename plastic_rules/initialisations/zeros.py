"""Weights of zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Initialisation, InitialisationSpec

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from plastic_core.api import MatrixShape


class Zeros(Initialisation):
    r"""All weights begin at zero; nothing is drawn.

    .. math:: W_{ij} = 0
    """

    spec = InitialisationSpec(
        name="zeros",
        summary="all weights begin at zero",
        equation=r"W_{ij} = 0",
        reference="for rules that need no asymmetry to begin with",
    )

    def draw(self, shape: MatrixShape, std: float, source: Generator) -> Tensor:
        """Return zeros."""
        import torch  # here, for a run is checked before torch is loaded

        return torch.zeros(shape.n_post, shape.n_pre, dtype=torch.float64)
