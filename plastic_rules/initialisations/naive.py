"""Normal weights of one standard deviation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Initialisation, InitialisationSpec

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from plastic_core.api import MatrixShape


class Naive(Initialisation):
    r"""Normal, with the standard deviation ``init_std`` whatever the number of units.

    .. math:: W_{ij} \sim N(0, \mathrm{init\_std}^2)
    """

    spec = InitialisationSpec(
        name="naive",
        summary="normal, of the standard deviation init_std",
        equation=r"W_{ij} \sim N(0, \mathrm{init\_std}^2)",
        reference="section 2.3 of the paper",
    )

    def draw(self, shape: MatrixShape, std: float, source: Generator) -> Tensor:
        """Return normal numbers of standard deviation std."""
        import torch  # here, for a run is checked before torch is loaded

        weight = torch.empty(shape.n_post, shape.n_pre, dtype=torch.float64)
        return weight.normal_(0, std, generator=source)
