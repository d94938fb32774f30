"""Discretisation: from intensities to grey levels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from integrate.features.radiomics.settings import FixedBinNumber, FixedBinSize, Resegment

if TYPE_CHECKING:
    import numpy as np

__all__ = ["MOST_LEVELS", "discretise", "lower_end"]

#: More grey levels than this are no grey scale; nothing is made of them, as memory grows with their number.
MOST_LEVELS = 1_000_000


def discretise(
    values: np.ndarray[Any, Any], bins: FixedBinNumber | FixedBinSize, resegment: Resegment | None
) -> tuple[np.ndarray[Any, Any], int]:
    """Return grey levels from 1 and how many levels there are.

    Examples
    --------
    >>> import numpy as np
    >>> levels, number = discretise(np.array([0.0, 5.0, 10.0]), FixedBinNumber(4), None)
    >>> levels.tolist(), number
    ([1, 3, 4], 4)
    """
    import numpy as np

    low = lower_end(values, bins, resegment)
    if isinstance(bins, FixedBinSize):
        levels = np.floor((values - low) / bins.width).astype(np.int64) + 1
        levels = np.maximum(levels, 1)
        return levels, int(levels.max())
    high = float(values.max())
    if high == low:
        return np.ones(len(values), np.int64), 1
    levels = np.floor(bins.number * ((values - low) / (high - low))).astype(np.int64) + 1
    return np.minimum(levels, bins.number), bins.number


def lower_end(values: np.ndarray[Any, Any], bins: FixedBinNumber | FixedBinSize, resegment: Resegment | None) -> float:
    """Return the intensity at which level 1 begins."""
    if isinstance(bins, FixedBinSize):
        if bins.start is not None:
            return float(bins.start)
        if resegment is not None and resegment.interval is not None and math.isfinite(resegment.interval[0]):
            return resegment.interval[0]
    return float(values.min())
