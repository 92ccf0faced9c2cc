"""Learning from what noise on the weights does to the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Signals, Theta, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class WeightPerturbationParams(BaseModel):
    """Parameters of weight-perturbation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sigma: float = Field(1e-3, gt=0, description="size of the noise")


class WeightPerturbation(Rule):
    r"""The input is shown twice, the second time with noise on all weights at once.

    .. math::
        \Delta W_l = -\frac{\langle L(W + \sigma \Xi) - L(W) \rangle}{\sigma}\, \Xi_l

    In the mean over the noise it follows the gradient. The loss of a sequence is the sum over its
    steps, and all points of a mini-batch see the same noise. The noise is normal; the first source has
    steps of one size and either sign.
    """

    spec = RuleSpec(
        name="weight-perturbation",
        summary="noise on the weights, times what it does to the loss",
        equation=r"-\frac{\langle L(W + \sigma \Xi) - L(W) \rangle}{\sigma}\, \Xi_l",
        reference="Cauwenberghs 1993, Advances in Neural Information Processing Systems 5; "
        "Werfel, Xie, Seung 2005, doi:10.1162/089976605774320539",
        modifies="forward",
        reads={"loss", "pre"},
        theta=Theta(default=1e-4),
        params=WeightPerturbationParams,
        noise={"weight"},
        passes=2,
    )

    params: WeightPerturbationParams

    @hookimpl
    def plastic_forward(self, s: Signals) -> Tensor:
        """Return W y, in the second pass with noise on W."""
        size = s.pass_index * self.params.sigma
        return s.forward(s.pre) + size * torch.bmm(s.pre, s.noise.weight.mT)

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Tensor:
        """Return -(loss - loss without noise) / sigma * noise."""
        clean, noisy = s.passes
        gain = s.by_time(noisy.loss - clean.loss).sum(1).mean(1, keepdim=True)
        return -gain / self.params.sigma * s.noise.weight
