"""C of what becomes of an increment: one row of a tile at a time, element by element."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from plastic_core.backends.native.naming import Naming
from plastic_core.backends.native.program import MatrixTransform, Value

#: Gives C text of a pointer to a value of a rule: for each event, or over units, or a single one.
Pointer = Callable[[Value, bool, str | None], str]


def emit_transform(
    index: int, transform: MatrixTransform | None, pointer: Pointer, signals: Sequence[str]
) -> str:
    """Return the functions that transform a row of an increment, and the states over units.

    Args:
        index: of the kind of projections.
        transform: what is computed; without it an increment is added as it is.
        pointer: to what rules compute of vectors.
        signals: C that names those of each pass.
    """
    row = Lines(pointer, {"post": "i", "pre": "column + j"})
    stores, loops = ["weight[j] += increment[j];"], []
    if transform is not None:
        stores = [f"weight[j] += {row.text(transform.increment)};"]
        for slot, value in transform.matrix_states:
            stores.append(f"state[{slot}][j] = {row.text(value)};")
        for units in ("pre", "post"):
            lines, unit_stores = Lines(pointer, {units: "i"}), []
            for slot, over, value in transform.states:
                if over == units:
                    unit_stores.append(f"p->state[{slot}][i] = {lines.text(value)};")
            body = [*lines.every, *lines.row, *lines.inner, *unit_stores]
            loops.append(f"for (long i = 0; i < p->n_{units}; i++) {{ {' '.join(body)} }}")
    return f"""\
static inline void transform_row_{index}(const network_t *net, const projection_t *p, long i,
                                   long column, long lanes, const real *increment,
                                   const real *there, real *weight, real *const *state) {{
    {joined([*signals])}
    (void)net, (void)i, (void)column, (void)there, (void)state;
    {joined([*row.every, *row.row])}
    SIMD for (long j = 0; j < lanes; j++) {{
        {joined([*row.inner, *stores], "        ")}
    }}
}}

static void transform_{index}(const network_t *net, projection_t *p) {{
    FOR_TILES(&p->weight, transform_tile, net, p, transform_row_{index})
    /* last, because every tile reads the old ones */
    {joined(loops)}
}}

"""


def joined(lines: Sequence[str], indent: str = "    ") -> str:
    """Return lines of C below one another."""
    return f"\n{indent}".join(lines)


class Lines(Naming):
    """What is computed everywhere the same, for each row, and along a row.

    Args:
        pointer: see `emit_transform`.
        index: by units, C text of the index of a state of a transform over them.
    """

    def __init__(self, pointer: Pointer, index: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._index, self._pointer = index or {}, pointer
        self.own: set[int] = set()  # slots of the states over other matrices that are read
        self.every: list[str] = []
        self.row: list[str] = []
        self.inner: list[str] = []

    def _scope(self, value: Value) -> list[str]:
        if value.units is None:
            return self.every
        along_rows = value.units == "post" and value.operation != "along"
        return self.row if along_rows or value.units.endswith("*") else self.inner

    def _leaf(self, value: Value) -> str | None:
        if value.operation == "signal":
            return f"{value.arguments[0]}[j]"
        if value.operation == "weight":
            return "weight[j]"
        if value.operation == "own_matrix":
            self.own.add(value.arguments[0])
            return f"own{value.arguments[0]}[j]"
        if value.operation == "eye":
            # as numbers of the width of those that are computed beside it
            return "(real)((int)j == (int)(i - column))"
        if value.operation == "matrix_state":
            return f"state[{value.arguments[0]}][j]"
        if value.operation == "state":
            slot, units = value.arguments
            return f"p->state[{slot}][{self._index[units]}]"
        if value.operation == "number":
            return f"net->constant[{value.arguments[0]}]"
        if value.operation == "outer":
            return self._outer(*value.arguments)
        if value.operation == "weight_noise":
            name = f"noise{len(self._names)}"
            given = f"net, p, p->noise[{value.arguments[0]}], i, column, lanes, {name}"
            self.row += [f"real {name}[WIDEST * LANES] = {{0}};", f"make_row_of_noise({given});"]
            return f"{name}[j]"
        if value.operation in ("rows", "along"):
            (vector,) = value.arguments
            index = "0" if vector.units is None else "column + j"
            index = "i" if value.operation == "rows" else index
            return f"{self._pointer(vector, False, vector.units)}[{index}]"
        return None

    def _outer(self, row: Value, column: Value) -> str:
        """Return the sum of a row of outer products over the events, which is made first."""
        left, right = (self._pointer(one, True, one.units) for one in (row, column))
        product = f"({left})[i] * ({right})[column + j]"
        name = f"sum{len(self._names)}"
        self.row += [
            f"real {name}[WIDEST * LANES];",
            f"SIMD for (long j = 0; j < lanes; j++) {name}[j] = {product};",
            "for (long e = 1; e < p->count * net->events; e++) {",
            f"    const real factor = ({left})[e * p->{row.units}_pad + i];",
            f"    const real *along = {right} + e * p->{column.units}_pad + column;",
            f"    SIMD for (long j = 0; j < lanes; j++) {name}[j] += factor * along[j];",
            "}",
        ]
        return f"{name}[j]"
