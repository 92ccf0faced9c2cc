"""Statistics over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def bootstrap_interval(
    values: ArrayLike, level: float = 0.98, resamples: int = 500, seed: int = 0
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the percentile bootstrap interval of the mean over the first axis.

    The paper shades 98% intervals from 500 resamples over 20 runs.

    Args:
        values: ``[seeds, ...]``.
        level: coverage of the interval.
        resamples: number of resamples, each of as many seeds with replacement.
        seed: of the resampling; the same values always give the same interval.

    Returns:
        The lower and upper bound, each of shape ``[...]``.
    """
    values = np.asarray(values)
    picks = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    means = values[picks].mean(axis=1)
    tail = 50 * (1 - level)
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    return low, high


def permutation_test(differences: ArrayLike, flips: int = 10_000, seed: int = 0) -> float:
    """Return the two-sided p value of paired differences under random flips of their signs.

    All flips are taken where there are at most `flips` of them, else that many at random, the
    observed one counted among them.

    Args:
        differences: ``[n]``, one for each pair.
        flips: most flips.
        seed: of the random flips.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if 2**n <= flips:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    else:
        drawn = np.random.default_rng(seed).integers(0, 2, (flips - 1, n))
        signs = np.concatenate([np.ones((1, n)), 1 - 2 * drawn])
    means = np.abs((signs * values).mean(axis=1))
    # a sum in another order may round otherwise
    return float((means >= abs(values.mean()) * (1 - 1e-12)).mean())


def holm(p_values: Sequence[float]) -> list[float]:
    r"""Return p values corrected for so many tests, in their order.

    .. math:: \tilde p_{(i)} = \max_{j \le i} \min(1, (m - j + 1)\, p_{(j)})

    Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    corrected, most = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = most
    return corrected
