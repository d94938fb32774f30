"""Zones: connected voxels of one grey level, from which the size zone and distance zone matrices are made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.features.radiomics.average import mean_of
from integrate.features.radiomics.directions import half_steps

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.radiomics.region import Region

__all__ = ["Zones", "describe_zones", "find_zones"]


@dataclass(frozen=True, slots=True)
class Zones:
    """Level, size in voxels, smallest depth below the region's border and slice of every zone."""

    levels: np.ndarray[Any, Any]
    sizes: np.ndarray[Any, Any]
    depths: np.ndarray[Any, Any]
    slices: np.ndarray[Any, Any]


def find_zones(region: Region, *, flat: bool) -> Zones:
    """Return the zones of a region, connected in space, or with `flat` only within each slice.

    The depth of a voxel is its city-block distance to the outside of the morphological mask, 1 at the border.
    """
    import numpy as np

    from integrate.features.radiomics import zone_kernels

    inside = np.pad(region.inside, 1)
    depth = zone_kernels.measure_depth(inside, flat=flat)
    earlier = -half_steps(inside.shape, flat=flat)
    return Zones(*zone_kernels.find_zones(region.levels, depth, earlier))


def describe_zones(region: Region, zones: Zones, sizes: np.ndarray[Any, Any], dimension: str) -> np.ndarray[Any, Any]:
    """Return 16 features of the matrix of zones by level and by `sizes`, one size or depth per zone."""
    from integrate.features.radiomics.matrix_kernels import describe_sizes

    return mean_of(
        [
            describe_sizes(*_matrix(zones.levels[chosen], sizes[chosen], region.number), voxels)
            for chosen, voxels in _parts(region, zones, dimension)
        ]
    )[:16]


def _parts(region: Region, zones: Zones, dimension: str) -> Iterator[tuple[Any, int]]:
    """Yield which zones share a matrix, and how many voxels they lie in."""
    if dimension != "2D":
        yield slice(None), int(region.measured.sum())
        return
    for one in region.slices:
        yield zones.slices == one, int(region.measured[one - 1].sum())


def _matrix(
    levels: np.ndarray[Any, Any], sizes: np.ndarray[Any, Any], number: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the counts by level and by each size that occurs, and those sizes."""
    import numpy as np

    distinct, column = np.unique(sizes, return_inverse=True)
    cells = (levels.astype(np.int64) - 1) * len(distinct) + column
    return np.bincount(cells, minlength=number * len(distinct)).reshape(number, len(distinct)), distinct
