"""The usual pictures under short names: ``ig.plot.volcano(...)`` is `plot_volcano`."""

from __future__ import annotations

from integrate.show.figures import plot_association as association
from integrate.show.figures import plot_availability as availability
from integrate.show.figures import plot_cells as overlay
from integrate.show.figures import plot_checkerboard as checkerboard
from integrate.show.figures import plot_forest as forest
from integrate.show.figures import plot_heatmap as heatmap
from integrate.show.figures import plot_result as result
from integrate.show.figures import plot_scatter as scatter
from integrate.show.figures import plot_survival as survival
from integrate.show.figures import plot_upset as upset
from integrate.show.figures import plot_volcano as volcano

__all__ = [
    "association",
    "availability",
    "checkerboard",
    "forest",
    "heatmap",
    "overlay",
    "result",
    "scatter",
    "survival",
    "upset",
    "volcano",
]
