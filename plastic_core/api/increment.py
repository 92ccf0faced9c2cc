"""What a transform reads: the summed increment of one matrix, and the matrix itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(slots=True)
class Increment:
    """The summed increment of one matrix, before it is added.

    Attributes:
        increment: ``[R, rows, columns]``, the sum over the rules, thetas included.
        weight: ``[R, rows, columns]``, the matrix.
        state: the transform's own state for this matrix, as attributes.
    """

    increment: Tensor
    weight: Tensor
    state: Any
