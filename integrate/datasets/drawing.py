"""The pixel grid of a planted picture: where its pixels lie, and which cell each belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from integrate.datasets.tissue import Cells

__all__ = ["Drawing", "draw_cells", "pixel_centres"]


@dataclass(frozen=True)
class Drawing:
    """The painted grid.

    ``owner`` is the position of the cell in its `Cells` plus one, 0 where there is none. ``beyond_um`` is the distance
    to that cell's nuclear edge, negative inside the nucleus, infinite where there is no cell.
    """

    owner: NDArray[np.int32]
    beyond_um: NDArray[np.float32]


def draw_cells(cells: Cells, rng: np.random.Generator, *, shape: tuple[int, int], pixel_um: float) -> Drawing:
    """Return the grid on which every pixel belongs to the cell whose nucleus is nearest, within its rim.

    Parameters
    ----------
    cells
        Coordinates in micrometres from the grid's corner; pixel ``i`` covers ``[i, i + 1)`` pixels.
    rng
        Source of the irregularity of the outlines, about 5 % of the radius.
    shape
        Rows and columns.
    pixel_um
        Edge of a pixel.
    """
    import numpy as np

    from integrate.datasets.field_kernels import draw

    drawing = Drawing(np.zeros(shape, np.int32), np.full(shape, np.inf, np.float32))
    stretch = np.sqrt(cells.aspect)
    long_um, short_um = cells.nucleus_um * stretch, cells.nucleus_um / stretch
    bumps = rng.uniform(0, 2 * np.pi, (len(cells), 2))
    draw(cells.xy, cells.angle, long_um, short_um, cells.rim_um, bumps, pixel_um, drawing.owner, drawing.beyond_um)
    return drawing


def pixel_centres(shape: tuple[int, int], pixel_um: float) -> NDArray[np.float32]:
    """Return the micrometres ``(x, y)`` of every pixel centre, ``(rows, columns, 2)``."""
    import numpy as np

    rows, columns = (((np.arange(count) + 0.5) * pixel_um).astype(np.float32) for count in shape)
    return np.stack(np.meshgrid(columns, rows), axis=-1)
