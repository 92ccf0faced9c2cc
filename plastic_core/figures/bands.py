"""A line over its interval: how every figure shows a mean over seeds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from plastic_core.base.statistics import bootstrap_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_borders(axes: Axes, ends: Iterable[int]) -> None:
    """Draw where a stage ends and another begins."""
    for end in ends:
        axes.axvline(end, color="0.7", linewidth=0.8, zorder=0)


def draw_band(
    axes: Axes, x: Any, values: NDArray[Any], colour: Any, label: str | None, **style: Any
) -> None:
    """Draw the mean over seeds, shaded with its 98% bootstrap interval.

    Args:
        axes: where.
        x: ``[N]``.
        values: ``[seeds, N]``.
        colour: of both.
        label: of the line.
        style: of the line, as matplotlib takes it.
    """
    low, high = bootstrap_interval(values)
    axes.plot(x, values.mean(0), color=colour, label=label, **{"linewidth": 1.2, **style})
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
