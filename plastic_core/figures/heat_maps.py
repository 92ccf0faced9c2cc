"""The score over a grid of thetas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from plastic_core.base.scores import ACCURACY, factor, score_label
from plastic_core.figures.style import STYLE


@dataclass(frozen=True)
class HeatMap:
    """One panel: the mean score and divergence over the values of two axes, rows along `y`."""

    x_name: str
    y_name: str
    x: Sequence[Any]
    y: Sequence[Any]
    values: Sequence[Sequence[float | None]]
    diverged: Sequence[Sequence[bool]]
    score: str = ACCURACY


def draw_heat_maps(panels: Mapping[str, HeatMap], path: Path, title: str) -> None:
    """Draw the mean score over one or two axes, a panel for each rule, diverged cells crossed.

    Args:
        panels: by title.
        path: the file to write; its suffix gives the format.
        title: of the whole figure.
    """
    score = next(iter(panels.values())).score
    shown = {name: np.array(panel.values, dtype=float) for name, panel in panels.items()}
    every = np.concatenate([values.ravel() for values in shown.values()])
    low, high = (0, 100) if score == ACCURACY else (np.nanmin(every), np.nanmax(every))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(0.8 + 3.4 * len(panels), 3.4), layout="constrained")
        all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (name, panel) in zip(all_axes, panels.items(), strict=True):
            # None has become NaN, which stays white
            image = axes.imshow(
                factor(score) * shown[name],
                origin="lower",
                aspect="auto",
                cmap="cividis",
                vmin=low,
                vmax=high,
            )
            rows, columns = np.nonzero(np.array(panel.diverged))
            axes.plot(columns, rows, "x", color="#D55E00", markersize=5, linestyle="none")
            axes.set_xticks(range(len(panel.x)), [_tick(x) for x in panel.x], rotation=90)
            axes.set_yticks(
                range(len(panel.y)) if panel.y_name else [],
                [_tick(y) for y in panel.y] if panel.y_name else [],
            )
            axes.set_xlabel(panel.x_name)
            axes.set_ylabel(panel.y_name)
            axes.set_title(name)
            axes.spines[:].set_visible(False)
        figure.colorbar(image, ax=list(all_axes), label=score_label(score))
        figure.suptitle(f"{title}; \u00d7: some networks diverged", fontsize="small")
        figure.savefig(path)


def _tick(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
