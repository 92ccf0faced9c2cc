"""Contrastive Hebbian learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Settle, Signals, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class ContrastiveHebbianParams(BaseModel):
    """Parameters of contrastive-hebbian."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gain: float = Field(0.2, gt=0, le=1, description="of feedback from the layer above, gamma")
    rate: float = Field(0.5, gt=0, le=1, description="of each step of settling")


class ContrastiveHebbian(Rule):
    r"""Hebb where the output is held at the target, less Hebb where the network runs freely.

    .. math::
        \dot z_l = W_l y_{l-1} + \gamma\, W_{l+1}^\top y_{l+1} - z_l, \qquad
        z_L = t \text{ where clamped} \\
        \Delta W_l = \hat y_l\, \hat y_{l-1}^\top - y_l\, y_{l-1}^\top

    With the squared error, whose output is linear, and an activation function that is bounded.

    Movellan's networks are symmetric, :math:`\gamma = 1`. With small :math:`\gamma` the activity changes
    by backpropagation's error times :math:`\gamma^{L - l}`, which Xie and Seung divide by. A rule is not
    told how many layers lie above it, so that here it does not: give lower layers larger thetas,
    ``--set contrastive-hebbian.theta.dense1=...``. Their units follow :math:`\sigma` of their input,
    these integrate before it; both come to rest at the same points.
    """

    spec = RuleSpec(
        name="contrastive-hebbian",
        summary="contrastive Hebbian learning: output clamped, less output free",
        equation=r"\hat y_l\, \hat y_{l-1}^\top - y_l\, y_{l-1}^\top",
        reference="Movellan 1991, Connectionist Models, Proceedings of the 1990 Summer School; "
        "Xie, Seung 2003, doi:10.1162/089976603762552988",
        modifies="forward",
        reads={"post", "pre", "target", "z"},
        theta=Theta(default=1e-2),
        params=ContrastiveHebbianParams,
        settle=Settle(steps=50, phases=("free", "clamped")),
    )

    params: ContrastiveHebbianParams

    @hookimpl
    def plastic_settle(self, s: Signals) -> Tensor:
        """Return z a step further, or the target."""
        if s.is_output and s.phase == "clamped":
            return s.target
        change = s.below + self.params.gain * s.above - s.z
        return s.z + self.params.rate * change

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return y y' clamped - y y' free."""
        return outer(s.clamped.post, s.clamped.pre) - outer(s.free.post, s.free.pre)
