"""RMSprop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Increment, State, Transform, TransformSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class RMSpropParams(BaseModel):
    """Parameters of rmsprop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(1e-3, gt=0, description="learning rate, of the normalised increment")
    beta: float = Field(0.99, ge=0, lt=1, description="what is kept of the mean square")
    epsilon: float = Field(1e-8, gt=0, description="added to the root of the mean square")


class RMSprop(Transform):
    r"""Each weight's increment is divided by the root of its mean square.

    .. math:: s \leftarrow \beta s + (1 - \beta) \Delta W^2, \qquad
        \Delta W \leftarrow \eta\, \Delta W / (\sqrt{s} + \epsilon)

    The thetas cancel, but for their ratios between rules: the learning rate is `rate` (eta). With
    a single rule write it as ``1*bp``, and `epsilon` has its usual meaning.
    """

    spec = TransformSpec(
        name="rmsprop",
        summary="divide each weight's increment by the root of its mean square",
        reference="Hinton, Srivastava, Swersky 2012, Neural Networks for Machine Learning, "
        "lecture 6e",
        params=RMSpropParams,
        state={"square": State(over="weight")},
    )

    @hookimpl
    def plastic_transform_update(self, u: Increment) -> tuple[Tensor, dict[str, Tensor]]:
        """Return rate dW / (sqrt(s) + epsilon), and s to be kept."""
        p = self.params
        square = u.state.square.lerp(u.increment.square(), 1 - p.beta)
        return p.rate * u.increment / (square.sqrt() + p.epsilon), {"square": square}
