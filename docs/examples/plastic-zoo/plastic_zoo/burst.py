"""Burst-dependent plasticity, of rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class BurstParams(BaseModel):
    """Parameters of burst."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gain: float = Field(4.0, gt=0, description="of the burst probability, by dendritic potential")


class Burst(Rule):
    r"""Feedback changes how probable bursts are; weights follow the bursts beyond the usual.

    .. math::
        u_l = h(y_l) \odot Y_l\, b_{l+1}, \qquad
        h(y) = \frac{\sigma'(z)}{y}, \qquad
        b_l = \left(\varsigma(\beta\, u_l) - \tfrac{1}{2}\right) \odot y_l, \qquad
        \Delta W_l = b_l\, y_{l-1}^\top

    :math:`y` is the rate of events, single spikes or bursts, :math:`\varsigma(\beta u)` the probability
    that an event is a burst, 1/2 without feedback, and :math:`b` the rate of bursts beyond that. At the
    output :math:`b_L = -e_L`. What goes down is :math:`Y_l\, b_{l+1}`, by a fixed random matrix. Where
    :math:`u` is small it is ``fa``, with all that is sent down :math:`\beta / 4` times as large. For
    activation functions that are positive: ``sigmoid``, ``softplus``, ``relu``.

    The source has rates with and without a teacher, :math:`\bar p` and :math:`p`, both carried down, and
    learns from :math:`(p - \bar p) \odot y`. Here one vector goes down, the difference, and
    :math:`\bar p` is the probability of a dendrite at rest. Bursts of the output are not limited to
    probabilities, feedback does not learn, and there is no recurrent inhibition of dendrites.
    :math:`1 / y` is at most 100.
    """

    spec = RuleSpec(
        name="burst",
        summary="burst-dependent plasticity: feedback decides how many events are bursts",
        equation=r"b_l\, y_{l-1}^\top, \quad "
        r"b_l = (\varsigma(\beta\, h(y_l) \odot Y_l\, b_{l+1}) - \tfrac{1}{2}) \odot y_l",
        reference="Payeur, Guerguiev, Zenke, Richards, Naud 2021, doi:10.1038/s41593-021-00857-x",
        modifies="forward",
        reads={"error", "post", "pre", "z"},
        theta=Theta(default=1e-2),
        params=BurstParams,
        propagates=True,
        feedback="layer",
        gated=False,
    )

    params: BurstParams

    @hookimpl
    def plastic_propagate_error(self, s: Signals) -> Tensor:
        """Return Y b."""
        return s.feed_back(self._bursts(s))

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return b y'."""
        return outer(self._bursts(s), s.pre)

    def _bursts(self, s: Signals) -> Tensor:
        """Return the rate of bursts beyond that without feedback; `s.error` is what arrived."""
        if s.is_output:
            return -s.error
        potential = s.slope(s.z) / s.post.clamp_min(0.01) * s.error
        return (torch.sigmoid(self.params.gain * potential) - 0.5) * s.post
