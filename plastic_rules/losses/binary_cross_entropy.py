"""Sigmoid with binary cross-entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Loss, LossSpec, Score

if TYPE_CHECKING:
    from torch import Tensor


class BinaryCrossEntropy(Loss):
    r"""Sigmoid outputs, each of which says yes or no to its class.

    .. math:: y_i = \frac{1}{1 + e^{-z_i}}, \quad
              L = -\sum_i t_i \log y_i + (1 - t_i) \log(1 - y_i), \quad
              \frac{\partial L}{\partial z} = y - t

    t is the one-hot vector of the sample's class. The score is the share of samples whose largest
    output is that of their class; chance is one in the number of classes.
    """

    spec = LossSpec(
        name="binary-cross-entropy",
        summary="sigmoid outputs, a yes or no for each class",
        equation=r"y = \mathrm{sigmoid}(z), \quad "
        r"L = -\sum_i t_i \log y_i + (1 - t_i) \log(1 - y_i)",
        reference="Bishop 1995, Neural Networks for Pattern Recognition, section 6.8",
        score=Score(name="accuracy", long_name="accuracy"),
        units="nat",
        targets="classes",
    )

    def output(self, z: Tensor) -> Tensor:
        """Return sigmoid(z)."""
        return z.sigmoid()

    def error(self, output: Tensor, target: Tensor) -> Tensor:
        """Return y - t."""
        return output - target

    def value(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the sum over the classes of the surprise at each answer, in nats, in float64."""
        import torch  # here, for a run is checked before torch is loaded

        # sigmoid may have rounded a probability to zero or one
        tiny = torch.finfo(output.dtype).tiny
        yes, no = (p.double().clamp_min(tiny).log() for p in (output, 1 - output))
        return -(target * yes + (1 - target) * no).sum(-1)

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the share of points whose largest output is that of their class."""
        return (output.argmax(-1) == target.argmax(-1)).double().mean(-1)

    def chance(self, target: Tensor) -> float:
        """Return one in the number of classes."""
        return 1 / target.shape[-1]
