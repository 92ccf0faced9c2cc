"""Figures. The only package that loads matplotlib."""

from plastic_core.figures.heat_maps import HeatMap, draw_heat_maps
from plastic_core.figures.learning_curve import draw_learning_curve
from plastic_core.figures.meta_curves import draw_meta_learning
from plastic_core.figures.meta_panels import draw_meta_figure
from plastic_core.figures.metagrid_panels import draw_metagrid
from plastic_core.figures.panels import draw_figure

__all__ = [
    "HeatMap",
    "draw_figure",
    "draw_heat_maps",
    "draw_learning_curve",
    "draw_meta_figure",
    "draw_meta_learning",
    "draw_metagrid",
]
