"""How steps are computed. Every backend trains the same parameters to the same numbers."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Backend(Protocol):
    """What the trainer asks of a backend.

    Attributes:
        period: points after which nothing waits to be added to a matrix. What waits at the end of
            a call is added there; calls that end at multiples of this change no rounding.
    """

    @property
    def period(self) -> int:
        """See above."""
        ...

    def advance(self, order: Tensor, first: int = 0) -> Tensor:
        """Train every living replica on the next points.

        A replica whose outputs or weights leave the finite range is frozen from then on.

        Args:
            order: ``[R, n]``, indices into the training points, a row for each replica.
            first: number of the first update in the run, counted from 0, where thetas change.

        Returns:
            ``[R]``, for each replica the index in `order` of the point at which it was found to
            have left the finite range, or -1.
        """
        ...

    def freeze(self, replica: int) -> None:
        """Train this replica no further; used when a run resumes."""
        ...

    def activities(self, x: Tensor, replica: int) -> list[Tensor]:
        """Return y_0 .. y_L of one replica for inputs ``[1, N, n_0]``, ``[1, N, n_l]`` each."""
        ...
