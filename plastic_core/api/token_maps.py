"""Maps of populations whose places are tokens: positions, attention, and their mean.

Tokens follow each other: ``[R, K T, n]`` for T tokens of each of K samples.

This module loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plastic_core.api.maps import Map

if TYPE_CHECKING:
    from torch import Tensor


class Positions(Map):
    r"""Adds to each token where it stands, by sines and cosines.

    .. math:: p_{t, 2i} = \sin(t / 10^{8 i / n}), \quad p_{t, 2i+1} = \cos(t / 10^{8 i / n})

    Vaswani et al. 2017, arXiv:1706.03762, section 3.5.

    Args:
        tokens: T.
    """

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        import torch

        _, rows, units = inputs[0].shape
        place = torch.arange(self._tokens, dtype=torch.float64).unsqueeze(1)
        unit = torch.arange(units)
        angle = place / 10 ** (8 * (unit // 2) / units).double()
        positions = torch.where(unit % 2 == 0, angle.sin(), angle.cos())
        positions = positions.to(inputs[0].device, inputs[0].dtype)
        repeated = positions.repeat(rows // self._tokens, 1)
        return inputs[0] + repeated.unsqueeze(0), None

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        return (error,)


class Attend(Map):
    r"""What each token takes of the values of all, by its query and their keys, in each head.

    .. math:: y = \mathrm{softmax}(q k^\top / \sqrt d)\, v

    d is the number of units of a head. Vaswani et al. 2017, arXiv:1706.03762, Equation 1.

    Args:
        tokens: T.
        heads: h, into which the units of query, key and value are divided.
    """

    def __init__(self, tokens: int, heads: int) -> None:
        self._tokens, self._heads = tokens, heads

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`; the inputs are query, key and value."""
        query, key, value = map(self._by_head, inputs)
        weight = (query @ key.mT * query.shape[-1] ** -0.5).softmax(-1)
        return self._by_token(weight @ value), (query, key, value, weight)

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        query, key, value, weight = kept
        error = self._by_head(error)
        of_weight = weight * (error @ value.mT)
        of_score = of_weight - weight * of_weight.sum(-1, keepdim=True)
        of_score = of_score * query.shape[-1] ** -0.5
        errors = (of_score @ key, of_score.mT @ query, weight.mT @ error)
        return tuple(map(self._by_token, errors))

    def _by_head(self, x: Any) -> Any:
        """Return ``[R, K, h, T, d]``."""
        return x.reshape(len(x), -1, self._tokens, self._heads, x.shape[-1] // self._heads).movedim(
            3, 2
        )

    def _by_token(self, x: Any) -> Any:
        """Return ``[R, K T, n]``."""
        return x.movedim(2, 3).reshape(len(x), -1, self._heads * x.shape[-1])


class Mean(Map):
    """The mean over all tokens of a sample.

    Args:
        tokens: T.
    """

    linear = True

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        x = inputs[0]
        return x.reshape(len(x), -1, self._tokens, x.shape[-1]).mean(2), None

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        return ((error / self._tokens).repeat_interleave(self._tokens, 1),)
