"""Compiled loops that find the regions in which points lie, by a grid of candidates over the outlines."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["bin_boxes", "count_pairs_of_keys", "find_points", "hash_points"]

Array = np.ndarray[Any, Any]


@nb.njit(nogil=True, cache=True)
def bin_boxes(boxes: Array, corner: tuple[float, float], edge: float, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Return for every cell of a grid, ``x`` fastest, where its candidates begin, and the candidates."""
    nx, ny = shape
    ends = np.zeros(nx * ny + 1, np.int64)
    starts = ends.copy()
    items = np.empty(0, np.int64)
    for writing in range(2):
        for g in range(boxes.shape[0]):
            if not boxes[g, 2] >= boxes[g, 0]:
                continue  # an empty outline
            for j in range(int((boxes[g, 1] - corner[1]) / edge), int((boxes[g, 3] - corner[1]) / edge) + 1):
                for i in range(int((boxes[g, 0] - corner[0]) / edge), int((boxes[g, 2] - corner[0]) / edge) + 1):
                    cell = min(j, ny - 1) * nx + min(i, nx - 1)
                    if writing:
                        items[ends[cell]] = g
                        ends[cell] += 1
                    else:
                        ends[cell + 1] += 1
        if not writing:
            for cell in range(nx * ny):
                ends[cell + 1] += ends[cell]
            starts = ends.copy()
            items = np.empty(ends[-1], np.int64)
    return starts, items


@nb.njit(nogil=True, cache=True)
def _crosses(x: float, y: float, ax: float, ay: float, bx: float, by: float) -> bool:
    """Return whether an edge crosses the line from a point to the right; followed from its lower end, see outlines."""
    if (ay > y) == (by > y):
        return False
    if ay > by:
        ax, ay, bx, by = bx, by, ax, ay
    return bool(x < ax + (y - ay) * (bx - ax) / (by - ay))


@nb.njit(nogil=True, cache=True)
def find_points(
    x: Array,
    y: Array,
    code: Array,
    codes: int,
    outlines: tuple[Array, Array, Array, Array, Array, Array],
    grid: tuple[float, float, float, int, int, Array, Array],
) -> tuple[Array, Array, int]:
    """Return a key ``region * codes + code`` for each point in a region, and which points lie in none and in several.

    Parameters
    ----------
    outlines
        Coordinates, where rings begin in them, where outlines begin in the rings, boxes, centres and radii.
    grid
        Left, top, edge, cells along ``x`` and ``y``, and the candidates of `bin_boxes`.
    """
    xy, rings, parts, boxes, centres, radii = outlines
    left, top, edge, nx, ny, starts, items = grid
    keys = np.empty(x.size + 1024, np.int64)
    nowhere = np.zeros(codes, np.int64)
    count = 0
    several = 0
    for p in range(x.size):
        px, py = x[p], y[p]
        hits = 0
        if px >= left and py >= top and px < left + edge * nx and py < top + edge * ny:
            cell = min(int((py - top) / edge), ny - 1) * nx + min(int((px - left) / edge), nx - 1)
            for t in range(starts[cell], starts[cell + 1]):
                g = items[t]
                if px < boxes[g, 0] or px > boxes[g, 2] or py < boxes[g, 1] or py > boxes[g, 3]:
                    continue
                inside = False
                if radii.size:
                    inside = (px - centres[g, 0]) ** 2 + (py - centres[g, 1]) ** 2 <= radii[g] ** 2
                else:
                    for r in range(parts[g], parts[g + 1]):
                        for k in range(rings[r], rings[r + 1] - 1):
                            if _crosses(px, py, xy[k, 0], xy[k, 1], xy[k + 1, 0], xy[k + 1, 1]):
                                inside = not inside
                if inside:
                    if count == keys.size:
                        larger = np.empty(2 * keys.size, np.int64)
                        larger[:count] = keys
                        keys = larger
                    keys[count] = g * codes + code[p]
                    count += 1
                    hits += 1
        if hits == 0:
            nowhere[code[p]] += 1
        several += hits > 1
    return keys[:count], nowhere, several


@nb.njit(nogil=True, cache=True)
def count_pairs_of_keys(keys: Array, regions: int, codes: int) -> tuple[Array, Array, Array]:
    """Return ``indptr, indices, data`` of the sparse matrix regions by codes that counts keys."""
    ends = np.zeros(regions + 1, np.int64)
    for key in keys:
        ends[key // codes + 1] += 1
    for r in range(regions):
        ends[r + 1] += ends[r]
    place = ends.copy()
    found = np.empty(keys.size, np.int32)
    for key in keys:
        r = key // codes
        found[place[r]] = key - r * codes
        place[r] += 1
    counts = np.zeros(codes, np.int64)
    pointers = np.zeros(regions + 1, np.int64)
    indices = np.empty(keys.size, np.int32)
    data = np.empty(keys.size, np.int64)
    n = 0
    for r in range(regions):
        line = found[ends[r] : ends[r + 1]]
        for c in line:
            counts[c] += 1
        for c in line:
            if counts[c]:
                indices[n], data[n] = c, counts[c]
                counts[c] = 0
                n += 1
        pointers[r + 1] = n
    return pointers, indices[:n], data[:n]


@nb.njit(nogil=True, cache=True)
def hash_points(x: Array, y: Array, names: Array, code: Array) -> Any:
    """Return a sum over points of bits mixed from both coordinates and the name's number; order does not matter."""
    total = np.uint64(0)
    for p in range(x.size):
        z = x[p] * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(29))) + y[p]
        z = z * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(32))) + names[code[p]]
        z = z * np.uint64(0x94D049BB133111EB)
        total += z ^ (z >> np.uint64(31))
    return total
