"""Signals of a projection before anything is computed."""

from __future__ import annotations

from plastic_core.api.circuit import Circuit
from plastic_core.api.signals import Signals
from plastic_core.networks.parameters import Parameters
from plastic_core.networks.products import MatrixProducts


def blank_signals(
    circuit: Circuit, parameters: Parameters, projection: int, batch: int, learning: bool = True
) -> Signals:
    """Return signals that know their site and their matrices alone.

    Args:
        circuit: the network.
        parameters: of the replicas that they are about.
        projection: counted from 0.
        batch: size of the mini-batch.
        learning: whether the network learns.
    """
    weight = parameters.weights[projection]
    feedback = parameters.feedback[projection] if parameters.feedback else None
    s = Signals(circuit.sites[projection], MatrixProducts(weight, feedback), learning)
    s.batch, s.weight = batch, weight
    if feedback is not None:
        s.feedback = feedback
    return s
