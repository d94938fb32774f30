"""Neighbours of a voxel: the directions and steps that texture matrices walk along."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["half_directions", "half_steps", "neighbour_steps"]


def half_directions(*, flat: bool) -> np.ndarray[Any, Any]:
    """Return the directions ``(z, y, x)`` to one half of the neighbours: 4 in a slice, 13 in space.

    Examples
    --------
    >>> half_directions(flat=True).tolist()
    [[0, 0, 1], [0, 1, -1], [0, 1, 0], [0, 1, 1]]
    """
    import numpy as np

    every = itertools.product((0,) if flat else (-1, 0, 1), (-1, 0, 1), (-1, 0, 1))
    return np.array([direction for direction in every if direction > (0, 0, 0)], np.int64)


def neighbour_steps(shape: tuple[int, ...], *, flat: bool) -> np.ndarray[Any, Any]:
    """Return the offsets of all neighbours, 8 or 26, in a flattened array of that shape."""
    import numpy as np

    steps = half_steps(shape, flat=flat)
    return np.concatenate([-steps, steps])


def half_steps(shape: tuple[int, ...], *, flat: bool) -> np.ndarray[Any, Any]:
    """Return the offsets of the neighbours that come later, 4 or 13, in a flattened array of that shape."""
    half = half_directions(flat=flat)
    return (half[:, 0] * shape[1] + half[:, 1]) * shape[2] + half[:, 2]
