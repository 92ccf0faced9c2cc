"""C from what was captured of the transforms: one row of a tile at a time, elementwise."""

from __future__ import annotations

from plastic_core.backends.native.naming import Naming
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


class _Lines(Naming):
    """What is computed everywhere the same, for each row, and along a row.

    Args:
        index: by units, C text of the index of a state over them.
    """

    def __init__(self, index: dict[str, str]) -> None:
        super().__init__()
        self._index = index
        self.every: list[str] = []
        self.row: list[str] = []
        self.inner: list[str] = []

    def _scope(self, value: Value) -> list[str]:
        return {None: self.every, "post": self.row}.get(value.units, self.inner)

    def _leaf(self, value: Value) -> str | None:
        if value.operation == "signal":
            return f"{value.arguments[0]}[j]"
        if value.operation == "matrix_state":
            return f"state[{value.arguments[0]}][j]"
        if value.operation == "state":
            slot, units = value.arguments
            return f"p->state[{slot}][{self._index[units]}]"
        if value.operation == "number":
            return f"net->constant[{value.arguments[0]}]"
        return None
