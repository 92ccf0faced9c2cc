"""A loop over the events of an update around one over units, in C."""

from __future__ import annotations

from plastic_core.backends.native.naming import Naming, signals_of
from plastic_core.backends.native.program import Value


class Nest(Naming):
    """A loop over events around one over units, and what is computed in each."""

    def __init__(self, reduced: dict[Value, int], owner: str) -> None:
        super().__init__()
        self._reduced, self._owner = reduced, owner
        self.outer: list[str] = []
        self.event: list[str] = []
        self.inner: list[str] = []
        self.after: list[str] = []
        self._pointers: set[str] = set()

    def lines(self, events: bool, count: str, pragma: str) -> list[str]:
        """Return the loops."""
        loop = [f"{pragma}for (long i = 0; i < {count}; i++) {{", *self.inner, "}"]
        inside = [*self.event, *loop, *self.after]
        if events:
            inside = ["for (long e = 0; e < events; e++) {", *inside, "}"]
        return ["{", *self.outer, *inside, "}"]

    def _scope(self, value: Value) -> list[str]:
        return self.inner if value.units else self.event if value.events else self.outer

    def _leaf(self, value: Value) -> str | None:
        if value.operation in ("signal", "tangent"):
            signal = value.arguments[0]
            owner = signals_of(value) if value.operation == "signal" else "ds"
            name = f"{owner}_{signal}"
            if name not in self._pointers:
                self._pointers.add(name)
                pad = f"p->{value.units}_pad"
                self.event.append(f"const real *{name} = {owner}->{signal} + e * {pad};")
            return f"{name}[i]"
        if value in self._reduced and value.events and value.units:
            name = f"product_{self._reduced[value]}"
            if name not in self._pointers:
                self._pointers.add(name)
                at = f"{self._owner}->buffers[{self._reduced[value]}] + e * p->{value.units}_pad"
                self.event.append(f"const real *{name} = {at};")
            return f"{name}[i]"
        if value in self._reduced:
            index = "i" if value.units else "e" if value.events else "0"
            return f"{self._owner}->buffers[{self._reduced[value]}][{index}]"
        leaves = {
            "state": "p->state[{}][i]" if value.units else "p->state[{}][0]",
            "number": "net->constant[{}]",
            "theta": "net->theta[{}]",
            "batch": "(real)net->events",
            "events": "(real)events",
            "units": "(real)p->n_{}",
            "chosen": "(real)(direction == {})",
        }
        leaf = leaves.get(value.operation)
        return None if leaf is None else leaf.format(*value.arguments)
