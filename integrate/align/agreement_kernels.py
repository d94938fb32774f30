"""Local agreement of two grey pictures: by how much each tile of one should still move to fit the other best."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["BINS", "best_offset"]

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
    joint = np.zeros((BINS, BINS))
    for dz in range(-reach[0], reach[0] + 1):
        for dy in range(-reach[1], reach[1] + 1):
            for dx in range(-reach[2], reach[2] + 1):
                joint[:] = 0
                for z in range(start[0], start[0] + size[0]):
                    for y in range(start[1], start[1] + size[1]):
                        for x in range(start[2], start[2] + size[2]):
                            a, b = here[z, y, x], there[z + dz, y + dy, x + dx]
                            if a >= 0 and b >= 0:
                                joint[a, b] += 1
                shared = _information(joint)
                if shared > best:
                    best = shared
                    found[0], found[1], found[2] = dz, dy, dx
    return found


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
