"""C of activation functions and their slopes, made as that of rules is."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch

from plastic_core.api.activation import Activation
from plastic_core.backends.native.derivatives import Differentiator
from plastic_core.backends.native.follower import Follower
from plastic_core.backends.native.naming import Naming
from plastic_core.backends.native.operations import REDUCTIONS
from plastic_core.backends.native.program import NotNativeError, Value, Values


def emit_activations(
    activations: Sequence[Activation], dtype: torch.dtype, tangents: bool = False
) -> str:
    """Return the functions of all activation functions of a network, and their table.

    Args:
        activations: the different ones.
        dtype: of the run.
        tangents: whether tangents are carried too.

    Raises:
        NotNativeError: with the reason.
    """
    names = ["activate", "activate_back"]
    names += ["activate_tangent", "activate_back_tangent"] if tangents else []
    texts = [_functions(i, one, dtype, tangents) for i, one in enumerate(activations)]
    entries = [
        "    {" + ", ".join(f"{name}_{i}" for name in names) + "},\n" for i in range(len(texts))
    ]
    table = "".join(entries) or "    {0},\n"
    return "\n".join([*texts, f"static const struct activation activations[] = {{\n{table}}};"])


def _functions(number: int, activation: Activation, dtype: torch.dtype, tangents: bool) -> str:
    values = _UnitValues()
    follower = _ActivationFollower(values, [], dtype)
    y = values.value(follower.follow(activation, lambda s: activation.apply(s.z)))
    slope = values.value(follower.follow(activation, lambda s: activation.slope(s.z, s.y)))
    back = values.make("mul", values.signal("error"), slope)
    loops = [
        _loop(f"activate_{number}", "z", y, "y", values),
        _loop(f"activate_back_{number}", "error z y", back, "into", values),
    ]
    if tangents:
        tangent = values.make("mul", values.signal("dz"), slope)
        back = values.make("mul", values.signal("derror"), slope)
        bend = Differentiator(values).of(slope)
        if bend is not None:
            bent = values.make("mul", values.signal("error"), bend)
            back = values.make("add", back, bent)
        everything = "error z y derror dz dy"
        loops += [
            _loop(f"activate_tangent_{number}", "z y dz", tangent, "dy", values),
            _loop(f"activate_back_tangent_{number}", everything, back, "into", values),
        ]
    return "\n".join(loops)


def _loop(name: str, arguments: str, value: Value, result: str, values: Values) -> str:
    unit = _Unit(values.constants)
    unit.lines.append(f"{result}[i] = {unit.text(value)};")
    given = "".join(f"const real *{one}, " for one in arguments.split())
    unused = ", ".join(f"(void){one}" for one in arguments.split())
    inside = "".join(f"        {line}\n" for line in unit.lines)
    return f"""\
static void {name}({given}real *{result}, long count) {{
    {unused};
    SIMD for (long i = 0; i < count; i++) {{
{inside}    }}
}}
"""


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
        return {"signal": f"{value.arguments[0]}[i]", "tangent": f"d{value.arguments[0]}[i]"}.get(
            value.operation
        )
