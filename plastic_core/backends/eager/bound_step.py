"""One step bound to buffers, which are made once for each number of samples.

At one sample a step allocation and dispatch are what costs, so every operation becomes a function
without arguments that writes where the next one reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from plastic_core.api.circuit import Apply, Events, Node, Send
from plastic_core.api.maps import Activate
from plastic_core.api.signals import MATRIX_SIGNALS, OF_SAMPLE, SIGNAL_NAMES, Signals
from plastic_core.backends.eager.buffers import Buffers, find_slopes
from plastic_core.backends.eager.repeating import laid_out, repeating
from plastic_core.backends.step.blank_signals import blank_signals
from plastic_core.backends.step.description import (
    SENT_BACK,
    Description,
    MapBack,
    PreError,
    SendBack,
)
from plastic_core.backends.step.functional import at_each_error
from plastic_core.hooks.own import Own
from plastic_core.networks.noise import NoiseOfUpdate
from plastic_core.networks.parameters import Parameters
from plastic_core.networks.products import aligned_zeros, product

_Functions = list[Callable[[], Any]]


class BoundStep:
    """The forward and the backward part of a step, for R replicas and K samples.

    Args:
        step: what to do.
        parameters: read, never written.
        samples: K.
        alone: whether each sample has the noise that it would have alone.

    Attributes:
        own: gives each rule what belongs to it.
        signals: of each projection, set by `functions`.
        output: what the output function gives, ``[R, K, n_L]``.
    """

    def __init__(
        self, step: Description, parameters: Parameters, samples: int, alone: bool = False
    ) -> None:
        self._step, self._parameters = step, parameters
        circuit = step.circuit
        self._noise = NoiseOfUpdate(parameters.state, parameters.weights[0].dtype, alone)
        self.own = Own(circuit, parameters.state.__getitem__, self._noise.of)
        self._buffers = Buffers(circuit, parameters.weights[0], samples)
        # what arrived at nodes whose error no rule reads
        self._arrived: dict[Node, Tensor] = {}
        self._kept, self._first = dict[Apply, Any](), set[Node]()
        self._of_sends, self._wholes = dict[Send, Signals](), dict[Send, Signals]()
        self._slopes: dict[Node, Tensor] = {}
        slopes = self._place()
        self.output = self._buffers.of("node", circuit.output)
        self._input = self._buffers.of("node", circuit.input)
        self._forward: _Functions = [self._forward_of(one) for one in circuit.operations]
        self._forward += slopes
        self._backward: _Functions = []
        self._target = self.output
        self._output_error = self._error(step.circuit.logits) if step.error else None
        self.signals = [self._of_projection(p) for p in range(len(circuit.sends))]
        # in the parts of the description: how many functions there are when each has its own
        self._lengths = [len(self._backward)]
        for back in step.backward:
            if isinstance(back, SendBack):
                self._bind_sending(back)
            elif isinstance(back, MapBack):
                self._backward.append(self._through_map(back))
            else:
                self._backward.append(self._pre_error_of(back))
            self._lengths.append(len(self._backward))
        one = circuit.sends[0][0]
        if step.hooks.input is not None and circuit.places(one.z) > 1:  # sees samples, no places
            self._as_a_whole(step.as_a_whole(one))
            self._lengths[-1] = len(self._backward)

    def _place(self) -> _Functions:
        """Place what is needed at once side by side; return what computes slopes after activity.

        Those are the activities that one activation function gave, and each with its error where
        both are sent back through one matrix.
        """
        step, circuit, buffers = self._step, self._step.circuit, self._buffers
        errors: dict[Node, Node] = {}
        for p, sends in enumerate(circuit.sends):
            events = circuit.events(sends[0])
            if {"weight_error", "recon"} <= step.reads[p] and len(sends) == len(events.post) == 1:
                error = step.slot(events.error[0])
                if buffers.can_lie_together(error, events.post[0]):
                    errors[events.post[0]] = error
        gated = step.hooks.gated
        passed = [b.apply for b in step.backward if isinstance(b, MapBack)]
        by_map: dict[Activate, dict[str, Node]] = {}
        for apply in passed:
            function = apply.map
            if gated and isinstance(function, Activate) and function.slope_of_y:
                by_map.setdefault(function, {}).setdefault(apply.output.series, apply.output)
        functions: _Functions = []
        for function, series in by_map.items():
            room = buffers.place([(errors.pop(node, None), node) for node in series.values()])
            slopes = aligned_zeros(*room.shape, like=room)
            for apply in passed:
                if apply.map is function:
                    self._slopes[apply.output] = buffers.beside(slopes, apply.output)
            functions.append(partial(find_slopes, function, room, slopes))
        for node, error in errors.items():
            buffers.place([(error, node)])
        return functions

    def functions(self, learn: Sequence[Callable[[], Any]] = ()) -> _Functions:
        """Return all that is done after `show`, in order.

        Args:
            learn: what each projection learns by, done as soon as its signals are complete and
                nothing needs its matrices any more, while they are in the cache; or nothing.
        """
        done: _Functions = [*self._forward]
        if self._output_error is not None:
            done.append(self._compare)
        begin, after = 0, self._step.complete_after
        for count, end in enumerate(self._lengths):
            done += self._backward[begin:end]
            complete = [p for p in reversed(range(len(learn))) if after[p] == count]
            done += [learn[p] for p in complete]
            begin = end
        return done

    @property
    def first_signals(self) -> Signals:
        """Those of the first projection, with a sample to an event."""
        return self._wholes.get(self._step.circuit.sends[0][0], self.signals[0])

    def show(self, x: Tensor, target: Tensor) -> None:
        """Take the next samples.

        Args:
            x: ``[R, K, n_0]``.
            target: ``[R, K, n_L]``.
        """
        self._input.copy_(x)
        self._target = target
        self._noise.forget()

    def _compare(self) -> None:
        assert self._output_error is not None
        self._output_error.copy_(self._step.circuit.loss.error(self.output, self._target))

    def _error(self, node: Node) -> Tensor:
        return self._buffers.of("error", self._step.slot(node))

    def _of_projection(self, p: int) -> Signals:
        """Return the signals of all sendings of a projection, and make those of each."""
        step, circuit, buffers = self._step, self._step.circuit, self._buffers
        sends = circuit.sends[p]
        found = [circuit.events(send) for send in sends]
        events = Events(*(sum(nodes, ()) for nodes in zip(*found, strict=True)))
        s = self._empty(p)
        for name in ("pre", "source", "post"):
            value, copies = buffers.of_all("node", getattr(events, name))
            setattr(s, name, value)
            self._forward += copies
        if "z" in step.reads[p]:
            s.z, copies = buffers.of_all("node", events.error)
            self._forward += copies
        rows, n_pre = s.pre.shape[1:]
        places = circuit.places(sends[0].z)
        for name in OF_SAMPLE:
            if name in step.reads[p]:
                self._backward.append(self._repeated(s, name, events.error, places))
        if step.errors[p]:
            s.error, copies = buffers.of_all("error", [step.slot(node) for node in events.error])
            assert not copies, "the errors of a projection follow one another"
        once = circuit.answers == 1
        if step.error and once and places == 1:
            errors = (circuit.logits,) * (rows // buffers.samples)
            s.output_error, copies = buffers.of_all("error", errors)
            if {"output_error", "feedback_error"} & step.reads[p]:
                self._backward += copies
        elif "output_error" in step.reads[p] or (not once and "feedback_error" in step.reads[p]):
            self._backward.append(self._repeated(s, "output_error", events.error, places))
        whole = step.whole(sends[0]) is not None
        for name in step.reads[p] & SENT_BACK.keys():
            if not whole or name in step.learns_by[p] or step.sent_back(name)[0] == "weight":
                setattr(s, name, buffers.zeros(rows, n_pre))
        if "pre_error" in step.reads[p]:
            own = any(isinstance(b, PreError) and b.send in sends for b in step.backward)
            if own or circuit.constant(sends[0].pre):
                s.pre_error = buffers.zeros(rows, n_pre)
            else:
                below = (circuit.below(node) for node in events.pre)
                slots = [step.slot(node) for node in below if node is not None]
                s.pre_error, copies = buffers.of_all("error", slots)
                assert not copies, "the errors of a projection follow one another"
        begin = 0
        for send, one in zip(sends, found, strict=True):
            end = begin + len(one.pre) * buffers.rows(one.pre[0])
            self._of_sends[send] = s if end - begin == rows else self._part(s, p, begin, end)
            begin = end
        return s

    def _repeated(
        self, s: Signals, name: str, errors: Sequence[Node], places: int
    ) -> Callable[[], Any]:
        """Make room for a signal of samples; return what writes it at each step and place."""
        loss, samples = self._step.circuit.loss, self._buffers.samples
        units = 1 if name == "loss" else self.output.shape[2]
        value = self._buffers.zeros(len(errors) * samples * places, units)
        setattr(s, name, value)
        computed: dict[str, Callable[[], Tensor]] = {
            "output_error": lambda: self._error(self._step.circuit.logits),
            "output": lambda: self.output,
            "target": lambda: self._target,
            "loss": lambda: loss.value(self.output, self._target).unsqueeze(-1),
        }
        return repeating(self._step.circuit, errors, samples, value, computed[name])

    def _empty(self, p: int) -> Signals:
        s = blank_signals(self._step.circuit, self._parameters, p, self._buffers.samples)
        s.pass_index = self._step.index
        return s

    def _part(self, whole: Signals, p: int, begin: int, end: int) -> Signals:
        part = self._empty(p)
        for name in SIGNAL_NAMES - MATRIX_SIGNALS:
            if hasattr(whole, name):
                setattr(part, name, getattr(whole, name)[:, begin:end])
        return part

    def _forward_of(self, operation: Send | Apply) -> Callable[[], Any]:
        buffers = self._buffers
        if isinstance(operation, Send):
            p = operation.projection
            pre, z = buffers.of("node", operation.pre), buffers.of("node", operation.z)
            compute = product(pre, self._parameters.weights[p].mT, z)
            own = self._step.hooks.forward_of(operation, self.own)
            if own is None:
                return compute
            s = self._empty(p)
            s.pre = pre

            def compute_own() -> Any:
                value = own(s)
                return compute() if value is None else z.copy_(value)

            return compute_own
        inputs = [buffers.of("node", node) for node in operation.inputs]
        out, kept, forward = buffers.of("node", operation.output), self._kept, operation.map.forward
        if isinstance(operation.map, Activate):
            z, activation = inputs[0], operation.map.activation.apply
            return lambda: out.copy_(activation(z))

        def apply() -> None:
            value, kept[operation] = forward(*inputs)
            out.copy_(value)

        return apply

    def _bind_sending(self, back: SendBack) -> None:
        """Compute what comes back through W and B where it is read, and the error that goes on."""
        step, s = self._step, self._of_sends[back.send]
        reads = step.reads[back.send.projection]
        both = None
        if {"weight_error", "recon"} <= reads:
            both = self._buffers.together(step.slot(back.events.error[0]), back.events.post[0])
        if both is not None:
            rows = s.pre.shape[1]
            sent_back = self._buffers.zeros(2 * rows, s.pre.shape[2])
            s.weight_error, s.recon = sent_back[:, :rows], sent_back[:, rows:]
            self._backward.append(product(both, s.weight, sent_back))
        for name in sorted(reads & SENT_BACK.keys()):
            matrix, of = step.sent_back(name)
            if matrix == "feedback" and back.whole is not None:
                self._feed_back_to_all(back, name in step.learns_by[back.send.projection])
            elif matrix == "feedback":
                self._backward.append(product(getattr(s, of), s.feedback.mT, getattr(s, name)))
            elif both is None:
                self._backward.append(product(getattr(s, of), s.weight, getattr(s, name)))
        if back.into is not None:
            propagate = step.hooks.propagate_of(back.send, self.own)
            add = self._adding(back.into)
            if not back.at_once:
                self._backward.append(lambda: add(propagate(s)))
            else:
                assert back.whole is not None
                one, shape = self._as_a_whole(back), self._buffers.of("node", back.whole).shape
                self._backward.append(lambda: add(propagate(one).reshape(shape)))

    def _as_a_whole(self, back: SendBack) -> Signals:
        """Return signals with all places of a sample side by side, as one event."""
        assert back.whole is not None
        if back.send not in self._wholes:
            s, buffers = self._of_sends[back.send], self._buffers
            one = self._wholes[back.send] = self._empty(back.send.projection)
            sides = {name: getattr(s, name, None) for name in ("post", "z", "error")}
            for name, value in {"pre": buffers.of("node", back.whole), **sides}.items():
                if value is not None:
                    setattr(one, name, value.view(len(value), buffers.samples, -1))
            for name in OF_SAMPLE:
                if name in self._step.hooks.propagate_reads | self._step.hooks.input_reads:
                    self._backward.append(self._repeated(one, name, [back.send.z], 1))
            one.output_error = self._error(self._step.circuit.logits)
            one.feedback_error = buffers.zeros(buffers.samples, one.pre.shape[2])
        return self._wholes[back.send]

    def _feed_back_to_all(self, back: SendBack, read: bool) -> None:
        """Compute B e_L for all places of a sample at once, and lay it out where it is read."""
        assert back.whole is not None
        one, s = self._as_a_whole(back), self._of_sends[back.send]
        self._backward.append(product(one.output_error, one.feedback.mT, one.feedback_error))
        if read:
            shape = self._buffers.of("node", back.whole).shape
            _, layouts = self._step.circuit.laid_out(back.send.pre)
            self._backward.append(
                lambda: s.feedback_error.copy_(laid_out(one.feedback_error.view(shape), layouts))
            )

    def _adding(self, node: Node) -> Callable[[Tensor], Any]:
        """Return a function that takes one part of an error; the first one begins the sum."""
        first = node not in self._first
        self._first.add(node)
        if node in self._step.read_errors:
            out = self._error(node)
            return out.copy_ if first else out.add_
        arrived = self._arrived

        def begin(part: Tensor) -> None:
            arrived[node] = part

        def add(part: Tensor) -> None:
            arrived[node] = arrived[node] + part

        return begin if first else add

    def _arriving(self, node: Node) -> Callable[[], Tensor]:
        if node in self._step.read_errors:
            error = self._error(node)
            return lambda: error
        arrived = self._arrived
        return lambda: arrived[node]

    def _through_map(self, back: MapBack) -> Callable[[], Any]:
        if isinstance(back.apply.map, Activate) and self._step.hooks.gated:
            return self._through_activation(back, back.apply.map)
        arriving, adding = self._arriving(back.error), [n and self._adding(n) for n in back.into]
        kept, apply, function = self._kept, back.apply, back.apply.map
        unchanged = function.gates and not self._step.hooks.gated

        def send() -> None:
            error = arriving()
            same = (error,) * len(adding)
            through = same if unchanged else function.backward(error, kept[apply])
            for add, one in zip(adding, through, strict=True):
                if add is not None:
                    add(one)

        return send

    def _through_activation(self, back: MapBack, function: Activate) -> Callable[[], Any]:
        """Return the same as of any map, in fewer operations."""
        (into,), arriving = back.into, self._arriving(back.error)
        assert into is not None
        known = self._slopes.get(back.apply.output)
        z = self._buffers.of("node", back.apply.inputs[0])
        y = self._buffers.of("node", back.apply.output)

        def slope() -> Tensor:
            return function.activation.slope(z, y) if known is None else known

        if into in self._step.read_errors and into not in self._first:
            self._first.add(into)
            out = self._error(into)
            return lambda: torch.mul(arriving(), slope(), out=out)
        add = self._adding(into)
        return lambda: add(arriving() * slope())

    def _pre_error_of(self, back: PreError) -> Callable[[], Any]:
        s, arriving, hooks = self._of_sends[back.send], self._arriving(back.error), self._step.hooks
        gate = self._step.circuit.gate(back.population) if back.gated and hooks.gated else None
        y = self._buffers.of("node", back.population)

        def write() -> None:
            error = arriving()
            if gate is not None:
                error = gate.at_input(error, at_each_error(y, error))
            s.pre_error.copy_(laid_out(error, back.layouts))

        return write
