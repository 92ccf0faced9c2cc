"""How well each layer's input can be reconstructed from its activity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from plastic_core.api import Measure, Probe, ProbeSpec, Snapshot, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Residual(Probe):
    r"""The residual of Equation 2, which Oja's subspace rule makes small.

    .. math::
        J_l = \frac{1}{N} \sum_{i=1}^{N}
              \lVert y_{l-1}^{(i)} - W_l^\top \sigma(W_l\, y_{l-1}^{(i)}) \rVert^2

    N counts the probe points, and where weights are shared their places, of which
    :math:`y_{l-1}` is the patch; in the output layer :math:`\sigma` is softmax. ``residual`` is
    :math:`J_l`, ``relative_residual`` is :math:`J_l` divided by the mean of
    :math:`\lVert y_{l-1} \rVert^2`: 1 where nothing is reconstructed.
    """

    spec = ProbeSpec(
        name="residual",
        summary="error of the reconstruction of each layer's input, W' y, from its activity",
        equation=(
            r"J_l = \frac{1}{N} \sum_i "
            r"\lVert y_{l-1}^{(i)} - W_l^\top \sigma(W_l\, y_{l-1}^{(i)}) \rVert^2"
        ),
        reference="Equation 2 of the paper; Oja 1997, doi:10.1016/S0925-2312(97)00045-3",
        networks={"feedforward", "layered"},
        measures={
            "residual": Measure(long_name="mean |y_{l-1} - W' y_l|^2"),
            "relative_residual": Measure(long_name="mean |y_{l-1} - W' y_l|^2 / mean |y_{l-1}|^2"),
        },
    )

    @hookimpl
    def plastic_measure(self, n: Snapshot) -> dict[str, Tensor]:
        """Return the mean of |y_{l-1} - W' y_l|^2, and its share of |y_{l-1}|^2."""
        residuals, sizes = [], []
        for inputs, outputs, weights in zip(n.pre, n.post, n.weights, strict=True):
            residuals.append(_mean_square(inputs - n.product(outputs, weights)))
            sizes.append(_mean_square(inputs))
        residual = torch.stack(residuals, 1)
        return {"residual": residual, "relative_residual": residual / torch.stack(sizes, 1)}


def _mean_square(vectors: Tensor) -> Tensor:
    """Return the mean over the points of |v|^2, of each network."""
    norms: Tensor = torch.linalg.vector_norm(vectors, dim=-1)
    return norms.square().mean(-1)
