"""Initial weights and feedback, from the seed and the network alone."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import torch
from torch import Generator, Tensor

from plastic_core.api.circuit import Circuit
from plastic_core.api.initialisation import MatrixShape
from plastic_core.api.network_spec import AnyNetwork
from plastic_core.base.errors import PlasticError
from plastic_core.base.seeds import Purpose, name_hash, seed_sequence
from plastic_core.circuits.network import circuit_of
from plastic_core.networks.masks import masks_of
from plastic_core.plugins.catalogue import installed

_FEEDBACK: Final = "xavier"


def _generator(purpose: Purpose, *seed: int) -> Generator:
    state = seed_sequence(purpose, *seed).generate_state(1, np.uint64)[0]
    return Generator().manual_seed(int(state) % 2**63)


def initial_weights(network: AnyNetwork | Circuit, seed: int) -> list[Tensor]:
    """Return the weights of one network, ``[n_post, n_pre]`` each, in float64.

    They are drawn in float64 whatever the precision of the run, so that float32 and float64
    runs start from the same weights. Where a mask says that there is no connection, they are 0.

    Args:
        network: the network.
        seed: of the network.

    Raises:
        PlasticError: an initialisation gives something else.
    """
    source, drawn = _generator(Purpose.WEIGHTS, seed), []
    circuit = circuit_of(network)
    for matrix in circuit.matrices:
        shape = matrix.shape.n_post, matrix.shape.n_pre
        weight: Tensor = matrix.init.draw(matrix.shape, matrix.std, source)
        if (weight.dtype, *weight.shape) != (torch.float64, *shape):
            raise PlasticError(
                f"the initialisation '{matrix.init.spec.name}': draw() returned {weight.dtype} "
                f"{[*weight.shape]}; expected torch.float64 {[*shape]}"
            )
        drawn.append(weight)
    return _masked(drawn, masks_of(circuit, None)["forward"])


def initial_feedback(network: AnyNetwork | Circuit, kind: str, seed: int) -> list[Tensor]:
    """Return the feedback matrices of one network, Xavier uniform whatever the `init`.

    ``[n_pre, n_post]`` each for kind "layer", ``[n_pre, n_L]`` for "output", where n_pre are all
    units of the population at all places if the weights are shared. Those of kind "layer" have the
    connections that the weights have.
    """
    source, circuit = _generator(Purpose.FEEDBACK, seed), circuit_of(network)
    outputs, xavier = circuit.sizes[-1], installed("initialisation", _FEEDBACK)()
    drawn = []
    for p, matrix in enumerate(circuit.matrices):
        shape = matrix.shape.backwards
        if kind == "output":
            reached = circuit.reached(p)
            shape = MatrixShape(reached, outputs, outputs, reached)
        drawn.append(xavier.draw(shape, matrix.std, source))
    return _masked(drawn, masks_of(circuit, kind)["feedback"])


def initial_state(
    key: str, kind: Literal["normal", "xavier"], shape: tuple[int, int], seed: int
) -> Tensor:
    """Return a state of one network at the start, in float64; see `plastic_core.api.State`.

    Args:
        key: of the state, which draws numbers of its own.
        kind: how it is drawn.
        shape: of the state.
        seed: of the network.
    """
    source = _generator(Purpose.STATE, seed, name_hash(key))
    if kind == "normal":
        return torch.randn(shape, generator=source, dtype=torch.float64)
    n_post, n_pre = shape
    fans = MatrixShape(n_post, n_pre, n_pre, n_post)
    drawn: Tensor = installed("initialisation", "xavier")().draw(fans, 0.0, source)
    return drawn


def _masked(matrices: list[Tensor], masks: list[Tensor | None]) -> list[Tensor]:
    pairs = zip(matrices, masks, strict=True)
    return [matrix if mask is None else matrix * mask for matrix, mask in pairs]
