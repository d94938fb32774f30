"""Compiled loops over the convex hulls of regions: each pixel is a square, so hulls go through corners of pixels."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["describe_hulls"]

Array = np.ndarray[Any, Any]


@nb.njit(nogil=True, cache=True)
def _chain(levels: Array, ends: Array, side: int, hull: Array) -> int:
    """Write one side of the hull from top to bottom, given the outermost x of every level; return its length."""
    count = 0
    for i in range(levels.size):
        y, x = levels[i], ends[i]
        while count > 1:
            ay, ax = hull[count - 2, 0], hull[count - 2, 1]
            by, bx = hull[count - 1, 0], hull[count - 1, 1]
            if side * ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) > 0:
                break
            count -= 1
        hull[count, 0], hull[count, 1] = y, x
        count += 1
    return count


@nb.njit(nogil=True, cache=True)
def _outer_corners(row: Array, start: Array, stop: Array) -> tuple[Array, Array, Array]:
    """Return the levels (edges between rows) that runs of one region touch, and their outermost corners."""
    levels = np.empty(2 * row.size, np.int64)
    left = np.empty(2 * row.size, np.int64)
    right = np.empty(2 * row.size, np.int64)
    count = 0
    for k in range(row.size):
        for level in (np.int64(row[k]), np.int64(row[k]) + 1):
            at = count - 1
            while at >= 0 and levels[at] > level:
                at -= 1
            if at >= 0 and levels[at] == level:
                left[at] = min(left[at], np.int64(start[k]))
                right[at] = max(right[at], np.int64(stop[k]))
            else:  # rows ascend, so that a new level is the last
                levels[count], left[count], right[count] = level, start[k], stop[k]
                count += 1
    return levels[:count], left[:count], right[:count]


@nb.njit(nogil=True, cache=True)
def describe_hulls(
    regions: int, size: tuple[float, float], region: Array, row: Array, start: Array, stop: Array
) -> Array:
    """Return per region ``area, perimeter, largest and smallest width`` of its hull; runs come region by region."""
    height, width = size
    found = np.full((regions, 4), np.nan)
    first = 0
    while first < region.size:
        last = first
        while last < region.size and region[last] == region[first]:
            last += 1
        levels, left, right = _outer_corners(row[first:last], start[first:last], stop[first:last])
        down = np.empty((levels.size, 2), np.int64)
        up = np.empty((levels.size, 2), np.int64)
        n, m = _chain(levels, left, -1, down), _chain(levels, right, 1, up)
        y, x = np.empty(n + m), np.empty(n + m)
        for i in range(n):
            y[i], x[i] = down[i, 0] * height, down[i, 1] * width
        for i in range(m):
            y[n + i], x[n + i] = up[m - 1 - i, 0] * height, up[m - 1 - i, 1] * width
        area, around, largest, smallest = 0.0, 0.0, 0.0, np.inf
        for i in range(n + m):
            j = (i + 1) % (n + m)
            dy, dx = y[j] - y[i], x[j] - x[i]
            length = np.sqrt(dy * dy + dx * dx)
            area += (x[i] - x[0]) * (y[j] - y[0]) - (x[j] - x[0]) * (y[i] - y[0])
            around += length
            reach = 0.0
            for k in range(n + m):
                largest = max(largest, (y[k] - y[i]) ** 2 + (x[k] - x[i]) ** 2)
                reach = max(reach, abs((x[k] - x[i]) * dy - (y[k] - y[i]) * dx))
            if length > 0:
                smallest = min(smallest, reach / length)
        r = region[first]
        found[r, 0], found[r, 1], found[r, 2], found[r, 3] = abs(area) / 2, around, np.sqrt(largest), smallest
        first = last
    return found
