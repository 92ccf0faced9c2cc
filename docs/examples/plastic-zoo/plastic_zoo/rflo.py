"""Random feedback local online learning, of recurrent networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from plastic_core.api import Rule, RuleSpec, Signals, State, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class Rflo(Rule):
    r"""Each synapse keeps a trace of what it did, and fixed random feedback says what it was worth.

    .. math::
        \Delta W = -\sum_t (B\, e_t) \odot_{\text{rows}} P_t, \qquad
        P_t = (1 - \lambda)\, P_{t-1} + \lambda\, \sigma'(z_t)\, y_{t-1}^\top, \qquad
        \Delta W_o = -\sum_t e_t\, y_t^\top

    :math:`e_t` is the error of the output at step t, :math:`\lambda` the leak, and
    :math:`y_{t-1}` what the synapse carries: at :math:`W_x` the input. Nothing goes back in time.
    Each unit has one row of :math:`B`, the same at :math:`W_x` and :math:`W_h`. It needs the error of
    the output alone; in a network without time it is the learning of each layer by random feedback
    from the output.
    """

    spec = RuleSpec(
        name="rflo",
        summary="eligibility traces times the output error through random feedback",
        equation=r"-\sum_t (B\, e_t) \odot P_t",
        reference="Murray 2019, doi:10.7554/eLife.43299",
        modifies="forward",
        reads={"output_error", "pre", "z"},
        theta=Theta(default=1e-2),
        state={"B": State(over="post*output", initial="xavier")},
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> tuple[Update | Tensor, dict[str, Tensor]]:
        """Return the sum over time of errors times traces."""
        fixed = {"B": s.state.B}
        if s.is_output:
            return -outer(s.output_error, s.pre), fixed
        worth = s.by_time(torch.bmm(s.output_error, s.state.B.mT))
        drawn, pre = s.by_time(s.leak * s.slope(s.z)), s.by_time(s.pre)
        trace = total = 0 * drawn[:, 0].unsqueeze(-1) * pre[:, 0].unsqueeze(-2)  # of each sample
        for t in range(worth.shape[1]):
            did = drawn[:, t].unsqueeze(-1) * pre[:, t].unsqueeze(-2)
            trace = (1 - s.leak) * trace + did
            total = total - worth[:, t].unsqueeze(-1) * trace
        return total.mean(1), fixed
