"""Compiled loops over the grey levels of a region: zones of one level, and depths below the border.

Every array of levels is padded by one voxel of 0 (outside) on all sides, so that no neighbour needs a bounds check.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["find_zones", "measure_depth"]

Array = np.ndarray[Any, Any]


@nb.njit(nogil=True, cache=True)
def measure_depth(inside: Array, *, flat: bool) -> Array:
    """Return the city-block distance of every voxel of a padded mask to the outside, 1 at its border.

    With `flat` only neighbours in the slice count. Two sweeps are exact for this distance.
    """
    slices, rows, columns = inside.shape
    depth = np.zeros(inside.shape, np.int32)
    for z in range(1, slices - 1):
        for y in range(1, rows - 1):
            for x in range(1, columns - 1):
                if inside[z, y, x]:
                    best = min(depth[z, y - 1, x], depth[z, y, x - 1])
                    if not flat:
                        best = min(best, depth[z - 1, y, x])
                    depth[z, y, x] = best + 1
    for z in range(slices - 2, 0, -1):
        for y in range(rows - 2, 0, -1):
            for x in range(columns - 2, 0, -1):
                if inside[z, y, x]:
                    best = min(depth[z, y + 1, x], depth[z, y, x + 1])
                    if not flat:
                        best = min(best, depth[z + 1, y, x])
                    depth[z, y, x] = min(depth[z, y, x], best + 1)
    return depth


@nb.njit(nogil=True, cache=True)
def find_zones(levels: Array, depth: Array, steps: Array) -> tuple[Array, Array, Array, Array]:
    """Return level, size, smallest depth and slice of every zone of equal, connected grey levels, by first voxel.

    `steps` are the offsets in the flattened array of the neighbours that connect, of those before a voxel.
    """
    _, rows, columns = levels.shape
    flat, near = levels.ravel(), depth.ravel()
    zone, number = _join_voxels(flat, steps)
    level_of, size_of = np.empty(number, np.int32), np.zeros(number, np.int64)
    depth_of, slice_of = np.empty(number, np.int32), np.empty(number, np.int32)
    for at in range(flat.size):
        if flat[at] > 0:
            one = zone[at]
            if size_of[one] == 0:
                level_of[one], depth_of[one], slice_of[one] = flat[at], near[at], at // (rows * columns)
            size_of[one] += 1
            depth_of[one] = min(depth_of[one], near[at])
    return level_of, size_of, depth_of, slice_of


@nb.njit(nogil=True, cache=True)
def _join_voxels(flat: Array, steps: Array) -> tuple[Array, int]:
    """Return the zone of every voxel that has a level, and how many zones there are: a forest of disjoint sets.

    A voxel points to an earlier one of its zone, the first voxel to itself.
    """
    zone = np.empty(flat.size, np.int64)
    for at in range(flat.size):
        level = flat[at]
        if level == 0:
            continue
        first = at
        for step in steps:
            if flat[at + step] == level:
                other = at + step
                while zone[other] != other:
                    zone[other] = zone[zone[other]]
                    other = zone[other]
                if first < at:
                    zone[max(first, other)] = min(first, other)
                first = min(first, other)
        zone[at] = first
    number = 0
    for at in range(flat.size):
        if flat[at] > 0:
            if zone[at] == at:
                zone[at] = number
                number += 1
            else:
                zone[at] = zone[zone[at]]
    return zone, number
