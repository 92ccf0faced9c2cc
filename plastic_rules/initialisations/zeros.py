"""Weights of zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Initialisation, InitialisationSpec

if TYPE_CHECKING:
    from torch import Generator, Tensor


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

    def draw(self, n_post: int, n_pre: int, std: float, source: Generator) -> Tensor:
        """Return zeros."""
        import torch  # here, for a run is checked before torch is loaded

        return torch.zeros(n_post, n_pre, dtype=torch.float64)
