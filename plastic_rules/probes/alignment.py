"""How well feedback is aligned with the weights, and errors with those of backpropagation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import pad_sequence

from plastic_core.api import Measure, Probe, ProbeSpec, Snapshot, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


class Alignment(Probe):
    r"""Angles between feedback and weights, and between the propagated error and backprop's.

    .. math:: \angle(B_l, W_l^\top), \qquad
        \langle \angle(e_l, \hat e_l) \rangle, \quad
        \hat e_{l-1} = W_l^\top \hat e_l \odot \sigma'(z_{l-1})

    ``feedback_angle`` takes the matrices as vectors; NaN where there is no B of the shape of
    :math:`W^\top` in every layer. ``error_angle`` compares the error as the rules propagate it,
    :math:`e_l`, with what it would be if every W' had carried it, from the output down; the mean
    over the first ten probe points. It is 0 in the output layer, and NaN where no rule reads
    :math:`e_l`.
    """

    spec = ProbeSpec(
        name="alignment",
        summary="angles between B and W', and between the propagated error and backprop's",
        equation=r"\angle(B_l, W_l^\top), \quad \langle \angle(e_l, \hat e_l) \rangle",
        reference="Lillicrap et al. 2016, doi:10.1038/ncomms13276",
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
        nothing = n.targets.new_full((), math.nan, dtype=torch.float64)
        feedback = [nothing] * n.network.depth
        if n.feedback_kind == "layer":
            pairs = zip(n.feedback, n.weights, strict=True)
            feedback = [_angle(b.flatten(), w.mT.flatten()) for b, w in pairs]
        errors = [nothing] * n.network.depth
        known = {layer: e for layer, e in enumerate(n.errors) if e is not None}
        if known:
            angles = _angle(_joined(known.values()), _joined(n.gradients[i] for i in known))
            for layer, angle in zip(known, angles.mean(-1), strict=True):
                errors[layer] = angle
        return {"feedback_angle": torch.stack(feedback), "error_angle": torch.stack(errors)}


def _joined(errors: Iterable[Tensor]) -> Tensor:
    """Return vectors of several layers in one tensor; zeros behind them change no angle."""
    return pad_sequence([e.mT for e in errors], batch_first=True).mT


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Return the angle between vectors along the last dimension, in degrees.

    2 atan2(|a/|a| - b/|b||, |a/|a| + b/|b||): the arc cosine of a product that is rounded to
    float32 could not tell angles below 0.02 degrees from 0.
    """
    norm = torch.linalg.vector_norm
    vectors = torch.stack([a, b]).double()
    a, b = vectors / norm(vectors, dim=-1, keepdim=True)
    return (2 * torch.atan2(norm(a - b, dim=-1), norm(a + b, dim=-1))).rad2deg()
