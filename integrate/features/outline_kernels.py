"""Compiled loops that turn outlines into runs of pixels: a pixel belongs to an outline when its centre lies inside."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["fill_circles", "fill_polygons"]

Array = np.ndarray[Any, Any]


@nb.njit(nogil=True, cache=True)
def _grown(runs: Array, count: int) -> Array:
    if count < len(runs):
        return runs
    larger = np.empty((2 * len(runs) + 64, 4), np.int64)
    larger[:count] = runs[:count]
    return larger


@nb.njit(nogil=True, cache=True)
def _crossings(xy: Array, first: int, last: int, y0: int, y1: int, ends: Array, found: Array) -> None:
    """Write where the edges of rings cross the middle of rows; `ends` holds for every row where to write next.

    With an empty `found` crossings are only counted. Each edge is followed from its lower end, so that two outlines
    that share an edge cross at the same place to the last bit: no pixel is in both, none in neither.
    """
    for k in range(first, last - 1):
        ax, ay, bx, by = xy[k, 0], xy[k, 1], xy[k + 1, 0], xy[k + 1, 1]
        if ay > by or (ay == by and ax > bx):
            ax, ay, bx, by = bx, by, ax, ay
        top = max(int(np.ceil(max(ay - 0.5, y0 - 1.0))), y0)
        bottom = min(int(np.ceil(min(by - 0.5, y1 + 1.0))), y1)
        for y in range(top, bottom):
            if found.size:
                found[ends[y - y0]] = ax + (y + 0.5 - ay) * (bx - ax) / (by - ay)
            ends[y - y0] += 1


@nb.njit(nogil=True, cache=True)
def fill_polygons(
    chosen: Array, xy: Array, rings: Array, parts: Array, rows: Array, window: tuple[int, int, int, int]
) -> Array:
    """Return runs ``number in chosen, row, start, stop`` of polygons within a window ``y0, y1, x0, x1``.

    Outline ``g`` has the rings ``parts[g]`` to ``parts[g + 1]``, ring ``r`` the points ``rings[r]`` to ``rings[r + 1]``
    of `xy`; `rows` are the first and one past the last row it may touch. Even-odd: a hole is a ring in a ring.
    """
    y0, y1, x0, x1 = window
    runs = np.empty((1024, 4), np.int64)
    count = 0
    nothing = np.empty(0)
    for number in range(chosen.size):
        g = chosen[number]
        top, bottom = max(rows[g, 0], y0), min(rows[g, 1], y1)
        if bottom <= top:
            continue
        counts = np.zeros(bottom - top, np.int64)
        for r in range(parts[g], parts[g + 1]):
            _crossings(xy, rings[r], rings[r + 1], top, bottom, counts, nothing)
        ends = np.zeros(bottom - top, np.int64)
        for k in range(1, bottom - top):
            ends[k] = ends[k - 1] + counts[k - 1]
        found = np.empty(counts.sum())
        if found.size == 0:
            continue
        for r in range(parts[g], parts[g + 1]):
            _crossings(xy, rings[r], rings[r + 1], top, bottom, ends, found)
        for k in range(bottom - top):
            if counts[k] < 2:
                continue
            line = found[ends[k] - counts[k] : ends[k]]
            if line.size > 2:
                line.sort()
            elif line[0] > line[1]:  # nearly every row of nearly every outline; to sort takes ten times as long
                line[0], line[1] = line[1], line[0]
            last = x0
            for i in range(0, line.size - 1, 2):
                start = max(int(np.ceil(max(line[i] - 0.5, x0 - 1.0))), x0)
                stop = min(int(np.ceil(min(line[i + 1] - 0.5, x1 + 1.0))), x1)
                if stop <= start:
                    continue
                if count and i and start == last and runs[count - 1, 0] == number and runs[count - 1, 1] == k + top:
                    runs[count - 1, 3] = stop  # parts of one region that touch are one run
                else:
                    runs = _grown(runs, count)
                    runs[count, 0], runs[count, 1], runs[count, 2], runs[count, 3] = number, k + top, start, stop
                    count += 1
                last = stop
    return runs[:count]


@nb.njit(nogil=True, cache=True)
def fill_circles(
    chosen: Array, centres: Array, squares: Array, to_world: Array, rows: Array, window: tuple[int, int, int, int]
) -> Array:
    """Return runs ``number in chosen, row, start, stop`` of circles, which may be ellipses in pixels.

    `squares` are those of the radii; where one is below 0 there is no circle. `centres` are in the space of the
    circles, to which the affine `to_world` (2 x 3) takes ``x, y`` of pixels.
    """
    y0, y1, x0, x1 = window
    runs = np.empty((1024, 4), np.int64)
    count = 0
    a = to_world[0, 0] ** 2 + to_world[1, 0] ** 2
    for number in range(chosen.size):
        g = chosen[number]
        for y in range(max(rows[g, 0], y0), min(rows[g, 1], y1)):
            vx = to_world[0, 1] * (y + 0.5) + to_world[0, 2] - centres[g, 0]
            vy = to_world[1, 1] * (y + 0.5) + to_world[1, 2] - centres[g, 1]
            b = to_world[0, 0] * vx + to_world[1, 0] * vy
            inside = b * b - a * (vx * vx + vy * vy - squares[g])
            if inside < 0:
                continue
            half = np.sqrt(inside)
            start = max(int(np.ceil(max((-b - half) / a - 0.5, x0 - 1.0))), x0)
            stop = min(int(np.floor(min((-b + half) / a - 0.5, x1 + 1.0))) + 1, x1)
            if stop > start:
                runs = _grown(runs, count)
                runs[count, 0], runs[count, 1], runs[count, 2], runs[count, 3] = number, y, start, stop
                count += 1
    return runs[:count]
