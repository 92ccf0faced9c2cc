"""Kaiming's initialisation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from plastic_core.api import Initialisation, InitialisationSpec

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from plastic_core.api import MatrixShape


class Kaiming(Initialisation):
    r"""Normal, so that activity keeps its size behind a rectifier.

    .. math:: W_{ij} \sim N(0, 2 / n_{pre})
    """

    spec = InitialisationSpec(
        name="kaiming",
        summary="normal, by the number of units that are sent from",
        equation=r"W_{ij} \sim N(0, 2 / n_{pre})",
        reference="He, Zhang, Ren, Sun 2015, arXiv:1502.01852",
    )

    def draw(self, shape: MatrixShape, std: float, source: Generator) -> Tensor:
        """Return normal numbers of variance 2 / n_pre."""
        import torch  # here, for a run is checked before torch is loaded

        weight = torch.empty(shape.n_post, shape.n_pre, dtype=torch.float64)
        return weight.normal_(0, math.sqrt(2 / shape.fan_in), generator=source)
