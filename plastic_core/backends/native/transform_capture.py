"""What the transforms of a run compute, as expressions over the elements of a matrix.

They are called once, in order, each with the result of the one before as its increment. What is
not elementwise, such as the norm of an increment, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from plastic_core.api.plugin import Transform
from plastic_core.api.specs import State
from plastic_core.backends.native.follower import FOLLOWED, SIGNALS, STATE, Follower
from plastic_core.backends.native.operations import KEPT_PRODUCTS, REDUCTIONS
from plastic_core.backends.native.program import (
    ONE_AT_A_TIME,
    WEIGHT,
    MatrixTransform,
    MatrixUpdate,
    NotNativeError,
    Value,
    Values,
)
from plastic_core.hooks.hooks import Hooks
from plastic_core.hooks.transform_trial import trial_increment


@dataclass(frozen=True)
class TransformSlots:
    """Where the states of the transforms are: (owner, state) for each slot.

    Attributes:
        units: those over units, behind `first` slots of the rules.
        matrices: those over a matrix, those of the rules first.
    """

    first: int
    units: list[tuple[str, str]]
    matrices: list[tuple[str, str]]

    def find(self, owner: str, name: str, state: State) -> int:
        """Return the slot of a state."""
        if state.over == "weight":
            return self.matrices.index((owner, name))
        return self.first + self.units.index((owner, name))


def transform_slots(
    hooks: Hooks, first: int, matrices: Sequence[tuple[str, str]]
) -> TransformSlots:
    """Return a slot for each state of a transform.

    Args:
        hooks: the resolved hooks.
        first: slots before those over units.
        matrices: the slots before those over a matrix.
    """
    slots = TransformSlots(first, [], [*matrices])
    if not any(rule.spec.modifies for rule in hooks.local):
        return slots  # for then nothing changes that could be transformed
    for owner, transform, *_ in hooks.transforms:
        for name, state in transform.spec.state.items():
            if state.over == "one":
                raise NotNativeError(f"the transform '{owner}': its state '{name}' is over 'one'")
            group = slots.matrices if state.over == "weight" else slots.units
            group.append((owner, name))
    return slots


def capture_transforms(
    transforms: Sequence[tuple[str, Transform, Callable[[Any], Any]]],
    update: MatrixUpdate | None,
    states: Sequence[tuple[int, Value]],
    slots: TransformSlots,
    constants: list[float],
    dtype: torch.dtype,
) -> MatrixTransform | None:
    """Return what becomes of the increment of a matrix, or None where it is added as it is.

    Args:
        transforms: that act on it.
        update: what rules make of it.
        states: (slot, new value) of the states of the rules over it.
        slots: of the states.
        constants: numbers of the program, which are added to.
        dtype: of the run.

    Raises:
        NotNativeError: with the reason.
    """
    dense = None if update is None else update.dense
    if update is None:
        transforms = ()
    if not (transforms or states or dense is not None):
        return None
    values = _MatrixValues()
    values.constants = constants
    if dense is not None:
        whole = values.make("add", values.signal("increment"), dense)
        # the engine leaves out what a mask does before anything is transformed
        values.known["increment"] = values.make("mul", whole, values.signal("there"))
    captured = MatrixTransform(values.signal("increment"), [], [*states])
    for owner, transform, function in transforms:
        result = _TransformFollower(values, slots, owner, dtype).follow(transform, function)
        if transform.spec.state:
            result, new = result
            for name, value in new.items():
                state = transform.spec.state[name]
                slot, value = slots.find(owner, name, state), values.value(value)
                if state.over == "weight":
                    captured.matrix_states.append((slot, value))
                else:
                    captured.states.append((slot, state.over, value))
        captured.increment = values.known["increment"] = values.value(result)
    return captured


class _MatrixValues(Values):
    """Values over W; what combines rows with columns, or either with W, varies over W."""

    def _new(self, operation: str, arguments: tuple[Any, ...]) -> Value:
        if operation in (*REDUCTIONS, *KEPT_PRODUCTS, "eye"):
            raise NotNativeError(ONE_AT_A_TIME)
        units = {v.units for v in arguments if isinstance(v, Value)} - {None}
        over = WEIGHT if len(units) > 1 else next(iter(units), None)
        if operation in ("signal", "matrix_state"):
            over = WEIGHT
        elif operation == "state":
            over = arguments[1]
        return Value(operation, arguments, False, over, 0)


class _TransformFollower(Follower):
    kind = "transform"
    layout = "rows in dim 1 and columns in dim -1"

    def __init__(
        self, values: Values, slots: TransformSlots, owner: str, dtype: torch.dtype
    ) -> None:
        super().__init__(values, [], dtype)
        self._places, self._owner = slots, owner

    def _trial(self, owner: Any) -> Any:
        self._trial_shape = (trial := trial_increment(owner, self._dtype)).weight.shape
        return trial

    def _fits(self, value: Value, shape: torch.Size) -> bool:
        """Return whether a result on trial lies along the matrix, unlike its transpose."""
        rows, columns = self._trial_shape[1:]
        allowed = {
            None: {(1, 1)},
            "post": {(rows, 1), (1, rows)},
            "pre": {(columns, 1), (1, columns)},
            WEIGHT: {(rows, columns)},
        }
        return tuple(shape) in allowed[value.units]

    def _attribute(self, args: Sequence[Any], trial: Any, rule: Any) -> Any:
        owner, name = args
        if owner is SIGNALS:
            return STATE if name == "state" else self._values.signal(name)
        if owner is STATE:
            state = rule.spec.state[name]
            slot = self._places.find(self._owner, name, state)
            if state.over == "weight":
                return self._values.make("matrix_state", slot)
            return self._values.make("state", slot, state.over)
        if isinstance(owner, Value) and name == "mT":
            return owner
        if isinstance(owner, Value) and name in ("dtype", "device"):
            return trial
        if name == "shape":
            return self._size(owner, None)
        raise NotNativeError(f"it reads the attribute '{name}' of a tensor; {FOLLOWED}")

    def _turned(self, one: Any) -> Any:
        return one  # it varies over the same, and is told apart by its shape

    def _size(self, owner: Any, dim: Any) -> Value:
        raise NotNativeError("it reads the size of a matrix; write a parameter for it")
