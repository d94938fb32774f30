"""Compiled loops that add up or set apart the values of each unit, row after row in the order of the table."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["add_kinds", "add_values", "place_values"]

Array = np.ndarray[Any, Any]


@nb.njit(nogil=True, cache=True)
def add_values(units: Array, values: Array, weights: Array, total: Array, weight: Array, n: Array) -> None:
    """Add each value to its unit; a unit of -1 and a value of NaN are left out. No `weights` weigh rows equally."""
    weighted = len(weights) > 0
    for i in range(len(units)):
        unit, value = units[i], values[i]
        if unit < 0 or value != value:
            continue
        n[unit] += 1
        if weighted:
            total[unit] += weights[i] * value
            weight[unit] += weights[i]
        else:
            total[unit] += value


@nb.njit(nogil=True, cache=True)
def add_kinds(units: Array, kinds: Array, weights: Array, total: Array, weight: Array, n: Array) -> None:
    """Count each row for its kind, (kinds, units); a kind of -1 is missing."""
    weighted = len(weights) > 0
    for i in range(len(units)):
        unit, kind = units[i], kinds[i]
        if unit < 0 or kind < 0:
            continue
        n[unit] += 1
        by = weights[i] if weighted else 1.0
        total[kind, unit] += by
        weight[unit] += by


@nb.njit(nogil=True, cache=True)
def place_values(units: Array, values: Array, first: int, ends: Array, held: Array) -> None:
    """Put each value behind those of its unit, for the units from `first` on that have a place; NaN is left out."""
    for i in range(len(units)):
        unit, value = units[i] - first, values[i]
        if unit >= 0 and unit < len(ends) and value == value:
            held[ends[unit]] = value
            ends[unit] += 1
