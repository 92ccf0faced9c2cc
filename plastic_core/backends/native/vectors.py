"""Where the vectors of a step lie."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from plastic_core.api.circuit import Circuit, Node
from plastic_core.backends.native.code import Code, Operation


class Vectors:
    """Buffers of vectors that lie one after the other, and the place of each vector that is used.

    Args:
        circuit: the network.

    Attributes:
        units: of the vectors of each buffer.
        nodes: in each buffer: vectors of one sample.
        places: buffer and number of each vector.
        pass_index: of the pass whose vectors are asked for; passes share the input alone.
    """

    pass_index = 0

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self.units: list[int] = []
        self.nodes: list[int] = []
        self.places: list[tuple[int, int]] = []
        self._buffers: dict[Hashable, int] = {}
        self._place_of: dict[tuple[int, int], int] = {}
        self._steps: dict[str, int] = {}
        for node in (circuit.input, *circuit.maker):
            self._steps[node.series] = max(node.step + 1, self._steps.get(node.series, 0))

    def __contains__(self, key: Hashable) -> bool:
        return self._of_pass(key) in self._buffers

    def _of_pass(self, key: Hashable) -> Hashable:
        shared = key == ("node", self._circuit.input.series)
        return key if shared else (self.pass_index, key)

    def buffer(self, key: Hashable, units: int, nodes: int) -> int:
        """Return the buffer of a key, which is made where it is not there."""
        key = self._of_pass(key)
        if key not in self._buffers:
            self._buffers[key] = len(self.units)
            self.units.append(units)
            self.nodes.append(nodes)
        return self._buffers[key]

    def place(self, buffer: int, node: int = 0) -> int:
        """Return the place of one vector of a buffer."""
        key = (buffer, node)
        if key not in self._place_of:
            self._place_of[key] = len(self.places)
            self.places.append(key)
        return self._place_of[key]

    def room(self, key: Hashable, units: int, nodes: int) -> int:
        """Return the place of the first vector of a buffer; see `buffer`."""
        return self.place(self.buffer(key, units, nodes))

    def at(self, kind: str, node: Node, place: int = 0) -> int:
        """Return the place of a "node", of its "error" or of the "scale" of a normalisation.

        Where the places of a node are steps, as of answers, they lie after one another.
        """
        units, places = self._circuit.units[node.series], self._circuit.places(node)
        nodes = self._steps[node.series] * places
        buffer = self.buffer((kind, node.series), 1 if kind == "scale" else units, nodes)
        return self.place(buffer, node.step * places + place)

    def gather(
        self, kind: str, nodes: Sequence[Node], owner: int | None = None
    ) -> tuple[int, list[Operation]]:
        """Return where nodes lie one after the other, and for each a copy where they do not.

        Copies are made once, for all or for each owner.
        """
        first = nodes[0]
        if all(node == Node(first.series, first.step + i) for i, node in enumerate(nodes)):
            return self.at(kind, first), []
        key = (kind, owner, *nodes)
        copied = key in self
        buffer = self.buffer(key, self._circuit.units[first.series], len(nodes))
        copies = [
            Operation(Code.COPY, (self.at(kind, node), self.place(buffer, i)))
            for i, node in enumerate(nodes)
        ]
        return self.place(buffer), [] if copied else copies
