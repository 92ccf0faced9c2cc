"""The increments of one matrix: gathered as factors, scaled by theta, applied in one product."""

from __future__ import annotations

import torch
from torch import Tensor

from plastic_core.api.update import Apart, Update, apart
from plastic_core.networks.products import added_product, aligned_zeros

Scales = list[tuple[str, float]]


class MatrixSum:
    """Sums the increments of one matrix.

    Args:
        matrix: ``[R, rows, columns]``.
        thetas: by rule, ``[R, 1, 1]``.
        mask: ``[rows, columns]``, the elements that may change, or None for all.

    Attributes:
        matrix: as given.
    """

    def __init__(
        self, matrix: Tensor, thetas: dict[str, Tensor], mask: Tensor | None = None
    ) -> None:
        self.matrix, self._thetas, self._mask = matrix, thetas, mask
        self._sizes = matrix.shape[1], matrix.shape[2]
        self._collected: list[tuple[str, Apart]] = []
        self._joined: list[_Joined] = []

    def collect(self, rule: str, update: Update | Tensor) -> None:
        """Take up the increment of one rule."""
        self._collected.append((rule, apart(update)))

    def add(self, batch: int) -> None:
        """Add what was collected, factors divided by the batch, to the matrix."""
        dense, fraction, joined = self._take(batch)
        if fraction is not None:
            # not W *= 1 - fraction: in float32 that would round a fraction of 1e-6 by 5%
            self.matrix.addcmul_(self.matrix, fraction, value=-1)
        if joined is not None:
            joined.add()
        if dense is not None:
            self.matrix.add_(dense)
        if self._mask is not None:
            self.matrix.mul_(self._mask)

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

    def _take(self, batch: int) -> tuple[Tensor | None, Tensor | None, _Joined | None]:
        """Return the dense parts, the fraction of each row that decays, and the factors.

        Raises:
            ValueError: factors have other sizes than the matrix.
        """
        dense = fraction = joined = None
        lefts: list[Tensor] = []
        rights: list[Tensor] = []
        scales: Scales = []
        for rule, parts in self._collected:
            for outer in parts.outers:
                sizes = outer.post.shape[2], outer.pre.shape[2]
                if sizes != self._sizes:  # torch would enlarge what it writes into
                    raise ValueError(f"factors of sizes {sizes} for a matrix of {self._sizes}")
                lefts.append(outer.post)
                rights.append(outer.pre)
                scales.append((rule, outer.scale))
            for decay in parts.decays:
                rows = self._thetas[rule] * decay.scale
                if decay.factor is not None:
                    rows = rows * (decay.factor.sum(1).unsqueeze(-1) / batch)
                fraction = rows if fraction is None else fraction + rows
            for one in parts.dense:
                value = self._thetas[rule] * one.scale * one.value
                dense = value if dense is None else dense + value
        self._collected.clear()
        if lefts:
            joined = self._find_joined(batch, scales, lefts)
            torch.cat(lefts, 1, out=joined.left).mul_(joined.column)
            torch.cat(rights, 1, out=joined.right)
        return dense, fraction, joined

    def _find_joined(self, batch: int, scales: Scales, lefts: list[Tensor]) -> _Joined:
        for joined in self._joined:
            if joined.batch == batch and joined.scales == scales:
                return joined
        del self._joined[:-8]  # a rule may change its scales at every step
        self._joined.append(_Joined(self.matrix, self._thetas, batch, scales, lefts))
        return self._joined[-1]


class _Joined:
    """Factors side by side along their events, for one batch size and one list of scales.

    Attributes:
        column: ``[R, n, 1]``, theta * scale / batch for each row of `left`.
        left: ``[R, n, rows]``, scaled.
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
        parts = [
            (thetas[rule] * (scale / batch)).expand(-1, left.shape[1], -1)
            for (rule, scale), left in zip(scales, lefts, strict=True)
        ]
        self.column = torch.cat(parts, 1)
        replicas, rows, columns = matrix.shape
        self.left = aligned_zeros(replicas, self.column.shape[1], rows, like=matrix)
        self.right = aligned_zeros(replicas, self.column.shape[1], columns, like=matrix)
        self.add = added_product(matrix, self.left, self.right)
