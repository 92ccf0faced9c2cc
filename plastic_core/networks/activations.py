"""Activation functions, and their derivatives written as functions of the activity.

The derivative is a function of y = sigma(z) and not of z, because the error of the input layer,
e_0, needs it where there is no z.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

#: Sharpness of softplus.
BETA: Final = 10.0


@functools.cache
def _decay(dtype: torch.dtype) -> Tensor:
    """Return exp(-beta), so that its y-th power is exp(-beta y) in one operation.

    A tensor of the same dtype: wrapping or converting a number at each call takes three times
    as long as the operation.
    """
    with torch.inference_mode(False):  # it is kept for others, who may differentiate
        return torch.tensor(math.exp(-BETA), dtype=dtype)


# Above this value of beta z, softplus(z) is taken to be z. torch's default of 20 leaves a
# relative error of 2e-9 in the derivative, which float64 shows; exp(30) fits float32 as well.
_THRESHOLD: Final = 30.0


class Activation(NamedTuple):
    """An activation function; both functions can write into `out`.

    Attributes:
        apply: ``apply(z, out)`` gives sigma(z).
        gate: ``gate(arrived, y, out)`` gives arrived * sigma'(z), where y = sigma(z).
        bend: ``bend(y)`` gives the derivative with respect to y of sigma' as a function of y.
    """

    apply: Callable[[Tensor, Tensor | None], Tensor]
    gate: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    bend: Callable[[Tensor], Tensor]


# torch's stubs do not know that softplus takes `out`
_softplus_into: Final[Any] = torch.nn.functional.softplus


def _softplus(z: Tensor, out: Tensor | None = None) -> Tensor:
    result: Tensor = _softplus_into(z, BETA, _THRESHOLD, out=out)
    return result


def _softplus_gate(arrived: Tensor, y: Tensor, out: Tensor | None = None) -> Tensor:
    # sigma' = 1 - exp(-beta y)
    return torch.addcmul(arrived, arrived, torch.pow(_decay(y.dtype), y), value=-1, out=out)


def _softplus_bend(y: Tensor) -> Tensor:
    return BETA * torch.pow(_decay(y.dtype), y)


def _relu(z: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.clamp_min(z, 0, out=out)


def _relu_gate(arrived: Tensor, y: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.mul(arrived, y > 0, out=out)


def _tanh(z: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.tanh(z, out=out)


def _tanh_gate(arrived: Tensor, y: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.addcmul(arrived, arrived * y, y, value=-1, out=out)


def _sigmoid(z: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.sigmoid(z, out=out)


def _sigmoid_gate(arrived: Tensor, y: Tensor, out: Tensor | None = None) -> Tensor:
    scaled = arrived * y
    return torch.addcmul(scaled, scaled, y, value=-1, out=out)


def _linear(z: Tensor, out: Tensor | None = None) -> Tensor:
    return z if out is None else out.copy_(z)


def _linear_gate(arrived: Tensor, y: Tensor, out: Tensor | None = None) -> Tensor:
    return _linear(arrived, out)


ACTIVATIONS: Final[dict[str, Activation]] = {
    "softplus": Activation(_softplus, _softplus_gate, _softplus_bend),
    "relu": Activation(_relu, _relu_gate, torch.zeros_like),
    "tanh": Activation(_tanh, _tanh_gate, lambda y: -2 * y),
    "sigmoid": Activation(_sigmoid, _sigmoid_gate, lambda y: 1 - 2 * y),
    "linear": Activation(_linear, _linear_gate, torch.zeros_like),
}
