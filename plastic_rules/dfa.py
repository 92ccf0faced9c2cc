"""Direct feedback alignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class DirectFeedbackAlignment(Rule):
    r"""Feedback alignment in which the output's error reaches every layer directly.

    .. math::
        \Delta W_l = -\theta\, e_l\, y_{l-1}^\top, \qquad
        e_{l-1} = B_l\, e_L \odot \sigma'(z_{l-1})

    B_l, ``[R, n_pre, n_L]``, goes from the output to the population below layer l and stays as
    drawn. In a network of two weight matrices it is `fa`.
    """

    spec = RuleSpec(
        name="dfa",
        summary="direct feedback alignment: the output's error goes to every layer at once",
        equation=r"-e_l\, y_{l-1}^\top, \quad e_{l-1} = B_l\, e_L \odot \sigma'(z_{l-1})",
        reference="Nøkland 2016, arXiv:1609.01596",
        modifies="forward",
        reads={"error", "pre", "feedback_error"},
        theta=Theta(default=0.003),
        propagates=True,
        feedback="output",
    )

    @hookimpl
    def plastic_propagate_error(self, s: Signals) -> Tensor:
        """Return B e_L."""
        return s.feedback_error

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return -e y'."""
        return -outer(s.error, s.pre)
