"""Compiled loops over a box of intensities: folding it about its middle, and sums over the squares of its waves."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["fold_box", "sum_squares"]

Array = np.ndarray[Any, Any]


@nb.njit(nogil=True, cache=True)
def fold_box(fields: Array) -> Array:
    """Return the even and the odd parts of fields ``(n, z, y, x)`` about the middle of each axis.

    Dims are ``(2, 2, 2, n, z, y, x)``, even before odd for z, y and x; indices go from the middle of an axis outwards,
    where a voxel in the very middle is counted twice.
    """
    number, slices, rows, columns = fields.shape
    halves = ((slices + 1) // 2, (rows + 1) // 2, (columns + 1) // 2)
    parts = np.empty((2, 2, 2, number, *halves))
    for n in range(number):
        for z in range(halves[0]):
            low, high = fields[n, halves[0] - 1 - z], fields[n, slices - halves[0] + z]
            for y in range(halves[1]):
                near, far = halves[1] - 1 - y, rows - halves[1] + y
                for odd_z in range(2):
                    sign = 1.0 - 2 * odd_z
                    back, front = high[near] + sign * low[near], high[far] + sign * low[far]
                    for odd_y in range(2):
                        row = front - back if odd_y else front + back
                        even, odd = parts[odd_z, odd_y, 0, n, z, y], parts[odd_z, odd_y, 1, n, z, y]
                        left, right = row[: halves[2]][::-1], row[columns - halves[2] :]
                        for x in range(halves[2]):
                            even[x], odd[x] = right[x] + left[x], right[x] - left[x]
    return parts


@nb.njit(nogil=True, cache=True, fastmath={"reassoc"})  # in whatever order, so that it takes several at a time
def sum_squares(weights: Array, fields: Array) -> Array:
    """Return the weighted sums of fields 0 · 0, 1 · 1 and 0 · 2."""
    sums = np.zeros(3)
    for row in range(len(weights)):
        weight, one, two, three = weights[row], fields[0, row], fields[1, row], fields[2, row]
        first, second, third = 0.0, 0.0, 0.0
        for k in range(len(weight)):
            scaled = weight[k] * one[k]
            first += scaled * one[k]
            second += weight[k] * two[k] * two[k]
            third += scaled * three[k]
        sums[0] += first
        sums[1] += second
        sums[2] += third
    return sums
