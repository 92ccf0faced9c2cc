"""Initial weights and feedback, from the seed and the network alone."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Generator, Tensor

from plastic_core.api.network_spec import AnyNetwork
from plastic_core.base.errors import PlasticError
from plastic_core.base.seeds import Purpose, seed_sequence
from plastic_core.circuits.network import Parts
from plastic_core.plugins.catalogue import installed

_FEEDBACK: Final = "xavier"


def _generator(purpose: Purpose, seed: int) -> Generator:
    state = seed_sequence(purpose, seed).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(state) % 2**63)


def initial_weights(spec: AnyNetwork, seed: int, parts: Parts | None = None) -> list[Tensor]:
    """Return the weights of one network, ``[n_post, n_pre]`` each, in float64.

    They are drawn in float64 whatever the precision of the run, so that float32 and float64
    runs start from the same weights.

    Args:
        spec: the network.
        seed: of the network.
        parts: its plugins, the initialisations among them; None for the installed ones.

    Raises:
        PlasticError: there is no such initialisation, or it gives something else.
    """
    source = _generator(Purpose.WEIGHTS, seed)
    drawn = []
    for n_post, n_pre, name in spec.matrices:
        made = (
            installed("initialisation", name)() if parts is None else parts["initialisation", name]
        )
        weight: Tensor = made.draw(n_post, n_pre, spec.init_std, source)
        if (weight.dtype, *weight.shape) != (torch.float64, n_post, n_pre):
            raise PlasticError(
                f"the initialisation '{name}': draw() returned {weight.dtype} "
                f"{[*weight.shape]}; expected torch.float64 {[n_post, n_pre]}"
            )
        drawn.append(weight)
    return drawn


def initial_feedback(spec: AnyNetwork, kind: str, seed: int) -> list[Tensor]:
    """Return the feedback matrices of one network, Xavier uniform whatever the `init`.

    ``[n_pre, n_post]`` each for kind "layer", ``[n_pre, n_L]`` for "output".
    """
    source = _generator(Purpose.FEEDBACK, seed)
    outputs, xavier = spec.sizes[-1], installed("initialisation", _FEEDBACK)()
    return [
        xavier.draw(n_pre, n_post if kind == "layer" else outputs, spec.init_std, source)
        for n_post, n_pre, _ in spec.matrices
    ]
