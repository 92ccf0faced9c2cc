"""C from what was captured of the transforms: one row of a tile at a time, elementwise."""

from __future__ import annotations

from dataclasses import dataclass, field

from plastic_core.backends.native.operations import ELEMENTWISE
from plastic_core.backends.native.program import MatrixTransform, Value


def emit_transform(transform: MatrixTransform | None) -> str:
    """Return the functions that transform a row of an increment, and the states over units.

    Without transforms an increment is added as it is.
    """
    row, stores = _Lines({"post": "i", "pre": "column + j"}), ["weight[j] += increment[j];"]
    loops = []
    if transform is not None:
        stores = [f"weight[j] += {row.text(transform.increment)};"]
        for slot, value in transform.matrix_states:
            stores.append(f"state[{slot}][j] = {row.text(value)};")
        for units in ("pre", "post"):
            lines, unit_stores = _Lines({units: "i"}), []
            for slot, over, value in transform.states:
                if over == units:
                    unit_stores.append(f"p->state[{slot}][i] = {lines.text(value)};")
            body = [*lines.every, *lines.row, *lines.inner, *unit_stores]
            loops.append(f"for (long i = 0; i < p->n_{units}; i++) {{ {' '.join(body)} }}")
    return f"""\
#define TRANSFORMED {int(transform is not None)}

INLINE void transform_row(const network_t *net, const projection_t *p, long i, long column,
                          long lanes, const real *increment, real *weight, real *const *state) {{
    (void)net, (void)p, (void)i, (void)column, (void)state;
    {_joined([*row.every, *row.row])}
    SIMD for (long j = 0; j < lanes; j++) {{
        {_joined([*row.inner, *stores], "        ")}
    }}
}}

static void transform_states(const network_t *net, projection_t *p) {{
    (void)net, (void)p;
    {_joined(loops)}
}}
"""


def _joined(lines: list[str], indent: str = "    ") -> str:
    return f"\n{indent}".join(lines)


@dataclass
class _Lines:
    """What is computed, each value where it varies least.

    Attributes:
        index: C text of the index of a state over units.
        every: of what is the same everywhere.
        row: of what differs between rows.
        inner: of what differs along a row too.
    """

    index: dict[str, str]
    every: list[str] = field(default_factory=list)
    row: list[str] = field(default_factory=list)
    inner: list[str] = field(default_factory=list)
    _names: dict[Value, str] = field(default_factory=dict)

    def text(self, value: Value) -> str:
        """Return the name of a value, which is computed once."""
        if value not in self._names:
            text = self._definition(value)
            name = f"v{len(self._names)}"
            scope = {None: self.every, "post": self.row}.get(value.units, self.inner)
            scope.append(f"const real {name} = {text};")
            self._names[value] = name
        return self._names[value]

    def _definition(self, value: Value) -> str:
        if value.operation == "signal":
            return f"{value.arguments[0]}[j]"
        if value.operation == "matrix_state":
            return f"state[{value.arguments[0]}][j]"
        if value.operation == "state":
            slot, units = value.arguments
            return f"p->state[{slot}][{self.index[units]}]"
        if value.operation == "number":
            return f"net->constant[{value.arguments[0]}]"
        return ELEMENTWISE[value.operation].format(*map(self.text, value.arguments))
