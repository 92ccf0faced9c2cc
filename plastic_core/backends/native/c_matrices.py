"""C of the new values of matrices that rules keep for themselves: a row of a tile at a time."""

from __future__ import annotations

from collections.abc import Sequence

from plastic_core.backends.native.c_transform import Lines, Pointer, joined
from plastic_core.backends.native.program import Value


def emit_matrices(
    index: int, matrices: Sequence[tuple[int, Value]], pointer: Pointer, signals: Sequence[str]
) -> str:
    """Return the function that writes them, each element from what was at its place.

    Args:
        index: of the kind of projections.
        matrices: (slot, new value); without any there is no function.
        pointer: to what rules compute of vectors.
        signals: C that names those of each pass.
    """
    by_units: dict[str | None, list[tuple[int, Value]]] = {}
    for slot, value in matrices:
        by_units.setdefault(value.units, []).append((slot, value))
    groups = [*by_units.values()]
    if not groups:
        return ""
    tiles = [
        _tile(f"keep_{index}_{number}", group, pointer, signals)
        for number, group in enumerate(groups)
    ]
    loops = [
        f"    FOR_TILES(&p->own[{group[0][0]}], keep_{index}_{number}, net, p)\n"
        for number, group in enumerate(groups)
    ]
    return f"""\
{"".join(tiles)}\
static void keep_{index}(const network_t *net, projection_t *p) {{
{"".join(loops)}}}

"""


def _tile(
    name: str, group: Sequence[tuple[int, Value]], pointer: Pointer, signals: Sequence[str]
) -> str:
    """Return the function that writes a tile of matrices with the same rows and columns."""
    lines = Lines(pointer)
    # behind all that is computed of what was there
    stores = [f"own{slot}[j] = {lines.text(value)};" for slot, value in group]
    slots = sorted({*lines.own, *(slot for slot, _ in group)})
    pointers = [f"real *own{slot} = (real *)tile_at(&p->own[{slot}], begin);" for slot in slots]
    ahead = ", ".join(f"own{slot} += lanes" for slot in slots)
    cleared = " ".join(f"own{slot}[j] = 0;" for slot, _ in group)
    return f"""\
INLINE void {name}(const int width, const vec *tile, long begin, const network_t *net,
                   projection_t *p) {{
    const matrix_t *m = &p->own[{group[0][0]}];
    const long lanes = width * LANES, column = begin * LANES;
    const long used = least(lanes, m->columns - column);
    {joined([*signals, "(void)net, (void)tile;", *pointers, *lines.every])}
    for (long i = 0; i < m->rows; i++, {ahead}) {{
        {joined(lines.row, "        ")}
        SIMD for (long j = 0; j < lanes; j++) {{
            {joined([*lines.inner, *stores], "            ")}
        }}
        for (long j = used; j < lanes; j++) {{ {cleared} }}
    }}
}}

"""
