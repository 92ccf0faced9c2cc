"""What stands for a tensor while a hook is followed.

It is a file of its own, so that the line of a rule is found above all lines of this one.
"""

from __future__ import annotations

from typing import Any

from torch import fx

from plastic_core.api.update import Update


class Proxy(fx.Proxy):
    """Leaves sums with an increment to that, as a tensor does."""

    def __add__(self, other: Any) -> Any:
        # which torch gives its class when it is loaded
        return NotImplemented if isinstance(other, Update) else super().__add__(other)  # type: ignore[misc]

    def __sub__(self, other: Any) -> Any:
        return NotImplemented if isinstance(other, Update) else super().__sub__(other)  # type: ignore[misc]
