"""Sign-symmetric feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class SignSymmetric(Rule):
    r"""The error goes back through the signs of the weights, with sizes of its own.

    .. math::
        \Delta W_l = -\theta\, e_l\, y_{l-1}^\top, \qquad
        e_{l-1} = \left( |B_l| \odot \operatorname{sign}(W_l^\top) \right) e_l
                  \odot \sigma'(z_{l-1})

    The form with fixed random magnitudes and signs that follow the weights. It lies between
    `fa`, where the signs are random too, and `bp`, where the magnitudes follow as well. It
    reads the matrices, so that it runs on the eager and compiled backends.
    """

    spec = RuleSpec(
        name="sign-symmetric",
        summary="the error goes back through the signs of the weights, with random sizes",
        equation=(
            r"-e_l\, y_{l-1}^\top, \quad "
            r"e_{l-1} = (|B_l| \odot \mathrm{sign}(W_l^\top))\, e_l \odot \sigma'(z_{l-1})"
        ),
        reference="Liao, Leibo, Poggio 2016, arXiv:1510.05067",
        modifies="forward",
        reads={"error", "pre", "weight", "feedback"},
        theta=Theta(default=0.003),
        propagates=True,
        feedback="layer",
    )

    @hookimpl
    def plastic_propagate_error(self, s: Signals) -> Tensor:
        """Return (|B| sign(W')) e."""
        back = s.feedback.abs() * s.weight.sign().mT
        return s.error @ back.mT

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return -e y'."""
        return -outer(s.error, s.pre)
