"""The prescribed error sensitivity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from plastic_core.api import Rule, RuleSpec, Signals, State, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class Pes(Rule):
    r"""What units decode is corrected by its error; hidden units see it through their encoders.

    .. math::
        \Delta W_L = -E\, y_{L-1}^\top, \qquad
        \Delta W_l = -\frac{1}{\sqrt{n_L}} (\Phi_l\, E)\, y_{l-1}^\top, \qquad E = y_L - t

    At the output the weights are decoders, and :math:`E` is the error of what they decode. Hidden
    units have the form of the rule for full weights, in which the error is projected on each unit's
    encoder, a row of :math:`\Phi_l`. As in the Neural Engineering Framework the slope of the activation
    function plays no part.

    The source has spiking units in one layer, activities that are low-pass filtered, and encoders of
    length 1 times the gain of the unit. Here encoders are drawn and stay: standard normal numbers over
    :math:`\sqrt{n_L}`, of length 1 in the mean square.
    """

    spec = RuleSpec(
        name="pes",
        summary="prescribed error sensitivity: the decoded error, through encoders",
        equation=r"-\frac{1}{\sqrt{n_L}} (\Phi_l\, E)\, y_{l-1}^\top, \quad E = y_L - t",
        reference="MacNeil, Eliasmith 2011, doi:10.1371/journal.pone.0022885",
        modifies="forward",
        reads={"output", "pre", "target"},
        theta=Theta(default=1e-2),
        state={"encoders": State(over="post*output", initial="normal")},
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> tuple[Update, dict[str, Tensor]]:
        """Return -(encoders E) y', at the output -E y'."""
        error, fixed = s.output - s.target, {"encoders": s.state.encoders}
        if s.is_output:
            return -outer(error, s.pre), fixed
        seen = torch.bmm(error, s.state.encoders.mT) / error.shape[-1] ** 0.5
        return -outer(seen, s.pre), fixed
