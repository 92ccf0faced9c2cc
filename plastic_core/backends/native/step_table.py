"""A step as tables for C: where vectors lie, and what is done with them.

The same C carries out any of them, so that a library serves networks of any depth and length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Final

from plastic_core.api.activation import Activation
from plastic_core.api.circuit import Apply, Node, Send
from plastic_core.api.maps import Activate, Add, Constant, Guarded, Normalise, Output
from plastic_core.api.signals import MATRIX_SIGNALS, SIGNALS
from plastic_core.backends.native.program import NotNativeError, Program
from plastic_core.backends.step.description import (
    SENT_BACK,
    Description,
    MapBack,
    PreError,
    SendBack,
)

#: The vectors that kernels read, in the order of the struct `signals_t`.
VECTOR_SIGNALS: Final = tuple(name for name in SIGNALS if name not in MATRIX_SIGNALS)

_NOWHERE: Final = -1


class Code(IntEnum):
    """What an operation does; at which places, the comments say."""

    SEND = auto()  # pre, z
    ACTIVATE = auto()  # z, y
    NORMALISE = auto()  # z, normalised, scale
    ADD = auto()  # two parts, sum
    COPY = auto()  # from, to
    ONE = auto()  # what is always 1
    OUTPUT = auto()  # z_L, y_L
    COMPARE = auto()  # y_L, its error
    SEND_BACK = auto()  # the error of what was sent, or nowhere
    ACTIVATE_BACK = auto()  # error, z, y, into
    NORMALISE_BACK = auto()  # error, normalised, scale, into
    LEARN = auto()


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        code: what is done.
        places: where.
        which: of the projections, or of the activation functions.
        begin: the first of a projection's events, counted in mini-batches.
        count: events, or nodes, that it is about.
    """

    code: Code
    places: tuple[int, ...] = ()
    which: int = 0
    begin: int = 0
    count: int = 1

    @property
    def row(self) -> tuple[int, ...]:
        """The struct `operation_t` of network.c."""
        nowhere = (_NOWHERE,) * (4 - len(self.places))
        return (self.code, self.which, self.begin, self.count, *self.places, *nowhere)


class StepTable:
    """One step of a circuit.

    Args:
        step: what to do.
        program: what its rules compute.

    Attributes:
        units: of the vectors of each buffer.
        nodes: in each buffer, one after the other.
        places: buffer and node of each vector.
        operations: in order.
        forward: how many of them there are until the outputs are known.
        signals: for each projection the places of its signals, by name.
        events: of one sample in an update of each projection.
        input: the place of the input.
        output: that of what the output function gives.
        ahead: the projection that sends the input, once, or -1.
        activations: the different activation functions.

    Raises:
        NotNativeError: the circuit has something that C is not generated for.
    """

    def __init__(self, step: Description, program: Program) -> None:
        self._step, circuit = step, step.circuit
        self._propagate = [program.kinds[kind].propagate for kind in program.kind_of]
        self.units: list[int] = []
        self.nodes: list[int] = []
        self.places: list[tuple[int, int]] = []
        self.operations: list[Operation] = []
        self.activations: list[Activation] = []
        self.signals: list[dict[str, int]] = [{} for _ in circuit.sends]
        self._buffers: dict[Hashable, int] = {}
        self._place_of: dict[tuple[int, int], int] = {}
        self._steps: dict[str, int] = {}
        for node in (circuit.input, *circuit.maker):
            self._steps[node.series] = max(node.step + 1, self._steps.get(node.series, 0))
        # how many parts the error of a node has, which of them came, and where it is no node's
        self._parts = Counter(node for back in step.backward for node in _written(back))
        self._begun: set[Node] = set()
        self._elsewhere: dict[Node, int] = {}
        # what puts errors one after the other, before they are sent back
        self._error_copies: dict[Send, list[Operation]] = {}
        self._begin: dict[Send, int] = {}
        self.events = []
        for sends in circuit.sends:
            count = 0
            for send in sends:
                self._begin[send] = count
                count += len(circuit.events(send).pre)
            self.events.append(count)
        self.input, self.output = self._at("node", circuit.input), self._at("node", circuit.output)
        once = [p for p, s in enumerate(circuit.sends) if [one.pre for one in s] == [circuit.input]]
        self.ahead = once[0] if once else _NOWHERE
        self._go_forward()
        self.forward = len(self.operations)
        self._compare()
        self._go_back()

    # where vectors lie

    def _buffer(self, key: Hashable, units: int, nodes: int) -> int:
        if key not in self._buffers:
            self._buffers[key] = len(self.units)
            self.units.append(units)
            self.nodes.append(nodes)
        return self._buffers[key]

    def _place(self, buffer: int, node: int = 0) -> int:
        key = (buffer, node)
        if key not in self._place_of:
            self._place_of[key] = len(self.places)
            self.places.append(key)
        return self._place_of[key]

    def _at(self, kind: str, node: Node) -> int:
        """Return the place of a "node", of its "error" or of the "scale" of a normalisation."""
        units = 1 if kind == "scale" else self._step.circuit.units[node.series]
        buffer = self._buffer((kind, node.series), units, self._steps[node.series])
        return self._place(buffer, node.step)

    def _gather(
        self, kind: str, nodes: Sequence[Node], owner: int | None = None
    ) -> tuple[int, list[Operation]]:
        """Return where nodes lie one after the other, and for each a copy where they do not.

        Copies are made once, for all or for each owner.
        """
        first = nodes[0]
        if all(node == Node(first.series, first.step + i) for i, node in enumerate(nodes)):
            return self._at(kind, first), []
        key = (kind, owner, *nodes)
        copied = key in self._buffers
        buffer = self._buffer(key, self._step.circuit.units[first.series], len(nodes))
        copies = [
            Operation(Code.COPY, (self._at(kind, node), self._place(buffer, i)))
            for i, node in enumerate(nodes)
        ]
        return self._place(buffer), [] if copied else copies

    def _own(self, p: int, name: str) -> None:
        """Make room for a signal that is no node's."""
        units = self._step.circuit.units[self._step.circuit.sends[p][0].pre.series]
        self.signals[p][name] = self._place(self._buffer((name, p), units, self.events[p]))

    # forward

    def _go_forward(self) -> None:
        circuit = self._step.circuit
        for operation in circuit.operations:
            if type(operation) is Send:
                at = (self._at("node", operation.pre), self._at("node", operation.z))
                self.operations.append(Operation(Code.SEND, at, operation.projection))
            elif type(operation) is Apply:
                self._apply(operation)
            else:
                raise NotNativeError(_unknown("operation", operation))
        for p, sends in enumerate(circuit.sends):
            for name in ("pre", "source", "post"):
                nodes = [node for send in sends for node in getattr(circuit.events(send), name)]
                self.signals[p][name], copies = self._gather("node", nodes)
                self.operations += copies

    def _apply(self, operation: Apply) -> None:
        ins = [self._at("node", node) for node in operation.inputs]
        out, function = self._at("node", operation.output), operation.map
        add = self.operations.append
        if type(function) is Activate:
            add(Operation(Code.ACTIVATE, (*ins, out), self._activation(function)))
        elif type(function) is Normalise:
            add(Operation(Code.NORMALISE, (*ins, out, self._at("scale", operation.output))))
        elif type(function) is Add:
            total, *more = ins
            if not more:
                add(Operation(Code.COPY, (total, out)))
            for one in more:
                add(Operation(Code.ADD, (total, one, out)))
                total = out
        elif type(function) is Constant:
            add(Operation(Code.ONE, (out,)))
        elif type(function) is Output:
            add(Operation(Code.OUTPUT, (*ins, out)))
        else:
            plugin = function.function if isinstance(function, Guarded) else function
            raise NotNativeError(_unknown("map", plugin))

    def _activation(self, function: Activate) -> int:
        if function.activation not in self.activations:
            self.activations.append(function.activation)
        return self.activations.index(function.activation)

    # back

    def _compare(self) -> None:
        """Find the error of the output, and make room for what comes back."""
        step, circuit = self._step, self._step.circuit
        if step.error:
            places = (self.output, self._at("error", circuit.logits))
            self.operations.append(Operation(Code.COMPARE, places))
        for p, sends in enumerate(circuit.sends):
            signals, events = self.signals[p], [circuit.events(send) for send in sends]
            if step.errors[p]:
                nodes = [step.slot(node) for one in events for node in one.error]
                signals["error"], copies = self._gather("error", nodes, p)
                for send in sends if copies else ():
                    begin = self._begin[send]
                    count = len(circuit.events(send).error)
                    self._error_copies[send] = copies[begin : begin + count]
            sent_back = {step.sent_back(name)[1] for name in SENT_BACK.keys() & step.reads[p]}
            if "output_error" in step.reads[p] | sent_back:
                repeated = [circuit.logits] * self.events[p]
                signals["output_error"], copies = self._gather("error", repeated)
                self.operations += copies
            for name in sorted(SENT_BACK.keys() & step.reads[p]):
                self._own(p, name)

    def _go_back(self) -> None:
        self._learn(0)
        for count, back in enumerate(self._step.backward, start=1):
            if isinstance(back, SendBack):
                self._send_back(back)
            elif isinstance(back, MapBack):
                self._map_back(back)
            else:
                self._pre_error_back(back)
            self._learn(count)

    def _send_back(self, back: SendBack) -> None:
        p, count = back.send.projection, len(back.events.error)
        if not self._step.propagates[p]:
            return  # all events together, before it learns
        self.operations += self._error_copies.pop(back.send, [])
        begin = self._begin[back.send]
        places: tuple[int, ...] = ()
        adds: list[Operation] = []
        if back.into is not None:
            sent = self._sent_back_alone(p, back.into)
            if sent is None:
                place, adds = self._into(back.into, count)
                places = (place,)
            else:
                self._elsewhere[back.into] = self._place(sent, begin)
        self.operations.append(Operation(Code.SEND_BACK, places, p, begin, count))
        self.operations += adds

    def _sent_back_alone(self, p: int, into: Node) -> int | None:
        """Return the buffer of what comes back, where that is all of the error of a node."""
        propagated = self._propagate[p]
        assert propagated is not None
        (signal,) = propagated.arguments if propagated.operation == "identity" else (propagated,)
        name = signal.arguments[0] if signal.operation == "signal" else ""
        if self._parts[into] > 1 or into in self._step.read_errors or name not in SENT_BACK:
            return None
        return self.places[self.signals[p][name]][0]

    def _into(self, node: Node, events: int = 1) -> tuple[int, list[Operation]]:
        """Return where a part of a node's error goes, and what adds it to other parts."""
        if events > 1:
            if self._parts[node] > 1 or node in self._step.circuit.maker:
                raise NotNativeError("C is not generated for errors of what several events read")
            units = self._step.circuit.units[node.series]
            self._elsewhere[node] = self._place(self._buffer(("error", node), units, events))
        begun = node in self._begun
        self._begun.add(node)
        place = self._arrived(node)
        if not begun:
            return place, []
        units = self._step.circuit.units[node.series]
        part = self._place(self._buffer(("part", units), units, 1))
        return part, [Operation(Code.ADD, (place, part, place))]

    def _arrived(self, node: Node) -> int:
        return self._elsewhere[node] if node in self._elsewhere else self._at("error", node)

    def _map_back(self, back: MapBack) -> None:
        apply, function, error = back.apply, back.apply.map, self._arrived(back.error)
        for node in back.into:
            if node is None:
                continue
            into, adds = self._into(node)
            y = self._at("node", apply.output)
            if type(function) is Activate and self._step.hooks.gated:
                at = (error, self._at("node", apply.inputs[0]), y, into)
                done = Operation(Code.ACTIVATE_BACK, at, self._activation(function))
            elif type(function) is Normalise and self._step.hooks.gated:
                at = (error, y, self._at("scale", apply.output), into)
                done = Operation(Code.NORMALISE_BACK, at)
            else:  # a sum, or a map that the rule does not gate by
                done = Operation(Code.COPY, (error, into))
            self.operations += [done, *adds]

    def _pre_error_back(self, back: PreError) -> None:
        circuit, p = self._step.circuit, back.send.projection
        if "pre_error" not in self.signals[p]:
            self._own(p, "pre_error")
        buffer, _ = self.places[self.signals[p]["pre_error"]]
        begin, nodes = self._begin[back.send], circuit.events(back.send).pre
        into, arrived = self._place(buffer, begin), self._arrived(back.error)
        gate, count = circuit.gate(back.population), len(nodes)
        if gate is None or not self._step.hooks.gated or gate.activation.spec.slope_of != "y":
            done = Operation(Code.COPY, (arrived, into), count=count)
        else:
            buffer, first = self.places[self.signals[p]["pre"]]
            pre = self._place(buffer, first + begin)
            places = (arrived, pre, pre, into)
            done = Operation(Code.ACTIVATE_BACK, places, self._activation(gate), count=count)
        self.operations.append(done)

    def _learn(self, count: int) -> None:
        """Let those projections learn whose signals are complete after so many parts."""
        step, circuit = self._step, self._step.circuit
        for p in reversed(range(len(circuit.sends))):
            if step.complete_after[p] != count:
                continue
            for send in circuit.sends[p]:
                self.operations += self._error_copies.pop(send, [])
            if not step.propagates[p] and SENT_BACK.keys() & step.reads[p]:
                self.operations.append(Operation(Code.SEND_BACK, (), p, 0, self.events[p]))
            if "pre_error" in step.reads[p] and "pre_error" not in self.signals[p]:
                self._gather_pre_error(p)
            self.operations.append(Operation(Code.LEARN, which=p))

    def _gather_pre_error(self, p: int) -> None:
        circuit = self._step.circuit
        nodes = [node for send in circuit.sends[p] for node in circuit.events(send).pre]
        below = [circuit.below(node) for node in nodes]
        slots = [self._step.slot(node) for node in below if node is not None]
        if len(slots) < len(nodes):
            raise NotNativeError("C is not generated for a pre_error of which a part is gated")
        self.signals[p]["pre_error"], copies = self._gather("error", slots, p)
        self.operations += copies


def _written(back: SendBack | MapBack | PreError) -> Iterator[Node]:
    """Yield the nodes of whose error a part comes."""
    if not isinstance(back, PreError):
        into = (back.into,) if isinstance(back, SendBack) else back.into
        yield from (node for node in into if node is not None)


def _unknown(kind: str, what: object) -> str:
    return (
        f"no C is made of the {kind} '{type(what).__name__}'; "
        "the eager and the compiled backend take it"
    )
