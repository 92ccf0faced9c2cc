"""Initial weights and feedback, from the seed and the network alone."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Generator, Tensor

from plastic_core.api.network_spec import AnyNetwork, Initialisation
from plastic_core.base.seeds import Purpose, seed_sequence


def _generator(purpose: Purpose, seed: int) -> Generator:
    state = seed_sequence(purpose, seed).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(state) % 2**63)


def initial_weights(spec: AnyNetwork, seed: int) -> list[Tensor]:
    """Return the weights of one network, ``[n_post, n_pre]`` each, in float64.

    They are drawn in float64 whatever the precision of the run, so that float32 and float64
    runs start from the same weights.
    """
    source = _generator(Purpose.WEIGHTS, seed)
    return [_draw(spec, *matrix, source) for matrix in spec.matrices]


def initial_feedback(spec: AnyNetwork, kind: str, seed: int) -> list[Tensor]:
    """Return the feedback matrices of one network, Xavier uniform whatever the `init`.

    ``[n_pre, n_post]`` each for kind "layer", ``[n_pre, n_L]`` for "output".
    """
    source = _generator(Purpose.FEEDBACK, seed)
    outputs = spec.sizes[-1]
    return [
        _xavier(n_pre, n_post if kind == "layer" else outputs, source)
        for n_post, n_pre, _ in spec.matrices
    ]


def _draw(
    spec: AnyNetwork, n_post: int, n_pre: int, init: Initialisation, source: Generator
) -> Tensor:
    if init == "xavier":
        return _xavier(n_post, n_pre, source)
    if init == "zeros":
        return torch.zeros(n_post, n_pre, dtype=torch.float64)
    if init == "identity":
        return torch.eye(n_post, n_pre, dtype=torch.float64)
    weight = torch.empty(n_post, n_pre, dtype=torch.float64)
    if init == "orthogonal":
        return torch.nn.init.orthogonal_(weight, generator=source)
    deviation = math.sqrt(2 / n_pre) if init == "kaiming" else spec.init_std
    return weight.normal_(0, deviation, generator=source)


def _xavier(rows: int, columns: int, source: Generator) -> Tensor:
    bound = math.sqrt(6 / (rows + columns))  # Equation 3
    return torch.empty(rows, columns, dtype=torch.float64).uniform_(-bound, bound, generator=source)
