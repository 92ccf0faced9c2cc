"""Direct random target projection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class TargetProjection(Rule):
    r"""Each hidden layer learns from the target, sent to it through a fixed random matrix.

    .. math:: e_l = -\sigma'(z_l) \odot B_l\, t, \qquad \Delta W_l = -e_l\, y_{l-1}^\top

    The output learns by its error.
    """

    spec = RuleSpec(
        name="target-projection",
        summary="direct random target projection: hidden layers learn from the target itself",
        equation=r"-e_l\, y_{l-1}^\top, \quad e_l = -\sigma'(z_l) \odot B_l\, t",
        reference="Frenkel, Lefebvre, Bol 2021, doi:10.3389/fnins.2021.629892",
        modifies="forward",
        reads={"error", "pre", "target"},
        theta=Theta(default=1e-2),
        propagates=True,
        feedback="output",
    )

    @hookimpl
    def plastic_propagate_error(self, s: Signals) -> Tensor:
        """Return -B t."""
        return -s.feed_back(s.target)

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return -e y'."""
        return -outer(s.error, s.pre)
