"""Momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Increment, State, Transform, TransformSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class MomentumParams(BaseModel):
    """Parameters of momentum."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    beta: float = Field(0.9, ge=0, lt=1, description="what is kept of the last increment")


class Momentum(Transform):
    r"""The increment keeps a part of the increments before it.

    .. math:: v \leftarrow \beta v + \Delta W, \qquad \Delta W \leftarrow v

    What stays in one direction is enlarged :math:`1/(1-\beta)` times, so that the best thetas are
    about that much smaller than without.
    """

    spec = TransformSpec(
        name="momentum",
        summary="add to each increment a part of those before it",
        reference="Polyak 1964, doi:10.1016/0041-5553(64)90137-5",
        params=MomentumParams,
        state={"velocity": State(over="weight")},
    )

    @hookimpl
    def plastic_transform_update(self, u: Increment) -> tuple[Tensor, dict[str, Tensor]]:
        """Return v = beta v + dW, and v to be kept."""
        velocity = self.params.beta * u.state.velocity + u.increment
        return velocity, {"velocity": velocity}
