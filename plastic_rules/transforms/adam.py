"""Adam."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Increment, State, Transform, TransformSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class AdamParams(BaseModel):
    """Parameters of adam."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(1e-3, gt=0, description="learning rate, of the normalised increment")
    beta1: float = Field(0.9, ge=0, lt=1, description="what is kept of the mean")
    beta2: float = Field(0.999, ge=0, lt=1, description="what is kept of the mean square")
    epsilon: float = Field(1e-8, gt=0, description="added to the root of the mean square")


class Adam(Transform):
    r"""Each weight's mean increment is divided by the root of its mean square.

    .. math:: m \leftarrow \beta_1 m + (1 - \beta_1) \Delta W, \qquad
        s \leftarrow \beta_2 s + (1 - \beta_2) \Delta W^2, \qquad
        \Delta W \leftarrow \eta \frac{m / (1 - \beta_1^t)}{\sqrt{s / (1 - \beta_2^t)} + \epsilon}

    t counts the updates from 1. The thetas cancel, but for their ratios between rules: the
    learning rate is `rate` (eta). With a single rule write it as ``1*bp``, and `epsilon` has its
    usual meaning.
    """

    spec = TransformSpec(
        name="adam",
        summary="divide each weight's mean increment by the root of its mean square",
        reference="Kingma, Ba 2015, arXiv:1412.6980",
        params=AdamParams,
        state={
            "mean": State(over="weight"),
            "square": State(over="weight"),
            # 1 - beta^t, the same means of ones; a number would do, but a state has one a unit
            "mean_of_ones": State(over="post"),
            "square_of_ones": State(over="post"),
        },
    )

    @hookimpl
    def plastic_transform_update(self, u: Increment) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the increment, and the means to be kept."""
        p, old = self.params, u.state
        new = {
            "mean": old.mean.lerp(u.increment, 1 - p.beta1),
            "square": old.square.lerp(u.increment.square(), 1 - p.beta2),
            "mean_of_ones": p.beta1 * old.mean_of_ones + (1 - p.beta1),
            "square_of_ones": p.beta2 * old.square_of_ones + (1 - p.beta2),
        }
        mean = new["mean"] * (p.rate / new["mean_of_ones"].mT)
        root = new["square"].sqrt() * new["square_of_ones"].mT.rsqrt()
        return mean / (root + p.epsilon), new
