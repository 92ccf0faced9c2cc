"""How large each weight matrix is, and how far its rows are from orthonormal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from plastic_core.api import Measure, Probe, ProbeSpec, Snapshot, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class WeightNorm(Probe):
    r"""The norm of each weight matrix, and the distance of its rows from orthonormal ones.

    .. math:: \lVert W_l \rVert_F, \qquad \lVert W_l W_l^\top - I \rVert_F

    ``weight_norm`` is the first, ``orthonormality_gap`` the second, which Oja's subspace rule
    drives to 0 in a linear layer that has no more outputs than inputs.
    """

    spec = ProbeSpec(
        name="weight-norm",
        summary="norm of each weight matrix, and distance of its rows from orthonormal",
        equation=r"\lVert W_l \rVert_F, \quad \lVert W_l W_l^\top - I \rVert_F",
        reference="Section 2.3 of the paper; Oja 1989, doi:10.1142/S0129065789000475",
        networks={"feedforward", "layered", "recurrent", "sequence"},
        measures={
            "weight_norm": Measure(long_name="|W_l|, Frobenius norm"),
            "orthonormality_gap": Measure(long_name="|W_l W_l' - I|, Frobenius norm"),
        },
    )

    @hookimpl
    def plastic_measure(self, n: Snapshot) -> dict[str, Tensor]:
        """Return |W| and |W W' - I|."""
        norms, gaps = [], []
        for weight in n.weights:
            products = n.product(weight, weight.mT)
            products.diagonal(dim1=1, dim2=2).sub_(1)
            norms.append(_norm(weight))
            gaps.append(_norm(products))
        return {
            "weight_norm": torch.stack(norms, 1),
            "orthonormality_gap": torch.stack(gaps, 1),
        }


def _norm(matrices: Tensor) -> Tensor:
    """Return the Frobenius norm of each of several matrices."""
    rows: Tensor = torch.linalg.vector_norm(matrices, dim=-1)
    return rows.square().sum(-1).sqrt()
