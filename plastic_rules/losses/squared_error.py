"""Linear outputs with squared error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Loss, LossSpec, Score

if TYPE_CHECKING:
    from torch import Tensor


class SquaredError(Loss):
    r"""Linear outputs that should equal numbers: regression.

    .. math:: y = z, \quad L = \tfrac{1}{2} \lVert y - t \rVert^2, \quad
              \frac{\partial L}{\partial z} = y - t

    The score is the coefficient of determination over all M points and all outputs,

    .. math:: R^2 = 1 - \frac{\sum_i \lVert y_i - t_i \rVert^2}
                             {\sum_i \lVert t_i - \bar t \rVert^2}

    1 where each output equals its target, 0 (chance) where each is the mean of the targets, and
    below 0 where the mean would do better.
    """

    spec = LossSpec(
        name="squared-error",
        summary="linear outputs that should equal numbers: regression",
        equation=r"y = z, \quad L = \tfrac{1}{2} \lVert y - t \rVert^2",
        reference="Bishop 1995, Neural Networks for Pattern Recognition, section 6.1",
        score=Score(name="r2", long_name="R2"),
        targets="numbers",
    )

    def output(self, z: Tensor) -> Tensor:
        """Return z."""
        return z

    def error(self, output: Tensor, target: Tensor) -> Tensor:
        """Return y - t."""
        return output - target

    def value(self, output: Tensor, target: Tensor) -> Tensor:
        """Return half the squared norm of y - t, in float64."""
        return (output.double() - target).square().sum(-1) / 2

    def score(self, output: Tensor, target: Tensor) -> Tensor:
        """Return R2 over all points and outputs."""
        left = (output.double() - target).square().sum((-2, -1))
        spread = (target.double() - target.double().mean(-2, keepdim=True)).square().sum((-2, -1))
        return 1 - left / spread

    def chance(self, target: Tensor) -> float:
        """Return 0, the score of the mean of the targets."""
        return 0.0
