"""The base class of losses: what the output is, what it should be, and how well it does.

This module loads no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from plastic_core.api.specs import API_VERSION, Name, Text, VariableName
from plastic_core.base.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor


class Score(Spec):
    """The number that says how well a network does.

    Attributes:
        name: of its variable in results, such as accuracy or r2.
        long_name: what it is, as an axis is labelled.
        higher_is_better: whether more is better.
    """

    name: VariableName
    long_name: Text
    higher_is_better: bool = True


class LossSpec(Spec):
    """What a loss is.

    Attributes:
        name: public name, the same as its entry point's.
        summary: one line.
        equation: output function and loss in LaTeX.
        reference: its source.
        score: what is reported beside the loss.
        targets: "classes", which reach the loss one-hot, or "numbers", in which classes count as
            one-hot numbers too.
        units: of the loss, "1" where it has none.
        api: major version of the contract that it was written against.
    """

    name: Name
    summary: Text
    equation: Text
    reference: Text
    score: Score
    targets: Literal["classes", "numbers"]
    units: Text = "1"
    api: int = API_VERSION


class Loss(ABC):
    """Base of losses: the function of the output layer, its error, and the score.

    A loss has no state. `output` and `error` are pure functions of methods and functions of
    torch, for they are followed, compiled and differentiated.
    """

    spec: ClassVar[LossSpec]

    @abstractmethod
    def output(self, z: Tensor) -> Tensor:
        """Return y_L of z_L, ``[R, K, n]`` both."""

    @abstractmethod
    def error(self, output: Tensor, target: Tensor) -> Tensor:
        """Return dL/dz_L of each sample, ``[R, K, n]``, of y_L and its target, of that shape."""

    @abstractmethod
    def value(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each sample, ``[R, K]``, of y_L and its target ``[R, K, n]``."""

    @abstractmethod
    def score(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the score over all M points, ``[R]``, of y_L and its target ``[R, M, n]``."""

    @abstractmethod
    def chance(self, target: Tensor) -> float:
        """Return the score of a network that knows nothing, for targets ``[M, n]``.

        A network that diverged counts as such a one.
        """
