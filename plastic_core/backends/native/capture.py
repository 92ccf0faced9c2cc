"""What the rules of a run compute at each projection, as expressions over its vectors.

The hooks that the eager backend calls are followed once. Projections at which the same rules do
the same are of one kind, for which C is generated once. What a C loop cannot be made of is
refused with the reason.
"""

from __future__ import annotations

from typing import Any

import torch

from plastic_core.api.circuit import Circuit
from plastic_core.api.layered_spec import LayeredSpec
from plastic_core.api.network_spec import AnyNetwork, RecurrentSpec
from plastic_core.api.update import Decay, Outer, as_update
from plastic_core.backends.native.c_activation import emit_activation
from plastic_core.backends.native.follower import Follower
from plastic_core.backends.native.loss_capture import capture_loss
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
from plastic_core.backends.native.transform_capture import capture_transforms, transform_slots
from plastic_core.backends.step.description import Description
from plastic_core.circuits.recurrent import HIDDEN
from plastic_core.hooks.hooks import Hooks, LocalRule
from plastic_core.hooks.result import split_result
from plastic_core.networks.parameters import state_key


def capture(hooks: Hooks, circuit: Circuit, dtype: torch.dtype) -> Program:
    """Return what the rules of a run compute, and its loss.

    Raises:
        NotNativeError: with the reason.
    """
    if hooks.forward:
        raise NotNativeError("a rule computes z in a way of its own (plastic_forward)")
    spec = circuit.spec
    if isinstance(spec, LayeredSpec):
        raise NotNativeError("C is not generated for a network that is a list of layers")
    if isinstance(spec, RecurrentSpec) and (spec.layer_norm or spec.residual or spec.bias):
        raise NotNativeError(
            "C is not generated for biases, layer normalisation and residual connections over time"
        )
    if dtype not in (torch.float32, torch.float64):
        raise NotNativeError(f"dtype {dtype}")
    return _Capture(hooks, circuit, dtype).program()


class _Capture:
    def __init__(self, hooks: Hooks, circuit: Circuit, dtype: torch.dtype) -> None:
        self.hooks, self.circuit, self.dtype = hooks, circuit, dtype
        self.spec, self.loss = circuit.spec, circuit.loss
        self.thetas = [rule.name for rule in hooks.local]
        self.slots = [(rule.name, name) for rule in hooks.local for name in rule.spec.state]
        self.uniform_decays: list[tuple[str, float]] = []
        self.values = Values()
        self.follower = Follower(self.values, self.slots, dtype)

    def program(self) -> Program:
        spec = self.spec
        depth = len(self.circuit.matrices)
        needs = _needs(Description(self.circuit, self.hooks))
        skips = [False] * depth
        if not isinstance(spec, RecurrentSpec):
            skips[: self.circuit.depth] = self.circuit.skips
        kinds: list[Kind] = []
        known: dict[tuple[Any, ...], int] = {}
        kind_of = []
        for p in range(depth):
            skip, below = skips[p], p > 0 and skips[p - 1]
            # what Oja's rule reconstructs: in a recurrent projection not its input
            own_source = isinstance(spec, RecurrentSpec) and p == HIDDEN
            rules = tuple(rule for rule in self.hooks.local if p in rule.layers)
            key = (needs[p], skip, below, own_source, rules)
            if key not in known:
                known[key] = len(kinds)
                kinds.append(self._kind(needs[p], skip, below, own_source, rules))
            kind_of.append(known[key])
        states = [
            [state_key(name, p, state) if p in rule.layers else None for p in range(depth)]
            for rule in self.hooks.local
            for name, state in [(rule.name, s) for s in rule.spec.state]
        ]
        slots = transform_slots(self.hooks, len(states))
        transform = capture_transforms(self.hooks, slots, self.values.constants, self.dtype)

        def keys(owner: str, state: str) -> list[str | None]:
            return [state_key(f"{owner}.forward", p, state) for p in range(depth)]

        return Program(
            kinds=kinds,
            kind_of=kind_of,
            thetas=self.thetas,
            constants=self.values.constants,
            states=states + [keys(*slot) for slot in slots.units],
            feedback_output=self.hooks.feedback == "output",
            uniform_decays=self.uniform_decays,
            transform=transform,
            matrix_states=[keys(*slot) for slot in slots.matrices],
            layer_norm=_normalises(spec),
            normalises_back=_normalises(spec) and self.hooks.gated,
            activation=emit_activation(self.circuit.activation, self.dtype),
            loss=capture_loss(self.loss, self.values.constants, self.dtype),
        )

    def _kind(
        self,
        needs: Needs,
        skip: bool,
        below: bool,
        own_source: bool,
        rules: tuple[LocalRule, ...],
    ) -> Kind:
        self.values.known = {} if own_source else {"source": self.values.signal("pre")}
        pre_error = arrived = None
        if needs.propagate:
            owner = self.hooks.propagator
            assert owner is not None
            assert self.hooks.propagate is not None
            arrived = self.follower.follow(owner, self.hooks.propagate)
            if not isinstance(arrived, Value):
                raise NotNativeError(f"the rule '{owner.spec.name}' propagates {arrived!r}")
            arrived = self.values.make("identity", arrived)
            if skip:
                arrived = self.values.make("add", arrived, self.values.signal("above"))
            pre_error = arrived
            if self.hooks.gated:
                slope = self.values.make("activation_slope", self.values.signal("branch"))
                pre_error = self.values.make("mul", arrived, slope)
            self.values.known["pre_error"] = pre_error
            stepwise = isinstance(self.spec, RecurrentSpec)
            if stepwise or (self.hooks.gated and _normalises(self.spec)):
                # rules read it where it has also gone back through the normalisation, and in a
                # recurrent network for all events, of which each step propagated its own
                self.values.known["pre_error"] = Value("signal", ("pre_error",), True, "pre", 0)
        kind = Kind(needs, None, None, pre_error, arrived if below else None, [], {})
        updates: dict[str, list[tuple[str, Any]]] = {"forward": [], "feedback": []}
        for rule in rules:
            result, new = split_result(rule.spec, self.follower.follow(rule, rule.function))
            for name, value in new.items():
                slot = self.slots.index((rule.name, name))
                kind.states.append((slot, self.values.value(value)))
                kind.state_units[slot] = rule.spec.state[name].over
            for matrix, update in result.items():
                updates[matrix] += [(rule.name, part) for part in as_update(update).parts]
        kind.weight = self._matrix(updates["forward"], transposed=False)
        kind.feedback = self._matrix(updates["feedback"], transposed=True)
        return kind

    def _matrix(self, parts: list[tuple[str, Any]], transposed: bool) -> MatrixUpdate | None:
        if not parts:
            return None
        update = MatrixUpdate([])
        columns: dict[Value, Value] = {}
        fraction: dict[str | None, Value] = {}
        batch = self.values.make("batch")
        for rule, part in parts:
            if not isinstance(part, Outer | Decay):
                raise NotNativeError(
                    f"the rule '{rule}': it returns an increment for the matrix; return outer(a, b)"
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
            else:
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


def _normalises(spec: AnyNetwork) -> bool:
    return not isinstance(spec, RecurrentSpec) and spec.layer_norm


def _needs(step: Description) -> list[Needs]:
    """Return what must be computed at each projection."""
    return [
        Needs(propagates, *(name in reads for name in ("weight_error", "recon", "feedback_error")))
        for propagates, reads in zip(step.propagates, step.reads, strict=True)
    ]
