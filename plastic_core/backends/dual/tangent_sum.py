"""The increments of one matrix and of its tangents."""

from __future__ import annotations

import torch
from torch import Tensor

from plastic_core.api.update import Decay, Dense, Outer, Update, apart
from plastic_core.backends.dual.dual import Dual, value_and_tangent


class TangentSum:
    """What is added to one matrix ``[R, m, n]`` and to its tangents ``[R, P, m, n]``."""

    def __init__(self, value: Tensor, tangent: Tensor, mask: Tensor | None = None) -> None:
        self._value, self._tangent, self._mask = value, tangent, mask
        self._count = tangent.shape[1]
        self._lefts: list[Tensor] = []
        self._rights: list[Tensor] = []
        self._tangent_lefts: list[Tensor] = []
        self._tangent_rights: list[Tensor] = []
        self._decays: list[tuple[Tensor, int, Tensor | float, Tensor | None]] = []
        self._dense: list[tuple[Tensor, Tensor]] = []

    def collect(self, update: Update | Tensor, theta: Tensor, direction: int, batch: int) -> None:
        """Take up the update of one rule, whose theta, ``[R, 1, 1]``, is one of the P."""
        parts = apart(update)
        for outer in parts.outers:
            self._collect_outer(outer, theta, direction, batch)
        for decay in parts.decays:
            self._collect_decay(decay, theta, direction, batch)
        for dense in parts.dense:
            self._collect_dense(dense, theta, direction)

    def _collect_outer(self, part: Outer, theta: Tensor, direction: int, batch: int) -> None:
        post, d_post = value_and_tangent(part.post, self._count)
        pre, d_pre = value_and_tangent(part.pre, self._count)
        scale = part.scale / batch
        scaled, left = post * (theta * scale), d_post * (theta * scale)
        left[direction].add_(post, alpha=scale)
        self._lefts.append(scaled)
        self._rights.append(pre)
        self._tangent_lefts += [left, scaled.expand_as(left)]
        self._tangent_rights += [pre.expand(self._count, -1, -1, -1), d_pre]

    def _collect_decay(self, part: Decay, theta: Tensor, direction: int, batch: int) -> None:
        if part.factor is None:
            self._decays.append((theta * part.scale, direction, part.scale, None))
            return
        factor, d_factor = (
            f.sum(-2).unsqueeze(-1) * (part.scale / batch)
            for f in value_and_tangent(part.factor, self._count)
        )
        changed = (d_factor * theta).transpose(0, 1)
        self._decays.append((factor * theta, direction, factor, changed))

    def _collect_dense(self, part: Dense, theta: Tensor, direction: int) -> None:
        value, d_value = value_and_tangent(part.value, self._count)
        changed = d_value * (theta * part.scale)
        changed[direction].add_(value, alpha=part.scale)
        self._dense.append((value * (theta * part.scale), changed.transpose(0, 1)))

    def increment(self) -> Dual:
        """Return all of it as a matrix and its tangents."""
        value, tangent = torch.zeros_like(self._value), torch.zeros_like(self._tangent)
        self._add_to(value, tangent)
        self._leave_out(value, tangent)
        return Dual(value, tangent.transpose(0, 1))

    def replace(self, value: Tensor, tangent: Tensor) -> None:
        """Take an increment ``[R, m, n]`` and its tangents ``[P, R, m, n]`` in place of all."""
        self._lefts, self._decays = [], []
        self._dense = [(value, tangent.transpose(0, 1))]

    def apply(self) -> None:
        """Change the matrix and its tangents."""
        self._add_to(self._value, self._tangent)
        self._leave_out(self._value, self._tangent)

    def _leave_out(self, value: Tensor, tangent: Tensor) -> None:
        """Set to 0 what is no connection."""
        if self._mask is not None:
            value.mul_(self._mask)
            tangent.mul_(self._mask)

    def _add_to(self, total: Tensor, tangents: Tensor) -> None:
        if self._decays:
            self._decay(total, tangents)
        for value, tangent in self._dense:
            total.add_(value)
            tangents.add_(tangent)
        if not self._lefts:
            return
        left, right = torch.cat(self._lefts, 1), torch.cat(self._rights, 1)
        total.baddbmm_(left.mT, right)
        left, right = (
            torch.cat(factors, -2).transpose(0, 1).flatten(0, 1)
            for factors in (self._tangent_lefts, self._tangent_rights)
        )
        tangents.flatten(0, 1).baddbmm_(left.mT, right)

    def _decay(self, total: Tensor, tangents: Tensor) -> None:
        """Subtract the fraction of each row that decays, which all decays have in common."""
        rows = sum(fraction for fraction, *_ in self._decays)
        assert isinstance(rows, Tensor)
        # the tangents first: they need the matrix as it was, which may be the total
        tangents.addcmul_(self._tangent, rows.unsqueeze(1), value=-1)
        for _, direction, own, changed in self._decays:
            one = tangents[:, direction]
            if isinstance(own, Tensor):
                one.addcmul_(self._value, own, value=-1)
            else:
                one.add_(self._value, alpha=-own)
            if changed is not None:
                tangents.addcmul_(self._value.unsqueeze(1), changed, value=-1)
        total.addcmul_(self._value, rows, value=-1)
