"""Hebbian learning of units that compete softly."""

import torch
from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, decay, hookimpl, outer


class SoftHebbParams(BaseModel):
    """Parameters of softhebb."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(1.0, gt=0, description="of the softmax; small is a hard competition")


class SoftHebb(Rule):
    r"""Each unit learns the input by its share in a soft competition of its layer.

    .. math::
        \Delta W_{ij} = p_i \left(x_j - z_i W_{ij}\right), \qquad
        p = \mathrm{softmax}(z / T), \quad z = W x

    The weights of a unit end at length 1, with inputs of length 1 as the mean of those that it wins.

    In the source :math:`p` is the output of the layer, which has biases that learn too. Here the layer
    sends on its own :math:`\sigma(z)`, as in the deep networks of Journe et al. 2022
    (arXiv:2209.11883), the competition is for learning alone, and the layer has no such bias.
    """

    spec = RuleSpec(
        name="softhebb",
        summary="Hebbian learning by each unit's share in a soft winner-take-all",
        equation=r"p_i (x_j - z_i W_{ij}), \quad p = \mathrm{softmax}(z / T)",
        reference="Moraitis, Toichkin, Journe, Chua, Guo 2022, arXiv:2107.05747",
        modifies="forward",
        reads={"pre", "z"},
        theta=Theta(default=1e-3),
        params=SoftHebbParams,
    )

    params: SoftHebbParams

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return p x' - p z W."""
        share = torch.softmax(s.z / self.params.temperature, -1)
        return outer(share, s.pre) + decay(share * s.z)
