"""Buffers for the nodes of a circuit and for their errors.

The steps of a population lie in one buffer, one after the other, so that a signal of all of them
is a view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor

from plastic_core.api.circuit import Circuit, Node
from plastic_core.networks.products import aligned_zeros

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
        self._both: dict[tuple[int, int], Tensor] = {}

    def zeros(self, rows: int, units: int) -> Tensor:
        """Return ``[R, rows, units]``."""
        return aligned_zeros(len(self._like), rows, units, like=self._like)

    def of(self, kind: Kind, node: Node) -> Tensor:
        """Return the room of one node, ``[R, K, n]``."""
        key = kind, node.series
        if key not in self._series:
            rows = self._lengths[node.series] * self.samples
            self._series[key] = self.zeros(rows, self._circuit.units[node.series])
        begin = node.step * self.samples
        return self._series[key][:, begin : begin + self.samples]

    def of_all(
        self, kind: Kind, nodes: Sequence[Node]
    ) -> tuple[Tensor, list[Callable[[], Tensor]]]:
        """Return nodes one after the other: a view, or a copy and what makes it anew."""
        first, samples = nodes[0], self.samples
        one = self.of(kind, first)
        if all(node == Node(first.series, first.step + i) for i, node in enumerate(nodes)):
            begin, rows = first.step * samples, len(nodes) * samples
            return self._series[kind, first.series][:, begin : begin + rows], []
        room = self.zeros(len(nodes) * samples, one.shape[2])
        return room, [
            _copying(self.of(kind, node), room[:, i * samples : (i + 1) * samples])
            for i, node in enumerate(nodes)
        ]

    def place_together(self, error: Node, node: Node) -> None:
        """Let an error and a node lie together, for one product of both with a matrix."""
        keys: tuple[tuple[Kind, str], ...] = (("error", error.series), ("node", node.series))
        alone = self._lengths[error.series] == self._lengths[node.series] == 1
        if alone and not self._series.keys() & set(keys):
            both = self.zeros(2 * self.samples, self._circuit.units[node.series])
            halves = both[:, : self.samples], both[:, self.samples :]
            self._series.update(zip(keys, halves, strict=True))
            self._both[id(halves[0]), id(halves[1])] = both

    def together(self, error: Node, node: Node) -> Tensor | None:
        """Return what `place_together` placed, ``[R, 2K, n]``, or None."""
        halves = (
            self._series.get(("error", error.series)),
            self._series.get(("node", node.series)),
        )
        return self._both.get((id(halves[0]), id(halves[1])))


def _copying(source: Tensor, to: Tensor) -> Callable[[], Tensor]:
    return lambda: to.copy_(source)
