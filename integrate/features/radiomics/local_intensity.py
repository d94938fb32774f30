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

    from integrate.features.radiomics.morphology_kernels import average_spheres

    reach = _reach(region.spacing_mm)
    voxels = np.argwhere(region.measured) + region.corner
    means = average_spheres(region.surround, voxels, reach)
    values = region.values
    return np.array([means[values == values.max()].max(), means.max()])


@lru_cache(maxsize=64)
def _reach(spacing: tuple[float, float, float]) -> np.ndarray[Any, Any]:
    """Return the rows of the sphere: offsets in z and y, and how many voxels it extends along x to each side."""
    import numpy as np

    dz, dy, dx = spacing
    rows = []
    for z in range(-math.floor(PEAK_RADIUS_MM / dz), math.floor(PEAK_RADIUS_MM / dz) + 1):
        for y in range(-math.floor(PEAK_RADIUS_MM / dy), math.floor(PEAK_RADIUS_MM / dy) + 1):
            left = PEAK_RADIUS_MM**2 - (z * dz) ** 2 - (y * dy) ** 2
            if left >= 0:
                rows.append((z, y, math.floor(math.sqrt(left) / dx)))
    return np.array(rows, np.int64)
