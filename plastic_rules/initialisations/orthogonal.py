"""Orthogonal matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Initialisation, InitialisationSpec

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from plastic_core.api import MatrixShape


class Orthogonal(Initialisation):
    r"""Rows or columns, whichever are fewer, are orthonormal.

    .. math:: W W^\top = I \text{ or } W^\top W = I
    """

    spec = InitialisationSpec(
        name="orthogonal",
        summary="orthonormal rows or columns",
        equation=r"W W^\top = I \text{ or } W^\top W = I",
        reference="Saxe, McClelland, Ganguli 2014, arXiv:1312.6120",
    )

    def draw(self, shape: MatrixShape, std: float, source: Generator) -> Tensor:
        """Return a matrix with orthonormal rows or columns."""
        import torch  # here, for a run is checked before torch is loaded

        weight = torch.empty(shape.n_post, shape.n_pre, dtype=torch.float64)
        return torch.nn.init.orthogonal_(weight, generator=source)
