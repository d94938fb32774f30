"""Static figures in one style: colour-blind safe, readable at report size, described in words.

Each function returns a `matplotlib.figure.Figure` whose label is its description in words; a notebook shows the figure,
and a report also carries the words, for readers who cannot see it.
"""

from integrate.show.figures.availability import plot_availability, plot_upset
from integrate.show.figures.cells import plot_cells, plot_checkerboard
from integrate.show.figures.effects import plot_forest, plot_volcano
from integrate.show.figures.groups import plot_association, plot_scatter
from integrate.show.figures.heatmap import plot_heatmap
from integrate.show.figures.results import plot_result
from integrate.show.figures.survival import plot_survival
from integrate.show.palette import CHANNEL_COLOURS, PALETTE

__all__ = [
    "CHANNEL_COLOURS",
    "PALETTE",
    "plot_association",
    "plot_availability",
    "plot_cells",
    "plot_checkerboard",
    "plot_forest",
    "plot_heatmap",
    "plot_result",
    "plot_scatter",
    "plot_survival",
    "plot_upset",
    "plot_volcano",
]
