"""Shared information of two volumes under a B-spline, with its slope in every control of the spline."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["draw_moved", "information_slope", "spline_at", "spread_slope"]


@njit(nogil=True, cache=True)
def spline_at(controls: Any, places: Any) -> Any:
    """Return the vectors of a cubic B-spline at places.

    Parameters
    ----------
    controls
        ``(nz, ny, nx, 3)``; the first lies one cell before place 0.
    places
        ``(n, 3)``, z first, in cells, ``0 … n - 3``.
    """
    found = np.zeros((len(places), 3))
    first, weight = np.zeros(3, np.int64), np.zeros((3, 4))
    for i in range(len(places)):
        _weigh(places[i], controls.shape, first, weight)
        for a in range(4):
            for b in range(4):
                for c in range(4):
                    share = weight[0, a] * weight[1, b] * weight[2, c]
                    node = controls[first[0] + a, first[1] + b, first[2] + c]
                    for axis in range(3):
                        found[i, axis] += share * node[axis]
    return found


@njit(nogil=True, cache=True)
def spread_slope(slopes: Any, places: Any, shape: Any) -> Any:
    """Return the slope in the controls of a spline of that shape, from those in its vectors at places; as above."""
    found = np.zeros((shape[0], shape[1], shape[2], 3))
    first, weight = np.zeros(3, np.int64), np.zeros((3, 4))
    for i in range(len(places)):
        _weigh(places[i], shape, first, weight)
        for a in range(4):
            for b in range(4):
                for c in range(4):
                    share = weight[0, a] * weight[1, b] * weight[2, c]
                    node = found[first[0] + a, first[1] + b, first[2] + c]
                    for axis in range(3):
                        node[axis] += share * slopes[i, axis]
    return found


@njit(nogil=True, inline="always")
def _weigh(place: Any, shape: Any, first: Any, weight: Any) -> None:
    """Write the first control that a place feels along each axis, and the weights of four."""
    for axis in range(3):
        low = max(min(int(place[axis]), shape[axis] - 4), 0)
        first[axis] = low
        _cubic(place[axis] - low, weight[axis])


@njit(nogil=True, cache=True)
def draw_moved(index: Any, volume: Any) -> Any:
    """Return a volume's values, and their slopes ``(n, 3)``, at indices of centres, z first; linear, held outside."""
    values, slopes = np.zeros(len(index)), np.zeros((len(index), 3))
    low, part, inside = np.zeros(3, np.int64), np.zeros(3), np.zeros(3)
    for i in range(len(index)):
        for axis in range(3):
            last = volume.shape[axis] - 1
            place = min(max(index[i, axis], 0.0), float(last))
            inside[axis] = 1.0 if place == index[i, axis] else 0.0
            low[axis] = max(min(int(place), last - 1), 0)
            part[axis] = place - low[axis]
        for corner in range(8):
            d = (corner >> 2, corner >> 1 & 1, corner & 1)
            value = volume[
                min(low[0] + d[0], volume.shape[0] - 1),
                min(low[1] + d[1], volume.shape[1] - 1),
                min(low[2] + d[2], volume.shape[2] - 1),
            ]
            z = part[0] if d[0] else 1 - part[0]
            y = part[1] if d[1] else 1 - part[1]
            x = part[2] if d[2] else 1 - part[2]
            values[i] += z * y * x * value
            slopes[i, 0] += (1 if d[0] else -1) * inside[0] * y * x * value
            slopes[i, 1] += (1 if d[1] else -1) * inside[1] * z * x * value
            slopes[i, 2] += (1 if d[2] else -1) * inside[2] * z * y * value
    return values, slopes


@njit(nogil=True, cache=True)
def information_slope(codes: Any, values: Any, bins: int) -> Any:
    """Return the information that grey values ``0 … bins - 1`` share with values in 0 … 1, nats, and its slopes.

    The values count in four bins each, by a cubic B-spline, so the information is smooth in them (Mattes 2003).
    """
    joint = np.zeros((bins, bins))
    weight = np.zeros(4)
    for i in range(len(values)):
        low, f = _bin(values[i], bins)
        _cubic(f, weight)
        for k in range(4):
            joint[codes[i], low + k] += weight[k] / len(values)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    shared = 0.0
    gain = np.zeros((bins, bins))
    for a in range(bins):
        for b in range(bins):
            if joint[a, b] > 0:
                gain[a, b] = np.log(joint[a, b] / columns[b])
                shared += joint[a, b] * (gain[a, b] - np.log(rows[a]))
    slopes = np.zeros(len(values))
    for i in range(len(values)):
        low, f = _bin(values[i], bins)
        _cubic_slope(f, weight)
        for k in range(4):
            slopes[i] += weight[k] * gain[codes[i], low + k] * (bins - 3) / len(values)
    return shared, slopes


@njit(nogil=True, inline="always")
def _bin(value: float, bins: int) -> Any:
    place = value * (bins - 3)
    low = max(min(int(place), bins - 4), 0)
    return low, place - low


@njit(nogil=True, inline="always")
def _cubic(f: float, weight: Any) -> None:
    weight[0] = (1 - f) ** 3 / 6
    weight[1] = (3 * f**3 - 6 * f**2 + 4) / 6
    weight[2] = (-3 * f**3 + 3 * f**2 + 3 * f + 1) / 6
    weight[3] = f**3 / 6


@njit(nogil=True, inline="always")
def _cubic_slope(f: float, weight: Any) -> None:
    weight[0] = -((1 - f) ** 2) / 2
    weight[1] = (3 * f**2 - 4 * f) / 2
    weight[2] = (-3 * f**2 + 2 * f + 1) / 2
    weight[3] = f**2 / 2
