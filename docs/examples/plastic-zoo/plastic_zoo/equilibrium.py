"""Equilibrium propagation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Settle, Signals, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class EquilibriumParams(BaseModel):
    """Parameters of equilibrium."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nudge: float = Field(0.5, gt=0, description="how much the output is drawn to the target")
    rate: float = Field(0.5, gt=0, le=1, description="of each step of settling")


class Equilibrium(Rule):
    r"""The network settles, freely and nudged towards the target; the difference is learned.

    .. math::
        \dot z_l = \sigma'(z_l) \odot (W_l y_{l-1} + W_{l+1}^\top y_{l+1}) - z_l
            \;[\, + \beta\, (t - y_L) \text{ at the output}\,] \\
        \Delta W_l = \tfrac{1}{\beta} \left(y_l^\beta {y_{l-1}^\beta}^\top
            - y_l^0 {y_{l-1}^0}^\top\right)

    With the squared error, and an activation function that is bounded. Neighbouring layers drive each
    other by W and W': where weights begin large, a deep network settles in one of several states
    whatever its input, and learns nothing. With ``--init naive --init-std 0.08``, and thetas that are
    larger in the first layer and smaller in the last, three hidden layers learn; the source has such
    thetas too.
    """

    spec = RuleSpec(
        name="equilibrium",
        summary="equilibrium propagation: settled, and settled again with a nudge",
        equation=r"\tfrac{1}{\beta} (y_l^\beta {y_{l-1}^\beta}^\top - y_l^0 {y_{l-1}^0}^\top)",
        reference="Scellier, Bengio 2017, doi:10.3389/fncom.2017.00024",
        modifies="forward",
        reads={"post", "pre", "target", "z"},
        theta=Theta(default=5e-2),
        params=EquilibriumParams,
        settle=Settle(steps=100, phases=("free", "nudged")),
    )

    params: EquilibriumParams

    @hookimpl
    def plastic_settle(self, s: Signals) -> Tensor:
        """Return z a step further."""
        slope = 1.0 if s.is_output else s.slope(s.z)
        change = slope * (s.below + s.above) - s.z
        if s.is_output and s.phase == "nudged":
            change = change + self.params.nudge * (s.target - s.activation(s.z))
        return s.z + self.params.rate * change

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return (y y' nudged - y y' free) / nudge."""
        free, nudged = s.free, s.nudged
        learned = outer(nudged.post, nudged.pre) - outer(free.post, free.pre)
        return learned / self.params.nudge
