"""Statistics of a region's intensities, as they are or as grey levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.radiomics.region import Region

__all__ = ["describe_values", "measure_statistics"]


def measure_statistics(region: Region) -> np.ndarray[Any, Any]:
    """Return the 18 intensity statistics."""
    import numpy as np

    values = region.values
    described = describe_values(region.ordered)
    squares = float(values @ values)
    order = ("mean", "var", "skew", "kurt", "median", "min", "p10", "p90", "max", "iqr", "range")
    spread = ("mad", "rmad", "medad", "cov", "qcod")
    return np.array([*(described[name] for name in order + spread), squares, np.sqrt(squares / len(values))])


def describe_values(values: np.ndarray[Any, Any]) -> dict[str, float]:
    """Return moments, percentiles and deviations of at least one value, float64 in ascending order.

    Skewness and kurtosis of equal values are 0 by the IBSI manual; ratios with a denominator of 0 are NaN, as is the
    robust deviation of two values, between whose 10th and 90th percentile neither lies.
    """
    import numpy as np

    mean = float(values.mean())
    centred = values - mean
    low, high = float(values[0]), float(values[-1])
    variance = float((centred * centred).mean()) if high > low else 0.0
    unit = centred / np.sqrt(variance) if variance > 0 else np.zeros(1)  # powers of a tiny variance would vanish
    squared = unit * unit
    p10, p25, median, p75, p90 = (_percentile(values, share) for share in (10, 25, 50, 75, 90))
    core = values[values.searchsorted(p10) : values.searchsorted(p90, side="right")]
    return {
        "mean": mean,
        "var": variance,
        "skew": float((squared * unit).mean()) if variance > 0 else 0.0,
        "kurt": float((squared * squared).mean()) - 3 if variance > 0 else 0.0,
        "median": median,
        "min": low,
        "p10": p10,
        "p90": p90,
        "max": high,
        "iqr": p75 - p25,
        "range": high - low,
        "mad": float(np.abs(centred).mean()),
        "rmad": float(np.abs(core - core.mean()).mean()) if core.size else float("nan"),
        "medad": float(np.abs(values - median).mean()),
        "cov": float(np.sqrt(variance)) / mean if mean != 0 else float("nan"),
        "qcod": (p75 - p25) / (p75 + p25) if p75 + p25 != 0 else float("nan"),
    }


def _percentile(ordered: np.ndarray[Any, Any], share: float) -> float:
    """Return what `numpy.percentile` does, to the last bit, without ordering values once more."""
    place = (len(ordered) - 1) * (share / 100)
    before = int(place)
    low, high = float(ordered[before]), float(ordered[min(before + 1, len(ordered) - 1)])
    part = place - before
    return high - (high - low) * (1 - part) if part >= 0.5 else low + (high - low) * part
