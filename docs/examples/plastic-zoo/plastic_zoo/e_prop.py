"""Eligibility propagation, with feedback that follows the output weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Signals, State, Theta, Update, decay, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class EPropParams(BaseModel):
    """Parameters of e-prop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    forgetting: float = Field(0.1, ge=0, description="decay of feedback and output, over the rate")


class EProp(Rule):
    r"""A learning signal for each unit, times what each synapse did; the signal's weights learn too.

    .. math::
        \Delta W = -\eta \sum_t (B\, e_t) \odot_{\text{rows}} \varepsilon_t, \qquad
        \varepsilon_t = (1 - \lambda)\, \varepsilon_{t-1} + \lambda\, \sigma'(z_t)\, y_{t-1}^\top \\
        \Delta W_o = -\eta \left(\sum_t e_t\, y_t^\top + c\, W_o\right), \qquad
        \Delta B = -\eta \left(\sum_t y_t\, e_t^\top + c\, B\right)

    :math:`e_t` is the error of the output at step t, :math:`\lambda` the leak, and :math:`y_{t-1}` what
    the synapse carries. The eligibility :math:`\varepsilon` is the derivative of a unit's state by its
    weights along its own memory alone, which the source defines for any network. In the network here,
    of rates that are a leaky mean of :math:`\sigma(z)`, it is the trace of ``rflo``; what is new beside that
    is the feedback of *adaptive e-prop*: the increments of :math:`B` are those of the output weights,
    and both decay, so that it becomes their transpose.

    The source has spiking units, whose slope is a pseudo-derivative and whose thresholds may adapt, a
    readout with a memory by which traces are filtered, and a penalty on firing rates. Feedback at
    :math:`W_h` misses the first step, which has no event there.
    """

    spec = RuleSpec(
        name="e-prop",
        summary="eligibility propagation: local traces times a learning signal, feedback that learns",
        equation=r"-\eta \sum_t (B\, e_t) \odot \varepsilon_t",
        reference="Bellec, Scherr, Subramoney, Hajek, Salaj, Legenstein, Maass 2020, "
        "doi:10.1038/s41467-020-17236-y",
        modifies="forward",
        reads={"output_error", "post", "pre", "z"},
        theta={"rate": Theta(default=1e-2)},  # by name, for the feedback learns by it too
        params=EPropParams,
        state={"B": State(over="post*output", initial="xavier")},
    )

    params: EPropParams

    @hookimpl
    def plastic_local_update(self, s: Signals) -> tuple[Update | Tensor, dict[str, Tensor]]:
        """Return the sum over time of errors times traces, and the new feedback."""
        rate, c, feedback = s.theta.rate, self.params.forgetting, s.state.B
        if s.is_output:
            learned = outer(-rate * s.output_error, s.pre)
            return learned + c * decay(rate + 0 * s.post), {"B": feedback}
        worth = s.by_time(torch.bmm(s.output_error, feedback.mT))
        drawn, pre = s.by_time(s.leak * s.slope(s.z)), s.by_time(s.pre)
        trace = total = 0 * drawn[:, 0].unsqueeze(-1) * pre[:, 0].unsqueeze(-2)  # of each sample
        for t in range(worth.shape[1]):
            did = drawn[:, t].unsqueeze(-1) * pre[:, t].unsqueeze(-2)
            trace = (1 - s.leak) * trace + did
            total = total - worth[:, t].unsqueeze(-1) * trace
        seen = torch.bmm(s.post.mT, s.output_error) / s.batch
        return rate * total.mean(1), {"B": feedback - rate * (seen + c * feedback)}
