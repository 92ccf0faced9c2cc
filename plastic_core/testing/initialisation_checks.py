"""What every initialisation must keep to: each check returns the faults that it found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Generator, Tensor

from plastic_core.api.initialisation import Initialisation, MatrixShape
from plastic_core.base.errors import describe_exception
from plastic_core.base.fault import Fault

Check = Callable[[type[Initialisation]], list[Fault]]

_SHAPES: Final = ((5, 3), (3, 5), (4, 4), (1, 1))
_STD: Final = 0.1
_EXAMPLE: Final = (
    "return torch.empty(*shape[:2], dtype=torch.float64).normal_(0, std, generator=source)"
)


def check_matrices(initialisation: type[Initialisation]) -> list[Fault]:
    """`draw` returns finite numbers of float64 in the shape of the matrix."""
    for shape in _SHAPES:
        try:
            weight = _draw(initialisation, shape)
        except Exception as error:
            return [_fault(f"raised {describe_exception(error)}", "expected a matrix")]
        if not isinstance(weight, Tensor) or weight.dtype != torch.float64:
            kind = getattr(weight, "dtype", type(weight).__name__)
            return [_fault(f"returned {kind}", "expected a tensor of torch.float64")]
        if weight.shape != shape:
            found = f"returned the shape {[*weight.shape]} for n_post {shape[0]}, n_pre {shape[1]}"
            return [_fault(found, f"expected {[*shape]}")]
        if not bool(weight.isfinite().all()):
            return [_fault("returned numbers that are not finite", "expected finite numbers")]
    return []


def check_repeatable(initialisation: type[Initialisation]) -> list[Fault]:
    """The generator alone decides the numbers, and no other is drawn from."""
    shape = _SHAPES[0]
    before = torch.get_rng_state()
    first = _draw(initialisation, shape)
    torch.rand(1)
    again = _draw(initialisation, shape)
    torch.set_rng_state(before)
    if not torch.equal(first, again):
        return [_fault("gives other numbers each time", "expected those that source decides")]
    return []


#: In the order in which they are run; where the first finds something, the other cannot run.
INITIALISATION_CHECKS: Final[tuple[Check, ...]] = (check_matrices, check_repeatable)


def _draw(initialisation: type[Initialisation], shape: tuple[int, int]) -> Tensor:
    return initialisation().draw(
        MatrixShape(*shape, *reversed(shape)), _STD, Generator().manual_seed(0)
    )


def _fault(found: str, accepted: str) -> Fault:
    return Fault("draw", found, accepted, _EXAMPLE)
