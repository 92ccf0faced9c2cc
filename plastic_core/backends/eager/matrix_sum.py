"""The increments of one matrix: gathered as factors, scaled by theta, applied in one product."""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from plastic_core.api.increment import Increment
from plastic_core.api.update import Decay, Dense, Outer, Part, Update, as_update
from plastic_core.backends.eager.traced_factors import TracedFactors
from plastic_core.networks.network import Space
from plastic_core.networks.parameters import write_state
from plastic_core.networks.products import added_product, aligned_zeros

Scales = list[tuple[str, float]]


class MatrixSum:
    """Sums the increments of one matrix and adds them to it.

    Args:
        matrix: ``[R, rows, columns]``, changed in place.
        thetas: by rule, ``[R, 1, 1]``.
        transforms: each with its states for this matrix, or None.
    """

    def __init__(
        self,
        matrix: Tensor,
        thetas: dict[str, Tensor],
        transforms: Sequence[tuple[Any, SimpleNamespace | None]],
    ) -> None:
        self._matrix, self._thetas, self._transforms = matrix, thetas, transforms
        self._sizes = matrix.shape[1], matrix.shape[2]
        self._lefts: list[Tensor] = []
        self._rights: list[Tensor] = []
        self._scales: Scales = []
        self._others: list[tuple[str, Part]] = []
        self._joined: list[_Joined] = []
        self._traced: dict[int, tuple[_Joined, list[Tensor], Tensor | None]] = {}

    def collect(self, rule: str, update: Update | Tensor) -> None:
        """Take up the increment of one rule.

        Raises:
            ValueError: factors have other sizes than the matrix.
        """
        for part in as_update(update).parts:
            if isinstance(part, Outer):
                sizes = (part.post.shape[2], part.pre.shape[2])
                if sizes != self._sizes:  # torch would enlarge what it writes into, with a warning
                    raise ValueError(f"factors of sizes {sizes} for a matrix of {self._sizes}")
                self._lefts.append(part.post)
                self._rights.append(part.pre)
                self._scales.append((rule, part.scale))
            else:
                self._others.append((rule, part))

    def apply(self, space: Space) -> None:
        """Add what was collected, factors divided by the batch, to the matrix."""
        batch = space.signals.batch
        joined = None
        if self._lefts:
            joined = self._find_joined(batch)
            view = _one_view(self._lefts, space)
            left = torch.cat(self._lefts, 1) if view is None else view
            torch.mul(left, joined.column, out=joined.left)
            torch.cat(self._rights, 1, out=joined.right)
        dense, fraction = self._reduce_others(batch)
        if self._transforms:
            self._add_transformed(dense, fraction, joined)
        else:
            if fraction is not None:
                # not W *= 1 - fraction: in float32 that would round a fraction of 1e-6 by 5%
                self._matrix.addcmul_(self._matrix, fraction, value=-1)
            if joined is not None:
                joined.add()
            if dense is not None:
                self._matrix.add_(dense)
        for collected in (self._lefts, self._rights, self._scales, self._others):
            collected.clear()

    def apply_traced(self, traced: TracedFactors, space: Space) -> None:
        """Add the increments of rules that were written out, without calling them."""
        s = space.signals
        known = self._traced.get(s.batch)
        if known is None:
            lefts = [getattr(s, name) for name in traced.lefts]
            joined = _Joined(self._matrix, self._thetas, s.batch, traced.scales, lefts)
            known = self._traced[s.batch] = joined, lefts, _one_view(lefts, space)
        joined, lefts, view = known
        left = torch.cat(lefts, 1) if view is None else view
        torch.mul(left, joined.column, out=joined.left)
        torch.cat(traced.rights(s), 1, out=joined.right)
        joined.add()

    def _find_joined(self, batch: int) -> _Joined:
        for joined in self._joined:
            if joined.batch == batch and joined.scales == self._scales:
                return joined
        del self._joined[:-8]  # a rule may change its scales at every step
        self._joined.append(
            _Joined(self._matrix, self._thetas, batch, list(self._scales), self._lefts)
        )
        return self._joined[-1]

    def _reduce_others(self, batch: int) -> tuple[Tensor | None, Tensor | None]:
        """Return the sum of the dense parts, and the fraction of each row that decays."""
        dense = fraction = None
        for rule, part in self._others:
            theta = self._thetas[rule] * part.scale
            if isinstance(part, Decay):
                rows = theta
                if part.factor is not None:
                    rows = theta * (part.factor.sum(1).unsqueeze(-1) / batch)
                fraction = rows if fraction is None else fraction + rows
            elif isinstance(part, Dense):
                value = theta * part.value
                dense = value if dense is None else dense + value
        return dense, fraction

    def _add_transformed(
        self, dense: Tensor | None, fraction: Tensor | None, joined: _Joined | None
    ) -> None:
        total = aligned_zeros(*self._matrix.shape, like=self._matrix)
        if joined is not None:
            added_product(total, joined.left, joined.right)()
        if fraction is not None:
            total = total - fraction * self._matrix
        if dense is not None:
            total = total + dense
        new_states = []
        for function, states in self._transforms:
            result = function(Increment(total, self._matrix, states))
            if states is None:
                total = result
            else:
                total, new = result
                # copied, because it may be a view of what is about to change
                new_states.append((states, {key: value.clone() for key, value in new.items()}))
        self._matrix.add_(total)
        for states, new in new_states:
            write_state(states, new)


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


def _one_view(lefts: list[Tensor], space: Space) -> Tensor | None:
    """Return one tensor with all the factors along its events, or None where it takes a copy."""
    if len(lefts) == 1:
        return lefts[0]
    stacked = len(lefts) == len(space.pair) and all(map(is_, lefts, space.pair))
    return space.stack if stacked else None
