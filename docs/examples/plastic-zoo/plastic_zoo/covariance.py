"""Hebbian learning of what departs from the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Signals, State, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class CovarianceParams(BaseModel):
    """Parameters of covariance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(0.01, gt=0, le=1, description="how fast means follow, per update")


class Covariance(Rule):
    r"""Hebb's product of both activities, each less its running mean.

    .. math::
        \Delta W_{ij} = (y_i - \bar y_i)(x_j - \bar x_j), \qquad
        \bar y \leftarrow \bar y + r\, (\langle y \rangle - \bar y), \quad
        \bar x \leftarrow \bar x + r\, (\langle x \rangle - \bar x)

    In the mean it is the covariance, by which weights grow and shrink. The source derives it with the
    true means; here they are running means, which begin at 0 and are those before the update, so that
    at first it is ``hebbian``.
    """

    spec = RuleSpec(
        name="covariance",
        summary="covariance rule: both activities less their running means",
        equation=r"(y_i - \bar y_i)(x_j - \bar x_j)",
        reference="Sejnowski 1977, doi:10.1007/BF00275079",
        modifies="forward",
        reads={"post", "pre"},
        theta=Theta(default=1e-4),
        params=CovarianceParams,
        state={"mean_post": State(over="post"), "mean_pre": State(over="pre")},
    )

    params: CovarianceParams

    @hookimpl
    def plastic_local_update(self, s: Signals) -> tuple[Update, dict[str, Tensor]]:
        """Return (y - mean)(x - mean)', and the new means."""
        post, pre, r = s.state.mean_post, s.state.mean_pre, self.params.rate
        new = {
            "mean_post": post + r * (s.post.mean(1, keepdim=True) - post),
            "mean_pre": pre + r * (s.pre.mean(1, keepdim=True) - pre),
        }
        return outer(s.post - post, s.pre - pre), new
