"""Matrix products whose numbers do not depend on how many replicas run side by side.

A seed must give the same curve alone and among twenty. BLAS sums in an order that depends on
the shape, the strides and the alignment of its operands, so two things are kept equal for every
replica: where its data begin relative to a cache line, and which routine multiplies them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from torch import Tensor

# Elements between the beginnings of two replicas are a multiple of this: a cache line of float32.
LINE: Final = 16

# torch multiplies batches of smaller products than this by a loop of its own, for one replica
# and for many alike; above it, one replica must be sent to the routine that a batch whose result
# has gaps is sent to, matrix by matrix.
_OWN_LOOP: Final = 400


def aligned_zeros(replicas: int, *shape: int, like: Tensor) -> Tensor:
    """Return zeros ``[replicas, *shape]`` in which each replica begins at a cache line.

    There is always a gap between two replicas, so that elementwise operations, too, handle each
    of them by itself.
    """
    return _aligned(like.new_zeros, replicas, shape)


def aligned_room(replicas: int, *shape: int, like: Tensor) -> Tensor:
    """Return room likewise, to be written over."""
    return _aligned(like.new_empty, replicas, shape)


def aligned_copy(tensor: Tensor) -> Tensor:
    """Return a copy in which each replica begins at a cache line."""
    return aligned_room(*tensor.shape, like=tensor).copy_(tensor)


def _aligned(new: Callable[..., Tensor], replicas: int, shape: tuple[int, ...]) -> Tensor:
    size = math.prod(shape)
    padded = (size // LINE + 2) * LINE
    return new((replicas, padded))[:, :size].view(replicas, *shape)


def product(a: Tensor, b: Tensor, out: Tensor) -> Callable[[], Tensor]:
    """Return a function that computes ``out = a @ b`` for each replica.

    Args:
        a: ``[R, m, k]``.
        b: ``[R, k, n]``.
        out: ``[R, m, n]``, from `aligned_zeros`.
    """
    if _one_by_itself(out, b.shape[1]):
        return partial(torch.mm, a[0], b[0], out=out[0])
    return partial(torch.bmm, a, b, out=out)


def product_of_each(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a @ b`` for each replica, ``[R, m, n]``.

    Args:
        a: ``[R, m, k]``.
        b: ``[R, k, n]``.
    """
    out = aligned_room(len(a), a.shape[1], b.shape[2], like=a)
    product(_at_a_line(a), _at_a_line(b), out)()
    return out


class MatrixProducts:
    """Products with W and B of a projection; see `plastic_core.api.signals.Products`.

    Args:
        weight: ``[R, n_post, n_pre]``.
        feedback: ``[R, n_pre, n]``, or None.
    """

    def __init__(self, weight: Tensor, feedback: Tensor | None) -> None:
        self._weight, self._feedback = weight, feedback

    def forward(self, v: Tensor) -> Tensor:
        """Return W v."""
        return product_of_each(v, self._weight.mT)

    def back(self, v: Tensor) -> Tensor:
        """Return W' v."""
        return product_of_each(v, self._weight)

    def feed_back(self, v: Tensor) -> Tensor:
        """Return B v."""
        assert self._feedback is not None, "a rule was tried without it"
        return product_of_each(v, self._feedback.mT)


def _at_a_line(tensor: Tensor) -> Tensor:
    """Return matrices that begin at a cache line, without gaps; no copy where they do.

    A transposed matrix stays one, for it is multiplied by another routine.
    """
    rows = tensor if tensor.stride(-1) == 1 else tensor.mT
    compact = rows.stride(-1) == 1 and rows.stride(-2) == rows.shape[-1]
    # the stride of a single replica says nothing
    begins = [rows.data_ptr() // rows.element_size(), *rows.stride()[: len(rows) > 1]]
    if compact and all(begin % LINE == 0 for begin in begins):
        return tensor
    copy = aligned_copy(rows)
    return copy if rows is tensor else copy.mT


def added_product(matrix: Tensor, left: Tensor, right: Tensor) -> Callable[[], Tensor]:
    """Return a function that adds left' right to the matrix of each replica.

    Args:
        matrix: ``[R, m, n]``.
        left: ``[R, k, m]``.
        right: ``[R, k, n]``.
    """
    if _one_by_itself(matrix, left.shape[1]):
        return partial(matrix[0].addmm_, left[0].mT, right[0])
    return partial(matrix.baddbmm_, left.mT, right)


def _one_by_itself(out: Tensor, summed: int) -> bool:
    return len(out) == 1 and out[0].numel() * summed >= _OWN_LOOP
