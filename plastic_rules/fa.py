"""Feedback alignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class FeedbackAlignment(Rule):
    r"""The update of backpropagation, the error carried back through random matrices B.

    .. math::
        \Delta W_l = -\theta\, e_l\, y_{l-1}^\top, \qquad
        e_{l-1} = B_l\, e_l \odot \sigma'(z_{l-1})

    Equations 7 and 9 (first term) of Shervani-Tabar, Mirhoseini and Rosenbaum (2024). B stays
    as drawn unless a rule that modifies the feedback, such as b-update, runs beside it.
    """

    spec = RuleSpec(
        name="fa",
        summary="feedback alignment: the error goes back through random matrices B",
        equation=r"-e_l\, y_{l-1}^\top, \quad e_{l-1} = B_l\, e_l \odot \sigma'(z_{l-1})",
        reference="Lillicrap, Cownden, Tweed, Akerman 2016, doi:10.1038/ncomms13276",
        modifies="forward",
        reads={"error", "pre", "feedback_error"},
        theta=Theta(default=0.003),
        propagates=True,
        feedback="layer",
    )

    @hookimpl
    def plastic_propagate_error(self, s: Signals) -> Tensor:
        """Return B e."""
        return s.feedback_error

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return -e y'."""
        return -outer(s.error, s.pre)
