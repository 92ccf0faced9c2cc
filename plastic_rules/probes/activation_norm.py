"""How large the activity of each layer is, and how much that varies from point to point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from plastic_core.api import Measure, Probe, ProbeSpec, Snapshot, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class ActivationNorm(Probe):
    r"""The norm of each layer's activity.

    .. math:: \langle \lVert y_l \rVert \rangle, \qquad
        \sqrt{\langle \lVert y_l \rVert^2 \rangle - \langle \lVert y_l \rVert \rangle^2}
        \,/\, \langle \lVert y_l \rVert \rangle

    Means are over the probe points, and over the places where weights are shared.
    ``activation_norm`` is the first, ``activation_norm_cv`` the second, the coefficient of
    variation.
    """

    spec = ProbeSpec(
        name="activation-norm",
        summary="mean norm of each layer's activity, and its coefficient of variation",
        equation=r"\langle \lVert y_l \rVert \rangle",
        reference="Figure 6 of the paper",
        networks={"feedforward", "layered"},
        measures={
            "activation_norm": Measure(long_name="mean |y_l|"),
            "activation_norm_cv": Measure(long_name="standard deviation of |y_l| / mean |y_l|"),
        },
    )

    @hookimpl
    def plastic_measure(self, n: Snapshot) -> dict[str, Tensor]:
        """Return mean, and standard deviation over mean, of |y_l|."""
        layers = n.activities[1:] if n.kind == "feedforward" else n.post
        norms = [torch.linalg.vector_norm(y, dim=-1) for y in layers]
        mean = torch.stack([one.mean(-1) for one in norms], 1)
        deviation = torch.stack([one.std(-1, correction=0) for one in norms], 1)
        return {"activation_norm": mean, "activation_norm_cv": deviation / mean}
