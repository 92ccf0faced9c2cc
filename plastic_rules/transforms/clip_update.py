"""A limit on the size of an update."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Increment, Transform, TransformSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class ClipUpdateParams(BaseModel):
    """Parameters of clip-update."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    norm: float = Field(1.0, gt=0, description="greatest Frobenius norm of a matrix's increment")


class ClipUpdate(Transform):
    r"""A limit on the Frobenius norm of each matrix's increment, in each replica.

    .. math:: \Delta W \leftarrow \Delta W \min(1, \mathrm{norm} / \lVert \Delta W \rVert_F)
    """

    spec = TransformSpec(
        name="clip-update",
        summary="limit the Frobenius norm of each matrix's increment",
        reference="Pascanu, Mikolov, Bengio 2013, arXiv:1211.5063",
        params=ClipUpdateParams,
    )

    @hookimpl
    def plastic_transform_update(self, u: Increment) -> Tensor:
        """Return dW min(1, norm / |dW|)."""
        size = u.increment.square().sum((-2, -1), keepdim=True).sqrt()
        norm: float = self.params.norm
        return u.increment * (norm / size.clamp_min(norm))
