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
            for x in range(columns):
                label = np.int64(labels[z, y, x])
                if label == 0:
                    continue
                if label != last:
                    last = label
                    if label in row_of:
                        row = row_of[label]
                    else:
                        if number == len(found):
                            found = np.append(found, np.empty(number, np.int64))
                            ends = np.concatenate((ends, np.empty((number, 6), np.int64)))
                        row = number
                        row_of[label] = row
                        found[row] = label
                        ends[row, :3] = np.array([z, y, x])
                        ends[row, 3:] = np.array([z, y, x])
                        number += 1
                end = ends[row]
                end[1] = min(end[1], y)
                end[2] = min(end[2], x)
                end[3] = z
                end[4] = max(end[4], y)
                end[5] = max(end[5], x)
    return found[:number], ends[:number]
