"""From the specification of a network to its circuit."""

from __future__ import annotations

import functools

from plastic_core.api.loss import Loss
from plastic_core.api.network_spec import AnyNetwork, RecurrentSpec
from plastic_core.networks.circuit import Circuit
from plastic_core.networks.feedforward import feedforward_circuit
from plastic_core.networks.recurrent import recurrent_circuit
from plastic_core.plugins.catalogue import installed


@functools.lru_cache(maxsize=64)
def circuit_of(network: AnyNetwork | Circuit, loss: Loss | None = None) -> Circuit:
    """Return the circuit that a spec describes, or a circuit as it is.

    Args:
        network: the spec.
        loss: None for the installed one that the spec names.

    Raises:
        PlasticError: there is no such loss.
    """
    if isinstance(network, Circuit):
        return network
    loss = loss or installed("loss", network.loss)()
    if isinstance(network, RecurrentSpec):
        return recurrent_circuit(network, loss)
    return feedforward_circuit(network, loss)
