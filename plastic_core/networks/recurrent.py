"""The recurrent network: unrolled over its steps forward, then backward through time.

    d = W_x x                   u_t = W_h y_t               (or a rule's own forward hooks)
    z_1 = d                     z_{t+1} = u_t + d           (d only while the input is shown)
    y_t = sigma(z_t)            output: the loss's of z_o = W_o y_T
    e_o = dL/dz_o               e_T = propagate(e_o) * sigma'(z_T)
    e_t = propagate(e_{t+1}) * sigma'(z_t)

An update sums over events. Those of W_x are the steps that show the input (pre x, post d, error
e_t), those of W_h the steps 1 .. T-1 (pre y_t, source z_t, post u_t, error e_{t+1}), and W_o has
one. All lie in buffers made once for each size of the mini-batch, step by step, so that each
signal of an update is a view and each step of the unrolled network is a slice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from plastic_core.api.loss import Loss
from plastic_core.api.network_spec import RecurrentSpec
from plastic_core.api.signals import SIGNAL_NAMES, Signals
from plastic_core.hooks.hooks import Hooks
from plastic_core.networks.activations import ACTIVATIONS
from plastic_core.networks.losses import loss_of
from plastic_core.networks.parameters import Parameters
from plastic_core.networks.products import aligned_zeros, product

#: The projections W_x, W_h and W_o.
INPUT, HIDDEN, OUTPUT = range(3)

_SENT_BACK: Final = frozenset({"error", "weight_error", "feedback_error", "pre_error"})


@dataclass(frozen=True)
class Needs:
    """What must be computed, from what the selected rules read.

    Attributes:
        reads: the signals that local updates read, by projection.
        propagate_reads: those that the propagating rule reads.
        error: e_o.
        through_time: e_t of the hidden units.
        into_input: the error that arrives at the input.
    """

    reads: tuple[frozenset[str], ...]
    propagate_reads: frozenset[str]
    error: bool
    through_time: bool
    into_input: bool

    def read(self, projection: int, signal: str) -> bool:
        """Return whether `signal` is read at a projection, by its rules or on the way back."""
        propagates = self.into_input if projection == INPUT else self.through_time
        return signal in self.reads[projection] or (propagates and signal in self.propagate_reads)


def plan_needs(hooks: Hooks) -> Needs:
    """Return what must be computed; where nobody reads an error there is no pass."""
    reads = tuple(
        frozenset[str]().union(*(rule.reads for rule in hooks.local if p in rule.layers))
        for p in range(3)
    )
    below = reads[INPUT] | reads[HIDDEN]
    through_time = bool(below & _SENT_BACK) or "pre_error" in reads[OUTPUT]
    error = through_time or any(r & {*_SENT_BACK, "output_error"} for r in reads)
    into_input = "pre_error" in reads[INPUT]
    return Needs(reads, hooks.propagate_reads, error, through_time, into_input)


@dataclass
class Projection:
    """See `plastic_core.networks.network.Space`; its factors lie in no stack."""

    projection: int
    signals: Signals
    stack: Tensor
    pair: tuple[Tensor, ...] = ()


class Recurrent:
    """A recurrent network; see `plastic_core.networks.network.Network`."""

    def __init__(
        self, spec: RecurrentSpec, hooks: Hooks, parameters: Parameters, loss: Loss | None = None
    ) -> None:
        self.spec, self.loss = spec, loss_of(spec, loss)
        self._hooks, self._parameters = hooks, parameters
        self._needs = plan_needs(hooks)
        # by number of events
        self._unrolled: dict[int, Unrolled] = {}

    def signals(self, x: Tensor, target: Tensor) -> Iterator[Projection]:
        """Run the steps forward and backward, then yield the output, W_h and W_x."""
        events = x.shape[1]
        unrolled = self._unrolled.get(events)
        if unrolled is None:
            unrolled = Unrolled(
                self.spec, self._hooks, self._needs, self._parameters, events, self.loss
            )
            self._unrolled[events] = unrolled
        unrolled.forward(x)
        if self._needs.error:
            unrolled.backward(target)
        return unrolled.projections()

    def activities(self, x: Tensor, replica: int) -> list[Tensor]:
        """Return the input, y_T and the output of one replica, for inputs ``[1, N, n_0]``."""
        _, hidden = self.trajectory(x, replica)
        return [x, hidden[-1], self.loss.output(self._send(OUTPUT, hidden[-1], replica))]

    def trajectory(self, x: Tensor, replica: int) -> tuple[list[Tensor], list[Tensor]]:
        """Return z_1 .. z_T and y_1 .. y_T of one replica, ``[1, N, n_h]`` each."""
        apply = ACTIVATIONS[self.spec.activation].apply
        drive = self._send(INPUT, x, replica)
        states, hidden = [drive], [apply(drive, None)]
        for t in range(1, self.spec.steps):
            z = self._send(HIDDEN, hidden[-1], replica)
            states.append(z + drive if t < self.spec.present else z)
            hidden.append(apply(states[-1], None))
        return states, hidden

    def _send(self, projection: int, pre: Tensor, replica: int) -> Tensor:
        s = Signals(projection + 1)
        s.pre, s.batch = pre, pre.shape[1]
        s.weight = self._parameters.weights[projection][replica : replica + 1]
        own = self._hooks.forward_at(projection)
        z = None if own is None else own(s)
        return torch.bmm(pre, s.weight.mT) if z is None else z


class Unrolled:
    """The buffers of all steps for R replicas and K events, and the signals that view them.

    Rows of a buffer count the steps, and within a step the events; step t lies in block t - 1.
    """

    def __init__(
        self,
        spec: RecurrentSpec,
        hooks: Hooks,
        needs: Needs,
        parameters: Parameters,
        events: int,
        loss: Loss,
    ) -> None:
        self._spec, self._hooks, self._needs, self._events = spec, hooks, needs, events
        self._loss = loss
        self._activation = ACTIVATIONS[spec.activation]
        self._parameters = parameters
        shown, steps = spec.present * events, spec.steps * events
        self._x = self._zeros(events, spec.inputs)
        self._shown = self._zeros(shown, spec.inputs)
        self._drive = self._zeros(events, spec.hidden)
        # W_h y of the step before, z where it is something else, y and e of each step
        self._sent, self._z, self._y, self._error = (
            self._zeros(steps, spec.hidden) for _ in range(4)
        )
        self._logits = self._zeros(events, spec.classes)

        output = self._signals(OUTPUT, self._at(self._y, -1), self._zeros(events, spec.classes))
        hidden = self._signals(HIDDEN, self._y[:, :-events], self._sent[:, events:])
        bottom = self._signals(INPUT, self._shown, self._zeros(shown, spec.hidden))
        hidden.source = self._z[:, :-events]
        if needs.error:
            output.error = output.output_error = self._zeros(events, spec.classes)
            output.pre_error = self._at(self._error, -1)
            hidden.error, hidden.pre_error = self._error[:, events:], self._error[:, :-events]
            bottom.error = self._error[:, :shown]
            bottom.pre_error = self._zeros(shown, spec.inputs)
            for s in (hidden, bottom):
                s.output_error = self._zeros(s.post.shape[1], spec.classes)
        self._all = (bottom, hidden, output)
        for p, s in enumerate(self._all):
            for name in ("recon", "weight_error", "feedback_error"):
                if needs.read(p, name):
                    setattr(s, name, self._zeros(s.pre.shape[1], s.pre.shape[2]))
        self._steps = [self._slice(hidden, t) for t in range(spec.steps - 1)]

        self._sends = [
            self._forward_to(INPUT, self._x, self._drive),
            *(
                self._forward_to(HIDDEN, s.pre, self._at(self._sent, t + 1))
                for t, s in enumerate(self._steps)
            ),
            self._forward_to(OUTPUT, output.pre, self._logits),
        ]
        blocks = (self._at(b, t) for b in (self._sent, self._z, self._y) for t in range(spec.steps))
        self._blocks = list(zip(*[iter(blocks)] * spec.steps, strict=True))
        self._sends_back = [self._back_from(s) for s in self._all]
        self._steps_back = [self._back_from(s) for s in self._steps]
        self._reconstructions = [
            product(s.post, s.weight, s.recon) for s in self._all if hasattr(s, "recon")
        ]

    def forward(self, x: Tensor) -> None:
        """Compute the activities of all steps, and the output."""
        present, apply = self._spec.present, self._activation.apply
        self._x.copy_(x)
        sent, states, activities = self._blocks
        self._sends[0]()
        states[0].copy_(self._drive)
        apply(self._drive, activities[0])
        for t in range(1, self._spec.steps):
            self._sends[t]()
            z = sent[t]
            if t < present:
                z = torch.add(z, self._drive, out=states[t])
            apply(z, activities[t])
        self._sends[-1]()
        self._all[OUTPUT].post.copy_(self._loss.output(self._logits))
        self._complete()

    def backward(self, target: Tensor) -> None:
        """Compute the errors of the output and, where they are read, of all steps."""
        bottom, hidden, top = self._all
        top.error.copy_(self._loss.error(top.post, target))
        for s in (bottom, hidden):
            self._at_each_step(s.output_error, top.error)
        self._send_back(top, self._sends_back[OUTPUT], self._needs.through_time)
        if self._needs.through_time:
            for s, products in zip(self._steps[::-1], self._steps_back[::-1], strict=True):
                self._send_back(s, products, True)
            self._send_back(bottom, self._sends_back[INPUT], self._needs.into_input)

    def projections(self) -> Iterator[Projection]:
        """Yield the projections from the output down."""
        for p in reversed(range(3)):
            yield Projection(p, self._all[p], self._all[p].post)

    def _complete(self) -> None:
        """Fill in what only updates read: the states, the input once for each step, W' post."""
        reads, first = self._needs.reads, self._spec.present * self._events
        if "source" in reads[HIDDEN]:
            self._z[:, first:].copy_(self._sent[:, first:])
        for value, shown in ((self._x, self._shown), (self._drive, self._all[INPUT].post)):
            if reads[INPUT]:
                self._at_each_step(shown, value)
        for reconstruct in self._reconstructions:
            reconstruct()

    def _send_back(self, s: Signals, products: list[Callable[[], Tensor]], on: bool) -> None:
        """Compute W' e and B e where they are read, and the error of the population before."""
        for send in products:
            send()
        if not on:
            return
        assert self._hooks.propagate is not None
        arrived = self._hooks.propagate(s)
        if self._hooks.gated:
            self._activation.gate(arrived, s.pre, s.pre_error)
        else:
            s.pre_error.copy_(arrived)

    def _signals(self, projection: int, pre: Tensor, post: Tensor) -> Signals:
        s, parameters = Signals(projection + 1), self._parameters
        s.batch, s.weight = self._events, parameters.weights[projection]
        if parameters.feedback:
            s.feedback = parameters.feedback[projection]
        s.pre, s.source, s.post = pre, pre, post
        return s

    def _slice(self, all_steps: Signals, t: int) -> Signals:
        """Return the signals of one step."""
        s = self._signals(HIDDEN, self._at(all_steps.pre, t), self._at(all_steps.post, t))
        for name in SIGNAL_NAMES - {"pre", "post", "weight", "feedback"}:
            if hasattr(all_steps, name):
                setattr(s, name, self._at(getattr(all_steps, name), t))
        return s

    def _forward_to(self, projection: int, pre: Tensor, out: Tensor) -> Callable[[], Tensor]:
        """Return a function that computes W pre, or what a rule's own forward hook gives."""
        weight = self._parameters.weights[projection]
        compute, own = product(pre, weight.mT, out), self._hooks.forward_at(projection)
        if own is None:
            return compute
        s = self._signals(projection, pre, out)

        def compute_own() -> Tensor:
            z = own(s)
            return compute() if z is None else out.copy_(z)

        return compute_own

    def _back_from(self, s: Signals) -> list[Callable[[], Tensor]]:
        """Return functions that compute W' e and B e at one projection, where they are read."""
        products = []
        if hasattr(s, "weight_error"):
            products.append(product(s.error, s.weight, s.weight_error))
        if hasattr(s, "feedback_error"):
            error = s.error if self._hooks.feedback == "layer" else s.output_error
            products.append(product(error, s.feedback.mT, s.feedback_error))
        return products

    def _at_each_step(self, blocks: Tensor, value: Tensor) -> None:
        """Write one value into all blocks."""
        replicas, rows, units = blocks.shape
        by_step = blocks.view(replicas, rows // self._events, self._events, units)
        by_step.copy_(value.unsqueeze(1))

    def _zeros(self, rows: int, units: int) -> Tensor:
        like = self._parameters.weights[0]
        return aligned_zeros(len(like), rows, units, like=like)

    def _at(self, blocks: Tensor, step: int) -> Tensor:
        """Return the block of one step, counted from 0, or from the end."""
        step %= blocks.shape[1] // self._events
        return blocks[:, step * self._events : (step + 1) * self._events]
