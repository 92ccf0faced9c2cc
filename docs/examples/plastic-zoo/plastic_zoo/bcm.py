"""The Bienenstock-Cooper-Munro rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Signals, State, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class BcmParams(BaseModel):
    """Parameters of bcm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(0.01, gt=0, le=1, description="how fast the threshold follows, per update")


class Bcm(Rule):
    r"""Hebbian above a sliding threshold, anti-Hebbian below it.

    .. math::
        \Delta W_{ij} = \theta\, y_i \left( y_i - h_i \right) x_j, \qquad
        h_i \leftarrow (1 - r)\, h_i + r\, \langle y_i^2 \rangle

    :math:`h`, one threshold for each unit of the postsynaptic population, follows the mean over
    the mini-batch of :math:`y^2` at the rate :math:`r`, which is ``rate``. The increment is
    computed with the threshold as it was before the update.
    """

    spec = RuleSpec(
        name="bcm",
        summary="Bienenstock-Cooper-Munro: Hebbian above a sliding threshold",
        equation=r"y_i (y_i - h_i)\, x_j, \quad h_i \leftarrow (1-r)\, h_i + r \langle y_i^2 \rangle",
        reference="Bienenstock, Cooper, Munro 1982, doi:10.1523/JNEUROSCI.02-01-00032.1982",
        modifies="forward",
        reads={"post", "pre"},
        theta=Theta(default=1e-5, min=0),
        params=BcmParams,
        state={"threshold": State(over="post", initial=0.0)},
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> tuple[Update, dict[str, Tensor]]:
        """Return y (y - h) x', and the new h."""
        h, r = s.state.threshold, self.params.rate
        mean_square = s.post.square().mean(1, keepdim=True)
        return outer(s.post * (s.post - h), s.pre), {"threshold": h + r * (mean_square - h)}
