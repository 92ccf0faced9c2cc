"""Difference target propagation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class DifferenceTarget(Rule):
    r"""Targets for activities go back through an inverse that each layer learns.

    .. math::
        \hat y_{l-1} = y_{l-1} + g_l(\hat y_l) - g_l(y_l), \quad g_l(v) = \tanh(B_l v) \\
        \Delta W_l = -\sigma'(z_l) \odot (y_l - \hat y_l)\, y_{l-1}^\top, \quad
        \Delta B_l = g_l' \odot (y_{l-1} - g_l(y_l))\, y_l^\top

    What goes back is :math:`y_l - \hat y_l`; at the output it is the error. For tanh networks.
    """

    spec = RuleSpec(
        name="difference-target",
        summary="difference target propagation: targets through learned inverses",
        equation=r"-\sigma'(z_l) \odot (y_l - \hat y_l)\, y_{l-1}^\top",
        reference="Lee, Zhang, Fischer, Bengio 2015, doi:10.1007/978-3-319-23528-8_31",
        modifies={"forward", "feedback"},
        reads={"error", "post", "pre", "z"},
        theta=Theta(default=1e-2),
        propagates=True,
        feedback="layer",
        gated=False,
    )

    @hookimpl
    def plastic_propagate_error(self, s: Signals) -> Tensor:
        """Return g(y) - g(target of y), the activity below less its target."""
        return s.feed_back(s.post).tanh() - s.feed_back(s.post - s.error).tanh()

    @hookimpl
    def plastic_local_update(self, s: Signals) -> dict[str, Update]:
        """Return the increments of W and of B."""
        again = s.feed_back(s.post).tanh()
        wrong = (s.pre - again) * (1 - again.square())
        error = s.error if s.is_output else s.slope(s.z) * s.error
        return {"forward": -outer(error, s.pre), "feedback": outer(wrong, s.post)}
