"""C text of values: each is computed once, in the outermost scope that it allows."""

from __future__ import annotations

from abc import ABC, abstractmethod

from plastic_core.backends.native.operations import ELEMENTWISE
from plastic_core.backends.native.program import Value


def signals_of(signal: Value) -> str:
    """Return the name of the signals that one is of: those of its pass."""
    _, *more = signal.arguments
    return f"s{more[1]}" if len(more) > 1 else "s"


class Naming(ABC):
    """Names values; what computes them is added to the scopes of a subclass."""

    def __init__(self) -> None:
        self._names: dict[Value, str] = {}

    def text(self, value: Value) -> str:
        """Return the name of a value."""
        if value not in self._names:
            text = self._leaf(value)
            if text is None:
                text = ELEMENTWISE[value.operation].format(*map(self.text, value.arguments))
            name = f"v{len(self._names)}"
            self._scope(value).append(f"const real {name} = {text};")
            self._names[value] = name
        return self._names[value]

    @abstractmethod
    def _scope(self, value: Value) -> list[str]:
        """Return the lines of C among which a value is computed."""

    @abstractmethod
    def _leaf(self, value: Value) -> str | None:
        """Return C text of a value that is read, or None for one that is computed of others."""
