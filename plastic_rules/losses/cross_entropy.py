"""Softmax with cross-entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Loss, LossSpec, Score

if TYPE_CHECKING:
    from torch import Tensor


class CrossEntropy(Loss):
    r"""Softmax outputs, one of which is right.

    .. math:: y_i = \frac{e^{z_i}}{\sum_j e^{z_j}}, \quad L = -\log y_c, \quad
              \frac{\partial L}{\partial z} = y - t

    c is the class of the sample, t its one-hot vector. The score is the share of samples whose
    largest output is that of their class; chance is one in the number of classes.
    """

    spec = LossSpec(
        name="cross-entropy",
        summary="softmax outputs, one of which is right",
        equation=r"y = \mathrm{softmax}(z), \quad L = -\log y_c",
        reference="Bridle 1990, doi:10.1007/978-3-642-76153-9_28",
        score=Score(name="accuracy", long_name="accuracy"),
        units="nat",
        targets="classes",
    )

    def output(self, z: Tensor) -> Tensor:
        """Return softmax(z)."""
        return z.softmax(-1)

    def error(self, output: Tensor, target: Tensor) -> Tensor:
        """Return y - t."""
        return output - target

    def value(self, output: Tensor, target: Tensor) -> Tensor:
        """Return -log y_c in nats, in float64."""
        import torch  # here, for a run is checked before torch is loaded

        # softmax may have rounded a probability to zero
        tiny = torch.finfo(output.dtype).tiny
        return -(output * target).sum(-1).double().clamp_min(tiny).log()

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the share of points whose largest output is that of their class."""
        return (output.argmax(-1) == target.argmax(-1)).double().mean(-1)

    def chance(self, target: Tensor) -> float:
        """Return one in the number of classes."""
        return 1 / target.shape[-1]
