"""What every transform must keep to: each check returns the faults that it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from plastic_core.api.plugin import Transform
from plastic_core.base.errors import PlasticError
from plastic_core.base.fault import Fault
from plastic_core.hooks.transform_trial import try_transform
from plastic_core.testing.backend_checks import BACKENDS, backends_of, difference_on
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


def check_native(transform: type[Transform]) -> list[Fault]:
    """The native backend, where it takes the transform, gives eager's numbers."""
    return _check_backend(transform, "native")


def check_compiled(transform: type[Transform]) -> list[Fault]:
    """The compiled backend, where it takes the transform, gives eager's numbers."""
    return _check_backend(transform, "compiled")


def _check_backend(transform: type[Transform], name: str) -> list[Fault]:
    off = difference_on(name, lambda: _network(transform))
    found = f"gives other numbers on the backend {name} than on eager, in {off}"
    accepted = "compute from the increment, the weight and the states alone"
    example = "torch.where(u.increment > 1, 1, u.increment)  # not: if u.increment.max() > 1"
    return [Fault(_PLACE, found, accepted, example)] if off else []


def backends(transform: type[Transform], names: Sequence[str] = BACKENDS) -> str:
    """Return which of the backends take the transform, and why the others do not."""
    return backends_of(lambda: _network(transform), f"transform '{transform.spec.name}'", names)


def _network(transform: type[Transform]) -> SmallNetwork:
    return SmallNetwork(Hebbian(), [0.05], transforms=[transform()])


#: In the order in which they are run; where the first finds something, the others cannot run.
TRANSFORM_CHECKS: Final[tuple[Check, ...]] = (check_increment, check_native, check_compiled)
