"""Compiled loops over a label volume: which labels there are and where."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["find_boxes"]

Array = np.ndarray[Any, Any]


@nb.njit(nogil=True, cache=True)
def find_boxes(labels: Array) -> tuple[Array, Array]:
    """Return the labels other than 0 in the order they appear, and first and last index ``(z, y, x)`` of each."""
    slices, rows, columns = labels.shape
    row_of = {np.int64(0): 0}
    found = np.empty(16, np.int64)
    ends = np.empty((16, 6), np.int64)
    number, last, row = 0, np.int64(0), -1
    for z in range(slices):
        for y in range(rows):
            x = 0
            while x < columns:
                label = np.int64(labels[z, y, x])
                first = x
                x += 1
                while x < columns and labels[z, y, x] == label:
                    x += 1
                if label == 0:
                    continue
                if label != last:
                    last = label
                    if label not in row_of:
                        if number == len(found):
                            found = np.append(found, np.empty(number, np.int64))
                            ends = np.concatenate((ends, np.empty((number, 6), np.int64)))
                        row_of[label], found[number] = number, label
                        ends[number] = np.array([z, y, first, z, y, x - 1])
                        number += 1
                    row = row_of[label]
                ends[row, 1] = min(ends[row, 1], y)
                ends[row, 2] = min(ends[row, 2], first)
                ends[row, 3] = z
                ends[row, 4] = max(ends[row, 4], y)
                ends[row, 5] = max(ends[row, 5], x - 1)
    return found[:number], ends[:number]
