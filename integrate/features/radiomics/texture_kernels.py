"""Compiled loops over the grey levels of a region: pairs, runs and neighbourhoods.

Every array of levels is padded by one voxel of 0 (outside) on all sides, so that no neighbour needs a bounds check.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["count_neighbours", "count_pairs", "count_runs"]

Array = np.ndarray[Any, Any]


@nb.njit(nogil=True, cache=True)
def count_pairs(levels: Array, first: int, last: int, directions: Array, number: int) -> Array:
    """Return how often level ``i + 1`` meets ``j + 1`` along each direction and against it, in some slices."""
    _, rows, columns = levels.shape
    steps = (directions[:, 0] * rows + directions[:, 1]) * columns + directions[:, 2]
    flat = levels.ravel()
    counts = np.zeros((len(steps), number, number), np.int64)
    for z in range(first, last):
        for y in range(1, rows - 1):
            start = (z * rows + y) * columns
            for at in range(start + 1, start + columns - 1):
                level = flat[at]
                if level > 0:
                    for d in range(len(steps)):
                        other = flat[at + steps[d]]
                        if other > 0:
                            counts[d, level - 1, other - 1] += 1
    for d in range(len(steps)):
        for i in range(number):
            for j in range(i, number):
                both = counts[d, i, j] + counts[d, j, i]
                counts[d, i, j] = both
                counts[d, j, i] = both
    return counts


@nb.njit(nogil=True, cache=True)
def count_runs(levels: Array, first: int, last: int, directions: Array, number: int) -> Array:
    """Return how many runs of level ``i + 1`` and length ``j + 1`` lie along each direction.

    Voxels alone, by far the commonest runs, are not looked at: they are those that no longer run holds.
    """
    _, rows, columns = levels.shape
    steps = (directions[:, 0] * rows + directions[:, 1]) * columns + directions[:, 2]
    flat = levels.ravel()
    counts = np.zeros((len(steps), number, max(levels.shape)), np.int64)
    voxels = np.zeros(number + 1, np.int64)
    for level in flat[first * rows * columns : last * rows * columns]:
        voxels[level] += 1
    counts[:, :, 0] = voxels[1:]
    for d in range(len(steps)):
        step = steps[d]
        for z in range(first, last):
            for y in range(1, rows - 1):
                start = (z * rows + y) * columns
                for at in range(start + 1, start + columns - 1):
                    level = flat[at]
                    if level > 0 and flat[at + step] == level and flat[at - step] != level:
                        length = 2
                        while flat[at + length * step] == level:
                            length += 1
                        counts[d, level - 1, length - 1] += 1
                        counts[d, level - 1, 0] -= length
    return counts


@nb.njit(nogil=True, cache=True)
def count_neighbours(levels: Array, first: int, last: int, steps: Array, number: int) -> tuple[Array, Array, Array]:
    """Return what the neighbourhoods of all voxels give.

    Returns
    -------
    How many voxels of each level have a neighbour in the region; the sum of their differences from the mean of those
    neighbours; and how many voxels of each level depend on 0, 1, 2 … neighbours of their own level.
    """
    _, rows, columns = levels.shape
    flat = levels.ravel()
    counts = np.zeros(number, np.int64)
    differences = np.zeros(number, np.float64)
    dependences = np.zeros((number, len(steps) + 1), np.int64)
    width = columns - 2
    present, total, same = np.empty(width, np.int32), np.empty(width, np.int32), np.empty(width, np.int32)
    for z in range(first, last):
        for y in range(1, rows - 1):
            start = (z * rows + y) * columns + 1
            line = flat[start : start + width]
            if not line.any():
                continue
            present[:], total[:], same[:] = 0, 0, 0
            for step in steps:  # whole rows at a time, as the processor takes many voxels in one instruction
                others = flat[start + step : start + step + width]
                for x in range(width):
                    present[x] += others[x] > 0
                    total[x] += others[x]
                    same[x] += others[x] == line[x]
            for x in range(width):
                level = line[x]
                if level > 0:
                    dependences[level - 1, same[x]] += 1
                    if present[x]:
                        counts[level - 1] += 1
                        differences[level - 1] += abs(level - total[x] / present[x])
    return counts, differences, dependences
