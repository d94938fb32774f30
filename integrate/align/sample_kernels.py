"""Interpolation of a raster at given places: of volumes, and of pixels that OpenCV rounds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["affine_places", "fill_beyond", "linear", "nearest"]


@njit(nogil=True, cache=True)
def affine_places(matrix: Any, start: Any, places: Any) -> None:
    """Write where the centres of output pixels lie in the source, ``(axes, z, y, x)``, order ``z, y, x``.

    Parameters
    ----------
    matrix
        3 × 4, from output to source pixels, both ``z, y, x`` and speaking of corners.
    start
        First output pixel.
    """
    for k in range(places.shape[1]):
        for i in range(places.shape[2]):
            z, y = start[0] + k + 0.5, start[1] + i + 0.5
            for j in range(places.shape[3]):
                x = start[2] + j + 0.5
                for axis in range(3):
                    row = matrix[axis]
                    places[axis, k, i, j] = row[0] * z + row[1] * y + row[2] * x + row[3]


@njit(nogil=True, cache=True)
def fill_beyond(matrix: Any, start: Any, limit: Any, fill: Any, out: Any) -> None:
    """Write `fill` into every channel of the pixels ``(c, y, x)`` that come from beyond the source.

    Parameters
    ----------
    matrix
        2 × 3, from output to source pixels, both ``y, x`` and speaking of corners.
    start, limit
        First output pixel, and shape of the source.
    """
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            y, x = start[0] + i + 0.5, start[1] + j + 0.5
            row = matrix[0, 0] * y + matrix[0, 1] * x + matrix[0, 2]
            column = matrix[1, 0] * y + matrix[1, 1] * x + matrix[1, 2]
            if not (0 <= row <= limit[0] and 0 <= column <= limit[1]):
                for c in range(out.shape[0]):
                    out[c, i, j] = fill


@njit(nogil=True, cache=True)
def linear(source: Any, places: Any, limit: Any, offset: Any, fill: float, out: Any) -> None:
    """Write the interpolated values of every channel; `fill` where a place lies beyond the raster.

    Parameters
    ----------
    source
        The part of the raster that is needed, ``(c, z, y, x)``.
    places
        Where to look, in pixels of the whole raster, ``(3, z, y, x)``.
    limit, offset
        Shape of the whole raster, and where the part begins in it.
    out
        ``(c, z, y, x)``, float64.
    """
    for k in range(places.shape[1]):
        for i in range(places.shape[2]):
            for j in range(places.shape[3]):
                inside = True
                low = np.zeros(3, np.int64)
                part = np.zeros(3)
                for axis in range(3):
                    place = places[axis, k, i, j]
                    if not (0 <= place <= limit[axis]):
                        inside = False
                        break
                    centre = min(max(place - 0.5, 0.0), limit[axis] - 1.0)
                    low[axis] = min(int(centre), max(limit[axis] - 2, 0))
                    part[axis] = centre - low[axis]
                    low[axis] = min(max(low[axis] - offset[axis], 0), source.shape[axis + 1] - 1)
                for c in range(source.shape[0]):
                    out[c, k, i, j] = _blend(source[c], low, part) if inside else fill


@njit(nogil=True, inline="always")
def _blend(raster: Any, low: Any, part: Any) -> float:
    """Return the weighted mean of the eight neighbours; those without weight are not read, so NaN does not spread."""
    total = 0.0
    for corner in range(8):
        weight = 1.0
        weight *= part[0] if corner >> 2 else 1 - part[0]
        weight *= part[1] if corner >> 1 & 1 else 1 - part[1]
        weight *= part[2] if corner & 1 else 1 - part[2]
        if weight > 0:
            z = min(low[0] + (corner >> 2), raster.shape[0] - 1)
            y = min(low[1] + (corner >> 1 & 1), raster.shape[1] - 1)
            x = min(low[2] + (corner & 1), raster.shape[2] - 1)
            total += weight * raster[z, y, x]
    return total


@njit(nogil=True, cache=True)
def nearest(source: Any, places: Any, limit: Any, offset: Any, out: Any) -> None:
    """Write the value of the pixel in which each place lies; what `out` holds stays where a place lies beyond."""
    for k in range(places.shape[1]):
        for i in range(places.shape[2]):
            for j in range(places.shape[3]):
                z, y, x = places[0, k, i, j], places[1, k, i, j], places[2, k, i, j]
                if 0 <= z <= limit[0] and 0 <= y <= limit[1] and 0 <= x <= limit[2]:
                    # Centres that lie on an edge but for rounding belong to the pixel above it.
                    a = min(max(int(z + 1e-6) - offset[0], 0), source.shape[1] - 1)
                    b = min(max(int(y + 1e-6) - offset[1], 0), source.shape[2] - 1)
                    d = min(max(int(x + 1e-6) - offset[2], 0), source.shape[3] - 1)
                    for c in range(source.shape[0]):
                        out[c, k, i, j] = source[c, a, b, d]
