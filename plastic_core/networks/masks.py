"""Masks: the connections that there are, where not every unit is connected to every other."""

from __future__ import annotations

import torch
from torch import Tensor

from plastic_core.api.circuit import Circuit


def masks_of(
    circuit: Circuit, feedback: str | None, device: torch.device | str = "cpu"
) -> dict[str, list[Tensor | None]]:
    """Return the masks of W, under "forward", and of B, under "feedback", of each projection.

    ``[n_post, n_pre]`` of bool, and None where there are all connections. Feedback of the kind
    "layer" has those of the weights, of the kind "output" all.

    Args:
        circuit: the network.
        feedback: the kind.
        device: of the masks.
    """
    masks = [
        None if m.mask is None else torch.from_numpy(m.mask).to(device) for m in circuit.matrices
    ]
    back = [None if mask is None or feedback != "layer" else mask.T for mask in masks]
    return {"forward": masks, "feedback": back}
