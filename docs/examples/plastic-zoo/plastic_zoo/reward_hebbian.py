"""Hebbian learning in proportion to an unexpected reward."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Rule, RuleSpec, Signals, State, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class RewardHebbian(Rule):
    r"""A rule of three factors: how much better than on average, times Hebb.

    .. math::
        \Delta W_l = (r - \bar r)\, y_l\, y_{l-1}^\top, \qquad
        \bar r \leftarrow 0.99\, \bar r + 0.01\, \langle r \rangle

    The reward :math:`r` is the probability that the network gives the right answer.
    """

    spec = RuleSpec(
        name="reward-hebbian",
        summary="Hebbian learning times the reward less its running mean",
        equation=r"(r - \bar r)\, y_l\, y_{l-1}^\top",
        reference="Fremaux, Gerstner 2016, doi:10.3389/fncir.2015.00085",
        modifies="forward",
        reads={"output", "post", "pre", "target"},
        theta=Theta(default=1e-3),
        state={"mean": State(over="one")},
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> tuple[Update, dict[str, Tensor]]:
        """Return (r - mean) y y', and the new mean."""
        reward = (s.output * s.target).sum(-1, keepdim=True)
        mean = 0.99 * s.state.mean + 0.01 * reward.mean(1, keepdim=True)
        return outer((reward - s.state.mean) * s.post, s.pre), {"mean": mean}
