"""C that trains networks and carries the tangents of all their matrices."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from plastic_core.backends.native.c_loss import emit_loss, emit_loss_tangents
from plastic_core.backends.native.c_source import Sink, Writer, header, indented, listing, tables
from plastic_core.backends.native.c_transform import emit_transform
from plastic_core.backends.native.derivatives import TangentKind, TangentUpdate
from plastic_core.backends.native.program import NotNativeError, Program, Value

_BY_VECTOR: Final = 1


def emit_tangents(program: Program, tangents: Sequence[TangentKind], double: bool) -> str:
    """Return the source of a library; `tangents` belong to the kinds of `program`, in order."""
    template = files("plastic_core.backends.native")
    kernels, functions, network, transform, step, loop, driver = (
        (template / f"{name}.c").read_text()
        for name in ("kernels", "functions", "network", "transform", "step", "tangents", "driver")
    )
    rows = "out" if program.feedback_output else "post"
    writer = _TangentWriter(rows)
    texts, entries, tangent_entries = [], [], []
    for i, (kind, tangent) in enumerate(zip(program.kinds, tangents, strict=True)):
        text, entry = writer.write_kind(i, kind)
        tangent_text, tangent_entry = writer.write_tangent(i, tangent)
        texts += [text, tangent_text]
        entries.append(entry)
        tangent_entries.append(tangent_entry)
    counts = [len(u.products) for k in program.kinds for u in (k.weight, k.feedback) if u]
    counts += [len(u.products) for k in tangents for u in (k.weight, k.feedback) if u]
    most = max(counts, default=0)
    if "activation_bend" not in program.activation:
        raise NotNativeError("the slope of its activation function is not differentiated in C")
    return "\n".join(
        [
            header(program, writer, most, double),
            "#define MINI_BATCH(events) (events)",
            kernels,
            functions,
            program.activation,
            tables(writer),
            network,
            "typedef void (*compute_tangent_t)(const network_t *, projection_t *, projection_t *, "
            "long, long);",
            *texts,
            "static const struct kind kinds[] = {\n" + "".join(entries) + "};",
            "static const struct kind tangent_kinds[] = {\n"
            + "".join(entry for entry, _ in tangent_entries)
            + "};",
            "static const compute_tangent_t compute_tangents[] = {"
            + ", ".join(name for _, name in tangent_entries)
            + "};",
            "static void (*const bind_tangents[])(projection_t *, projection_t *) = {"
            + ", ".join(name.replace("compute", "bind") for _, name in tangent_entries)
            + "};",
            emit_transform(None),
            transform,
            emit_loss(program.loss),
            emit_loss_tangents(program.loss, program.constants),
            step,
            loop,
            driver,
        ]
    )


class _TangentWriter(Writer):
    """Writes tangents beside what `Writer` writes; q is the projection's tangent."""

    def write_tangent(self, index: int, kind: TangentKind) -> tuple[str, tuple[str, str]]:
        """Return the functions for one kind, its entry in the table, and their name.

        Called right after `write_kind` for the same kind: what that stored is used again.
        """
        self._sinks, self._reduced = [], {}
        self._free = list(range(len(self.buffers)))
        self._own: dict[tuple[Value, bool, str], str] = {}
        bound = self._bind_tangent("on_weight", kind.weight, "post")
        bound += self._bind_tangent("on_feedback", kind.feedback, self._feedback_rows)
        for error, pointer in ((kind.pre_error, "q->pre_error"), (kind.arrived, "q->arrived")):
            if error is not None:
                self._sinks.append(Sink(error, True, "pre", pointer))
        body = self._compute("q")
        text = f"""\
static void bind_tangent_{index}(projection_t *p, projection_t *q) {{
    (void)p, (void)q;
{indented(bound)}}}

static void compute_tangent_{index}(const network_t *net, projection_t *p, projection_t *q,
                                    long direction, long events) {{
    (void)net, (void)p, (void)q, (void)direction, (void)events;
{indented(body)}}}
"""
        updates = (kind.weight, kind.feedback)
        numbers = [
            *(len(u.products) if u else 0 for u in updates),
            *(_BY_VECTOR if u and (u.row_change or u.column_change) else 0 for u in updates),
            0,
            0,
            0,
        ]
        entry = f"    {{{listing(map(int, numbers))}, 0, 0, 0}},\n"
        return text, (entry, f"compute_tangent_{index}")

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
        for operation, owner in (("signal", "p"), ("tangent", "q")):
            if value.operation == operation and value.units == units and events:
                return f"{owner}->{value.arguments[0]}"
        key = (value, events, units)
        if key in self._stored:
            return self._stored[key]
        if key not in self._own:
            self._own[key] = f"q->buffers[{self._reserve(events, units)}]"
            self._sinks.append(Sink(value, events, units, self._own[key]))
        return self._own[key]
