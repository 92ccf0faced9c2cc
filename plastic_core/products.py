"""Matrix products whose numbers do not depend on how many replicas run side by side.

A seed must give the same curve alone and among twenty. BLAS sums in an order that depends on
the shape, the strides and the alignment of its operands, so two things are kept equal for every
replica: where its data begin relative to a cache line, and which routine multiplies them.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

# Elements between the beginnings of two replicas are a multiple of this: a cache line of float32.
_LINE: Final = 16

# torch multiplies batches of smaller products than this by a loop of its own, for one replica
# and for many alike; above it, one replica must be sent to the routine that a batch whose result
# has gaps is sent to, matrix by matrix.
_OWN_LOOP: Final = 400


def aligned_zeros(replicas: int, *shape: int, like: Tensor) -> Tensor:
    """Return zeros ``[replicas, *shape]`` in which each replica begins at a cache line.

    There is always a gap between two replicas, so that elementwise operations, too, handle each
    of them by itself.
    """
    size = math.prod(shape)
    padded = (size // _LINE + 2) * _LINE
    return like.new_zeros(replicas, padded)[:, :size].view(replicas, *shape)


def aligned(value: Tensor) -> Tensor:
    """Return a copy of `value` laid out as by `aligned_zeros`."""
    return aligned_zeros(*value.shape, like=value).copy_(value)


class Product:
    """``out = a @ b`` for each replica, for fixed tensors.

    Args:
        a: ``[R, m, k]``; may be None where every call brings its own.
        b: ``[R, k, n]``.
        out: ``[R, m, n]``, from `aligned_zeros`.
    """

    def __init__(self, a: Tensor | None, b: Tensor, out: Tensor) -> None:
        self._flat = len(out) == 1 and out[0].numel() * b.shape[1] >= _OWN_LOOP
        self._b, self._out = (b[0], out[0]) if self._flat else (b, out)
        self._a = a[0] if a is not None and self._flat else a

    def __call__(self, a: Tensor | None = None) -> None:
        """Compute the product, with `a` in place of the fixed one where it is given."""
        if a is not None:
            a = a[0] if self._flat else a
        else:
            a = self._a
        assert a is not None
        if self._flat:
            torch.mm(a, self._b, out=self._out)
        else:
            torch.bmm(a, self._b, out=self._out)


class AddedProduct:
    """``matrix += left' right`` for each replica, for fixed tensors.

    Args:
        matrix: ``[R, m, n]``.
        left: ``[R, k, m]``.
        right: ``[R, k, n]``.
    """

    def __init__(self, matrix: Tensor, left: Tensor, right: Tensor) -> None:
        self._flat = len(matrix) == 1 and matrix[0].numel() * left.shape[1] >= _OWN_LOOP
        self._tensors = (matrix, left.mT, right)
        if self._flat:
            self._tensors = (matrix[0], left[0].mT, right[0])

    def __call__(self) -> None:
        """Add the product."""
        matrix, left, right = self._tensors
        if self._flat:
            matrix.addmm_(left, right)
        else:
            matrix.baddbmm_(left, right)
