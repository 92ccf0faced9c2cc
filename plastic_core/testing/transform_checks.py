"""What every transform must keep to: each check returns the faults that it found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from plastic_core.api.plugin import Transform
from plastic_core.base.errors import PlasticError
from plastic_core.base.fault import Fault
from plastic_core.hooks.trial import try_transform
from plastic_core.testing.backend_checks import backends_of, difference_on
from plastic_core.testing.small import Hebbian, SmallNetwork

Check = Callable[[type[Transform]], list[Fault]]

_PLACE: Final = "plastic_transform_update"


def check_increment(transform: type[Transform]) -> list[Fault]:
    """An increment, and states, of the right shapes; nothing that is given is modified."""
    made: Any = transform()
    try:
        try_transform(made, made.plastic_transform_update)
    except PlasticError as error:
        said = str(error).partition(f"{_PLACE} ")[2]
        found, _semicolon, accepted = said.partition("; ")
        return [Fault(_PLACE, found, accepted or "expected a tensor", "return 0.5 * u.increment")]
    return []


def check_backends(transform: type[Transform]) -> list[Fault]:
    """The native and compiled backends, where they take the transform, give eager's numbers."""
    return [
        Fault(
            _PLACE,
            f"gives other numbers on the backend {name} than on eager, in {off}",
            "compute from the increment, the weight and the states alone",
            "torch.where(u.increment > 1, 1, u.increment)  # not: if u.increment.max() > 1",
        )
        for name in ("native", "compiled")
        if (off := difference_on(name, lambda: _network(transform)))
    ]


def backends(transform: type[Transform]) -> str:
    """Return which backends take the transform, and why the others do not."""
    return backends_of(lambda: _network(transform), f"transform '{transform.spec.name}'")


def _network(transform: type[Transform]) -> SmallNetwork:
    return SmallNetwork(Hebbian(), [0.05], transforms=[transform()])


#: In the order in which they are run; where the first finds something, the other cannot run.
TRANSFORM_CHECKS: Final[tuple[Check, ...]] = (check_increment, check_backends)
