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

    Means are over the probe points. ``activation_norm`` is the first, ``activation_norm_cv`` the
    second, the coefficient of variation.
    """

    spec = ProbeSpec(
        name="activation-norm",
        summary="mean norm of each layer's activity, and its coefficient of variation",
        equation=r"\langle \lVert y_l \rVert \rangle",
        reference="Figure 6 of the paper",
        measures={
            "activation_norm": Measure(long_name="mean |y_l|"),
            "activation_norm_cv": Measure(long_name="standard deviation of |y_l| / mean |y_l|"),
        },
    )

    @hookimpl
    def plastic_measure(self, n: Snapshot) -> dict[str, Tensor]:
        """Return mean, and standard deviation over mean, of |y_l|."""
        norms = torch.stack([torch.linalg.vector_norm(y, dim=-1) for y in n.activities[1:]], 1)
        mean = norms.mean(-1)
        variation = norms.std(-1, correction=0) / mean
        return {"activation_norm": mean, "activation_norm_cv": variation}
