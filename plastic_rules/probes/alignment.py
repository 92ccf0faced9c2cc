"""How well feedback is aligned with the weights, and errors with those of backpropagation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from plastic_core.api import Measure, Probe, ProbeSpec, Snapshot, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Alignment(Probe):
    r"""Angles between feedback and weights, and between the propagated error and backprop's.

    .. math:: \angle(B_l, W_l^\top), \qquad
        \langle \angle(e_l, \hat e_l) \rangle, \quad
        \hat e_{l-1} = W_l^\top \hat e_l \odot \sigma'(z_{l-1})

    ``feedback_angle`` takes the matrices as vectors; NaN where there is no B of the shape of
    :math:`W^\top` in every layer. ``error_angle`` compares the error as the rules propagate it,
    :math:`e_l`, with what it would be if every W' had carried it, from the output down; the mean
    over the first ten probe points; where weights are shared, of the errors at all places
    together. It is 0 in the output layer, and NaN where no rule reads
    :math:`e_l`.
    """

    spec = ProbeSpec(
        name="alignment",
        summary="angles between B and W', and between the propagated error and backprop's",
        equation=r"\angle(B_l, W_l^\top), \quad \langle \angle(e_l, \hat e_l) \rangle",
        reference="Lillicrap et al. 2016, doi:10.1038/ncomms13276",
        networks={"feedforward", "layered"},
        measures={
            "feedback_angle": Measure(long_name="angle between B_l and W_l'", units="degree"),
            "error_angle": Measure(
                long_name="mean angle between e_l and the error of backprop", units="degree"
            ),
        },
    )

    @hookimpl
    def plastic_measure(self, n: Snapshot) -> dict[str, Tensor]:
        """Return both angles."""
        nothing = n.targets.new_full((len(n.activities[0]),), math.nan, dtype=torch.float64)
        feedback = [nothing] * len(n.weights)
        if n.feedback_kind == "layer":
            pairs = zip(n.feedback, n.weights, strict=True)
            feedback = [_angle(b.flatten(1), w.mT.flatten(1)) for b, w in pairs]
        errors = [
            nothing if e is None else _angle(e.flatten(2), gradient.flatten(2)).mean(-1)
            for e, gradient in zip(n.errors, n.gradients, strict=True)
        ]
        return {"feedback_angle": torch.stack(feedback, 1), "error_angle": torch.stack(errors, 1)}


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Return the angle between vectors along the last dimension, in degrees.

    2 atan2(|a/|a| - b/|b||, |a/|a| + b/|b||): the arc cosine of a product that is rounded to
    float32 could not tell angles below 0.02 degrees from 0.
    """
    norm = torch.linalg.vector_norm
    vectors = torch.stack([a, b]).double()
    a, b = vectors / norm(vectors, dim=-1, keepdim=True)
    return (2 * torch.atan2(norm(a - b, dim=-1), norm(a + b, dim=-1))).rad2deg()
