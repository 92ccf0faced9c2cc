"""Buffers for the nodes of a circuit and for their errors.

The steps of a population lie in one buffer, one after the other, so that a signal of all of them
is a view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor

from plastic_core.api.circuit import Circuit, Node
from plastic_core.api.maps import Activate
from plastic_core.networks.products import LINE, aligned_zeros

Kind = Literal["node", "error"]


class Buffers:
    """Room for R replicas and K samples, made where it is asked for.

    Args:
        circuit: the network.
        like: ``[R, ...]``, of the same type and device.
        samples: K.
    """

    def __init__(self, circuit: Circuit, like: Tensor, samples: int) -> None:
        self._circuit, self._like, self.samples = circuit, like, samples
        self._lengths: dict[str, int] = {}
        for node in (circuit.input, *circuit.maker):
            self._lengths[node.series] = max(self._lengths.get(node.series, 0), node.step + 1)
        self._series: dict[tuple[Kind, str], Tensor] = {}
        self._both: dict[tuple[Node, Node], Tensor] = {}

    def zeros(self, rows: int, units: int) -> Tensor:
        """Return ``[R, rows, units]``."""
        return aligned_zeros(len(self._like), rows, units, like=self._like)

    def of(self, kind: Kind, node: Node) -> Tensor:
        """Return the room of one node, ``[R, K, n]``."""
        key, rows = (kind, node.series), self.rows(node)
        if key not in self._series:
            units = self._circuit.units[node.series]
            self._series[key] = self.zeros(self._lengths[node.series] * rows, units)
        return self._series[key][:, node.step * rows : (node.step + 1) * rows]

    def rows(self, node: Node) -> int:
        """Return the number of events of a node: the samples times its places."""
        return self.samples * self._circuit.places(node)

    def of_all(
        self, kind: Kind, nodes: Sequence[Node]
    ) -> tuple[Tensor, list[Callable[[], Tensor]]]:
        """Return nodes one after the other: a view, or a copy and what makes it anew."""
        first, each = nodes[0], self.rows(nodes[0])
        one = self.of(kind, first)
        if all(node == Node(first.series, first.step + i) for i, node in enumerate(nodes)):
            begin, rows = first.step * each, len(nodes) * each
            return self._series[kind, first.series][:, begin : begin + rows], []
        room = self.zeros(len(nodes) * each, one.shape[2])
        return room, [
            _copying(self.of(kind, node), room[:, i * each : (i + 1) * each])
            for i, node in enumerate(nodes)
        ]

    def place(self, pairs: Sequence[tuple[Node | None, Node]]) -> Tensor:
        """Let all steps of populations lie in one room, and return it, ``[R, size]``.

        Where all of them are needed at once, one operation is enough.

        Args:
            pairs: the populations, each after an error that lies beside it, or None: one product
                with a matrix takes both.
        """
        places: list[tuple[int, list[tuple[Kind, Node]], int]] = []
        size = 0
        for error, node in pairs:
            keys: list[tuple[Kind, Node]] = [("node", node)]
            if error is not None:
                keys.insert(0, ("error", error))
            rows = self._lengths[node.series] * self.rows(node)
            places.append((size, keys, rows))
            # each begins at a cache line
            size += -(-len(keys) * rows * self._circuit.units[node.series] // LINE) * LINE
        room = aligned_zeros(len(self._like), size, like=self._like)
        for begin, keys, rows in places:
            units = self._circuit.units[keys[0][1].series]
            block = room[:, begin : begin + len(keys) * rows * units]
            block = block.view(len(room), len(keys) * rows, units)
            for i, (kind, one) in enumerate(keys):
                self._series[kind, one.series] = block[:, i * rows : (i + 1) * rows]
            if len(keys) == 2:
                self._both[keys[0][1], keys[1][1]] = block
        return room

    def beside(self, room: Tensor, node: Node) -> Tensor:
        """Return where a node would lie in a room like the one that `place` put it into."""
        one = self.of("node", node)
        return room.as_strided(one.shape, one.stride(), one.storage_offset())

    def together(self, error: Node, node: Node) -> Tensor | None:
        """Return what `place` put side by side, ``[R, 2K, n]``, or None."""
        return self._both.get((error, node))

    def can_lie_together(self, error: Node, node: Node) -> bool:
        """Whether both have one step and as many units."""
        units = self._circuit.units
        alone = self._lengths[error.series] == self._lengths[node.series] == 1
        return alone and units[error.series] == units[node.series]


def _copying(source: Tensor, to: Tensor) -> Callable[[], Tensor]:
    return lambda: to.copy_(source)


def find_slopes(function: Activate, room: Tensor, slopes: Tensor) -> None:
    """Compute the slopes of all activities in a room at once; what else lies there is unused."""
    slopes.copy_(function.activation.slope(room, room))
