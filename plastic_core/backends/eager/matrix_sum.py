"""The increments of one matrix: gathered as factors, scaled by theta, applied in one product."""

from __future__ import annotations

import operator
from collections.abc import Callable, Container, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from plastic_core.api.update import Decay, Dense, Update, apart
from plastic_core.networks.products import added_product, aligned_zeros

Scales = list[tuple[str, float]]


class MatrixSum:
    """Sums the increments of one matrix.

    Args:
        matrix: ``[R, rows, columns]``.
        thetas: by rule, ``[R, 1, 1]``.
        mask: ``[rows, columns]``, the elements that may change, or None for all.
        numbers: the thetas as numbers, where products are added one after the other. Side by side
            they are fewer, but copied, which takes long where there are many events.

    Attributes:
        matrix: as given.
    """

    def __init__(
        self,
        matrix: Tensor,
        thetas: dict[str, Tensor],
        mask: Tensor | None = None,
        numbers: Mapping[str, float] | None = None,
    ) -> None:
        self.matrix, self._thetas, self._mask = matrix, thetas, mask
        self._numbers = numbers
        self._sizes = matrix.shape[1], matrix.shape[2]
        self._lefts: list[Tensor] = []
        self._rights: list[Tensor] = []
        self._scales: Scales = []
        self._decays: list[tuple[str, Decay]] = []
        self._dense: list[tuple[str, Dense]] = []
        self._joined: list[_Joined] = []

    def collect(self, rule: str, update: Update | Tensor) -> None:
        """Take up the increment of one rule.

        Raises:
            ValueError: its factors have other sizes than the matrix.
        """
        outers, decays, dense = apart(update)
        for outer in outers:
            post, pre = outer.post, outer.pre
            sizes = post.shape[2], pre.shape[2]
            if sizes != self._sizes:  # torch would enlarge what it writes into
                raise ValueError(f"factors of sizes {sizes} for a matrix of {self._sizes}")
            self._lefts.append(post)
            self._rights.append(pre)
            self._scales.append((rule, outer.scale))
        for decay in decays:
            self._decays.append((rule, decay))
        for one in dense:
            self._dense.append((rule, one))

    def add(self, batch: int) -> None:
        """Add what was collected, factors divided by the batch, to the matrix."""
        one_by_one = [] if self._numbers is None else self._products(batch)
        dense, fraction, joined = self._take(batch)
        if fraction is not None:
            # not W *= 1 - fraction: in float32 that would round a fraction of 1e-6 by 5%
            self.matrix.addcmul_(self.matrix, fraction, value=-1)
        if joined is not None:
            joined.add()
        for add in one_by_one:
            add()
        if dense is not None:
            self.matrix.add_(dense)
        if self._mask is not None:
            self.matrix.mul_(self._mask)

    def _products(self, batch: int) -> list[Callable[[], Any]]:
        """Take the factors, and return what adds the product of each to the matrix.

        Factors that know how they are multiplied (`outer_sum`) are, before anything is added.
        """
        assert self._numbers is not None
        found: list[Callable[[], Any]] = []
        own: list[tuple[float, Tensor, Any]] = []
        for left, right, (rule, scale) in zip(self._lefts, self._rights, self._scales, strict=True):
            factor = self._numbers[rule] * scale / batch
            if hasattr(right, "outer_sum"):
                own.append((factor, left, right))
            else:
                found.append(partial(self.matrix.baddbmm_, left.mT, right, alpha=factor))
        if own:
            found.append(partial(self.matrix.add_, own[0][2].outer_sum(own)))
        self._lefts, self._rights, self._scales = [], [], []
        return found

    def change(self, increment: Tensor) -> None:
        """Add an increment as a matrix of its own, such as one that was transformed."""
        self.matrix.add_(increment)
        if self._mask is not None:
            self.matrix.mul_(self._mask)

    def increment(self, batch: int) -> Tensor:
        """Return the same as a matrix of its own, ``[R, rows, columns]``."""
        dense, fraction, joined = self._take(batch)
        total = aligned_zeros(*self.matrix.shape, like=self.matrix)
        if joined is not None:
            added_product(total, joined.left, joined.right)()
        if fraction is not None:
            total = total - fraction * self.matrix
        total = total if dense is None else total + dense
        return total if self._mask is None else total * self._mask

    def rescale(self, names: Container[str]) -> None:
        """Take up thetas that have changed."""
        for joined in self._joined:
            joined.rescale(names)

    def _take(self, batch: int) -> tuple[Tensor | None, Tensor | None, _Joined | None]:
        """Return the dense parts, the fraction of each row that decays, and the factors."""
        dense = fraction = joined = None
        for rule, decay in self._decays:
            rows = self._thetas[rule] * decay.scale
            if decay.factor is not None:
                rows = rows * (decay.factor.sum(1).unsqueeze(-1) / batch)
            fraction = rows if fraction is None else fraction + rows
        for rule, one in self._dense:
            value = self._thetas[rule] * one.scale * one.value
            dense = value if dense is None else dense + value
        if self._lefts:
            joined = self._find_joined(batch)
            joined.take(self._lefts, self._rights)
            self._lefts, self._rights, self._scales = [], [], []
        self._decays.clear()
        self._dense.clear()
        return dense, fraction, joined

    def _find_joined(self, batch: int) -> _Joined:
        for joined in self._joined:
            if joined.batch == batch and joined.scales == self._scales:
                return joined
        del self._joined[:-8]  # a rule may change its scales at every step
        self._joined.append(_Joined(self.matrix, self._thetas, batch, self._scales, self._lefts))
        return self._joined[-1]


class _Joined:
    """Factors side by side along their events, for one batch size and one list of scales.

    Attributes:
        left: ``[R, n, rows]``, times theta * scale / batch.
        right: ``[R, n, columns]``.
        add: adds left' right to the matrix.
    """

    def __init__(
        self,
        matrix: Tensor,
        thetas: dict[str, Tensor],
        batch: int,
        scales: Scales,
        lefts: list[Tensor],
    ) -> None:
        self.batch, self.scales = batch, scales
        self._order, self._beside = _beside(lefts)
        self._lefts = lefts
        parts = [
            (thetas[rule] * (scale / batch)).expand(-1, left.shape[1], -1)
            for (rule, scale), left in zip(scales, lefts, strict=True)
        ]
        self._column = torch.cat([parts[i] for i in self._order], 1)
        views = torch.split(self._column, [parts[i].shape[1] for i in self._order], 1)
        factors = [(scales[i][0], scales[i][1] / batch) for i in self._order]
        self._parts = [*zip(factors, views, strict=True)]
        self._thetas = thetas
        replicas, rows, columns = matrix.shape
        self.left = aligned_zeros(replicas, self._column.shape[1], rows, like=matrix)
        self.right = aligned_zeros(replicas, self._column.shape[1], columns, like=matrix)
        self.add = added_product(matrix, self.left, self.right)

    def rescale(self, names: Container[str]) -> None:
        """Take up thetas that have changed."""
        for (name, scale), part in self._parts:
            if name in names:
                part.copy_(self._thetas[name] * scale)

    def take(self, lefts: list[Tensor], rights: list[Tensor]) -> None:
        """Take the factors of an update."""
        if len(self._order) > 1:
            rights = [rights[i] for i in self._order]
        torch.cat(rights, 1, out=self.right)
        if self._beside is not None and all(map(operator.is_, lefts, self._lefts)):
            torch.mul(self._beside, self._column, out=self.left)
        else:
            torch.cat([lefts[i] for i in self._order], 1, out=self.left).mul_(self._column)


def _beside(lefts: list[Tensor]) -> tuple[list[int], Tensor | None]:
    """Return the order in which factors lie in memory, and all of them as one tensor.

    Signals such as the error and the activity of a layer lie side by side. Where the factors do
    not, the order is theirs, and there is no such tensor.
    """
    order = sorted(range(len(lefts)), key=lambda i: lefts[i].data_ptr())
    first, total = lefts[order[0]], 0
    for i in order:
        one = lefts[i]
        alike = one.stride() == first.stride() and one.shape[2] == first.stride(1)
        alike &= one.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        if not alike or one.data_ptr() - first.data_ptr() != total * one.stride(1) * one.itemsize:
            return [*range(len(lefts))], None
        total += one.shape[1]
    size = (first.shape[0], total, first.shape[2])
    return order, first.as_strided(size, first.stride(), first.storage_offset())
