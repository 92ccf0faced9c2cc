"""All weights of a unit scaled towards a mean activity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Signals, State, Theta, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class SynapticScalingParams(BaseModel):
    """Parameters of synaptic-scaling."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(0.01, gt=0, le=1, description="how fast the mean follows, per update")
    goal: float = Field(0.1, gt=0, description="mean activity that units are kept at")


class SynapticScaling(Rule):
    r"""The weights of a unit grow together where it is too silent, and shrink where it is too active.

    .. math::
        \Delta W_{ij} = W_{ij}\, (a - \bar y_i), \qquad
        \bar y \leftarrow \bar y + r\, (\langle y \rangle - \bar y)

    The relations between the weights of a unit stay as they are. It is used beside a rule that learns,
    such as ``hebbian``. The source adds the integral of :math:`a - \bar y` over time, by which no
    difference remains beside such a rule, and has spiking units; the mean here begins at 0, and is
    that before the update. Where activity is negative, or the drive of a unit too, growing weights
    take it further from the goal.
    """

    spec = RuleSpec(
        name="synaptic-scaling",
        summary="scale the weights of each unit towards a mean activity",
        equation=r"W_{ij}\, (a - \bar y_i)",
        reference="van Rossum, Bi, Turrigiano 2000, doi:10.1523/JNEUROSCI.20-23-08812.2000",
        modifies="forward",
        reads={"post", "weight"},
        theta=Theta(default=1e-3),
        params=SynapticScalingParams,
        state={"mean": State(over="post")},
    )

    params: SynapticScalingParams

    @hookimpl
    def plastic_local_update(self, s: Signals) -> tuple[Tensor, dict[str, Tensor]]:
        """Return W (goal - mean), and the new mean."""
        mean, p = s.state.mean, self.params
        new = mean + p.rate * (s.post.mean(1, keepdim=True) - mean)
        return (p.goal - mean).mT * s.weight, {"mean": new}
