"""Backpropagation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class Backprop(Rule):
    r"""Gradient descent, the error carried back through the transposed weights.

    .. math::
        \Delta W_l = -\theta\, e_l\, y_{l-1}^\top, \qquad
        e_{l-1} = W_l^\top e_l \odot \sigma'(z_{l-1})

    The first term of Equation 9 of Shervani-Tabar, Mirhoseini and Rosenbaum (2024), with the
    error of Equation 5 (Equation 7 with :math:`B = W^\top`); the gradient is Equation 8.
    """

    spec = RuleSpec(
        name="bp",
        summary="backpropagation: gradient descent through the transposed weights",
        equation=r"-e_l\, y_{l-1}^\top, \quad e_{l-1} = W_l^\top e_l \odot \sigma'(z_{l-1})",
        reference="Rumelhart, Hinton, Williams 1986, doi:10.1038/323533a0",
        modifies="forward",
        reads={"error", "pre", "weight_error"},
        theta=Theta(default=0.005),
        propagates=True,
    )

    @hookimpl
    def plastic_propagate_error(self, s: Signals) -> Tensor:
        """Return W' e."""
        return s.weight_error

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return -e y'."""
        return -outer(s.error, s.pre)
