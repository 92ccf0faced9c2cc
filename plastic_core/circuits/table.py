"""The layers of a network as rows of a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from plastic_core.api.circuit import Circuit
from plastic_core.api.layered_spec import LayeredSpec


class LayerRow(NamedTuple):
    """One layer of a network.

    Attributes:
        name: such as "conv1"; the first is "input".
        output: units at each place, and how the places lie, such as "16 x 24 x 24".
        weights: how many there are, those of biases too.
    """

    name: str
    output: str
    weights: int


def layer_table(circuit: Circuit) -> list[LayerRow]:
    """Return the layers from the input to the readout."""
    image = circuit.spec.image if isinstance(circuit.spec, LayeredSpec) else None
    inputs = (circuit.sizes[0],) if image is None else image
    weights = dict.fromkeys(circuit.names, 0)
    for layer, matrix in zip(circuit.layers, circuit.matrices, strict=True):
        name = circuit.layer_names[layer - 1].split(".")[0]
        connections = matrix.shape.n_post * matrix.shape.n_pre
        if matrix.mask is not None:
            connections = int(matrix.mask.sum())
        # what sends the input of a network through time belongs to its first population
        weights[name if name in weights else circuit.names[0]] += connections
    rows = [LayerRow("input", _sides(inputs), 0)]
    for name, population in zip(circuit.names, circuit.populations[1:], strict=True):
        sides = circuit.units[population.series], *circuit.grids.get(population.series, ())
        rows.append(LayerRow(name, _sides(sides), weights[name]))
    return rows


def _sides(sides: Iterable[int]) -> str:
    return " x ".join(map(str, sides))
