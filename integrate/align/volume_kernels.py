"""Shared information of two volumes at a trial placement, from samples of one interpolated in the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["normalised_information"]


@njit(nogil=True, cache=True)
def normalised_information(points: Any, codes: Any, matrix: Any, there: Any, bins: int, least: float) -> float:
    """Return Studholme's normalised mutual information less 1: 0 … 1; 0 where too few samples meet the other volume.

    Parameters
    ----------
    points, codes
        Positions of samples, x first, and their grey values as ``0 … bins - 1``.
    matrix
        3 × 4, from positions to indices of voxel centres of the other volume, x first.
    there
        The other volume ``(z, y, x)``, 0 … 1, NaN where there is nothing.
    bins
        Grey values told apart.
    least
        Share of the samples that must meet it.
    """
    joint = np.zeros((bins, bins))
    met = 0
    for i in range(len(points)):
        value = _interpolated(points[i], matrix, there)
        if np.isfinite(value):
            value *= bins - 1
            low = min(int(value), bins - 2)
            joint[codes[i], low] += low + 1 - value
            joint[codes[i], low + 1] += value - low
            met += 1
    if met < least * len(points) or met == 0:
        return 0.0
    both = _entropy(joint.ravel() / met)
    apart = _entropy(joint.sum(axis=0) / met) + _entropy(joint.sum(axis=1) / met)
    return apart / both - 1 if both > 0 else 0.0


@njit(nogil=True, inline="always")
def _interpolated(point: Any, matrix: Any, there: Any) -> float:
    """Return the value of a volume at a position, linearly; NaN beyond the centres of its outer voxels."""
    low = np.zeros(3, np.int64)
    part = np.zeros(3)
    for axis in range(3):
        row = matrix[2 - axis]
        place = row[0] * point[0] + row[1] * point[1] + row[2] * point[2] + row[3]
        if not (0 <= place <= there.shape[axis] - 1):
            return np.nan
        low[axis] = max(min(int(place), there.shape[axis] - 2), 0)
        part[axis] = place - low[axis]
    total = 0.0
    for corner in range(8):
        dz, dy, dx = corner >> 2, corner >> 1 & 1, corner & 1
        weight = (part[0] if dz else 1 - part[0]) * (part[1] if dy else 1 - part[1]) * (part[2] if dx else 1 - part[2])
        if weight > 0:
            total += weight * there[low[0] + dz, low[1] + dy, low[2] + dx]
    return total


@njit(nogil=True, inline="always")
def _entropy(shares: Any) -> float:
    total = 0.0
    for share in shares:
        if share > 0:
            total -= share * np.log(share)
    return total
