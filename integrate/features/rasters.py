"""Rasters of labels as regions, on the grid of the image or on one of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from integrate.features.blocks import Block, Look, Window, find_block, read_labels
from integrate.features.fingerprint import combine
from integrate.features.seams import find_edges
from integrate.features.whole import only_regions

if TYPE_CHECKING:
    import numpy as np

__all__ = ["LabelRaster", "PlacedLabels"]

#: Part of a pixel by which centres are moved before rounding down, so that ties do not depend on the last bit.
_NUDGE = 1e-6


@dataclass(frozen=True, slots=True)
class LabelRaster:
    """Labels on the grid of the image."""

    raster: Any

    def every_id(self) -> None:
        """Every id that exists is found in the blocks."""
        return

    def name(self, prints: int) -> str:
        """Return a text that changes with the labels."""
        return combine([prints])

    def look(self, window: Window, fingerprint: Any) -> Look:
        """Return the regions in a window."""
        if len(self.raster.shape) == 3:
            return self._look_around(window, fingerprint)
        return _look(read_labels(self.raster, window), window, fingerprint)

    def _look_around(self, window: Window, fingerprint: Any) -> Look:
        import numpy as np

        sides = [(max(a - 1, 0), min(b + 1, n)) for (a, b), n in zip(window.bounds, self.raster.shape, strict=True)]
        wide = read_labels(self.raster, Window(*sides[1], *sides[2], *sides[0]))
        missing = [(a == 0, b == n) for (a, b), n in zip(window.bounds, self.raster.shape, strict=True)]
        wide = np.pad(wide, [(int(low), int(high)) for low, high in missing])
        labels = np.ascontiguousarray(wide[1:-1, 1:-1, 1:-1])
        flat = labels.reshape(-1, labels.shape[-1])
        block = replace(find_block(flat, window), around=wide, volume=True)
        return Look(block, block, None, fingerprint.of(flat, block, layer=0))

    def gather(self, ids: np.ndarray[Any, Any], window: Window) -> Block:
        """Return what lies of some regions in a window, region by region."""
        labels = read_labels(self.raster, window)
        return only_regions(find_block(labels.reshape(-1, labels.shape[-1]), window), ids)


@dataclass(frozen=True, slots=True)
class PlacedLabels:
    """Labels on another grid: a pixel of the image has the label in which its centre lies, 0 outside.

    Parameters
    ----------
    labels
        The raster, numpy or Dask.
    to_labels
        Affine (3 x 3) from ``x, y`` of the image to pixels of the labels, both first pixels covering ``[0, 1)``.
    """

    labels: Any
    to_labels: np.ndarray[Any, Any]

    @property
    def raster(self) -> None:
        """No raster whose chunks the blocks should follow: it has another grid."""
        return

    def every_id(self) -> np.ndarray[Any, Any]:
        """Return the ids of all regions, also of those that lie beside the image or between its pixel centres."""
        import numpy as np

        from integrate.features.blocks import cut_grid, windows_between

        windows = windows_between(cut_grid(self.labels[None], self.labels))
        found = [find_block(read_labels(self.labels, window), window).ids for window in windows]
        return np.unique(np.concatenate([np.empty(0, np.int64), *found]))

    def name(self, prints: int) -> str:
        """Return a text that changes with the labels on the image."""
        return combine([prints])

    def look(self, window: Window, fingerprint: Any) -> Look:
        """Return the regions in a window."""
        return _look(self._sample(window), window, fingerprint)

    def gather(self, ids: np.ndarray[Any, Any], window: Window) -> Block:
        """Return what lies of some regions in a window, region by region."""
        return only_regions(find_block(self._sample(window), window), ids)

    def _sample(self, window: Window) -> np.ndarray[Any, Any]:
        import numpy as np

        matrix = self.to_labels
        x, y = (np.arange(first, last) + 0.5 for first, last in ((window.x0, window.x1), (window.y0, window.y1)))
        if matrix[0, 1] == 0 and matrix[1, 0] == 0:
            column = np.broadcast_to(matrix[0, 0] * x + matrix[0, 2], (len(y), len(x)))
            row = np.broadcast_to((matrix[1, 1] * y + matrix[1, 2])[:, None], (len(y), len(x)))
        else:
            column = matrix[0, 0] * x + matrix[0, 1] * y[:, None] + matrix[0, 2]
            row = matrix[1, 0] * x + matrix[1, 1] * y[:, None] + matrix[1, 2]
        column, row = (np.floor(place + _NUDGE).astype(np.int64) for place in (column, row))
        height, width = self.labels.shape
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        sampled = np.zeros(row.shape, self.labels.dtype.newbyteorder("="))
        if inside.any():
            rows, columns = row[inside], column[inside]
            y0, x0 = int(rows.min()), int(columns.min())
            part = read_labels(self.labels, Window(y0, int(rows.max()) + 1, x0, int(columns.max()) + 1))
            sampled[inside] = part[rows - y0, columns - x0]
        return sampled


def _look(labels: np.ndarray[Any, Any], window: Window, fingerprint: Any) -> Look:
    block: Block = find_block(labels, window)
    return Look(block, block, find_edges(labels), fingerprint.of(labels, block, layer=0))
