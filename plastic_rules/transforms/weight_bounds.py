"""Bounds on the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from plastic_core.api import Increment, Transform, TransformSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class WeightBoundsParams(BaseModel):
    """Parameters of weight-bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float = Field(-1.0, description="least weight")
    high: float = Field(1.0, description="greatest weight")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low = {self.low} must be below high = {self.high}")
        return self


class WeightBounds(Transform):
    r"""Hard bounds: :math:`W + \Delta W` is clamped to ``[low, high]``."""

    spec = TransformSpec(
        name="weight-bounds",
        summary="keep every weight between low and high",
        reference="Gerstner, Kistler 2002, Spiking Neuron Models, doi:10.1017/CBO9780511815706",
        params=WeightBoundsParams,
    )

    @hookimpl
    def plastic_transform_update(self, u: Increment) -> Tensor:
        """Return clamp(W + dW) - W."""
        return (u.weight + u.increment).clamp(self.params.low, self.params.high) - u.weight
