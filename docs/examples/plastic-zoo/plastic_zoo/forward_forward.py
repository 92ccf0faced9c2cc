"""The forward-forward algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class ForwardForwardParams(BaseModel):
    """Parameters of forward-forward."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(0.1, gt=0, description="mean square activity that is good enough")
    label: float = Field(1.0, gt=0, description="size of the label in the input")


class ForwardForward(Rule):
    r"""Each layer is to be active for an input with the right label, and silent for one with its answer.

    .. math::
        g_l = \sum_i (y_i^2 - h), \qquad
        \Delta W_l = 2\, (1 - \varsigma(g_l^+))\, (\sigma' y)^+ {\tilde y_{l-1}^+}^\top
            - 2\, \varsigma(g_l^-)\, (\sigma' y)^- {\tilde y_{l-1}^-}^\top

    :math:`\varsigma` is the logistic function, and :math:`\tilde y` the activity of a hidden layer over
    its root mean square, so that the layer above does not see how good it was; :math:`\tilde y_0` is
    what is shown. The output layer learns by its error to tell the class from the last hidden layer.

    An input is shown three times: as it is, as :math:`x + c B y_L` with what the network then answered
    as its label, and as :math:`x + c B t` with the right one. As the answers become right, less is
    learned. The source takes one wrong label, drawn by the answers, and writes it into pixels that are
    blank. Evaluation shows an input as it is, where the source has a label of equal parts; its better
    way to predict, trying every label for the most goodness, is not a rule's to say.
    """

    spec = RuleSpec(
        name="forward-forward",
        summary="forward-forward: layers active for the right label, silent for the answer",
        equation=r"2\, (1 - \varsigma(g_l^+))\, (\sigma' y)^+ {\tilde y_{l-1}^+}^\top "
        r"- 2\, \varsigma(g_l^-)\, (\sigma' y)^- {\tilde y_{l-1}^-}^\top",
        reference="Hinton 2022, arXiv:2212.13345",
        modifies="forward",
        reads={"feedback_error", "output_error", "post", "pre", "target", "z"},
        theta=Theta(default=1e-2),
        params=ForwardForwardParams,
        feedback="output",
        passes=3,
    )

    params: ForwardForwardParams

    @hookimpl
    def plastic_input(self, s: Signals) -> Tensor:
        """Return the input with the network's answer as its label, and then with the target."""
        label = s.feed_back(s.target)
        if s.pass_index == 1:
            label = label + s.feedback_error
        return s.input + self.params.label * label

    @hookimpl
    def plastic_forward(self, s: Signals) -> Tensor:
        """Return W y, of hidden activity without its length."""
        return s.forward(_seen(s, s.pre))

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return what makes the last pass better and the second worse."""
        neutral, wrong, right = s.passes
        if s.is_output:
            return -outer(neutral.output_error, _seen(s, neutral.pre))
        h = self.params.threshold
        bad = torch.sigmoid((wrong.post.square() - h).sum(-1, keepdim=True))
        good = torch.sigmoid((right.post.square() - h).sum(-1, keepdim=True))
        more = 2 * (1 - good) * right.post * s.slope(right.z)
        less = 2 * bad * wrong.post * s.slope(wrong.z)
        return outer(more, _seen(s, right.pre)) - outer(less, _seen(s, wrong.pre))


def _seen(s: Signals, pre: Tensor) -> Tensor:
    """Return what a layer sees of the activity below: of hidden layers not its length."""
    if s.layer == 1:
        return pre
    return pre / (pre.square().mean(-1, keepdim=True) + 1e-6).sqrt()
