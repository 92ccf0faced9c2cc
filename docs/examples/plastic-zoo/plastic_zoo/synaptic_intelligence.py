"""Weights that mattered for earlier tasks are held."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Increment, State, Transform, TransformSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class SynapticIntelligenceParams(BaseModel):
    """Parameters of synaptic-intelligence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strength: float = Field(0.1, ge=0, description="of the pull to the weights of earlier tasks, c")
    damping: float = Field(0.1, gt=0, description="added to the squared change of a task, xi")
    every: int = Field(1000, ge=1, description="updates of a task")


class SynapticIntelligence(Transform):
    r"""Each weight is drawn back to where it ended a task, by what it did for the loss in it.

    .. math:: \Delta W \leftarrow D + 2 c\, \Omega\, (\tilde W - W), \qquad
        \omega \leftarrow \omega + D\, \Delta W

    and after each task, of `every` updates,

    .. math:: \Omega \leftarrow \Omega + \frac{\omega}{(W - \tilde W)^2 + \xi}, \qquad
        \tilde W \leftarrow W, \qquad \omega \leftarrow 0.

    D is the increment of the rules. The paper adds :math:`-g\, \Delta W` to the path integral
    :math:`\omega`, and the pull is :math:`2 \eta c\, \Omega (\tilde W - W)`, where g is the gradient
    without the pull and :math:`\eta` the theta. A transform sees :math:`D = -\eta g` and neither of
    them. So :math:`\omega` and :math:`\Omega` here are :math:`\eta` times those of the paper, which
    is the :math:`\eta` that the pull lacks: with ``bp`` alone and a theta that stays, the weights
    are the paper's. With other rules D stands for the gradient. Where :math:`2 c\, \Omega > 1` the
    pull overshoots: lower c, or raise :math:`\xi`.

    What cannot be said in a transform: that a task ends, in place of which it ends after a number of
    updates; and the paper's Adam, since behind ``adam`` D is no gradient, and before it
    :math:`\Delta W` is not what is added. It is to be the last transform.
    """

    spec = TransformSpec(
        name="synaptic-intelligence",
        summary="hold each weight by what its changes did for the loss of earlier tasks",
        reference="Zenke, Poole, Ganguli 2017, arXiv:1703.04200",
        params=SynapticIntelligenceParams,
        state={
            "path": State(over="weight"),
            "importance": State(over="weight"),
            "held": State(over="weight", initial="weight"),
            # a number would do, but with a state of one number there is no C
            "count": State(over="post"),
        },
    )

    @hookimpl
    def plastic_transform_update(self, u: Increment) -> tuple[Tensor, dict[str, Tensor]]:
        """Return D + 2 c Omega (held - W), and the states after it."""
        p, old = self.params, u.state
        change = u.increment + 2 * p.strength * old.importance * (old.held - u.weight)
        path, count, weight = old.path + u.increment * change, old.count + 1, u.weight + change
        gained = path / ((weight - old.held).square() + p.damping)
        ended = count.mT >= p.every
        return change, {
            "path": torch.where(ended, 0, path),
            "importance": torch.where(ended, old.importance + gained, old.importance),
            "held": torch.where(ended, weight, old.held),
            "count": torch.where(count >= p.every, 0, count),
        }
