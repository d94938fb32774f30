"""The convex hulls of regions in volumes: each voxel is a box, so hulls go through corners of voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.blocks import Block

__all__ = ["describe_volume_hulls"]

#: Corners between which distances are calculated together.
_TOGETHER = 512


def describe_volume_hulls(block: Block, size: tuple[float, ...]) -> np.ndarray[Any, Any]:
    """Return volume, surface and largest width of every region's hull, in the unit of `size`, the edges of a voxel.

    Counted from the first corner of each region: where it lies in the block changes no bit.
    """
    import numpy as np

    begins = np.searchsorted(block.region, np.arange(len(block.ids) + 1))
    height = block.window.y1 - block.window.y0
    found = np.empty((len(block.ids), 3))
    for r in range(len(block.ids)):
        runs = slice(begins[r], begins[r + 1])
        z, y = np.divmod(block.row[runs], height)
        found[r] = _describe(_outer_corners(z, y, block.start[runs], block.stop[runs]) * np.array(size))
    return found


def _outer_corners(
    z: np.ndarray[Any, Any], y: np.ndarray[Any, Any], start: np.ndarray[Any, Any], stop: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return the first and the last corner ``z, y, x`` on every line along x that runs of voxels touch."""
    import numpy as np

    z, y, first, last = (
        part.astype(np.int64) - low.min() for part, low in ((z, z), (y, y), (start, start), (stop, start))
    )
    wide = int(y.max()) + 2
    line = np.concatenate([(z + dz) * wide + y + dy for dz in (0, 1) for dy in (0, 1)])
    lines, number = np.unique(line, return_inverse=True)
    left, right = np.full(len(lines), np.iinfo(np.int64).max), np.zeros(len(lines), np.int64)
    np.minimum.at(left, number, np.tile(first, 4))
    np.maximum.at(right, number, np.tile(last, 4))
    return np.concatenate([np.stack([lines // wide, lines % wide, x], axis=1) for x in (left, right)])


def _describe(corners: np.ndarray[Any, Any]) -> tuple[float, float, float]:
    from scipy.spatial import ConvexHull
    from scipy.spatial.distance import cdist

    hull = ConvexHull(corners)
    outermost = corners[hull.vertices]
    widest = max(
        cdist(outermost[k : k + _TOGETHER], outermost).max() for k in range(0, len(outermost), _TOGETHER)
    )  # fmt: skip
    return float(hull.volume), float(hull.area), float(widest)
