"""Sparse codes by lateral inhibition that is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Signals, State, Theta, Update, decay, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class FoldiakParams(BaseModel):
    """Parameters of foldiak."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(0.01, gt=0, le=1, description="of lateral weights and thresholds")
    activity: float = Field(0.1, gt=0, lt=1, description="mean activity that units are kept at")


class Foldiak(Rule):
    r"""Hebbian weights, anti-Hebbian lateral ones, and thresholds that keep units active.

    .. math::
        z = W x - U \sigma(W x) - h, \qquad \Delta W_{ij} = y_i (x_j - W_{ij}) \\
        U_{ij} \leftarrow \max(0,\, U_{ij} + r\, (\langle y_i y_j \rangle - p^2)), \quad
        U_{ii} = 0, \qquad h_i \leftarrow h_i + r\, (\langle y_i \rangle - p)

    Inhibition acts once on what units would do without it, where the network of the paper settles.
    """

    spec = RuleSpec(
        name="foldiak",
        summary="sparse codes: Hebbian forward, anti-Hebbian within the layer, thresholds",
        equation=r"y_i (x_j - W_{ij}), \quad z = W x - U \sigma(W x) - h",
        reference="Foldiak 1990, doi:10.1007/BF02331346",
        modifies="forward",
        reads={"post", "pre"},
        theta=Theta(default=1e-3),
        params=FoldiakParams,
        state={"lateral": State(over="post*post"), "threshold": State(over="post")},
    )

    @hookimpl
    def plastic_forward(self, s: Signals) -> Tensor:
        """Return W x - U sigma(W x) - h."""
        z = s.forward(s.pre)
        return z - torch.bmm(s.activation(z), s.state.lateral.mT) - s.state.threshold

    @hookimpl
    def plastic_local_update(self, s: Signals) -> tuple[Update, dict[str, Tensor]]:
        """Return y x' - y W, and the new lateral weights and thresholds."""
        rate, p = self.params.rate, self.params.activity
        together = torch.bmm(s.post.mT, s.post) / s.post.shape[1] - p * p
        apart = 1 - torch.eye(together.shape[1], dtype=s.post.dtype, device=s.post.device)
        lateral = (s.state.lateral + rate * together).clamp(min=0) * apart
        threshold = s.state.threshold + rate * (s.post.mean(1, keepdim=True) - p)
        new = {"lateral": lateral, "threshold": threshold}
        return outer(s.post, s.pre) + decay(s.post), new
