"""Connections that end and begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Increment, State, Transform, TransformSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class RewiringParams(BaseModel):
    """Parameters of rewiring."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    density: float = Field(0.2, gt=0, le=1, description="share of connections that there are")
    share: float = Field(0.3, gt=0, le=1, description="of these that end at each change")
    every: int = Field(200, ge=1, description="updates from one change to the next")


class Rewiring(Transform):
    r"""A part of the connections exists; the weakest end, and as many others begin.

    .. math:: W_{ij} \leftarrow m_{ij}\, (W_{ij} + \Delta W_{ij}), \qquad m_{ij} \in \{0, 1\}

    After each `every` updates, `share` of the connections end, those with the smallest
    :math:`|W_{ij}|`, and as many that do not exist begin at 0. Their number stays the same. The rest
    of the matrix as it was drawn goes with the first update. It is to be the last transform.

    Connections stand in a queue in random order. The first `density` of them exist; one that ends goes
    to the end of the queue, and the next begins. So a state that is drawn once takes the place of the
    source's random choice, for a transform has no noise. In the source new connections begin with small
    random weights, and after the last change the weakest are not replaced. ``--set
    rewiring.layers=...`` says where it acts. Ranking takes much longer than adding an increment.
    """

    spec = TransformSpec(
        name="rewiring",
        summary="structural plasticity: the weakest connections end, and others begin",
        reference="Mocanu, Mocanu, Stone, Nguyen, Gibescu, Liotta 2018, "
        "doi:10.1038/s41467-018-04316-3",
        params=RewiringParams,
        state={
            "place": State(over="weight", initial="normal"),
            "count": State(over="one"),
        },
    )

    params: RewiringParams

    @hookimpl
    def plastic_transform_update(self, u: Increment) -> tuple[Tensor, dict[str, Tensor]]:
        """Return m (W + dW) - W, and the queue; the greatest places exist."""
        p, place, count = self.params, u.state.place, u.state.count + 1
        existing = round(p.density * place[0].numel()) or 1
        exists = place >= _last(place, existing)
        weight = torch.where(exists, u.weight + u.increment, 0)
        strength = torch.where(exists, weight.abs(), torch.inf)
        weakest = -_last(-strength, round(p.share * existing) or 1)
        ends = exists & (strength <= weakest) & (count >= p.every)
        new = {
            "place": torch.where(ends, place - _BEHIND, place),
            "count": torch.where(count >= p.every, 0, count),
        }
        return torch.where(ends, 0, weight) - u.weight, new


#: More than any two standard normal numbers are apart.
_BEHIND = 100.0


def _last(x: Tensor, count: int) -> Tensor:
    """Return the last of the `count` greatest numbers of each matrix."""
    return x.flatten(1).topk(count, 1).values[:, -1:].unsqueeze(-1)
