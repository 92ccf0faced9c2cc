"""Kolen and Pollack's learning of the feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, decay, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class KolenPollackParams(BaseModel):
    """Parameters of kolen-pollack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decay: float = Field(0.01, ge=0, description="decay of both matrices, times theta")


class KolenPollack(Rule):
    r"""Weights and feedback get the same increment and the same decay, so that they converge.

    .. math::
        \Delta W_l = -\theta \left( e_l\, y_{l-1}^\top + \lambda W_l \right), \qquad
        \Delta B_l = -\theta \left( y_{l-1}\, e_l^\top + \lambda B_l \right), \qquad
        e_{l-1} = B_l\, e_l \odot \sigma'(z_{l-1})

    :math:`W - B^\top` shrinks by the factor :math:`1 - \theta\lambda` at each update, whatever
    the data. It is `fa` with `weight-decay`, `b-update` and `b-decay` at thetas that go
    together: :math:`\theta, \theta\lambda, \theta, \theta\lambda`. ``decay`` is
    :math:`\lambda`.
    """

    spec = RuleSpec(
        name="kolen-pollack",
        summary="weights and feedback get the same increments and decay, and converge",
        equation=(
            r"-e_l\, y_{l-1}^\top - \lambda W_l, \quad "
            r"\Delta B_l = -y_{l-1}\, e_l^\top - \lambda B_l"
        ),
        reference="Kolen, Pollack 1994, doi:10.1109/ICNN.1994.374486",
        modifies={"forward", "feedback"},
        reads={"error", "pre", "feedback_error"},
        theta=Theta(default=0.003),
        params=KolenPollackParams,
        propagates=True,
        feedback="layer",
    )

    @hookimpl
    def plastic_propagate_error(self, s: Signals) -> Tensor:
        """Return B e."""
        return s.feedback_error

    @hookimpl
    def plastic_local_update(self, s: Signals) -> dict[str, Update]:
        """Return -e y' - decay W, and -y e' - decay B."""
        shrink: float = self.params.decay
        return {
            "forward": -outer(s.error, s.pre) + shrink * decay(),
            "feedback": -outer(s.pre, s.error) + shrink * decay(),
        }
