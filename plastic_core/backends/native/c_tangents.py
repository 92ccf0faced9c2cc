"""C that trains networks and carries the tangents of all their matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from plastic_core.backends.native.c_loss import emit_loss, emit_loss_tangents
from plastic_core.backends.native.c_source import Sink, Writer, header, indented, join, listing
from plastic_core.backends.native.derivatives import TangentKind, TangentUpdate
from plastic_core.backends.native.program import Program, Value

_BY_VECTOR: Final = 1


def emit_tangents(
    program: Program, tangents: Sequence[TangentKind], activations: str, double: bool
) -> str:
    """Return the source of a library.

    Args:
        program: what the rules compute.
        tangents: of its kinds, in order.
        activations: C of the activation functions.
        double: compute in double precision.
    """
    writer = _TangentWriter("out" if program.feedback_output else "post", transformed=False)
    texts, entries, tangent_entries, functions = [], [], [], []
    for i, (kind, tangent) in enumerate(zip(program.kinds, tangents, strict=True)):
        text, entry = writer.write_kind(i, kind)
        tangent_text, tangent_entry, names = writer.write_tangent(i, tangent)
        texts += [text, tangent_text]
        entries.append(entry)
        tangent_entries.append(tangent_entry)
        functions.append(names)
    counts = [len(u.products) for k in program.kinds for u in (k.weight, k.feedback) if u]
    counts += [len(u.products) for k in tangents for u in (k.weight, k.feedback) if u]
    own = [
        *texts,
        "static const struct kind kinds[] = {\n" + "".join(entries) + "};",
        "static const struct kind tangent_kinds[] = {\n" + "".join(tangent_entries) + "};",
        _FUNCTIONS,
        "static const struct tangent tangents[] = {\n" + "".join(functions) + "};",
    ]
    losses = [emit_loss(program.loss), emit_loss_tangents(program.loss, program.constants)]
    made = [activations, *losses]
    return header(program, writer, counts, double) + join(writer, own, made, "tangents")


_FUNCTIONS: Final = """\
/* What happens to tangents at projections that are alike. */
struct tangent {
    void (*bind)(projection_t *p, projection_t *q);
    void (*compute)(const network_t *net, projection_t *p, projection_t *q, long direction,
                    long events);
    void (*propagate)(const network_t *net, projection_t *p, projection_t *q, const signals_t *s,
                      const signals_t *ds, real *into, long direction, long events);
};
"""


class _TangentWriter(Writer):
    """Writes tangents beside what `Writer` writes; q is the projection's tangent."""

    def write_tangent(self, index: int, kind: TangentKind) -> tuple[str, str, str]:
        """Return the functions for one kind, its entry in the table, and that of the functions.

        Called right after `write_kind` for the same kind: what that stored is used again.
        """
        self._free = list(range(len(self.buffers)))
        self._own: dict[tuple[Value, bool, str], str] = {}
        propagate, name = "", "0"
        if kind.propagate is not None:
            name = f"propagate_tangent_{index}"
            self._sinks, self._reduced = [Sink(kind.propagate, True, "pre", "into")], {}
            given = "const signals_t *s, const signals_t *ds, real *into, "
            propagate = _function(name, given, self._compute("q"))
        self._sinks, self._reduced = [], {}
        bound = self._bind_tangent("on_weight", kind.weight, "post")
        bound += self._bind_tangent("on_feedback", kind.feedback, self._feedback_rows)
        signals = ["const signals_t *s = &p->all, *ds = &q->all;", "(void)s, (void)ds;"]
        compute = _function(f"compute_tangent_{index}", "", [*signals, *self._compute("q")])
        text = f"""\
static void bind_tangent_{index}(projection_t *p, projection_t *q) {{
{indented([*signals, *bound])}}}

{propagate}{compute}"""
        updates = (kind.weight, kind.feedback)
        numbers = [
            *(len(u.products) if u else 0 for u in updates),
            0,
            *(_BY_VECTOR if u and (u.row_change or u.column_change) else 0 for u in updates),
            0,
            0,
            0,
        ]
        entry = f"    {{{listing(map(int, numbers))}, 0, 0, 0, 0}},\n"
        return text, entry, f"    {{bind_tangent_{index}, compute_tangent_{index}, {name}}},\n"

    def _bind_tangent(self, where: str, update: TangentUpdate | None, rows: str) -> list[str]:
        if update is None:
            return []
        lines = []
        for c, product in enumerate(update.products):
            row = self._tangent_pointer(product.row, True, rows)
            column = self._tangent_pointer(product.column, True, "pre")
            lines += [f"q->{where}.row[{c}] = {row};", f"q->{where}.column[{c}] = {column};"]
        for name, value, units in (
            ("row", update.row_change, rows),
            ("column", update.column_change, "pre"),
        ):
            if value is not None:
                pointer = self._tangent_pointer(value, False, units)
                lines.append(f"q->{where}.{name}_decay = {pointer};")
        return lines

    def _tangent_pointer(self, value: Value, events: bool, units: str) -> str:
        """Return C text of a pointer to a value: a signal, what `p` stored, or a buffer of q."""
        for operation, owner in (("signal", "s"), ("tangent", "ds")):
            if value.operation == operation and value.units == units and events:
                return f"{owner}->{value.arguments[0]}"
        key = (value, events, units)
        if key in self._stored:
            return self._stored[key]
        if key not in self._own:
            self._own[key] = f"q->buffers[{self._reserve(events, units)}]"
            self._sinks.append(Sink(value, events, units, self._own[key]))
        return self._own[key]


def _function(name: str, given: str, body: Sequence[str]) -> str:
    return f"""\
static void {name}(const network_t *net, projection_t *p, projection_t *q,
                   {given}long direction, long events) {{
    (void)net, (void)p, (void)q, (void)direction, (void)events;
{indented(body)}}}
"""
