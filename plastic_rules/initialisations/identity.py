"""The identity matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Initialisation, InitialisationSpec

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from plastic_core.api import MatrixShape


class Identity(Initialisation):
    r"""Each unit begins as a copy of the unit of the same number below; nothing is drawn.

    .. math:: W_{ij} = \delta_{ij}
    """

    spec = InitialisationSpec(
        name="identity",
        summary="each unit copies the one of the same number below",
        equation=r"W_{ij} = \delta_{ij}",
        reference="Le, Jaitly, Hinton 2015, arXiv:1504.00941",
    )

    def draw(self, shape: MatrixShape, std: float, source: Generator) -> Tensor:
        """Return the identity, cut off or filled up with zeros."""
        import torch  # here, for a run is checked before torch is loaded

        return torch.eye(shape.n_post, shape.n_pre, dtype=torch.float64)
