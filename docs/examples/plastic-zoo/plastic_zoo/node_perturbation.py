"""Learning from what noise does to the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class NodePerturbationParams(BaseModel):
    """Parameters of node-perturbation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sigma: float = Field(0.01, gt=0, description="size of the noise")


class NodePerturbation(Rule):
    r"""The input is shown twice, the second time with noise on all units.

    .. math::
        \Delta W_l = -\frac{L(z + \sigma \xi) - L(z)}{\sigma}\, \xi_l\, y_{l-1}^\top

    In the mean over the noise it follows the gradient.
    """

    spec = RuleSpec(
        name="node-perturbation",
        summary="noise on the units, times what it does to the loss",
        equation=r"-\frac{L(z + \sigma \xi) - L(z)}{\sigma}\, \xi_l\, y_{l-1}^\top",
        reference="Williams 1992, doi:10.1007/BF00992696",
        modifies="forward",
        reads={"loss", "pre"},
        theta=Theta(default=1e-3),
        params=NodePerturbationParams,
        noise={"post"},
        passes=2,
    )

    params: NodePerturbationParams

    @hookimpl
    def plastic_forward(self, s: Signals) -> Tensor:
        """Return W y, in the second pass with noise."""
        return s.forward(s.pre) + s.pass_index * self.params.sigma * s.noise.post

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return -(loss - loss without noise) / sigma * noise y'."""
        clean, noisy = s.passes
        gain = (noisy.loss - clean.loss) / self.params.sigma
        return -outer(gain * s.noise.post, clean.pre)
