"""Dale's law: each unit excites or inhibits."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Increment, State, Transform, TransformSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class DaleParams(BaseModel):
    """Parameters of dale."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inhibitory: float = Field(0.2, gt=0, lt=1, description="probability that a unit inhibits")


class Dale(Transform):
    r"""All weights that a unit sends have one sign, whatever the rules add.

    .. math:: W_{ij} \leftarrow d_j \max(0,\; |W_{ij}| + d_j\, \Delta W_{ij})

    :math:`d_j` is -1 for inhibitory units and 1 for the others, drawn once. The first update turns the
    weights that have the other sign; from then on :math:`|W_{ij}| = d_j W_{ij}`, and weights stop at 0.
    It is to be the last transform.

    In the source units of a recurrent network are assigned in the order of their number, one in five
    inhibitory, and inputs only excite; here ``--set dale.layers=...`` says where the law holds. Where a
    population sends to several, as a recurrent one does to itself and to the output, its signs are
    drawn for each of them, since states over the units below are: a unit has one sign in each matrix,
    and not in all.
    """

    spec = TransformSpec(
        name="dale",
        summary="Dale's law: all weights that a unit sends have the same sign",
        reference="Song, Yang, Wang 2016, doi:10.1371/journal.pcbi.1004792",
        params=DaleParams,
        state={"drawn": State(over="pre", initial="normal")},
    )

    params: DaleParams

    @hookimpl
    def plastic_transform_update(self, u: Increment) -> tuple[Tensor, dict[str, Tensor]]:
        """Return d max(0, |W| + d dW) - W."""
        below = NormalDist().inv_cdf(self.params.inhibitory)
        sign = 2 * (u.state.drawn >= below).to(u.weight.dtype) - 1
        size = (u.weight.abs() + sign * u.increment).clamp_min(0)
        return sign * size - u.weight, {"drawn": u.state.drawn}
