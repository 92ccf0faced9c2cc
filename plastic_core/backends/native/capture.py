"""What the rules of a run compute at each projection, as expressions over its vectors.

The hooks that the eager backend calls are followed once. Projections at which the same rules do
the same are of one kind, for which C is generated once. What a C loop cannot be made of is
refused with the reason.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from plastic_core.api.plugin import Rule, Transform
from plastic_core.api.signals import SIGNALS
from plastic_core.api.site import Site
from plastic_core.api.specs import State
from plastic_core.api.update import Decay, Dense, Outer, as_update
from plastic_core.backends.native.follower import Follower
from plastic_core.backends.native.loss_capture import capture_loss, capture_loss_value
from plastic_core.backends.native.matrix_forms import INSTEAD
from plastic_core.backends.native.program import (
    Kind,
    MatrixUpdate,
    Needs,
    NotNativeError,
    Program,
    RankOne,
    Value,
    Values,
)
from plastic_core.backends.native.sent_back import send_back_later
from plastic_core.backends.native.transform_capture import capture_transforms, transform_slots
from plastic_core.backends.step.description import Description
from plastic_core.base.seeds import name_hash
from plastic_core.hooks.hooks import LocalRule
from plastic_core.hooks.own import state_key
from plastic_core.hooks.result import split_result


def capture(
    step: Description,
    dtype: torch.dtype,
    later: Sequence[Description] = (),
    ahead: bool = True,
) -> Program:
    """Return what the rules of a run compute, and its loss.

    Args:
        step: circuit and hooks.
        dtype: of the run.
        later: the same in the passes behind the first.
        ahead: look for a projection whose inputs are known ahead.

    Raises:
        NotNativeError: with the reason.
    """
    if dtype not in (torch.float32, torch.float64):
        raise NotNativeError(f"dtype {dtype}")
    return _Capture([step, *later], dtype, ahead).program()


class _Capture:
    def __init__(self, steps: Sequence[Description], dtype: torch.dtype, ahead: bool) -> None:
        self.steps, self.dtype = steps, dtype
        self.hooks, self.circuit = steps[0].hooks, steps[0].circuit
        hooks = self.hooks
        thetas: dict[str, None] = {}
        for rule in hooks.local:
            own = (f"{rule.name}.{name}" for name in rule.spec.thetas)
            thetas.update(dict.fromkeys((rule.theta, *own)))
        self.thetas = [*thetas]
        # of the rules that have states, the projections where they do
        self.acts: dict[str, set[int]] = {}
        acting = [(rule.spec, rule.layers) for rule in hooks.local]
        if hooks.propagator is not None:
            acting.append((hooks.propagator.spec, frozenset(range(self.circuit.depth))))
        acting += [(rule.spec, layers) for rule, layers, _ in hooks.forward]
        for spec, layers in acting:
            self.acts.setdefault(spec.name, set()).update(layers)
        states = {
            (spec.name, name): state for spec, _ in acting for name, state in spec.state.items()
        }
        self.slots = [slot for slot, state in states.items() if not state.is_matrix]
        self.matrix_slots = [slot for slot, state in states.items() if state.over == "weight"]
        self.own_slots = {
            slot: self._units_of(state, self.acts[slot[0]])
            for slot, state in states.items()
            if state.is_matrix and state.over != "weight"
        }
        self.transform_slots = transform_slots(hooks, len(self.slots), self.matrix_slots)
        if hooks.transforms and any("feedback" in rule.spec.modifies for rule in hooks.local):
            raise NotNativeError("C is not generated for transforms of a feedback matrix")
        noises = [(spec.name, name) for spec, _ in acting for name in sorted(spec.noise)]
        self.noises = [*dict.fromkeys(noises)]
        self.uniform_decays: list[tuple[str, float]] = []
        self.values = Values()
        self.follower = Follower(
            self.values,
            self.slots,
            dtype,
            self.noises,
            self.thetas,
            self.matrix_slots,
            self.own_slots,
        )
        self.ahead = self._ahead() if ahead else None
        self.values.later = [{} for _ in steps[1:]]
        # the loss of a sample in each pass, which is made of other signals
        self.losses: list[dict[str, Value]] = [{} for _ in steps]
        if any("loss" in reads for step in steps for reads in step.reads):
            self.losses = [{"loss": self._loss_in(step.index)} for step in steps]

    def _units_of(self, state: State, layers: Iterable[int]) -> str:
        """Return the populations of the rows and columns of a state over another matrix than W."""
        if state.over != "feedback":
            return state.over.replace("output", "out")
        if self.hooks.feedback != "output":
            return "pre*post"
        if any(self.circuit.places(self.circuit.sends[p][0].z) > 1 for p in layers):
            raise NotNativeError(
                "C is not generated for a state over feedback from the outputs to several places"
            )
        return "pre*out"

    def _loss_in(self, pass_index: int) -> Value:
        made_of = {name: self.values.signal(name, pass_index) for name in ("output", "target")}
        self.values.known = made_of
        return capture_loss_value(self.circuit.loss, self.values, self.dtype)

    def program(self) -> Program:
        depth = len(self.circuit.sends)
        kinds: list[Kind] = []
        known: dict[tuple[Any, ...], int] = {}
        kind_of = []
        for step, p in itertools.product(self.steps, range(depth)):
            sends, learns = self.circuit.sends[p], step.index == 0  # which is told of all passes
            propagates = step.propagates[p]
            needs = Needs(*(name in step.reads[p] for name in Needs._fields))
            # what Oja's rule reconstructs: over time not what was sent
            events = map(self.circuit.events, sends)
            own_source = any(one.source != one.pre for one in events)
            rules = tuple(rule for rule in self.hooks.local if p in rule.layers and learns)
            site = self.circuit.sites[p]
            forwards = tuple(
                (rule, function) for rule, layers, function in self.hooks.forward if p in layers
            )
            transforms = tuple(self.hooks.transforms_at(p) if learns else ())
            ahead = p == self.ahead
            key = (step.index, needs, propagates, own_source, rules, forwards, transforms, ahead)
            # the rules of one site are those of others that get the same answers
            asked = self.hooks.propagate_asked if propagates else frozenset[str]()
            told = site.answers(asked | (self.hooks.forward_asked if forwards else asked))
            if (key, told) not in known:
                known[key, told] = len(kinds)
                kinds.append(self._kind(*key, site))
            kind_of.append(known[key, told])

        if any(kind.transform is not None for kind in kinds):
            self.ahead = None  # for then every update changes all weights
        if self.ahead is not None:
            send_back_later(kinds[kind_of[self.ahead]], self.values)

        def of_rule(name: str, state: str) -> list[str | None]:
            acts = self.acts[name]
            return [state_key(name, p, state) if p in acts else None for p in range(depth)]

        def of_transform(name: str, state: str) -> list[str | None]:
            acts = [name in {one for one, *_ in self.hooks.transforms_at(p)} for p in range(depth)]
            key = f"{name}.forward"
            return [state_key(key, p, state) if acts[p] else None for p in range(depth)]

        own, of_transforms = self.matrix_slots, self.transform_slots
        return Program(
            kinds=kinds,
            kind_of=kind_of,
            thetas=self.thetas,
            constants=self.values.constants,
            states=[
                *(of_rule(*slot) for slot in self.slots),
                *(of_transform(*slot) for slot in of_transforms.units),
            ],
            feedback_output=self.hooks.feedback == "output",
            uniform_decays=self.uniform_decays,
            matrix_states=[
                *(of_rule(*slot) for slot in own),
                *(of_transform(*slot) for slot in of_transforms.matrices[len(own) :]),
            ],
            loss=capture_loss(self.circuit.loss, self.values.constants, self.dtype),
            noises=self._noise_names(),
            ahead=self.ahead,
            passes=len(self.steps),
            own_matrices=[of_rule(*slot) for slot in self.own_slots],
            own_units=[*self.own_slots.values()],
        )

    def _kind(
        self,
        pass_index: int,
        needs: Needs,
        propagates: bool,
        own_source: bool,
        rules: tuple[LocalRule, ...],
        forwards: tuple[tuple[Rule, Callable[[Any], Any]], ...],
        transforms: tuple[tuple[str, Transform, Callable[[Any], Any]], ...],
        _ahead: bool,
        site: Site,
    ) -> Kind:
        known, *later = [*map(dict, self.losses)]
        self.values.known, self.values.later, self.values.out = known, later, "out"
        if not own_source:
            for k, signals in enumerate((known, *later)):
                signals["source"] = self.values.signal("pre", k)
        found = (self._forward(*one, site, pass_index) for one in forwards)
        forward = next(filter(None, found), None)
        asks = (propagates and self.hooks.propagate_asked) or any(rule.asked for rule in rules)
        if site.is_output and asks:
            # there the output and what is known of it are over the units of post
            self.values.out = "post"
            for signal in (signal for signal, one in SIGNALS.items() if one.over == "out"):
                known[signal] = self.values.make("signal", signal, "post")
                for k, signals in enumerate(later, 1):
                    signals[signal] = self.values.make("signal", signal, "post", k)
        propagated = None
        if propagates:
            owner = self.hooks.propagator
            assert owner is not None
            assert self.hooks.propagate is not None
            propagated = self.follower.follow(owner, self.hooks.propagate, site, pass_index)
            if not isinstance(propagated, Value):
                raise NotNativeError(f"the rule '{owner.spec.name}' propagates {propagated!r}")
            propagated = self.values.make("identity", propagated)
        # what propagates does not know it yet
        known["pre_error"] = Value("signal", ("pre_error",), True, "pre", 0)
        for k, signals in enumerate(later, 1):
            signals["pre_error"] = Value("signal", ("pre_error", "pre", k), True, "pre", 0)
        kind = Kind(needs, None, None, propagated, [], {}, forward)
        updates: dict[str, list[tuple[str, Any]]] = {"forward": [], "feedback": []}
        matrix_states: list[tuple[int, Value]] = []
        for rule in rules:
            result, new = split_result(rule.spec, self.follower.follow(rule, rule.function, site))
            for name, value in new.items():
                if not isinstance(value, Value):  # a number is no state, as the trial says
                    raise NotNativeError(
                        f"the rule '{rule.name}': its state '{name}' is turned; {INSTEAD}"
                    )
                over, state = rule.spec.state[name].over, (rule.name, name)
                if state in self.own_slots:
                    kind.matrices.append(([*self.own_slots].index(state), value))
                elif over == "weight":
                    slot = self.matrix_slots.index(state)
                    matrix_states.append((slot, value))
                else:
                    slot = self.slots.index(state)
                    kind.states.append((slot, value))
                    kind.state_units[slot] = None if over == "one" else over
            for matrix, update in result.items():
                parts = as_update(update).parts  # a value counts as a tensor
                updates[matrix] += [(rule.theta, part) for part in parts]
        # of what stays as it is nothing is written
        kind.matrices = [(slot, new) for slot, new in kind.matrices if not _is_state(new, slot)]
        kind.weight = self._matrix(updates["forward"], transposed=False)
        kind.feedback = self._matrix(updates["feedback"], transposed=True)
        slots, constants = self.transform_slots, self.values.constants
        kind.transform = capture_transforms(
            transforms, kind.weight, matrix_states, slots, constants, self.dtype
        )
        return kind

    def _ahead(self) -> int | None:
        """Return the projection that sends the input, once, and nothing but W times it.

        What takes part in the products with its inputs must not be changed behind their back.
        """
        if len(self.steps) > 1:
            return None
        first, (sends, *_) = 0, self.circuit.sends
        own_forward = any(first in layers for _, layers, _ in self.hooks.forward)
        masked = self.circuit.matrices[first].mask is not None
        shared = self.circuit.places(sends[0].z) > 1
        once = [send.pre for send in sends] == [self.circuit.input]
        return first if once and not own_forward and not masked and not shared else None

    def _forward(
        self, rule: Rule, function: Callable[[Any], Any], site: Site, pass_index: int
    ) -> Value | None:
        """Return z as a rule computes it, or None where it leaves that to others."""
        z = self.follower.follow(rule, function, site, pass_index)
        if z is not None and not isinstance(z, Value):
            raise NotNativeError(f"the rule '{rule.spec.name}' gives {z!r} as z")
        return None if z is None else self.values.make("identity", z)

    def _noise_names(self) -> list[list[int]]:
        """Return for each projection what its noise is called, as numbers."""
        for p, sends in enumerate(self.circuit.sends):
            several = any(len(self.circuit.events(send).error) > 1 for send in sends)
            of_events = {owner for owner, name in self.noises if name != "weight"}
            if several and any(p in self.acts[owner] for owner in of_events):
                raise NotNativeError("C is not generated for noise of what several steps read")
        keys = [
            [state_key(owner, p, name) for owner, name in self.noises]
            for p in range(len(self.circuit.sends))
        ]
        return [[name_hash(key) for key in of_one] for of_one in keys]

    def _matrix(self, parts: list[tuple[str, Any]], transposed: bool) -> MatrixUpdate | None:
        if not parts:
            return None
        update = MatrixUpdate([])
        columns: dict[Value, Value] = {}
        fraction: dict[str | None, Value] = {}
        batch = self.values.make("batch")
        for rule, part in parts:
            if isinstance(part, Dense) and transposed:
                raise NotNativeError(
                    f"the rule '{rule}': it returns an increment for the matrix B; return "
                    "outer(a, b), decay(), and sums of them"
                )
            if not isinstance(part.scale, int | float):
                raise NotNativeError(
                    f"the rule '{rule}': it multiplies an update by a result; multiply a factor "
                    "of outer() by it"
                )
            theta = self.values.make("theta", self.thetas.index(rule))
            scale = self.values.make("mul", theta, self.values.number(part.scale))
            if isinstance(part, Outer):
                row, column = self.values.value(part.post), self.values.value(part.pre)
                if transposed:
                    row, column = column, row
                column = self.values.make("mul", column, self.values.make("truediv", scale, batch))
                if row in columns:
                    column = self.values.make("add", columns[row], column)
                columns[row] = column
            elif isinstance(part, Dense):
                added = self.values.make("mul", scale, self.values.value(part.value))
                before = update.dense
                update.dense = added if before is None else self.values.make("add", before, added)
            else:
                assert isinstance(part, Decay)
                along = None
                if part.factor is None:
                    self.uniform_decays.append((rule, float(part.scale)))
                if part.factor is not None:
                    # over a mini-batch the mean, over time the sum
                    factor = self.values.make("sum_events", self.values.value(part.factor))
                    factor = self.values.make("truediv", factor, batch)
                    scale = self.values.make("mul", scale, factor)
                    along = factor.units
                if along in fraction:
                    scale = self.values.make("add", fraction[along], scale)
                fraction[along] = scale
        update.products = [RankOne(row, column) for row, column in columns.items()]
        by_column = fraction.pop("pre", None)
        by_row = None
        for value in fraction.values():
            by_row = value if by_row is None else self.values.make("add", by_row, value)
        update.row_decay, update.column_decay = by_row, by_column
        return update


def _is_state(value: Value, slot: int) -> bool:
    """Return whether a value is the state of a slot over another matrix than W."""
    return value.operation == "own_matrix" and value.arguments[0] == slot
