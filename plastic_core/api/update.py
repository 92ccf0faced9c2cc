"""What a rule returns: a sum of outer products, decays and dense increments, kept as factors.

Factors are never multiplied out by a rule: the engine concatenates those of all rules and
applies them in one product for each weight. Nothing here looks at a shape or a value, so that
a rule can be traced.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Update(ABC):
    """An increment: a sum of parts. Supports ``+``, ``-`` and multiplication by a number."""

    __slots__ = ()

    @property
    @abstractmethod
    def parts(self) -> tuple[Part, ...]:
        """The parts that it is the sum of."""

    def __add__(self, other: Update | Tensor) -> Update:
        return Sum((*self.parts, *as_update(other).parts))

    def __radd__(self, other: Tensor) -> Update:
        return as_update(other) + self

    def __sub__(self, other: Update | Tensor) -> Update:
        return self + -as_update(other)

    def __rsub__(self, other: Tensor) -> Update:
        return as_update(other) - self

    def __neg__(self) -> Update:
        return self * -1.0

    @abstractmethod
    def __mul__(self, number: float) -> Update: ...

    def __rmul__(self, number: float) -> Update:
        return self * number

    def __truediv__(self, number: float) -> Update:
        return self * (1.0 / number)


class Part(Update):
    """An increment of one part, times `scale`."""

    __slots__ = ("scale",)
    scale: float

    @property
    def parts(self) -> tuple[Part, ...]:
        """Itself alone."""
        return (self,)


class Outer(Part):
    """``scale * sum_k post_k pre_k'``, the mean taken over the mini-batch."""

    __slots__ = ("post", "pre")

    def __init__(self, post: Tensor, pre: Tensor, scale: float = 1.0) -> None:
        self.post, self.pre, self.scale = post, pre, scale

    def __mul__(self, number: float) -> Outer:
        return Outer(self.post, self.pre, self.scale * number)


class Decay(Part):
    """``-scale * W``, or with a row factor ``-scale * mean_k(factor_k)_i W_ij``."""

    __slots__ = ("factor",)

    def __init__(self, factor: Tensor | None, scale: float = 1.0) -> None:
        self.factor, self.scale = factor, scale

    def __mul__(self, number: float) -> Decay:
        return Decay(self.factor, self.scale * number)


class Dense(Part):
    """``scale * value``, reduced over the events already."""

    __slots__ = ("value",)

    def __init__(self, value: Tensor, scale: float = 1.0) -> None:
        self.value, self.scale = value, scale

    def __mul__(self, number: float) -> Dense:
        return Dense(self.value, self.scale * number)


class Sum(Update):
    """A sum of parts."""

    __slots__ = ("_parts",)

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self._parts = parts

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts, in the order in which they were added."""
        return self._parts

    def __mul__(self, number: float) -> Sum:
        return Sum(tuple(part * number for part in self._parts))  # type: ignore[misc]


def outer(post: Tensor, pre: Tensor) -> Update:
    r"""Return the update :math:`\sum_k post_k\, pre_k^\top`, kept as its two factors.

    Over the K events the mean is taken over the mini-batch and the sum over time and over the
    places that share the weights; the engine does all of it. For a rule that modifies the feedback
    B (``[R, n_pre, n_post]``) the first factor belongs to the presynaptic population.

    Args:
        post: ``[R, K, n]``, the factor along the rows of the matrix.
        pre: ``[R, K, m]``, the factor along its columns.
    """
    return Outer(post, pre)


def decay(factor: Tensor | None = None) -> Update:
    r"""Return the update :math:`-W`, or :math:`-f_i W_{ij}` with a row factor.

    The sign is in it: ``outer(post, pre) + decay()`` shrinks the weights. It is applied once an
    update, with the theta of its rule.

    Args:
        factor: ``[R, K, n_post]``, averaged over the mini-batch, and summed over time and places;
            None for 1.
    """
    return Decay(factor)


def as_update(value: Update | Tensor) -> Update:
    """Return `value` as an update; a tensor is a dense one."""
    return value if isinstance(value, Update) else Dense(value)


class Apart(NamedTuple):
    """The parts of an update by what they are, each in the order in which they were added."""

    outers: Sequence[Outer]
    decays: Sequence[Decay]
    dense: Sequence[Dense]


def apart(value: Update | Tensor) -> Apart:
    """Return the parts of an update."""
    # as most are, at every step of every layer; isinstance is slow where classes are abstract
    if type(value) is Outer:
        return Apart((value,), (), ())
    outers: list[Outer] = []
    decays: list[Decay] = []
    dense: list[Dense] = []
    for part in as_update(value).parts:
        if isinstance(part, Outer):
            outers.append(part)
        elif isinstance(part, Decay):
            decays.append(part)
        elif isinstance(part, Dense):
            dense.append(part)
    return Apart(outers, decays, dense)
