"""How columns were scaled before training, to be done again to other points."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, FiniteFloat


class Scaling(BaseModel):
    r"""Columns shifted and multiplied, :math:`x' = (x - \mathrm{shift}) \cdot \mathrm{factor}`.

    Attributes:
        way: "unit", to 0..1; or "standard", to mean 0 and standard deviation 1.
        shift: ``[n]``, of each column; ``[1]`` where all numbers are scaled alike, as of images.
        factor: ``[n]``; 0 for a constant column, which becomes 0.
    """

    way: Literal["unit", "standard"]
    shift: list[FiniteFloat]
    factor: list[FiniteFloat]

    @classmethod
    def fitted(cls, points: NDArray[Any], way: Literal["unit", "standard"], columns: int) -> Self:
        """Return the scaling of training points ``[N, ...]``, whose numbers repeat the columns."""
        rows = points.reshape(-1, columns)
        if way == "unit":
            shift = rows.min(0).astype(np.float64)
            spread = rows.max(0) - shift
        else:
            shift = rows.mean(0, dtype=np.float64)
            spread = rows.std(0, dtype=np.float64)
        # the mean of a constant column may be rounded, and its deviation is then not quite 0
        spread = np.where((rows == rows[:1]).all(0), 0, spread)
        factor = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
        return cls(way=way, shift=shift.tolist(), factor=factor.tolist())

    def apply(self, points: NDArray[Any]) -> NDArray[np.float32]:
        """Return points ``[N, ...]``, scaled."""
        rows = points.reshape(-1, len(self.shift))
        scaled: NDArray[np.float64] = (rows - np.array(self.shift)) * np.array(self.factor)
        return scaled.reshape(points.shape).astype(np.float32)

    def undo(self, scaled: NDArray[Any]) -> NDArray[np.float64]:
        """Return points ``[N, ...]`` as they were before; those of a constant column are that."""
        rows, factor = scaled.reshape(-1, len(self.shift)), np.array(self.factor)
        points = np.divide(rows, factor, out=np.zeros(rows.shape), where=factor > 0)
        whole: NDArray[np.float64] = points + np.array(self.shift)
        return whole.reshape(scaled.shape)
