"""An update of a network, bound to buffers: of the kind that its rules ask for."""

from __future__ import annotations

from plastic_core.api.circuit import Circuit
from plastic_core.backends.eager.bound_passes import BoundPasses
from plastic_core.backends.eager.settled_update import SettledUpdate
from plastic_core.hooks.hooks import Hooks
from plastic_core.networks.parameters import Parameters

BoundUpdate = BoundPasses | SettledUpdate


def bound_update(
    circuit: Circuit, hooks: Hooks, parameters: Parameters, samples: int, alone: bool = False
) -> BoundUpdate:
    """Return an update in which the network settles, or is shown something; see `BoundPasses`."""
    made = SettledUpdate if hooks.settle else BoundPasses
    return made(circuit, hooks, parameters, samples, alone)
