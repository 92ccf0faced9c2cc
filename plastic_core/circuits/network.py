"""From the specification of a network to its circuit."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from plastic_core.api.circuit import Circuit
from plastic_core.api.network_spec import AnyNetwork, PartKind, RecurrentSpec
from plastic_core.circuits.feedforward import feedforward_circuit
from plastic_core.circuits.recurrent import recurrent_circuit
from plastic_core.plugins.catalogue import installed

#: The plugins that a network is made of, by kind and name.
Parts = Mapping[tuple[PartKind, str], Any]


def circuit_of(network: AnyNetwork | Circuit, parts: Parts | None = None) -> Circuit:
    """Return the circuit that a spec describes, or a circuit as it is.

    Args:
        network: the spec.
        parts: its activation functions and its loss; None for the installed ones.

    Raises:
        PlasticError: one of them is not there.
    """
    if isinstance(network, Circuit):
        return network
    return _of_installed(network) if parts is None else _make(network, parts)


def _make(network: AnyNetwork, parts: Parts) -> Circuit:
    activation, loss = parts["activation", network.activation], parts["loss", network.loss]
    if isinstance(network, RecurrentSpec):
        return recurrent_circuit(network, activation, loss)
    return feedforward_circuit(network, activation, loss)


@functools.lru_cache(maxsize=64)
def _of_installed(network: AnyNetwork) -> Circuit:
    return _make(network, {(kind, name): installed(kind, name)() for kind, name in network.parts})
