"""The line: pixels of 8 and 16 bits interpolated along the rows of an affine, in whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int64, njit, uint64

__all__ = ["blend_affine"]

#: Positions along a row are whole numbers of 2⁻³² pixels; a place this far beyond the raster (10⁻⁶ pixels) is rounding.
ONE, SPARE = 1 << 32, 1 << 12
#: Rows and columns of output made at a time: what they read stays in the nearest cache, however it is turned.
BLOCK = (64, 128)


@njit(nogil=True, cache=True)
def blend_affine(
    source: Any, pitch: Any, shape: Any, matrix: Any, offset: Any, limit: Any, fill: Any, out: Any
) -> None:
    """Write the interpolated values of every channel of 8 or 16 bits, in whole numbers; `fill` beyond the raster.

    Parameters
    ----------
    source
        The part of the raster that is needed, as it lies in memory, in one row.
    pitch, shape
        How many numbers lie from channel to channel and from row to row of the part, and its shape ``y, x``.
    matrix
        2 × 3, from indices of output pixels to indices of pixels of the part, both ``x, y`` and speaking of centres.
    offset, limit
        Where the part begins in the whole raster, and the shape of that, ``y, x``.
    out
        ``(c, y, x)``.
    """
    steps = int64(np.rint(matrix[0, 0] * ONE)), int64(np.rint(matrix[1, 0] * ONE))
    at, weights = np.empty(BLOCK[1], np.uint64), np.empty((BLOCK[1], 4), np.int64)
    for top in range(0, out.shape[1], BLOCK[0]):
        for left in range(0, out.shape[2], BLOCK[1]):
            for i in range(top, min(top + BLOCK[0], out.shape[1])):
                x = int64(np.rint((matrix[0, 1] * i + matrix[0, 2]) * ONE)) + left * steps[0]
                y = int64(np.rint((matrix[1, 1] * i + matrix[1, 2]) * ONE)) + left * steps[1]
                line = out[:, i, left : left + BLOCK[1]]
                first, last = _blend_ends(source, pitch, shape, x, y, steps, offset, limit, fill, line)
                x += first * steps[0]
                y += first * steps[1]
                for j in range(last - first):
                    at[j] = uint64((y >> 32) * pitch[1] + (x >> 32))
                    weights[j, 0], weights[j, 1], weights[j, 2], weights[j, 3] = _weights(x, y)
                    x += steps[0]
                    y += steps[1]
                for c in range(out.shape[0]):
                    plane = source[c * pitch[0] :]
                    _blend_middle(plane, at[: last - first], weights, uint64(pitch[1]), line[c, first:last])


@njit(nogil=True)
def _blend_ends(
    source: Any, pitch: Any, shape: Any, x: Any, y: Any, steps: Any, offset: Any, limit: Any, fill: Any, line: Any
) -> Any:
    """Write the pixels of a line ``(c, x)`` that lack neighbours; return from where on and up to where none does."""
    low_x, low_y = -(ONE // 2) - offset[1] * ONE - SPARE, -(ONE // 2) - offset[0] * ONE - SPARE
    sizes = limit[1] * ONE + 2 * SPARE + 1, limit[0] * ONE + 2 * SPARE + 1
    width = line.shape[1]
    begin, end = _both(x - low_x, y - low_y, steps, sizes, width)
    first, last = _both(x, y, steps, ((shape[1] - 1) * ONE, (shape[0] - 1) * ONE), width)
    first, last = min(max(first, begin), end), min(max(last, begin), end)
    for c in range(line.shape[0]):
        for j in range(begin):
            line[c, j] = fill
        for j in range(end, width):
            line[c, j] = fill
    for j in range(begin, first):
        _blend_edge(source, pitch, shape, x + j * steps[0], y + j * steps[1], line, j)
    for j in range(last, end):
        _blend_edge(source, pitch, shape, x + j * steps[0], y + j * steps[1], line, j)
    return first, last


@njit(nogil=True)
def _both(x: Any, y: Any, steps: Any, sizes: Any, count: Any) -> Any:
    """Return from where on and up to where places along a line lie within a box that begins at 0."""
    first, last = _inside(x, steps[0], sizes[0], count)
    begin, end = _inside(y, steps[1], sizes[1], count)
    first = max(first, begin)
    return first, max(first, min(last, end))


@njit(nogil=True)
def _inside(place: Any, step: Any, limit: Any, count: Any) -> Any:
    """Return from where on and up to where places that lie a step apart are at least 0 and below a limit."""
    if step == 0:
        return (0, count) if 0 <= place < limit else (0, 0)
    if step < 0:
        first, last = _inside(place + (count - 1) * step, -step, limit, count)
        return count - last, count - first
    first = min(max(-(place // step), 0), count)
    return first, min(max(-((place - limit) // step), first), count)


@njit(nogil=True)
def _blend_edge(source: Any, pitch: Any, shape: Any, x: Any, y: Any, line: Any, j: Any) -> None:
    """Write a pixel ``(c, j)`` that lacks neighbours: beyond the last pixels of the raster they go on."""
    rows, columns = shape[0] - 1, shape[1] - 1
    up, down = min(max(y >> 32, 0), rows) * pitch[1], min(max((y >> 32) + 1, 0), rows) * pitch[1]
    here, there = min(max(x >> 32, 0), columns), min(max((x >> 32) + 1, 0), columns)
    weights = _weights(x, y)
    for c in range(line.shape[0]):
        k = c * pitch[0]
        line[c, j] = _mixed(source, k + up + here, k + up + there, k + down + here, k + down + there, weights)


@njit(nogil=True)
def _blend_middle(plane: Any, at: Any, weights: Any, down: Any, line: Any) -> None:
    right = uint64(1)  # unsigned: an index that may be negative costs as much as the rest
    for j in range(len(line)):
        k = at[j]
        line[j] = _mixed(plane, k, k + right, k + down, k + down + right, weights[j])


@njit(nogil=True, inline="always")
def _weights(x: Any, y: Any) -> Any:
    """Return the weights of four neighbours, which sum up to 2⁴⁰."""
    u, v = x >> 12 & 0xFFFFF, y >> 12 & 0xFFFFF
    left, upper = (1 << 20) - u, (1 << 20) - v
    return left * upper, u * upper, left * v, u * v


@njit(nogil=True, inline="always")
def _mixed(plane: Any, a: Any, b: Any, c: Any, d: Any, weights: Any) -> Any:
    """Return the weighted mean of four pixels, rounded."""
    upper = weights[0] * int64(plane[a]) + weights[1] * int64(plane[b])
    return (upper + weights[2] * int64(plane[c]) + weights[3] * int64(plane[d]) + (1 << 39)) >> 40
