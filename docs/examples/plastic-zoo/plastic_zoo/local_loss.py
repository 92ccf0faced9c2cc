"""A loss for each layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Signals, State, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class LocalLossParams(BaseModel):
    """Parameters of local-loss."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float = Field(0.05, ge=0, description="of the readouts; 0 leaves them random")


class LocalLoss(Rule):
    r"""Each hidden layer has a readout of its own, whose error teaches the layer and the readout.

    .. math::
        d_l = \mathrm{softmax}(V_l^\top y_l) - t, \qquad
        \Delta W_l = -(\sigma'(z_l) \odot V_l\, d_l)\, y_{l-1}^\top, \qquad
        V_l \leftarrow V_l - r\, \langle y_l\, d_l^\top \rangle

    The output layer learns by its own error. This is the prediction loss of the source, of a target
    that is one-hot; its other loss, of the similarity between the points of a mini-batch, is left out,
    and so are dropout, batch normalisation and Adam. Where places share weights each has the same
    readout, where the source reads from the pooled image.
    """

    spec = RuleSpec(
        name="local-loss",
        summary="local losses: each layer learns by a readout of its own",
        equation=r"-(\sigma'(z_l) \odot V_l\, d_l)\, y_{l-1}^\top, \quad "
        r"d_l = \mathrm{softmax}(V_l^\top y_l) - t",
        reference="Nokland, Eidnes 2019, arXiv:1901.06656",
        modifies="forward",
        reads={"output_error", "post", "pre", "target", "z"},
        theta=Theta(default=1e-2),
        params=LocalLossParams,
        state={"readout": State(over="post*output", initial="xavier")},
    )

    params: LocalLossParams

    @hookimpl
    def plastic_local_update(self, s: Signals) -> tuple[Update, dict[str, Tensor]]:
        """Return -(slope V d) y', and the new readout; at the output -e y'."""
        readout = s.state.readout
        if s.is_output:
            return -outer(s.output_error, s.pre), {"readout": readout}
        wrong = torch.softmax(torch.bmm(s.post, readout), -1) - s.target
        error = s.slope(s.z) * torch.bmm(wrong, readout.mT)
        learned = torch.bmm(s.post.mT, wrong) / s.batch
        return -outer(error, s.pre), {"readout": readout - self.params.rate * learned}
