"""From the specification of a network to its circuit."""

from __future__ import annotations

import functools

from plastic_core.api.circuit import Circuit
from plastic_core.api.network_spec import AnyNetwork, RecurrentSpec
from plastic_core.api.sequence_spec import SequenceSpec
from plastic_core.circuits.layered import layered_circuit
from plastic_core.circuits.layers import Find
from plastic_core.circuits.recurrent import recurrent_circuit
from plastic_core.circuits.sequence import sequence_circuit
from plastic_core.plugins.catalogue import installed


def circuit_of(network: AnyNetwork | Circuit, find: Find | None = None) -> Circuit:
    """Return the circuit that a spec describes, or a circuit as it is.

    Args:
        network: the spec.
        find: gives the classes of its layers, activation functions, initialisations and loss by
            kind and name; None for the installed ones.

    Raises:
        PlasticError: one of them is not there, or a layer does not fit.
    """
    if isinstance(network, Circuit):
        return network
    return _of_installed(network) if find is None else _make(network, find)


def _make(network: AnyNetwork, find: Find) -> Circuit:
    if isinstance(network, RecurrentSpec):
        return recurrent_circuit(network, find)
    if isinstance(network, SequenceSpec):
        return sequence_circuit(network, find)
    return layered_circuit(network, find)


def _of_installed(network: AnyNetwork) -> Circuit:
    # by its JSON, for layers by name have no hash
    return _of_text(type(network), network.model_dump_json())


@functools.lru_cache(maxsize=64)
def _of_text(kind: type[AnyNetwork], text: str) -> Circuit:
    return _make(kind.model_validate_json(text), installed)
