"""Position: how many pixels each region has and where they lie; every table needs it, whatever else is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from integrate.features.family import Column, Measured
from integrate.features.partials import Reducer, add_exactly

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.blocks import Block
    from integrate.features.layer import Layer

__all__ = ["Position", "count_pixels", "find_bounds", "find_centroids", "find_covariance", "find_moments"]


@dataclass(frozen=True, slots=True)
class Position:
    """The family of pixel counts, sums of positions and bounds; it has no columns of its own."""

    reads_pixels: ClassVar[bool] = False

    @property
    def reducers(self) -> Mapping[str, Reducer]:
        """How two blocks' quantities become one, by name."""
        import numpy as np

        return {"positions": add_exactly, "bounds": np.minimum}

    def from_regions(self, block: Block) -> dict[str, np.ndarray[Any, Any]]:
        """Return sums of ``1, y, x, yy, xx, xy`` and the bounds of a block's regions, in pixels of the whole grid.

        Of volumes ``1, z, y, x, zz, yy, xx, zy, zx, yx``.
        """
        from integrate.features import kernels

        window = block.window
        if block.volume:
            from integrate.features import volume_kernels

            corner = (window.z0, window.y0, window.x0)
            sums, bounds = volume_kernels.sum_places(len(block.ids), corner, window.y1 - window.y0, *block.runs)
        else:
            sums, bounds = kernels.sum_positions(len(block.ids), window.y0, window.x0, *block.runs)
        return {"positions": sums, "bounds": bounds}

    def from_channel(self, layer: Layer) -> dict[str, np.ndarray[Any, Any]]:
        """Return nothing: position needs no pixels."""
        return {}

    def columns(self, measured: Measured) -> list[Column]:
        """Return nothing: `Shape` names the columns."""
        return []


def count_pixels(measured: Measured) -> np.ndarray[Any, Any]:
    """Return the number of pixels of every region."""
    return measured.values["positions"][:, 0]


def find_centroids(measured: Measured) -> np.ndarray[Any, Any]:
    """Return the centroids, columns ``(z,) y, x``, in the unit of the grid; NaN without pixels."""
    centre, offset = _about_the_middle(measured)
    return measured.grid.origin + (centre + offset + 0.5) * measured.grid.size


def find_bounds(measured: Measured) -> np.ndarray[Any, Any]:
    """Return the outer edges ``min (z,) y, x`` and ``max (z,) y, x`` of the bounding boxes, in the unit of the grid."""
    import numpy as np

    low, high = np.split(measured.values["bounds"], 2, axis=1)
    high = 1 - high
    bounds = np.hstack([measured.grid.origin + edge * measured.grid.size for edge in (low, high)])
    return np.where(count_pixels(measured)[:, None] > 0, bounds, np.nan)


def find_moments(measured: Measured) -> np.ndarray[Any, Any]:
    """Return the central second moments ``yy, xx, xy`` of pixel centres, divided by their number, in square pixels.

    The sums are shifted to the middle of the bounding box as integers: exact, and small enough to lose nothing.
    """
    import numpy as np

    n, y, x, yy, xx, xy = measured.values["positions"].T
    n = np.where(n > 0, n, 1)
    (cy, cx), (dy, dx) = (part.T for part in _about_the_middle(measured))
    return np.stack(
        [
            (yy - 2 * cy * y + n * cy * cy) / n - dy * dy,
            (xx - 2 * cx * x + n * cx * cx) / n - dx * dx,
            (xy - cy * x - cx * y + n * cy * cx) / n - dy * dx,
        ],
        axis=1,
    )


def find_covariance(measured: Measured) -> np.ndarray[Any, Any]:
    """Return the covariance of voxel centres along ``z, y, x``, in the unit of the grid, squared; (regions, 3, 3)."""
    import numpy as np

    sums = measured.values["positions"]
    n = np.where(sums[:, 0] > 0, sums[:, 0], 1)
    middle, offset = _about_the_middle(measured)
    covariance = np.empty((len(n), 3, 3))
    for a, b, column in ((0, 0, 4), (1, 1, 5), (2, 2, 6), (0, 1, 7), (0, 2, 8), (1, 2, 9)):
        first, second = middle[:, a], middle[:, b]
        total = sums[:, column] - first * sums[:, 1 + b] - second * sums[:, 1 + a] + n * first * second
        covariance[:, a, b] = total / n - offset[:, a] * offset[:, b]
        covariance[:, b, a] = covariance[:, a, b]
    return covariance * np.outer(measured.grid.size, measured.grid.size)


def _about_the_middle(measured: Measured) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the middle pixel of every bounding box, and the mean offset of the region's pixels from it."""
    import numpy as np

    low, high = np.split(measured.values["bounds"], 2, axis=1)
    centre = (low - high) // 2
    n = measured.values["positions"][:, :1]
    offset = measured.values["positions"][:, 1 : 1 + centre.shape[1]] - n * centre
    return centre, np.divide(offset, n, out=np.full(offset.shape, np.nan), where=n > 0)
