"""What one step of learning consists of, as data: the one description that backends carry out.

    forward     z = W pre, maps             in the circuit's own order
    backward    e_L = dL/dz_L, then in the reverse order
                W' e, B e and W' post where they are read, the error that a rule propagates,
                and errors through maps
    update      of each projection, from signals that all belong to one snapshot

Where nobody reads an error there is no backward part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from plastic_core.api.circuit import Apply, Circuit, Events, Node, Send
from plastic_core.api.maps import Add, Constant, Map, Output
from plastic_core.api.signals import ERROR_SIGNALS, SIGNALS
from plastic_core.hooks.hooks import Hooks

#: Signals that come back through a matrix of their projection.
SENT_BACK: Final[dict[str, tuple[str, str]]] = {
    name: one.product for name, one in SIGNALS.items() if one.product
}


@dataclass(frozen=True, eq=False)
class SendBack:
    """What comes back through one sending.

    Attributes:
        send: the sending.
        events: what its update sees.
        place: which of the projection's sendings it is.
        into: whose gradient the error is part of that the propagating rule gives, or None where
            none goes on.
        whole: the population that it reaches at all places at once, where feedback comes from the
            outputs and the weights are shared, or None.
        at_once: whether the propagating rule gives the error of the whole population.
    """

    send: Send
    events: Events
    place: int
    into: Node | None
    whole: Node | None
    at_once: bool

    @property
    def written(self) -> tuple[Node, ...]:
        """The nodes of whose gradient it is a part."""
        return () if self.into is None else (self.into,)


@dataclass(frozen=True, eq=False)
class MapBack:
    """Errors through a map.

    Attributes:
        apply: the map.
        error: whose gradient comes.
        into: for each input whose gradient it is part of, or None where nobody needs it.
    """

    apply: Apply
    error: Node
    into: tuple[Node | None, ...]

    @property
    def written(self) -> tuple[Node, ...]:
        """The nodes of whose gradient it gives a part."""
        return tuple(node for node in self.into if node is not None)


@dataclass(frozen=True, eq=False)
class PreError:
    """The signal `pre_error` of a sending, where it is not an error that is there anyway.

    Attributes:
        send: the sending.
        population: what it sends, before that is laid out.
        error: whose gradient it is made of.
        gated: whether that is of the activity, and not of z of the layer that made it.
        layouts: how the population is laid out.
    """

    send: Send
    population: Node
    error: Node
    gated: bool
    layouts: tuple[Map, ...]
    written: tuple[Node, ...] = ()  # a signal is no gradient


class Description:
    """One step of a circuit with the hooks of a run.

    Args:
        circuit: the network.
        hooks: the resolved hooks.
        index: which pass of an update it is.

    Attributes:
        circuit, hooks, index: as given.
        propagates: of each projection whether an error goes on below it.
        learns_by: of each projection the signals that its rules read to learn.
        reads: of each projection the signals that must be computed.
        error: whether the error of the output is needed.
        errors: of each projection whether there is one.
        read_errors: the nodes whose gradient a rule reads, and the first of all.
        backward: the backward part, in order, after the error of the output.
        complete_after: of each projection how many parts of it must have been carried out until its
            signals are complete, and nothing that comes later needs its matrices.
    """

    def __init__(self, circuit: Circuit, hooks: Hooks, index: int = 0) -> None:
        self.circuit, self.hooks, self.index = circuit, hooks, index
        depth = len(circuit.sends)
        first = hooks.input_reads if index < hooks.passes - 1 else frozenset[str]()
        self.learns_by = tuple(
            frozenset(() if p else first).union(
                *(rule.reads_in(index) for rule in hooks.local if p in rule.layers)
            )
            for p in range(depth)
        )
        # what comes from the outputs at once needs the error of the output alone
        at_once = {"feedback_error"} if hooks.feedback == "output" else set[str]()
        self._from_error = ERROR_SIGNALS - at_once
        self._needed = self._find_needed()
        self.propagates = tuple(
            any(send.pre in self._needed for send in sends) for sends in circuit.sends
        )
        self.reads = tuple(
            self.learns_by[p] | (hooks.propagate_reads if self.propagates[p] else frozenset())
            for p in range(depth)
        )
        of_output = {"output_error"} | at_once
        self.error = circuit.logits in self._needed or any(of_output & r for r in self.reads)
        slots = {self.slot(node) for node in self._needed} | (
            {circuit.logits} if self.error else set()
        )
        of_each = [
            {self.slot(node) for send in sends for node in circuit.events(send).error}
            for sends in circuit.sends
        ]
        self.errors = tuple(slots >= nodes for nodes in of_each)
        read = set[Node]().union(*of_each, *map(self._read_below, range(depth)))
        self.read_errors = slots & (read | {circuit.logits})
        self.backward: Final = tuple(self._find_backward())
        self.complete_after: Final = tuple(map(self._last_of, range(depth)))

    def sent_back(self, name: str) -> tuple[str, str]:
        """Return the matrix that a signal of `SENT_BACK` comes back through, and what does."""
        matrix, of = SENT_BACK[name]
        if matrix == "feedback" and of == "error" and self.hooks.feedback == "output":
            return matrix, "output_error"
        return matrix, of

    def as_a_whole(self, send: Send) -> SendBack:
        """Return what sends nothing back, and sees all places of a sample side by side."""
        whole, _ = self.circuit.laid_out(send.pre)
        return SendBack(send, self.circuit.events(send), 0, None, whole, False)

    def whole(self, send: Send) -> Node | None:
        """See `SendBack`."""
        if self.hooks.feedback != "output" or self.circuit.places(send.z) == 1:
            return None
        return self.circuit.laid_out(send.pre)[0]

    def _read_below(self, projection: int) -> set[Node]:
        """Return the nodes whose gradient is the signal `pre_error` as it is."""
        if "pre_error" not in self.learns_by[projection]:
            return set()
        pre = (node for s in self.circuit.sends[projection] for node in self.circuit.events(s).pre)
        return {self.slot(below) for node in pre if (below := self.circuit.below(node))}

    def _error_below(self, pre: Node) -> Node:
        """Return the node whose gradient `pre_error` is, before it is laid out and gated."""
        population, _ = self.circuit.laid_out(pre)
        return self.circuit.below(population) or population

    def slot(self, node: Node) -> Node:
        """Return the node that has the same gradient: that of a sum is the gradient of its parts.

        Of a part, that is, that nothing else reads.
        """
        readers = self.circuit.readers[node]
        if len(readers) == 1 and isinstance(readers[0], Apply) and isinstance(readers[0].map, Add):
            return self.slot(readers[0].output)
        return node

    def _find_needed(self) -> set[Node]:
        """Return the nodes whose gradient somebody needs."""
        circuit, needed, sent_back = self.circuit, set[Node](), set[int]()
        for p, sends in enumerate(circuit.sends):
            for events in map(circuit.events, sends):
                if self.learns_by[p] & self._from_error:
                    needed.update(events.error)
                if "pre_error" in self.learns_by[p]:
                    varying = (node for node in events.pre if not circuit.constant(node))
                    needed.update(map(self._error_below, varying))
        for operation in circuit.operations:
            if isinstance(operation, Send):
                p = operation.projection
                if operation.pre in needed and p not in sent_back:
                    sent_back.add(p)  # at all its steps, for their errors lie side by side
                    needed.update(*(circuit.events(send).error for send in circuit.sends[p]))
            elif not operation.map.constant and needed.intersection(operation.inputs):
                needed.add(operation.output)
        return needed

    def _last_of(self, projection: int) -> int:
        """See `complete_after`."""
        circuit, last = self.circuit, 0
        events = [circuit.events(send) for send in circuit.sends[projection]]
        written = {self.slot(node) for one in events for node in one.error}
        if "pre_error" in self.reads[projection]:
            written |= {self.slot(self._error_below(node)) for one in events for node in one.pre}
        for count, back in enumerate(self.backward, start=1):
            if isinstance(back, MapBack):
                concerned = not written.isdisjoint(back.into)
            else:
                concerned = back.send.projection == projection
                concerned |= isinstance(back, SendBack) and back.into in written
            last = count if concerned else last
        return last

    def _find_backward(self) -> Iterator[SendBack | MapBack | PreError]:
        circuit, needed, hooks = self.circuit, self._needed, self.hooks
        places = {send: i for sends in circuit.sends for i, send in enumerate(sends)}
        arrived = {circuit.logits}
        for operation in reversed(circuit.operations):
            if isinstance(operation, Send):
                whole = self.whole(operation)
                # what others read of feedback changes nothing of how this one propagates
                own = hooks.propagator is not None and hooks.propagator.spec.feedback is not None
                at_once = whole is not None and own
                to = operation.pre if whole is None or not own else whole
                into = self.slot(to) if to in needed else None
                if into or SENT_BACK.keys() & self.reads[operation.projection]:
                    events = circuit.events(operation)
                    yield SendBack(operation, events, places[operation], into, whole, at_once)
                arrived.update([into] if into else [])
            elif operation.output in needed and not isinstance(operation.map, Output | Constant):
                error = self.slot(operation.output)
                slots = [self.slot(node) if node in needed else None for node in operation.inputs]
                # that of a sum stands in the same place
                into_each = tuple(None if slot == error else slot for slot in slots)
                if any(into_each) and error in arrived:
                    yield MapBack(operation, error, into_each)
                    arrived.update(slot for slot in into_each if slot)
        for p, sends in enumerate(circuit.sends):
            for send in sends:
                population, layouts = circuit.laid_out(send.pre)
                gated = circuit.below(population) is None
                reads = "pre_error" in self.learns_by[p] and not circuit.constant(send.pre)
                if reads and (gated or layouts):
                    error = self.slot(self._error_below(send.pre))
                    yield PreError(send, population, error, gated, layouts)
