"""Increments of a matrix by single points, kept as factors where they are outer products."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from plastic_core.api.signals import Signals
from plastic_core.api.update import Apart

# Outer products that are multiplied out rather than compared two by two, as those of many steps.
_MANY: Final = 8


@dataclass(frozen=True)
class OuterProducts:
    r"""One outer product, :math:`left_p\, right_p^\top`, for each of P rows.

    Attributes:
        left: ``[P, n_post]``.
        right: ``[P, n_pre]``.
    """

    left: Tensor
    right: Tensor

    @cached_property
    def norms(self) -> Tensor:
        """The Frobenius norms, ``[P]``."""
        norm: Callable[..., Tensor] = torch.linalg.vector_norm
        return norm(self.left, dim=-1) * norm(self.right, dim=-1)

    def times(self, other: OuterProducts) -> Tensor:
        """Return the scalar products with other matrices, ``[P]``.

        Not by a product of matrices, which sums in an order that depends on where the numbers lie.
        """
        return (self.left * other.left).sum(-1) * (self.right * other.right).sum(-1)


@dataclass(frozen=True)
class FactoredIncrements:
    r"""Increments of one matrix, each :math:`\sum_j left_{jp}\, right_{jp}^\top + rest_p`.

    P counts points, or the rows of one network after those of another.

    Attributes:
        outers: the outer products; none only where there is a rest.
        rest: ``[P, n_post, n_pre]``, what is no outer product, or None.
    """

    outers: tuple[OuterProducts, ...] = ()
    rest: Tensor | None = None

    def dense(self, points: slice) -> Tensor:
        """Return the increments of some points multiplied out."""
        rest = None if self.rest is None else self.rest[points]
        if rest is not None and not self.outers:
            return rest
        left = torch.stack([outer.left[points] for outer in self.outers], -1)
        product = left @ torch.stack([outer.right[points] for outer in self.outers], -2)
        return product if rest is None else product + rest

    def masked(self, mask: Tensor) -> FactoredIncrements:
        """Return the same where `mask` ``[n_post, n_pre]`` is true, and 0 elsewhere."""
        return FactoredIncrements(rest=self.dense(slice(None)) * mask)

    @cached_property
    def norms(self) -> Tensor:
        r"""The Frobenius norms ``[P]``; outer products are not multiplied out.

        .. math:: \lVert \sum_j a_j b_j^\top \rVert^2 = \sum_{jk} (a_j^\top a_k)(b_j^\top b_k)
        """
        norm: Callable[..., Tensor] = torch.linalg.vector_norm
        if self.rest is not None or len(self.outers) > _MANY:
            return norm(self.dense(slice(None)), dim=(1, 2))
        if len(self.outers) == 1:
            return self.outers[0].norms
        terms = [outer.norms.square() for outer in self.outers]
        terms += [2 * a.times(b) for a, b in itertools.combinations(self.outers, 2)]
        # terms that cancel may leave a rounding error below zero
        return functools.reduce(torch.add, terms).clamp_min(0).sqrt()


def scaled(parts: Apart, theta: Tensor, s: Signals) -> FactoredIncrements:
    """Return the increments of one rule, times its theta."""
    found = []
    for outer in parts.outers:
        pairs = zip(
            (outer.post * (theta * outer.scale)).unbind(1), outer.pre.unbind(1), strict=True
        )
        found.append(FactoredIncrements(tuple(OuterProducts(*pair) for pair in pairs)))
    for decay in parts.decays:
        fraction = theta * decay.scale
        if decay.factor is not None:
            fraction = fraction * decay.factor.sum(1).unsqueeze(-1)
        found.append(FactoredIncrements(rest=-fraction * s.weight))
    found += [FactoredIncrements(rest=theta * dense.scale * dense.value) for dense in parts.dense]
    return summed(found, s)


def summed(increments: Collection[FactoredIncrements], s: Signals) -> FactoredIncrements:
    """Return the sum of increments, zero where there are none."""
    outers = [outer for one in increments for outer in one.outers]
    rests = [one.rest for one in increments if one.rest is not None]
    if not outers and not rests:
        outers = [OuterProducts(torch.zeros_like(s.post[:, 0]), torch.zeros_like(s.pre[:, 0]))]
    return FactoredIncrements(tuple(outers), functools.reduce(torch.add, rests) if rests else None)
