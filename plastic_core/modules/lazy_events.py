r"""Signals that are not computed before an operation needs their numbers.

The patches of a convolution, and the reconstruction of as many, take many times the memory of the
images, and most rules only multiply them. With patches x, :math:`\sum_k a_k x_k^\top` is PyTorch's
gradient of a convolution; with :math:`x = W^\top y` it is :math:`(\sum_k a_k y_k^\top)\, W`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

_aten = torch.ops.aten


class Term(NamedTuple):
    """One part of a sum of events.

    Attributes:
        value: returns it, ``[1, K, n]``.
        outer: returns the sum over events of a factor ``[1, K, m]`` times it, ``[1, m, n]``.
    """

    value: Callable[[], Tensor]
    outer: Callable[[Tensor], Tensor]


def plain(tensor: Tensor) -> Term:
    """Return a tensor as a term."""
    return Term(lambda: tensor, lambda left: left.mT @ tensor)


def through(v: Tensor, weight: Tensor) -> Term:
    """Return W' v as a term."""
    return Term(lambda: v @ weight, lambda left: (left.mT @ v) @ weight)


class LazyEvents(Tensor):
    """A sum of terms, each times a number; a tensor ``[1, K, n]`` to whoever does not ask.

    Sums, differences and multiples of it stay sums of terms, and everything else is computed with
    its value.
    """

    _terms: Sequence[tuple[float, Term]]

    @staticmethod
    def __new__(
        cls, terms: Sequence[tuple[float, Term]], shape: Sequence[int], like: Tensor
    ) -> LazyEvents:
        """Return the sum of terms, of the precision and on the device of a tensor."""
        made: LazyEvents = Tensor._make_wrapper_subclass(
            cls, tuple(shape), dtype=like.dtype, device=like.device
        )
        made._terms, made._like, made._known = terms, like, None
        return made

    _like: Tensor
    _known: Tensor | None

    @property
    def value(self) -> Tensor:
        """The sum, computed once."""
        if self._known is None:
            parts = [
                term.value() if factor == 1 else factor * term.value()
                for factor, term in self._terms
            ]
            self._known = sum(parts[1:], start=parts[0])
        return self._known

    @staticmethod
    def outer_sum(products: Sequence[tuple[float, Tensor, LazyEvents]]) -> Tensor:
        """Return the sum of products, ``[1, m, n]``: a number, a factor ``[1, K, m]``, and events.

        Factors of the same term are added before they are multiplied by it.
        """
        factors: dict[Term, Tensor] = {}
        for number, left, events in products:
            for factor, term in events._terms:
                one = left if number * factor == 1 else left * (number * factor)
                factors[term] = factors[term] + one if term in factors else one
        parts = [term.outer(factor) for term, factor in factors.items()]
        return sum(parts[1:], start=parts[0])

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Leave everything to `__torch_dispatch__`; results are plain tensors."""
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **(kwargs or {}))

    # PyTorch calls it so, and its stub leaves the function out
    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Combine sums, and compute all else with values."""
        combined = None if kwargs else _combined(function, args)
        if combined is not None:
            return combined
        values = tree_map_only(LazyEvents, lambda one: one.value, (args, kwargs or {}))
        return function(*values[0], **values[1])


def _combined(function: Any, args: Any) -> LazyEvents | None:
    """Return a sum, difference or multiple as a sum of terms; None for anything else."""
    if function is _aten.neg.default:
        return _times(args[0], -1.0)
    if function in (_aten.mul.Tensor, _aten.mul.Scalar):
        first, second = args
        if isinstance(second, LazyEvents):
            first, second = second, first
        return _times(first, second) if isinstance(second, int | float) else None
    if function in (_aten.add.Tensor, _aten.sub.Tensor) and len(args) == 2:
        if not all(isinstance(one, Tensor) and one.shape == args[0].shape for one in args):
            return None
        first, second = (
            one if isinstance(one, LazyEvents) else LazyEvents([(1.0, plain(one))], one.shape, one)
            for one in args
        )
        second = _times(second, -1.0) if function is _aten.sub.Tensor else second
        return LazyEvents([*first._terms, *second._terms], first.shape, first._like)
    return None


def _times(events: LazyEvents, factor: float) -> LazyEvents:
    terms = [(factor * one, term) for one, term in events._terms]
    return LazyEvents(terms, events.shape, events._like)
