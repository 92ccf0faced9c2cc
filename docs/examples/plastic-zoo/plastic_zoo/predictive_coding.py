"""Predictive coding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Settle, Signals, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class PredictiveCodingParams(BaseModel):
    """Parameters of predictive-coding."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pull: float = Field(0.5, gt=0, description="how much the output is drawn to the target")
    rate: float = Field(0.1, gt=0, le=1, description="of each step of settling")


class PredictiveCoding(Rule):
    r"""Each layer predicts the next; errors of prediction go back, and are learned from.

    .. math::
        e_l = z_l - W_l y_{l-1}, \qquad
        \dot z_l = -e_l + \sigma'(z_l) \odot W_{l+1}^\top e_{l+1}, \qquad
        \dot z_L = -e_L + \beta\, (t - z_L), \qquad
        \Delta W_l = \tfrac{1}{\beta}\, e_l\, y_{l-1}^\top

    With the squared error. At small errors it is backpropagation.
    """

    spec = RuleSpec(
        name="predictive-coding",
        summary="predictive coding: errors of prediction settle, then are learned from",
        equation=r"\tfrac{1}{\beta}\, e_l\, y_{l-1}^\top, \quad e_l = z_l - W_l y_{l-1}",
        reference="Whittington, Bogacz 2017, doi:10.1162/NECO_a_00949",
        modifies="forward",
        reads={"pre", "target", "z"},
        theta=Theta(default=1e-1),
        params=PredictiveCodingParams,
        settle=Settle(steps=40, phases=("free", "nudged")),
    )

    params: PredictiveCodingParams

    @hookimpl
    def plastic_settle(self, s: Signals) -> tuple[Tensor, Tensor]:
        """Return z a step further, and the error for the layer below."""
        error = s.z - s.below
        if s.is_output:
            nudged = s.phase == "nudged"
            change = self.params.pull * (s.target - s.z) - error if nudged else -error
        else:
            change = s.slope(s.z) * s.above - error
        return s.z + self.params.rate * change, error

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return e y' / pull."""
        z, pre = s.nudged.z, s.nudged.pre
        return outer(z - s.forward(pre), pre) / self.params.pull
