"""Compiled loops over volumes: sums of places, and which of the voxels before it touches a voxel of the same region."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["EARLIER", "count_touching", "count_touching_alone", "new_cells", "sum_places"]

Array = np.ndarray[Any, Any]

_LARGEST = np.iinfo(np.int64).max

#: Steps ``z, y, x`` to the 13 of 26 neighbours that come before a voxel, plane by plane and row by row.
EARLIER = np.array(
    [(z, y, x) for z in (-1, 0) for y in (-1, 0, 1) for x in (-1, 0, 1) if (z, y, x) < (0, 0, 0)], np.int64
)  # fmt: skip


def new_cells() -> Array:
    """Return for each set of earlier neighbours what one more voxel adds to Euler's number.

    A voxel has 8 corners, 12 edges and 6 faces; those that an earlier voxel of the region has too are not new. Euler's
    number is corners - edges + faces - voxels; voxels that touch at a corner are joined.
    """
    steps = [tuple(int(part) for part in step) for step in EARLIER]
    cells = [(z, y, x) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    table = np.zeros(1 << len(steps), np.int64)
    # A cell lies where the parts that are not 0 say, on as many sides; a neighbour has it too if it steps to no other.
    shares = [
        sum(
            1 << k
            for k, step in enumerate(steps)
            if all(part in (0, side) for part, side in zip(step, cell, strict=True))
        )
        for cell in cells
    ]
    signs = [(-1) ** (3 - sum(side != 0 for side in cell)) for cell in cells]
    for found in range(len(table)):
        table[found] = sum(sign for share, sign in zip(shares, signs, strict=True) if not share & found)
    return table


@nb.njit(nogil=True, cache=True)
def sum_places(
    regions: int, corner: tuple[int, int, int], height: int, region: Array, row: Array, start: Array, stop: Array
) -> tuple[Array, Array]:
    """Return per region the sums of ``1, z, y, x, zz, yy, xx, zy, zx, yx`` and the bounds ``z, y, x, -z, -y, -x``.

    Rows count through planes of `height` rows; see `kernels.sum_positions`.
    """
    sums = np.zeros((regions, 10), np.int64)
    bounds = np.full((regions, 6), _LARGEST, np.int64)
    for k in range(region.size):
        r = region[k]
        z = row[k] // height + corner[0]
        y = row[k] % height + corner[1]
        a = start[k] + corner[2]
        b = stop[k] + corner[2]
        n = b - a
        x = (a + b - 1) * n // 2
        xx = ((b - 1) * b * (2 * b - 1) - (a - 1) * a * (2 * a - 1)) // 6
        for place, value in enumerate((n, z * n, y * n, x, z * z * n, y * y * n, xx, z * y * n, z * x, y * x)):
            sums[r, place] += value
        for place, value in enumerate((z, y, a, -z, -y, 1 - b)):
            bounds[r, place] = min(bounds[r, place], value)
    return sums, bounds


@nb.njit(nogil=True, cache=True)
def count_touching(
    around: Array, ids: Array, steps: Array, table: Array, region: Array, row: Array, start: Array, stop: Array
) -> Array:
    """Return per region its pairs of neighbours along 13 directions, and its share of Euler's number.

    `around` holds the labels with one voxel more on every side.
    """
    height = around.shape[1] - 2
    counts = np.zeros((ids.size, 14), np.int64)
    for k in range(region.size):
        r = region[k]
        z, y = row[k] // height + 1, row[k] % height + 1
        for x in range(start[k] + 1, stop[k] + 1):
            found = 0
            for s in range(steps.shape[0]):
                if around[z + steps[s, 0], y + steps[s, 1], x + steps[s, 2]] == around[z, y, x]:
                    counts[r, s] += 1
                    found |= 1 << s
            counts[r, 13] += table[found]
    return counts


@nb.njit(nogil=True, cache=True)
def count_touching_alone(
    regions: int, height: int, steps: Array, table: Array, region: Array, row: Array, start: Array, stop: Array
) -> Array:
    """Return what `count_touching` does, of whole regions that may overlap; no more than two planes are in memory.

    Runs come region by region, plane by plane.
    """
    counts = np.zeros((regions, 14), np.int64)
    first = 0
    for r in range(regions):
        last = first
        while last < region.size and region[last] == r:
            last += 1
        if last == first:
            continue
        low_y, low_x = (row[first:last] % height).min() - 1, start[first:last].min() - 1
        size = ((row[first:last] % height).max() - low_y + 2, stop[first:last].max() - low_x + 1)
        planes = np.zeros((2, *size), np.bool_)
        before = -2
        while first < last:
            z = row[first] // height
            end = first
            planes[z % 2] = False
            if z > before + 1:
                planes[(z + 1) % 2] = False
            while end < last and row[end] // height == z:
                planes[z % 2, row[end] % height - low_y, start[end] - low_x : stop[end] - low_x] = True
                end += 1
            _touch(planes, z, first, end, (height, low_y, low_x), steps, table, (row, start, stop), counts[r])
            before, first = z, end
    return counts


@nb.njit(nogil=True, cache=True)
def _touch(
    planes: Array, z: int, first: int, last: int, corner: tuple[int, int, int], steps: Array, table: Array,
    runs: tuple[Array, Array, Array], counts: Array,
) -> None:  # fmt: skip
    """Add what the voxels of one plane touch, in it and in the plane before."""
    height, low_y, low_x = corner
    row, start, stop = runs
    for k in range(first, last):
        y = row[k] % height - low_y
        for x in range(start[k] - low_x, stop[k] - low_x):
            found = 0
            for s in range(steps.shape[0]):
                if planes[(z + steps[s, 0]) % 2, y + steps[s, 1], x + steps[s, 2]]:
                    counts[s] += 1
                    found |= 1 << s
            counts[13] += table[found]
