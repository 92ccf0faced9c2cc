"""C of an activation function and its slope, made as that of rules is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from plastic_core.api.activation import Activation
from plastic_core.backends.native.derivatives import Differentiator
from plastic_core.backends.native.follower import Follower
from plastic_core.backends.native.naming import Naming
from plastic_core.backends.native.operations import REDUCTIONS
from plastic_core.backends.native.program import NotNativeError, Value, Values


def emit_activation(activation: Activation, dtype: torch.dtype) -> str:
    """Return the functions that give the activity, its slope, and the slope of the slope.

    Raises:
        NotNativeError: with the reason.
    """
    name = f"the activation '{activation.spec.name}'"
    if activation.spec.slope_of != "y":
        raise NotNativeError(f"{name}: its slope reads z, and C keeps the activity alone")
    values = _UnitValues()
    follower = _ActivationFollower(values, [], dtype)
    y = values.value(follower.follow(activation, lambda s: activation.apply(s.z)))
    slope = values.value(follower.follow(activation, lambda s: activation.slope(s.z, s.y)))
    functions = [_function("activation", "z", y, values), _function("slope", "y", slope, values)]
    try:
        bend = Differentiator(values, still={"z"}).of(slope)
    except NotNativeError:  # which tangents alone need
        return "\n".join(functions)
    bend = values.number(0) if bend is None else bend
    return "\n".join([*functions, _function("bend", "y", bend, values)])


def _function(name: str, argument: str, value: Value, values: Values) -> str:
    unit = _Unit(values.constants)
    result = unit.text(value)
    called = name if name == "activation" else f"activation_{name}"
    return f"""\
INLINE real {called}(real {argument}) {{
    (void){argument};
{"".join(f"    {line}" + chr(10) for line in unit.lines)}    return {result};
}}"""


class _UnitValues(Values):
    """Values of one unit."""

    def _new(self, operation: str, arguments: tuple[Any, ...]) -> Value:
        if operation in REDUCTIONS:
            raise NotNativeError("it combines units or samples; an activation is elementwise")
        if operation in ("signal", "tangent"):
            return Value(operation, arguments[:1], True, "post", 0)
        return super()._new(operation, arguments)


class _ActivationFollower(Follower):
    kind = "activation"

    def _trial(self, _: Any) -> Any:
        # all sizes differ, so that nothing fits by chance
        self._replicas, self._events, units = 2, 3, 5
        self._units = {None: 1, "post": units}
        source = torch.Generator().manual_seed(0)
        z, y = torch.rand(2, 2, 3, units, generator=source, dtype=self._dtype)
        return SimpleNamespace(z=z, y=y)


class _Unit(Naming):
    """What is computed for one unit; numbers are written out."""

    def __init__(self, constants: list[float]) -> None:
        super().__init__()
        self._constants = constants
        self.lines: list[str] = []

    def _scope(self, value: Value) -> list[str]:
        return self.lines

    def _leaf(self, value: Value) -> str | None:
        if value.operation == "number":
            return f"(real){self._constants[value.arguments[0]]!r}"
        # the derivative by y, whose own is 1
        return {"signal": str(value.arguments[0]), "tangent": "1"}.get(value.operation)
