"""A circuit: what a network is for whoever carries out a step.

Numbers flow between nodes, ``[R, K, n]`` each, where K is the mini-batch times the places of the
population: positions in an image, or tokens, which share their weights. A projection sends the
activity of one node through its matrix into another, a map computes a node from others and has no
parameters. A network that runs through time has a node for each step of a population, and a
projection that sends at each.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from plastic_core.api.loss import Loss
from plastic_core.api.maps import Activate, Add, Map, Normalise, Output
from plastic_core.api.network_spec import AnyNetwork, NetworkKind, RecurrentSpec
from plastic_core.api.sequence_spec import SequenceSpec
from plastic_core.api.site import Site
from plastic_core.api.step_maps import Follow, Join

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from plastic_core.api.initialisation import Initialisation, MatrixShape


class Node(NamedTuple):
    """What a population is at one step.

    Attributes:
        series: name of the population; its steps lie one after the other.
        step: counted from 0.
    """

    series: str
    step: int = 0


class Events(NamedTuple):
    """What an update sees of one sending: nodes of equal length, an event of each for each sample.

    Attributes:
        pre: what is sent.
        source: what Oja's rule reconstructs.
        post: what it becomes.
        error: whose gradient is the error.
    """

    pre: tuple[Node, ...]
    source: tuple[Node, ...]
    post: tuple[Node, ...]
    error: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Send:
    """z = W pre."""

    projection: int
    pre: Node
    z: Node


@dataclass(frozen=True, eq=False)
class Apply:
    """output = map(inputs)."""

    map: Map
    inputs: tuple[Node, ...]
    output: Node


class Matrix(NamedTuple):
    """The matrix of a projection before it learns.

    Attributes:
        shape: as an initialisation is told it.
        init: what it is drawn by.
        std: `init_std` of the network.
        mask: ``[n_post, n_pre]``, the connections that there are, or None for all.
    """

    shape: MatrixShape
    init: Initialisation
    std: float
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Circuit:
    """A network.

    Attributes:
        operations: in the order in which activity goes forward; one of them is the output function.
        units: of each series, at one place.
        grids: how the places of each series lie, such as rows and columns; () for a single one,
            as have those that are not named.
        populations: from the input to the output, what evaluation returns.
        names: of what made each population but the input, such as "conv1"; the last is "readout".
        layer_names: of each layer with weights, such as "conv1", or "attention1.query" where there
            are several in one.
        given: what projections have as events in place of what they send and become.
        matrices: of each projection: those of the layers, and behind them those of biases.
        biased: the layers that have biases, counted from 1.
        gradient_only: layers that learn by the rule that propagates the error alone.
        input_activation: which gates the error that arrives at the input, or None.
        spec: what it was made of.
    """

    operations: tuple[Send | Apply, ...]
    units: Mapping[str, int]
    grids: Mapping[str, tuple[int, ...]]
    populations: tuple[Node, ...]
    names: tuple[str, ...]
    layer_names: tuple[str, ...]
    given: Mapping[Send, Events]
    matrices: tuple[Matrix, ...]
    biased: tuple[int, ...]
    gradient_only: frozenset[int]
    input_activation: Activate | None
    spec: AnyNetwork

    @property
    def depth(self) -> int:
        """Number of layers, each with a matrix of weights; the paper's L."""
        return len(self.matrices) - len(self.biased)

    @property
    def layers(self) -> tuple[int, ...]:
        """The layer of each projection, counted from 1."""
        return (*range(1, self.depth + 1), *self.biased)

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        """What hooks get to know of where each projection is."""
        found = []
        leak = self.spec.leak if isinstance(self.spec, SequenceSpec) else 1.0
        for layer, sends in zip(self.layers, self.sends, strict=True):
            made = self.maker.get(self._post(self.events(sends[0]).error[0]))
            function = made.map if isinstance(made, Apply) else None
            places = self.places(sends[0].z)
            if isinstance(function, Output):
                found.append(Site(layer, True, function.loss, places))
            else:
                gate = function.activation if isinstance(function, Activate) else None
                found.append(Site(layer, False, gate, places, leak))
        return tuple(found)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of each population, at one place."""
        return tuple(self.units[population.series] for population in self.populations)

    @cached_property
    def kind(self) -> NetworkKind:
        """The kind of network, which decides what can be measured in it.

        "feedforward" where each projection leads from one population to the next, to its activity
        or the sum of both, and "layered" where anything else lies between.
        """
        if isinstance(self.spec, RecurrentSpec | SequenceSpec):
            return "recurrent" if isinstance(self.spec, RecurrentSpec) else "sequence"
        if len(self.populations) != self.depth + 1:
            return "layered"
        places = zip(self.sends, self.populations, self.populations[1:], strict=False)
        for sends, below, population in places:
            made, post = self.maker[population], self._post(sends[0].z)
            residual = (
                isinstance(made, Apply)
                and isinstance(made.map, Add)
                and made.inputs == (post, below)
            )
            if sends[0].pre != below or not (residual or post == population):
                return "layered"
        return "feedforward"

    @property
    def skips(self) -> tuple[bool, ...]:
        """For each layer of a feed-forward network, whether a residual connection goes around."""
        if self.kind != "feedforward":
            return (False,) * self.depth
        pairs = zip(self.sends, self.populations[1:], strict=False)
        return tuple(self._post(sends[0].z) != population for sends, population in pairs)

    @property
    def loss(self) -> Loss:
        """Its loss."""
        made = self.maker[self.output]
        assert isinstance(made, Apply)
        assert isinstance(made.map, Output)
        return made.map.loss

    @property
    def logits(self) -> Node:
        """What the output function is given, z_L."""
        made = self.maker[self.output]
        assert isinstance(made, Apply)
        return made.inputs[0]

    @property
    def answers(self) -> int:
        """How often it answers for each sample; the output has as many places."""
        return self.places(self.output)

    @property
    def input(self) -> Node:
        """The input x."""
        return self.populations[0]

    @property
    def output(self) -> Node:
        """What the output function gives."""
        return self.populations[-1]

    @cached_property
    def sends(self) -> tuple[tuple[Send, ...], ...]:
        """The sendings of each projection, forward in time."""
        found: dict[int, list[Send]] = defaultdict(list)
        for operation in self.operations:
            if isinstance(operation, Send):
                found[operation.projection].append(operation)
        return tuple(tuple(found[p]) for p in sorted(found))

    @cached_property
    def maker(self) -> dict[Node, Send | Apply]:
        """What computes each node but the input."""
        return {o.z if isinstance(o, Send) else o.output: o for o in self.operations}

    @cached_property
    def readers(self) -> dict[Node, list[Send | Apply]]:
        """What reads each node."""
        found: dict[Node, list[Send | Apply]] = {node: [] for node in (self.input, *self.maker)}
        for operation in self.operations:
            for node in (operation.pre,) if isinstance(operation, Send) else operation.inputs:
                found[node].append(operation)
        return found

    @cached_property
    def read_last(self) -> dict[Send | Apply, tuple[Node, ...]]:
        """The nodes that each operation is the last to read."""
        last = {node: readers[-1] for node, readers in self.readers.items() if readers}
        found: dict[Send | Apply, tuple[Node, ...]] = {}
        for node, reader in last.items():
            found[reader] = (*found.get(reader, ()), node)
        return found

    def places(self, node: Node) -> int:
        """Return the number of places of a population."""
        return math.prod(self.grids.get(node.series, ()))

    @property
    def shared(self) -> bool:
        """Whether some of its weights are shared between places."""
        return any(self.places(send.z) > 1 for sends in self.sends for send in sends)

    def laid_out(self, pre: Node) -> tuple[Node, tuple[Map, ...]]:
        """Return the population that is sent, and the maps that lay it out, as in patches."""
        layouts: list[Map] = []
        while isinstance(made := self.maker.get(pre), Apply) and made.map.layout:
            layouts.insert(0, made.map)
            pre = made.inputs[0]
        return pre, tuple(layouts)

    @cached_property
    def first_into(self) -> tuple[int, ...]:
        """For each projection, the first of those that are summed in the same population."""
        into = []
        for sends in self.sends:
            z = sends[0].z
            read = (one for one in self.readers[z] if isinstance(one, Apply))
            sums = [one.output for one in read if isinstance(one.map, Add)]
            into.append((sums[0] if sums else z).series)
        return tuple(into.index(population) for population in into)

    def reached(self, projection: int) -> int:
        """Return the number of units that feedback from the outputs reaches below a projection.

        Where weights are shared it is sent once for each sample, to all places of the population.
        """
        send = self.sends[projection][0]
        if self.places(send.z) == 1:
            return self.units[send.pre.series]
        population, _ = self.laid_out(send.pre)
        return self.units[population.series] * self.places(population)

    def constant(self, node: Node) -> bool:
        """Return whether it is what biases are sent by, which has no error."""
        made = self.maker.get(node)
        return isinstance(made, Apply) and made.map.constant

    def events(self, send: Send) -> Events:
        """Return what an update sees of one sending."""
        if send in self.given:
            return self.given[send]
        return Events((send.pre,), (send.pre,), (self._post(send.z),), (send.z,))

    def _post(self, z: Node) -> Node:
        """Return the activity that z becomes: behind its activation function, if it has one."""
        node = z
        while len(self.readers[node]) == 1:
            reader = self.readers[node][0]
            if isinstance(reader, Send):
                break
            if isinstance(reader.map, Activate | Output):
                return reader.output
            sums = isinstance(reader.map, Add) and all(
                isinstance(self.maker.get(one), Send) for one in reader.inputs
            )
            if not (sums or isinstance(reader.map, Normalise | Join)):
                break
            node = reader.output
        return z

    def below(self, population: Node) -> Node | None:
        """Return z of the layer that made a population, or None where it is none's.

        Between them are its activation function, normalisation and residual connections alone.
        """
        node, gated = population, False
        while (made := self.maker.get(node)) is not None:
            if isinstance(made, Send):
                return node
            if isinstance(made.map, Activate | Normalise):
                gated = True
            elif gated:
                return node
            elif not isinstance(made.map, Add | Follow):
                return None
            node = made.inputs[0]
        return None

    def gate(self, population: Node) -> Activate | None:
        """Return the activation function of a population that no layer made, such as a pooled one.

        None where there is none, and for the input that of the network.
        """
        node = population
        while (made := self.maker.get(node)) is not None:
            if isinstance(made, Send) or len(made.inputs) != 1:
                return None
            if isinstance(made.map, Activate):
                return made.map
            node = made.inputs[0]
        return self.input_activation
