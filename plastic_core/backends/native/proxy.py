"""What stands for a tensor while a hook is followed.

It is a file of its own, so that the line of a rule is found above all lines of this one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from torch import fx

from plastic_core.api.update import Update


class Proxy(fx.Proxy):
    """Leaves sums with an increment to that, as a tensor does."""

    def __add__(self, other: Any) -> Any:
        return self._with(other, operator.add)

    def __sub__(self, other: Any) -> Any:
        return self._with(other, operator.sub)

    def _with(self, other: Any, operation: Callable[[Any, Any], Any]) -> Any:
        if isinstance(other, Update):
            return NotImplemented
        return self.tracer.create_proxy("call_function", operation, (self, other), {})
