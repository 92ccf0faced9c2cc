"""One step carried out without side effects: signals from tensors, or from what computes like them.

What a product with a matrix is, the arithmetic says: one for `torch.compile`, one for derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, Protocol

import torch

from plastic_core.api.circuit import Apply, Circuit, Node, Send
from plastic_core.api.maps import Map
from plastic_core.api.signals import MATRIX_SIGNALS, OF_SAMPLE, SIGNAL_NAMES, Signals
from plastic_core.backends.step.description import SENT_BACK, Description, PreError, SendBack
from plastic_core.backends.step.settling import Settling
from plastic_core.hooks.hooks import Shown
from plastic_core.hooks.own import Own

Nodes = dict[Node, Any]


class _Shown(NamedTuple):
    """What was computed of a mini-batch.

    Attributes:
        nodes: of the circuit.
        errors: dL/d of nodes, as far as it came.
        of_sample: the signals of each sample, by name.
        batch: the size of the mini-batch.
    """

    nodes: Nodes
    errors: Nodes
    of_sample: Mapping[str, Any]
    batch: int


class Arithmetic(Protocol):
    """Products with the matrices of a projection, and what else is not the same for all."""

    def matrix(self, kind: Literal["weight", "feedback"], projection: int) -> Any:
        """Return W ("weight"), or B ("feedback")."""
        ...

    def send(self, projection: int, pre: Any) -> Any:
        """Return W pre."""
        ...

    def send_back(self, projection: int, posts: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return W' of each."""
        ...

    def feed_back(self, projection: int, error: Any) -> Any:
        """Return B error."""
        ...

    def apply(self, function: Map, inputs: Sequence[Any]) -> tuple[Any, Any]:
        """Return what a map gives, and what its way back needs."""
        ...

    def apply_back(self, function: Map, error: Any, kept: Any) -> Sequence[Any]:
        """Return the errors of what a map was given."""
        ...

    def stored(self, error: Any) -> Any:
        """Return an error that many read."""
        ...


def go_forward(
    circuit: Circuit,
    x: Any,
    send: Callable[[Send, Any], Any],
    apply: Callable[[Map, Sequence[Any]], tuple[Any, Any]],
    wanted: Collection[Node] | None = None,
) -> tuple[Nodes, dict[Apply, Any]]:
    """Return nodes, and what the maps keep for the way back.

    Args:
        circuit: the network.
        x: the input.
        send: what goes through a projection.
        apply: what a map gives, and keeps.
        wanted: the nodes that are kept; None for all.
    """
    nodes: Nodes = {circuit.input: x}
    kept: dict[Apply, Any] = {}
    for operation in circuit.operations:
        if isinstance(operation, Send):
            nodes[operation.z] = send(operation, nodes[operation.pre])
        else:
            inputs = [nodes[node] for node in operation.inputs]
            nodes[operation.output], kept[operation] = apply(operation.map, inputs)
        if wanted is not None:
            for node in circuit.read_last.get(operation, ()):
                if node not in wanted:
                    del nodes[node]
    return nodes, kept


def at_each_error(y: Any, error: Any) -> Any:
    """Return an activity for each of its errors: what is sent once may be read at many steps."""
    count = error.shape[1] // y.shape[1]
    return y if count == 1 else y.repeat(1, count, 1)


class _Products(NamedTuple):
    """See `plastic_core.api.signals.Products`."""

    arithmetic: Arithmetic
    projection: int

    def forward(self, v: Any) -> Any:
        return self.arithmetic.send(self.projection, v)

    def back(self, v: Any) -> Any:
        return self.arithmetic.send_back(self.projection, {"v": v})["v"]

    def feed_back(self, v: Any) -> Any:
        return self.arithmetic.feed_back(self.projection, v)


def signals_of_passes(
    steps: Sequence[Description], arithmetic: Arithmetic, own: Own, x: Any, target: Any
) -> tuple[Any, list[Signals]]:
    """Return the outputs, and what the rules may read, of all passes of an update.

    Args:
        steps: the passes.
        arithmetic: see `FunctionalPass`, as `own`.
        own: gives each rule what belongs to it.
        x: ``[R, K, n_0]``.
        target: ``[R, K, n_L]``.
    """
    hooks, circuit = steps[0].hooks, steps[0].circuit
    if hooks.settle is not None:
        empty = FunctionalPass(steps[0], arithmetic, own).empty
        settling = Settling(circuit, hooks, own, lambda p: empty(p, x.shape[1]))
        signals = settling.run(x, target, hooks.settle.phases)
        return settling.activities[-1], signals
    found, shown = [], x
    for step in steps:
        one = FunctionalPass(step, arithmetic, own)
        found.append(one.signals(shown, target))
        if step.index < len(steps) - 1:
            first = Shown(one.first, x, target, step.index + 1)
            shown = hooks.shown_next(first, own, circuit.sends[0][0])
    output, signals = found[0]
    if len(steps) > 1:
        for of_each in zip(*(signals for _, signals in found), strict=True):
            of_each[0].passes = of_each
    return output, signals


class FunctionalPass:
    """Carries out the forward and the backward part of a step.

    Args:
        step: what to do.
        arithmetic: how.
        own: gives each rule what belongs to it.

    Attributes:
        first: signals of the first projection, with a sample to an event, where they decide what
            the next pass shows.
    """

    first: Signals | None = None

    def __init__(self, step: Description, arithmetic: Arithmetic, own: Own) -> None:
        self._step, self._arithmetic, self._own = step, arithmetic, own

    def forward(self, x: Any, learning: bool = True) -> tuple[Nodes, dict[Apply, Any]]:
        """Return all nodes, and what the maps keep for the way back.

        Args:
            x: ``[R, K, n_0]``.
            learning: whether it is a step of learning.
        """
        own = self._own if learning else replace(self._own, noise=None)

        def send(operation: Send, pre: Any) -> Any:
            function = self._step.hooks.forward_of(operation, own)
            if function is not None:
                s = self.empty(operation.projection, x.shape[1], learning)
                s.pre = pre
                z = function(s)
                if z is not None:
                    return z
            return self._arithmetic.send(operation.projection, pre)

        return go_forward(self._step.circuit, x, send, self._arithmetic.apply)

    def signals(self, x: Any, target: Any) -> tuple[Any, list[Signals]]:
        """Return the outputs, and of each projection what its rules may read.

        Args:
            x: ``[R, K, n_0]``.
            target: ``[R, K, n_L]``.
        """
        step, circuit = self._step, self._step.circuit
        nodes, kept = self.forward(x)
        errors: Nodes = {}

        def add(node: Node, error: Any) -> None:
            errors[node] = errors[node] + error if node in errors else error

        output = nodes[circuit.output]
        if step.error:
            errors[circuit.logits] = circuit.loss.error(output, target)
        of_sample = {"output": output, "target": target}
        if any("loss" in reads for reads in step.reads):
            value = circuit.loss.value(output, target)
            of_sample["loss"] = value.to(target.dtype).unsqueeze(-1)
        shown = _Shown(nodes, errors, of_sample, x.shape[1])
        sent: dict[Send, Signals] = {}
        own_errors: dict[Send, Any] = {}
        for back in step.backward:
            if isinstance(back, SendBack):
                s = sent[back.send] = self._of_one(back, shown)
                if back.into is not None:
                    propagate = step.hooks.propagate_of(back.send, self._own)
                    if not back.at_once:
                        add(back.into, propagate(s))
                    else:
                        whole = self._as_a_whole(back, shown, s)
                        error = propagate(whole)
                        assert back.whole is not None
                        add(back.into, error.reshape(nodes[back.whole].shape))
            elif isinstance(back, PreError):
                gate, arrived = circuit.gate(back.population), errors[back.error]
                if back.gated and gate is not None and step.hooks.gated:
                    arrived = gate.at_input(arrived, at_each_error(nodes[back.population], arrived))
                for layout in back.layouts:
                    arrived, _ = self._arithmetic.apply(layout, [arrived])
                own_errors[back.send] = arrived
            else:
                error = errors[back.error]
                if back.apply.map.gates and not step.hooks.gated:
                    through: Sequence[Any] = (error,) * len(back.into)
                else:
                    through = self._arithmetic.apply_back(back.apply.map, error, kept[back.apply])
                for node, one in zip(back.into, through, strict=True):
                    if node is not None:
                        add(node, self._arithmetic.stored(one))
        every = [self._of_all(sends, shown, sent, own_errors) for sends in circuit.sends]
        if step.hooks.input is not None and step.index < step.hooks.passes - 1:
            self.first = self._first_signals(shown, every[0])
        return output, every

    def _first_signals(self, shown: _Shown, s: Signals) -> Signals:
        """Return the signals of the first projection, with a sample to an event."""
        send = self._step.circuit.sends[0][0]
        if self._step.circuit.places(send.z) == 1:
            return s
        return self._as_a_whole(self._step.as_a_whole(send), shown, s)

    def settled(self, x: Any) -> list[Any]:
        """Return the activities of a network that is evaluated, where its first phase ended."""
        hooks = self._step.hooks
        assert hooks.settle is not None
        quiet = replace(self._own, noise=None)
        settling = Settling(
            self._step.circuit, hooks, quiet, lambda p: self.empty(p, x.shape[1], learning=False)
        )
        settling.run(x, None, hooks.settle.phases[:1])
        return settling.activities

    def empty(self, projection: int, batch: int, learning: bool = True) -> Signals:
        """Return signals of a projection with its matrices alone."""
        products = _Products(self._arithmetic, projection)
        s = Signals(self._step.circuit.sites[projection], products, learning)
        s.pass_index = self._step.index
        s.batch, s.weight = batch, self._arithmetic.matrix("weight", projection)
        if self._step.hooks.feedback is not None:
            s.feedback = self._arithmetic.matrix("feedback", projection)
        return s

    def _join(self, parts: Sequence[Any]) -> Any:
        return parts[0] if len(parts) == 1 else torch.cat(list(parts), 1)

    def _of_one(self, back: SendBack, shown: _Shown) -> Signals:
        """Return the signals of one sending, all that is read but `pre_error`."""
        step, events, (nodes, errors, of_sample, batch) = self._step, back.events, shown
        p = back.send.projection
        reads, s = step.reads[p], self.empty(p, batch)
        read: Any = s
        for name in ("pre", "source", "post"):
            setattr(s, name, self._join([nodes[node] for node in getattr(events, name)]))
        if "z" in reads:
            s.z = self._join([nodes[node] for node in events.error])
        for name in (name for name in OF_SAMPLE if name in reads):
            setattr(s, name, self._repeated(of_sample[name], back))
        of_events = [step.slot(node) for node in events.error]
        if all(node in errors for node in of_events):
            read.error = self._join([errors[node] for node in of_events])
        if step.error:
            read.output_error = self._repeated(errors[step.circuit.logits], back)
        through_weight: dict[str, Any] = {}
        for name in sorted(SENT_BACK.keys() & reads):
            matrix, of = step.sent_back(name)
            if matrix == "weight":
                through_weight[name] = getattr(s, of)
            elif back.whole is None:
                setattr(s, name, self._arithmetic.feed_back(p, getattr(s, of)))
            elif name in step.learns_by[p]:
                fed_back = self._arithmetic.feed_back(p, errors[step.circuit.logits])
                arrived = fed_back.reshape(nodes[back.whole].shape)
                for layout in step.circuit.laid_out(back.send.pre)[1]:
                    arrived, _ = self._arithmetic.apply(layout, [arrived])
                setattr(s, name, arrived)
        if through_weight:
            for name, value in self._arithmetic.send_back(p, through_weight).items():
                setattr(s, name, value)
        return s

    def _repeated(self, of_sample: Any, back: SendBack) -> Any:
        """Return what belongs to samples at each of their steps and places."""
        circuit, steps = self._step.circuit, [node.step for node in back.events.error]
        places = circuit.places(back.send.z)
        if circuit.answers > 1:
            of_each = of_sample.unflatten(1, (-1, circuit.answers))
            return self._join([of_each[:, :, step] for step in steps])
        value = self._join([of_sample] * len(steps))
        return value.repeat_interleave(places, 1) if places > 1 else value

    def _as_a_whole(self, back: SendBack, shown: _Shown, s: Signals) -> Signals:
        """Return signals with all places of a sample side by side, as one event."""
        assert back.whole is not None
        p, output_error = back.send.projection, shown.errors.get(self._step.circuit.logits)
        one: Any = self.empty(p, s.batch)
        sides = {name: getattr(s, name, None) for name in ("post", "z", "error")}
        for name, value in {"pre": shown.nodes[back.whole], **sides}.items():
            if value is not None:
                setattr(one, name, value.reshape(len(value), s.batch, -1))
        for name, value in {**shown.of_sample, "output_error": output_error}.items():
            if value is not None:
                setattr(one, name, value)
        if "feedback_error" in self._step.reads[p]:
            one.feedback_error = self._arithmetic.feed_back(p, output_error)
        whole: Signals = one
        return whole

    def _of_all(
        self,
        sends: Sequence[Send],
        shown: _Shown,
        sent: dict[Send, Signals],
        own_errors: dict[Send, Any],
    ) -> Signals:
        """Return the signals of a projection, those of its sendings one after the other."""
        step, circuit = self._step, self._step.circuit
        p = sends[0].projection
        parts = []
        for send in sends:
            s = sent.get(send)
            if s is None:  # nothing came back through it
                back = SendBack(send, circuit.events(send), 0, None, step.whole(send), False)
                s = self._of_one(back, shown)
            if "pre_error" in step.reads[p]:
                own = s.pre * 0 if circuit.constant(send.pre) else own_errors.get(send)
                if own is None:
                    below = [circuit.below(node) for node in circuit.events(send).pre]
                    own = self._join([shown.errors[step.slot(node)] for node in below if node])
                s.pre_error = own
            parts.append(s)
        if len(parts) == 1:
            return parts[0]
        joined = self.empty(p, shown.batch)
        for name in SIGNAL_NAMES - MATRIX_SIGNALS:
            if all(hasattr(s, name) for s in parts):
                setattr(joined, name, self._join([getattr(s, name) for s in parts]))
        return joined
