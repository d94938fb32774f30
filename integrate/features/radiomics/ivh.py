"""The intensity-volume histogram: which share of a region is at least so intense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.features.radiomics.discretise import MOST_LEVELS, discretise, lower_end
from integrate.features.radiomics.settings import FixedBinSize, Radiomics

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.radiomics.region import Region

__all__ = ["measure_volumes"]


def measure_volumes(region: Region, settings: Radiomics) -> np.ndarray[Any, Any]:
    """Return volume at intensity fractions, intensity at volume fractions, their differences and the area."""
    import numpy as np

    grey, fraction, volume = _curve(region, settings)
    if not len(grey):
        return np.full(7, np.nan)
    at10, at90 = (volume[np.argmax(fraction >= share - 1e-12)] for share in (0.1, 0.9))
    of10, of90 = (_first_at_most(grey, volume, share) for share in (0.1, 0.9))
    # Below the lowest intensity that occurs the volume is 1; a re-segmentation interval may begin far below it.
    height, along = np.concatenate([[1.0], volume]), np.concatenate([[0.0], fraction])
    area = float(((height[1:] + height[:-1]) / 2 * np.diff(along)).sum()) if len(grey) > 1 else float("nan")
    return np.array([at10, at90, of10, of90, at10 - at90, of10 - of90, area])


def _curve(region: Region, settings: Radiomics) -> tuple[np.ndarray[Any, Any], ...]:
    """Return intensities in ascending order, their fraction of the range and the volume that has at least each.

    Empty when there are more grey levels than any scale has.
    """
    import numpy as np

    values = region.values
    if settings.ivh_bins is None:
        grey, counts = _every_step(*_count(region.ordered))
        low, high = _range(grey, settings)
    else:
        levels, number = discretise(values, settings.ivh_bins, settings.resegment)
        if number > MOST_LEVELS:
            return (np.empty(0),) * 3
        counts = np.bincount(levels, minlength=number + 1)[1:]
        grey = np.arange(1, number + 1, dtype=np.float64)
        low, high = 1.0, float(number)
        if isinstance(settings.ivh_bins, FixedBinSize):
            width = settings.ivh_bins.width
            grey = lower_end(values, settings.ivh_bins, settings.resegment) + (grey - 0.5) * width
            low, high = float(grey[0]), float(grey[-1])
    volume = 1 - (np.cumsum(counts) - counts) / counts.sum()
    fraction = (grey - low) / (high - low) if high > low else np.ones(len(grey))
    return grey, fraction, volume


def _count(ordered: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the intensities that occur and how often each does."""
    import numpy as np

    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return ordered[first], np.diff(first, append=len(ordered))


def _every_step(grey: np.ndarray[Any, Any], counts: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
    """Return whole numbers with those between them that do not occur, other intensities as they are."""
    import numpy as np

    if (grey != np.rint(grey)).any() or grey[-1] - grey[0] > MOST_LEVELS:
        return grey, counts
    steps = np.arange(grey[0], grey[-1] + 1)
    every = np.zeros(len(steps), counts.dtype)
    every[(grey - grey[0]).astype(np.int64)] = counts
    return steps, every


def _range(grey: np.ndarray[Any, Any], settings: Radiomics) -> tuple[float, float]:
    import math

    ends = settings.resegment.interval if settings.resegment and settings.resegment.interval else (-math.inf, math.inf)
    low, high = ends
    return (low if math.isfinite(low) else float(grey[0])), (high if math.isfinite(high) else float(grey[-1]))


def _first_at_most(grey: np.ndarray[Any, Any], volume: np.ndarray[Any, Any], share: float) -> float:
    """Return the lowest intensity that at most this share of the volume has; NaN when the most intense has more."""
    import numpy as np

    found = np.flatnonzero(volume <= share + 1e-12)
    return float(grey[found[0]]) if len(found) else float("nan")
