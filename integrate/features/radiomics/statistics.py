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
    described = describe_values(values)
    squares = float(values @ values)
    order = ("mean", "var", "skew", "kurt", "median", "min", "p10", "p90", "max", "iqr", "range")
    spread = ("mad", "rmad", "medad", "cov", "qcod")
    return np.array([*(described[name] for name in order + spread), squares, np.sqrt(squares / len(values))])


def describe_values(values: np.ndarray[Any, Any]) -> dict[str, float]:
    """Return moments, percentiles and deviations of at least one value.

    Skewness and kurtosis of equal values are 0 by the IBSI manual; ratios with a denominator of 0 are NaN.
    """
    import numpy as np

    values = values.astype(np.float64, copy=False)
    mean = float(values.mean())
    centred = values - mean
    squared = centred * centred
    low, high = float(values.min()), float(values.max())
    variance = float(squared.mean()) if high > low else 0.0
    p10, p25, median, p75, p90 = np.percentile(values, [10, 25, 50, 75, 90]).tolist()
    core = values[(values >= p10) & (values <= p90)]
    return {
        "mean": mean,
        "var": variance,
        "skew": float((squared * centred).mean()) / variance**1.5 if variance > 0 else 0.0,
        "kurt": float((squared * squared).mean()) / variance**2 - 3 if variance > 0 else 0.0,
        "median": median,
        "min": low,
        "p10": p10,
        "p90": p90,
        "max": high,
        "iqr": p75 - p25,
        "range": high - low,
        "mad": float(np.abs(centred).mean()),
        "rmad": float(np.abs(core - core.mean()).mean()),
        "medad": float(np.abs(values - median).mean()),
        "cov": float(np.sqrt(variance)) / mean if mean != 0 else float("nan"),
        "qcod": (p75 - p25) / (p75 + p25) if p75 + p25 != 0 else float("nan"),
    }
