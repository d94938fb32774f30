"""Compiled loops that find the regions in which points lie, by a grid of candidates over the outlines."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["bin_boxes", "bin_edges", "count_pairs_of_keys", "find_points", "hash_points", "order_points"]

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
def bin_edges(xy: Array, rings: Array, parts: Array, boxes: Array) -> tuple[Array, Array, Array, Array]:
    """Return the edges of every outline by slabs of ``y``, so that a point looks only at those beside it.

    Returns
    -------
    Of every outline its first slab, and slabs per unit of ``y``; of every slab where its edges begin; the corners at
    which edges begin. An edge is in every slab it touches, and there are so few slabs that this is at most four times.
    """
    first = np.zeros(len(boxes) + 1, np.int64)
    scale = np.zeros(len(boxes))
    for g in range(len(boxes)):
        slabs = _count_slabs(xy, rings[parts[g]], rings[parts[g + 1]], boxes[g, 3] - boxes[g, 1])
        if slabs > 1:
            scale[g] = slabs / (boxes[g, 3] - boxes[g, 1])
        first[g + 1] = first[g] + slabs
    ends = np.zeros(first[-1] + 1, np.int64)
    starts = ends.copy()
    edges = np.empty(0, np.int64)
    for writing in range(2):
        for g in range(len(boxes)):
            for r in range(parts[g], parts[g + 1]):
                for k in range(rings[r], rings[r + 1] - 1):
                    low, high = min(xy[k, 1], xy[k + 1, 1]), max(xy[k, 1], xy[k + 1, 1])
                    for s in range(_slab(low, g, first, scale, boxes), _slab(high, g, first, scale, boxes) + 1):
                        if writing:
                            edges[ends[s]] = k
                            ends[s] += 1
                        else:
                            ends[s + 1] += 1
        if not writing:
            for s in range(first[-1]):
                ends[s + 1] += ends[s]
            starts = ends.copy()
            edges = np.empty(ends[-1], np.int64)
    return first, scale, starts, edges


@nb.njit(nogil=True, cache=True)
def _count_slabs(xy: Array, start: int, end: int, height: float) -> int:
    """Return one slab per two corners, fewer where edges are so steep that each would touch many."""
    rise = 0.0
    for k in range(start, end - 1):  # also from ring to ring: never too little
        rise += abs(xy[k + 1, 1] - xy[k, 1])
    if not height > 1e-300 or rise == 0:
        return 1
    return max(1, min((end - start) // 2, int(2 * (end - start) * (height / rise))))


@nb.njit(nogil=True, cache=True)
def _slab(y: float, g: int, first: Array, scale: Array, boxes: Array) -> int:
    """Return the slab of a height inside the box; it never falls as `y` rises, so no edge is missed by rounding."""
    return int(min(first[g] + int((y - boxes[g, 1]) * scale[g]), first[g + 1] - 1))


@nb.njit(nogil=True, cache=True)
def order_points(x: Array, y: Array, corner: tuple[float, float], edge: float, shape: tuple[int, int]) -> Array:
    """Return the points cell by cell of a grid: neighbours then find their outlines in the cache, ten times as fast."""
    nx, ny = shape
    cells = np.empty(x.size, np.int64)
    ends = np.zeros(nx * ny + 2, np.int64)
    for p in range(x.size):
        cells[p] = _cell(x[p], y[p], corner, edge, shape)
        ends[cells[p] + 2] += 1
    for cell in range(nx * ny + 1):
        ends[cell + 1] += ends[cell]
    order = np.empty(x.size, np.int64)
    for p in range(x.size):
        order[ends[cells[p] + 1]] = p
        ends[cells[p] + 1] += 1
    return order


@nb.njit(nogil=True, cache=True)
def _cell(x: float, y: float, corner: tuple[float, float], edge: float, shape: tuple[int, int]) -> int:
    """Return the number of the cell of a grid, -1 beside it."""
    nx, ny = shape
    if not (corner[0] <= x < corner[0] + edge * nx and corner[1] <= y < corner[1] + edge * ny):
        return -1
    return int(min(int((y - corner[1]) / edge), ny - 1) * nx + min(int((x - corner[0]) / edge), nx - 1))


@nb.njit(nogil=True, cache=True)
def _crosses(x: float, y: float, ax: float, ay: float, bx: float, by: float) -> bool:
    """Return whether an edge crosses the line from a point to the right; followed from its lower end, see outlines."""
    if (ay > y) == (by > y):
        return False
    if ay > by:
        ax, ay, bx, by = bx, by, ax, ay
    return bool(x < ax + (y - ay) * (bx - ax) / (by - ay))


@nb.njit(nogil=True, cache=True)
def _holds(g: int, x: float, y: float, xy: Array, boxes: Array, slabs: tuple[Array, Array, Array, Array]) -> bool:
    """Return whether a point in the box of an outline lies in it, by the crossing rule."""
    first, scale, starts, edges = slabs
    inside = False
    s = _slab(y, g, first, scale, boxes)
    for t in range(starts[s], starts[s + 1]):
        k = edges[t]
        if _crosses(x, y, xy[k, 0], xy[k, 1], xy[k + 1, 0], xy[k + 1, 1]):
            inside = not inside
    return inside


@nb.njit(nogil=True, cache=True)
def find_points(
    x: Array,
    y: Array,
    code: Array,
    codes: int,
    outlines: tuple[Array, Array, Array, Array],
    slabs: tuple[Array, Array, Array, Array],
    grid: tuple[tuple[float, float], float, tuple[int, int], Array, Array],
) -> tuple[Array, Array, int]:
    """Return a key ``region * codes + code`` for each point in a region, and which points lie in none and in several.

    Parameters
    ----------
    x, y
        Places, best in the order of `order_points`.
    outlines
        Coordinates, boxes, centres and radii.
    slabs
        The edges of `bin_edges`.
    grid
        Corner, edge and shape, and the candidates of `bin_boxes`.
    """
    xy, boxes, centres, radii = outlines
    corner, edge, shape, starts, items = grid
    keys = np.empty(x.size + 1024, np.int64)
    nowhere = np.zeros(codes, np.int64)
    count = 0
    several = 0
    for p in range(x.size):
        px, py = x[p], y[p]
        hits = 0
        cell = _cell(px, py, corner, edge, shape)
        for t in range(starts[cell], starts[cell + 1] if cell >= 0 else starts[cell]):
            g = items[t]
            if px < boxes[g, 0] or px > boxes[g, 2] or py < boxes[g, 1] or py > boxes[g, 3]:
                continue
            if radii.size:
                inside = (px - centres[g, 0]) ** 2 + (py - centres[g, 1]) ** 2 <= radii[g] ** 2
            else:
                inside = _holds(g, px, py, xy, boxes, slabs)
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
