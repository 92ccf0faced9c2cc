"""A step as tables for C: where vectors lie, and what is done with them.

The same C carries out any of them, so that a library serves networks of any depth and length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from plastic_core.api.activation import Activation
from plastic_core.api.circuit import Apply, Node, Send
from plastic_core.api.maps import Activate, Add, Constant, Guarded, Normalise, Output
from plastic_core.api.step_maps import AtPlace, Follow, Join
from plastic_core.backends.native.code import NOWHERE, Code, Operation
from plastic_core.backends.native.layouts import LAID_OUT, Layouts
from plastic_core.backends.native.program import Kind, NotNativeError, Program
from plastic_core.backends.native.vectors import Vectors
from plastic_core.backends.step.description import (
    SENT_BACK,
    Description,
    MapBack,
    PreError,
    SendBack,
)

_OUTPUT_ERRORS = "C is not generated for feedback from the outputs to several places"


class StepTable:
    """One step of a circuit, or the passes of an update.

    Args:
        step: what to do.
        program: what its rules compute.
        later: what to do in the passes behind the first.

    Attributes:
        vectors: where they lie.
        operations: in order.
        forward: how many of them there are until the outputs are known, those of the first pass.
        signals: for each pass and projection the places of its signals, by name.
        events: of one sample in an update of each projection.
        input: the place of the input.
        output: that of what the output function gives, in the first pass.
        answers: how often it gives something for each sample.
        ahead: the projection that sends the input, once in an update and without a mask, or -1.
        activations: the different activation functions.
        layouts: how populations are laid out.
        shared: of each projection whether it sends at several places at once.
        masked: of each projection whether a mask leaves connections out.

    Raises:
        NotNativeError: the circuit has something that C is not generated for.
    """

    def __init__(
        self, step: Description, program: Program, later: Sequence[Description] = ()
    ) -> None:
        circuit, self._constants = step.circuit, program.constants
        self.vectors = Vectors(circuit)
        self.operations: list[Operation] = []
        self.activations: list[Activation] = []
        self.layouts = Layouts(circuit, self.vectors)
        self.shared = [circuit.places(sends[0].z) > 1 for sends in circuit.sends]
        self.masked = [matrix.mask is not None for matrix in circuit.matrices]
        self.signals: list[dict[str, int]] = []
        self._begin: dict[Send, int] = {}
        self.events = []
        for sends in circuit.sends:
            count = 0
            for send in sends:
                self._begin[send] = count
                count += len(circuit.events(send).pre) * circuit.places(send.z)
            self.events.append(count)
        self.input = self.vectors.at("node", circuit.input)
        self.output = self.vectors.at("node", circuit.output)
        self.answers = circuit.answers
        self.ahead = NOWHERE if program.ahead is None else program.ahead
        kinds = [program.kinds[kind] for kind in program.kind_of]
        self.forward = 0
        self._last = step.hooks.passes - 1
        for one in (step, *later):
            self._add(one, kinds)

    def _add(self, step: Description, kinds: Sequence[Kind]) -> None:
        """Add the operations of one pass."""
        circuit, self._step = step.circuit, step
        self.vectors.pass_index = step.index
        # each pass has projections of its own, which share their matrices
        self._first = step.index * len(circuit.sends)
        self._propagate = [kind.propagate for kind in kinds[self._first :]]
        self._signals: list[dict[str, int]] = [{} for _ in circuit.sends]
        self.signals += self._signals
        # how many parts the error of a node has, which of them came, and where it is no node's
        self._parts = Counter(node for back in step.backward for node in back.written)
        self._begun: set[Node] = set()
        self._elsewhere: dict[Node, int] = {}
        # what puts errors one after the other, before they are sent back
        self._error_copies: dict[Send, list[Operation]] = {}
        self._go_forward()
        self.forward = self.forward or len(self.operations)
        self._compare()
        self._go_back()

    def _own(self, p: int, name: str) -> None:
        """Make room for a signal that is no node's."""
        units = self._step.circuit.units[self._step.circuit.sends[p][0].pre.series]
        self._signals[p][name] = self.vectors.room((name, p), units, self.events[p])

    # forward

    def _go_forward(self) -> None:
        circuit = self._step.circuit
        for operation in circuit.operations:
            if type(operation) is Send:
                at = (self.vectors.at("node", operation.pre), self.vectors.at("node", operation.z))
                count = circuit.places(operation.z)
                p, begin = operation.projection, self._begin[operation]
                self.operations.append(Operation(Code.SEND, at, self._first + p, begin, count))
            elif type(operation) is Apply:
                self._apply(operation)
            else:
                raise NotNativeError(_unknown("operation", operation))
        for p, sends in enumerate(circuit.sends):
            names = {"pre": "pre", "source": "source", "post": "post", "z": "error"}
            for name, of in names.items():
                if name == "z" and name not in self._step.reads[p]:
                    continue
                nodes = [node for send in sends for node in getattr(circuit.events(send), of)]
                self._signals[p][name], copies = self.vectors.gather("node", nodes)
                self.operations += copies

    def _apply(self, operation: Apply) -> None:
        ins = [self.vectors.at("node", node) for node in operation.inputs]
        out, function = self.vectors.at("node", operation.output), operation.map
        count = self._step.circuit.places(operation.output)

        def add(code: Code, *places: int, which: int = 0) -> None:
            self.operations.append(Operation(code, places, which, count=count))

        if type(function) is Activate:
            add(Code.ACTIVATE, *ins, out, which=self._activation(function))
        elif type(function) is Normalise:
            add(Code.NORMALISE, *ins, out, self.vectors.at("scale", operation.output))
        elif type(function) is Add:
            total, *more = ins
            if not more:
                add(Code.COPY, total, out)
            for one in more:
                add(Code.ADD, total, one, out)
                total = out
        elif type(function) is Constant:
            add(Code.ONE, out)
        elif type(function) is Output:
            add(Code.OUTPUT, *ins, out)
        elif type(function) is Follow:
            self._scale(ins[0], function.leak, out)
            if ins[1:]:
                units = self._step.circuit.units[operation.output.series]
                kept = self.vectors.room(("kept", units), units, 1)
                self._scale(ins[1], 1 - function.leak, kept)
                add(Code.ADD, out, kept, out)
        elif type(function) is Join:
            for step, one in enumerate(ins):
                at = (one, self.vectors.at("node", operation.output, step))
                self.operations.append(Operation(Code.COPY, at))
        elif type(function) is AtPlace:
            add(Code.COPY, self.vectors.at("node", operation.inputs[0], function.place), out)
        elif type(function) in LAID_OUT:
            self.operations += self.layouts.read(operation, ins[0], out)
        else:
            plugin = function.function if isinstance(function, Guarded) else function
            raise NotNativeError(_unknown("map", plugin))

    def _scale(self, value: int, factor: float, out: int) -> None:
        if factor not in self._constants:
            self._constants.append(factor)
        which = self._constants.index(factor)
        self.operations.append(Operation(Code.SCALE, (value, out), which))

    def _activation(self, function: Activate) -> int:
        if function.activation not in self.activations:
            self.activations.append(function.activation)
        return self.activations.index(function.activation)

    # back

    def _compare(self) -> None:
        """Find the error of the output, and make room for what comes back."""
        step, circuit = self._step, self._step.circuit
        if step.error:
            output = self.vectors.at("node", circuit.output)
            places = (output, self.vectors.at("error", circuit.logits))
            self.operations.append(Operation(Code.COMPARE, places, count=self.answers))
        if any({"target", "loss"} & reads for reads in step.reads):
            place = self.vectors.at("target", circuit.output)
            self.operations.append(Operation(Code.TARGET, (place,), count=self.answers))
        for p, sends in enumerate(circuit.sends):
            signals, events = self._signals[p], [circuit.events(send) for send in sends]
            if step.errors[p]:
                nodes = [step.slot(node) for one in events for node in one.error]
                signals["error"], copies = self.vectors.gather("error", nodes, p)
                for send in sends if copies else ():
                    begin = self._begin[send]
                    count = len(circuit.events(send).error)
                    self._error_copies[send] = copies[begin : begin + count]
            sent_back = {step.sent_back(name)[1] for name in SENT_BACK.keys() & step.reads[p]}
            kinds = {"output_error": "error", "output": "node", "target": "target"}
            for name, kind in kinds.items():
                of_loss = kind != "error" and "loss" in step.reads[p]
                if name not in step.reads[p] | sent_back and not of_loss:
                    continue
                node = circuit.logits if kind == "error" else circuit.output
                if self.shared[p]:
                    if name in sent_back:
                        raise NotNativeError(_OUTPUT_ERRORS)
                    self._repeat(p, name, self.vectors.at(kind, node))
                    continue
                if self.answers > 1:  # those of its own steps
                    signals[name] = self.vectors.at(kind, node, events[0].error[0].step)
                    continue
                signals[name], copies = self.vectors.gather(kind, [node] * self.events[p])
                self.operations += copies
            for name in sorted(SENT_BACK.keys() & step.reads[p]):
                self._own(p, name)

    def _repeat(self, p: int, name: str, place: int) -> None:
        """Give each place of a projection what belongs to its sample."""
        units = self._step.circuit.units[self._step.circuit.output.series]
        to = self._signals[p][name] = self.vectors.room((name, p), units, self.events[p])
        self.operations.append(Operation(Code.REPEAT, (place, to), count=self.events[p]))

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
        p, nodes = back.send.projection, len(back.events.error)
        if not self._step.propagates[p]:
            return  # all events together, before it learns
        self.operations += self._error_copies.pop(back.send, [])
        begin = self._begin[back.send]
        places: tuple[int, ...] = ()
        adds: list[Operation] = []
        if back.whole is not None:
            raise NotNativeError(_OUTPUT_ERRORS)
        if back.into is not None:
            sent = self._sent_back_alone(p, back.into)
            if sent is None:
                place, adds = self._into(back.into, nodes)
                places = (place,)
            else:
                self._elsewhere[back.into] = self.vectors.place(sent, begin)
        count = nodes * self._step.circuit.places(back.send.z)
        which = self._first + p
        self.operations.append(Operation(Code.SEND_BACK, places, which, begin, count))
        self.operations += adds

    def _sent_back_alone(self, p: int, into: Node) -> int | None:
        """Return the buffer of what comes back, where that is all of the error of a node."""
        propagated = self._propagate[p]
        assert propagated is not None
        (signal,) = propagated.arguments if propagated.operation == "identity" else (propagated,)
        name = signal.arguments[0] if signal.operation == "signal" else ""
        if self._parts[into] > 1 or into in self._step.read_errors or name not in SENT_BACK:
            return None
        return self.vectors.places[self._signals[p][name]][0]

    def _into(self, node: Node, events: int = 1) -> tuple[int, list[Operation]]:
        """Return where a part of a node's error goes, and what adds it to other parts."""
        if events > 1:
            if self._parts[node] > 1 or node in self._step.circuit.maker:
                raise NotNativeError("C is not generated for errors of what several events read")
            units = self._step.circuit.units[node.series]
            self._elsewhere[node] = self.vectors.room(("error", node), units, events)
        begun = node in self._begun
        self._begun.add(node)
        place = self._arrived(node)
        if not begun:
            return place, []
        units, count = self._step.circuit.units[node.series], self._step.circuit.places(node)
        part = self.vectors.room(("part", units, count), units, count)
        return part, [Operation(Code.ADD, (place, part, place), count=count)]

    def _arrived(self, node: Node) -> int:
        return self._elsewhere[node] if node in self._elsewhere else self.vectors.at("error", node)

    def _map_back(self, back: MapBack) -> None:
        apply, function, error = back.apply, back.apply.map, self._arrived(back.error)
        count = self._step.circuit.places(apply.output)
        for number, node in enumerate(back.into):
            if node is None:
                continue
            into, adds = self._into(node)
            y = self.vectors.at("node", apply.output)
            if type(function) is Follow:
                self._scale(error, 1 - function.leak if number else function.leak, into)
                done = []
            elif type(function) is Join:
                at_step = self.vectors.at("error", back.error, number)
                done = [Operation(Code.COPY, (at_step, into))]
            elif type(function) is Activate and self._step.hooks.gated:
                at = (error, self.vectors.at("node", apply.inputs[0]), y, into)
                which = self._activation(function)
                done = [Operation(Code.ACTIVATE_BACK, at, which, count=count)]
            elif type(function) is Normalise and self._step.hooks.gated:
                at = (error, y, self.vectors.at("scale", apply.output), into)
                done = [Operation(Code.NORMALISE_BACK, at, count=count)]
            elif type(function) in LAID_OUT:
                done = self.layouts.bring_back(apply, error, into)
            else:  # a sum, or a map that the rule does not gate by
                done = [Operation(Code.COPY, (error, into), count=count)]
            self.operations += [*done, *adds]

    def _pre_error_back(self, back: PreError) -> None:
        circuit, p = self._step.circuit, back.send.projection
        if "pre_error" not in self._signals[p]:
            self._own(p, "pre_error")
        buffer, _ = self.vectors.places[self._signals[p]["pre_error"]]
        begin, nodes = self._begin[back.send], circuit.events(back.send).pre
        into, error = self.vectors.place(buffer, begin), self._arrived(back.error)
        gate = circuit.gate(back.population) if back.gated and self._step.hooks.gated else None
        places = circuit.places(back.population)
        if gate is not None and gate.activation.spec.slope_of == "y":
            if back.layouts:
                y, count = self.vectors.at("node", back.population), places
                units = circuit.units[back.population.series]
                gated = self.vectors.room(("gated", p), units, places)
            else:
                buffer, first = self.vectors.places[self._signals[p]["pre"]]
                y, count = self.vectors.place(buffer, first + begin), len(nodes) * places
                gated = into
            at = (error, y, y, gated)
            which = self._activation(gate)
            self.operations.append(Operation(Code.ACTIVATE_BACK, at, which, count=count))
            error = gated
        elif not back.layouts:
            self.operations.append(Operation(Code.COPY, (error, into), count=len(nodes) * places))
        self.operations += self.layouts.read_error(back.send.pre, error, into)

    def _learn(self, parts: int) -> None:
        """Let those projections learn whose signals are complete after so many parts.

        They learn in the last pass.
        """
        step, circuit = self._step, self._step.circuit
        for p in reversed(range(len(circuit.sends))):
            if step.complete_after[p] != parts:
                continue
            for send in circuit.sends[p]:
                self.operations += self._error_copies.pop(send, [])
            if not step.propagates[p] and SENT_BACK.keys() & step.reads[p]:
                which, count = self._first + p, self.events[p]
                self.operations.append(Operation(Code.SEND_BACK, (), which, 0, count))
            if "pre_error" in step.reads[p] and "pre_error" not in self._signals[p]:
                self._gather_pre_error(p)
            if step.index == self._last:
                self.operations.append(Operation(Code.LEARN, which=p))

    def _gather_pre_error(self, p: int) -> None:
        circuit = self._step.circuit
        if circuit.constant(circuit.sends[p][0].pre):  # which stays 0
            self._own(p, "pre_error")
            return
        nodes = [node for send in circuit.sends[p] for node in circuit.events(send).pre]
        below = [circuit.below(node) for node in nodes]
        slots = [self._step.slot(node) for node in below if node is not None]
        if len(slots) < len(nodes):
            raise NotNativeError("C is not generated for a pre_error of which a part is gated")
        self._signals[p]["pre_error"], copies = self.vectors.gather("error", slots, p)
        self.operations += copies


def _unknown(kind: str, what: object) -> str:
    return (
        f"no C is made of the {kind} '{type(what).__name__}'; "
        "the eager and the compiled backend take it"
    )
