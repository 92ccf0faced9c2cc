"""The base class of activation functions.

This module loads no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from plastic_core.api.specs import API_VERSION, Name, Text
from plastic_core.base.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor


class ActivationSpec(Spec):
    """What an activation function is.

    Attributes:
        name: public name, the same as its entry point's.
        summary: one line.
        equation: in LaTeX.
        reference: its source.
        slope_of: "y" where `Activation.slope` reads the activity alone, "z" where it needs z. Then
            the error that arrives at the input of a network, which has no z, passes unchanged.
        surrogate: whether the slope is not the derivative, but stands in for it.
        api: major version of the contract that it was written against.
    """

    name: Name
    summary: Text
    equation: Text
    reference: Text
    slope_of: Literal["y", "z"] = "y"
    surrogate: bool = False
    api: int = API_VERSION


class Activation(ABC):
    r"""Base of activation functions, :math:`y = \sigma(z)`; elementwise and without a state.

    Both methods are pure functions of methods and functions of torch, for they are followed,
    compiled and differentiated: errors, derivatives of errors and C are made of them.
    """

    spec: ClassVar[ActivationSpec]

    @abstractmethod
    def apply(self, z: Tensor) -> Tensor:
        r"""Return :math:`\sigma(z)`, ``[R, K, n]``."""

    @abstractmethod
    def slope(self, z: Tensor, y: Tensor) -> Tensor:
        r"""Return :math:`\sigma'(z)`, ``[R, K, n]``, where :math:`y = \sigma(z)`."""
