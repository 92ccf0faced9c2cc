"""Initial weights and feedback, from the seed and the network alone."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Generator, Tensor

from plastic_core.network_specs import NetworkSpec


def generator(seed: int, purpose: int) -> Generator:
    """Return a generator of its own for each seed and purpose (0: weights, 1: feedback)."""
    state = np.random.SeedSequence([seed, purpose]).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(state) % 2**63)


def initial_weights(spec: NetworkSpec, seed: int) -> list[Tensor]:
    """Return the weights of one network, ``[n_post, n_pre]`` each, in float64.

    They are drawn in float64 whatever the precision of the run, so that float32 and float64
    runs start from the same weights.
    """
    source = generator(seed, 0)
    return [_draw(spec, n_post, n_pre, source) for n_pre, n_post in _pairs(spec)]


def initial_feedback(spec: NetworkSpec, kind: str, seed: int) -> list[Tensor]:
    """Return the feedback matrices of one network, Xavier uniform whatever the `init`.

    ``[n_pre, n_post]`` each for kind "layer", ``[n_pre, n_L]`` for "output".
    """
    source = generator(seed, 1)
    columns = [n_post if kind == "layer" else spec.sizes[-1] for _, n_post in _pairs(spec)]
    return [_xavier(n_pre, n, source) for (n_pre, _), n in zip(_pairs(spec), columns, strict=True)]


def _pairs(spec: NetworkSpec) -> list[tuple[int, int]]:
    return list(pairwise(spec.sizes))


def _draw(spec: NetworkSpec, n_post: int, n_pre: int, source: Generator) -> Tensor:
    if spec.init == "xavier":
        return _xavier(n_post, n_pre, source)
    if spec.init == "identity":
        return torch.eye(n_post, n_pre, dtype=torch.float64)
    weight = torch.empty(n_post, n_pre, dtype=torch.float64)
    if spec.init == "orthogonal":
        return torch.nn.init.orthogonal_(weight, generator=source)
    deviation = math.sqrt(2 / n_pre) if spec.init == "kaiming" else spec.init_std
    return weight.normal_(0, deviation, generator=source)


def _xavier(rows: int, columns: int, source: Generator) -> Tensor:
    bound = math.sqrt(6 / (rows + columns))  # Equation 3
    return torch.empty(rows, columns, dtype=torch.float64).uniform_(-bound, bound, generator=source)
