"""Xavier's initialisation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from plastic_core.api import Initialisation, InitialisationSpec

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from plastic_core.api import MatrixShape


class Xavier(Initialisation):
    r"""Uniform, so that activity and errors keep their size on the average.

    .. math:: W_{ij} \sim U(-b, b), \quad b = \sqrt{6 / (n_{post} + n_{pre})}
    """

    spec = InitialisationSpec(
        name="xavier",
        summary="uniform, by the number of units on both sides",
        equation=r"W_{ij} \sim U(-b, b), \quad b = \sqrt{6 / (n_{post} + n_{pre})}",
        reference="Equation 3 of the paper; Glorot, Bengio 2010",
    )

    def draw(self, shape: MatrixShape, std: float, source: Generator) -> Tensor:
        """Return numbers between -b and b."""
        import torch  # here, for a run is checked before torch is loaded

        bound = math.sqrt(6 / (shape.fan_in + shape.fan_out))
        weight = torch.empty(shape.n_post, shape.n_pre, dtype=torch.float64)
        return weight.uniform_(-bound, bound, generator=source)
