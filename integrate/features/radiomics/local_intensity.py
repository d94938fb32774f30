"""Local intensity: the mean of the sphere of 1 cm³ around the most intense voxel, and the highest of such means."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.radiomics.region import Region

__all__ = ["PEAK_RADIUS_MM", "measure_peaks"]

#: Radius of a sphere of 1 cm³.
PEAK_RADIUS_MM = 10 * (3 / (4 * math.pi)) ** (1 / 3)


def measure_peaks(region: Region) -> np.ndarray[Any, Any]:
    """Return local and global intensity peak; spheres reach beyond the region but not beyond the image."""
    import numpy as np

    from integrate.features.radiomics.morphology_kernels import sum_spheres

    reach, shape = _reach(region.spacing_mm), region.inside.shape
    unknown = ~np.isfinite(region.surround)
    known = region.surround[~unknown] if unknown.any() else region.surround
    middle = known.mean()  # of what differs from it, running totals lose no digits
    off = np.where(unknown, 0, region.surround - middle)
    sums = sum_spheres(off, region.corner, shape, reach)[region.measured]
    if unknown.any() or _leaves(region, reach):
        sums /= sum_spheres(1.0 - unknown, region.corner, shape, reach)[region.measured]
    else:
        sums /= _volume(reach)
    means = sums + middle
    values = region.values
    return np.array([means[values == values.max()].max(), means.max()])


def _leaves(region: Region, reach: np.ndarray[Any, Any]) -> bool:
    """Return whether a sphere around a voxel of the region's box may reach beyond what is known around it."""
    extent = (len(reach) - 1, reach.shape[1] - 1, int(reach.max()))
    sizes = zip(region.corner, region.inside.shape, region.surround.shape, extent, strict=True)
    return any(first < far or first + n + far > whole for first, n, whole, far in sizes)


def _volume(reach: np.ndarray[Any, Any]) -> int:
    """Return how many voxels a sphere has: its quarter of rows, all but the middle ones, lies on both sides."""
    import numpy as np

    sides = [np.where(np.arange(n) > 0, 2, 1) for n in reach.shape]
    return int((np.maximum(2 * reach + 1, 0) * sides[0][:, None] * sides[1]).sum())


@lru_cache(maxsize=64)
def _reach(spacing: tuple[float, float, float]) -> np.ndarray[Any, Any]:
    """Return how many voxels the sphere extends along x to each side, by distance in z and y; -1 for not at all."""
    import numpy as np

    dz, dy, dx = spacing
    rows = np.full((math.floor(PEAK_RADIUS_MM / dz) + 1, math.floor(PEAK_RADIUS_MM / dy) + 1), -1, np.int64)
    for z, y in np.ndindex(*rows.shape):
        left = PEAK_RADIUS_MM**2 - (z * dz) ** 2 - (y * dy) ** 2
        if left >= 0:
            rows[z, y] = math.floor(math.sqrt(left) / dx)
    return rows
