"""Local agreement of two grey pictures: by how much each tile of one should still move to fit the other best."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["BINS", "best_offset", "fit_rank"]

BINS = 8


@njit(nogil=True, cache=True)
def best_offset(here: Any, there: Any, start: Any, size: Any, reach: Any) -> Any:
    """Return the offset ``(z, y, x)`` at which a tile shares most information with the other picture.

    Parameters
    ----------
    here, there
        Codes 0 … 7 of the two pictures, ``(z, y, x)``, negative where there is nothing.
    start, size
        The tile in `here`.
    reach
        How far to look along each axis; the tile grown by it lies within the pictures.
    """
    best = -1.0
    found = np.zeros(3, np.int64)
    for dz in range(-reach[0], reach[0] + 1):
        for dy in range(-reach[1], reach[1] + 1):
            for dx in range(-reach[2], reach[2] + 1):
                shared = _shared(here, there, start, size, (dz, dy, dx))
                if shared > best:
                    best = shared
                    found[0], found[1], found[2] = dz, dy, dx
    return found


@njit(nogil=True, cache=True)
def fit_rank(here: Any, there: Any, start: Any, size: Any, reach: int, step: int) -> float:
    """Return at which share of the offsets around it a tile fits worse than where it is; other arguments as above."""
    own = _shared(here, there, start, size, (0, 0, 0))
    worse, looked = 0, 0
    for dz in range(-reach, reach + 1, step):
        for dy in range(-reach, reach + 1, step):
            for dx in range(-reach, reach + 1, step):
                if dz != 0 or dy != 0 or dx != 0:
                    worse += _shared(here, there, start, size, (dz, dy, dx)) < own
                    looked += 1
    return worse / looked


@njit(nogil=True, cache=True)
def _shared(here: Any, there: Any, start: Any, size: Any, offset: Any) -> float:
    """Return the information that a tile shares with the other picture at an offset, nats."""
    joint = np.zeros((BINS, BINS))
    for z in range(start[0], start[0] + size[0]):
        for y in range(start[1], start[1] + size[1]):
            for x in range(start[2], start[2] + size[2]):
                a, b = here[z, y, x], there[z + offset[0], y + offset[1], x + offset[2]]
                if a >= 0 and b >= 0:
                    joint[a, b] += 1
    return _information(joint)


@njit(nogil=True, cache=True)
def _information(joint: Any) -> float:
    """Return the mutual information of a table of counts, nats."""
    total = joint.sum()
    if total == 0:
        return 0.0
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    shared = 0.0
    for i in range(BINS):
        for j in range(BINS):
            if joint[i, j] > 0:
                shared += joint[i, j] / total * np.log(joint[i, j] * total / (rows[i] * columns[j]))
    return shared
