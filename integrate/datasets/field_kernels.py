"""Compiled loops behind a planted section: cells drawn, fields sampled, places thinned out."""

from __future__ import annotations

from math import ceil, cos, floor, sin, sqrt
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def draw(
    xy: NDArray[np.float64],
    angle: NDArray[np.float64],
    long_um: NDArray[np.float64],
    short_um: NDArray[np.float64],
    rim_um: NDArray[np.float64],
    bumps: NDArray[np.float64],
    pixel_um: float,
    owner: NDArray[np.int32],
    beyond_um: NDArray[np.float32],
) -> None:
    """Give every pixel within a cell's rim to the cell whose nuclear edge is nearest; fill both grids in place."""
    rows, columns = owner.shape
    for cell in range(len(xy)):
        x, y = xy[cell]
        cosine, sine = cos(angle[cell]), sin(angle[cell])
        cos_2, sin_2 = 0.05 * cos(bumps[cell, 0]), 0.05 * sin(bumps[cell, 0])
        cos_3, sin_3 = 0.05 * cos(bumps[cell, 1]), 0.05 * sin(bumps[cell, 1])
        reach = 1.12 * long_um[cell] + rim_um[cell]
        for row in range(max(0, floor((y - reach) / pixel_um)), min(rows, ceil((y + reach) / pixel_um))):
            dy = (row + 0.5) * pixel_um - y
            for column in range(max(0, floor((x - reach) / pixel_um)), min(columns, ceil((x + reach) / pixel_um))):
                dx = (column + 0.5) * pixel_um - x
                u, v = (dx * cosine + dy * sine) / long_um[cell], (dy * cosine - dx * sine) / short_um[cell]
                ratio = sqrt(u * u + v * v)
                past = -short_um[cell]
                if ratio > 1e-6:
                    c, s = u / ratio, v / ratio  # the outline bulges as sin(2 turn + bump) and sin(3 turn + bump)
                    ratio *= 1 + 2 * s * c * cos_2 + (c * c - s * s) * sin_2
                    ratio += ratio * ((3 * s - 4 * s * s * s) * cos_3 + (4 * c * c * c - 3 * c) * sin_3)
                    past = sqrt(dx * dx + dy * dy) * (1 - 1 / ratio)
                if past <= rim_um[cell] and past < beyond_um[row, column]:
                    owner[row, column] = cell + 1
                    beyond_um[row, column] = past


@numba.njit(cache=True, nogil=True)
def sample(
    field: NDArray[np.float32],
    origin_um: float,
    step_um: float,
    x: NDArray[Any],
    y: NDArray[Any],
    values: NDArray[np.float32],
) -> None:
    """Fill `values` with the bilinear interpolation of a square raster at points in micrometres."""
    last = len(field) - 1.0
    for place in range(len(values)):
        row = min(max((y[place] - origin_um) / step_um - 0.5, 0.0), last)
        column = min(max((x[place] - origin_um) / step_um - 0.5, 0.0), last)
        top, left = min(int(row), len(field) - 2), min(int(column), len(field) - 2)
        down, right = row - top, column - left
        above = field[top, left] * (1 - right) + field[top, left + 1] * right
        below = field[top + 1, left] * (1 - right) + field[top + 1, left + 1] * right
        values[place] = above * (1 - down) + below * down


@numba.njit(cache=True, nogil=True)
def thin(first: NDArray[np.int64], second: NDArray[np.int64], stays: NDArray[np.bool_]) -> None:
    """Go through pairs sorted by their first member; one that stays drives its second away."""
    for pair in range(len(first)):
        if stays[first[pair]]:
            stays[second[pair]] = False
