"""The histogram of a region's grey levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.features.radiomics.statistics import describe_values

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.radiomics.region import Region

__all__ = ["measure_histogram"]


def measure_histogram(region: Region) -> np.ndarray[Any, Any]:
    """Return the 23 features of the grey level histogram; the gradients of a single level are NaN."""
    import numpy as np

    counts = region.level_counts.astype(np.float64)
    described = describe_values(np.repeat(np.arange(1.0, region.number + 1), region.level_counts))
    p = counts[counts > 0] / counts.sum()
    names = ("mean", "var", "skew", "kurt", "median", "min", "p10", "p90", "max")
    rest = ("iqr", "range", "mad", "rmad", "medad", "cov", "qcod")
    return np.array(
        [
            *(described[name] for name in names),
            _mode(counts, described["mean"]),
            *(described[name] for name in rest),
            float(-(p * np.log2(p)).sum()) + 0.0,
            float((p * p).sum()),
            *_gradients(counts),
        ]
    )


def _mode(counts: np.ndarray[Any, Any], mean: float) -> float:
    """Return the commonest level; of several, the one nearest to the mean."""
    import numpy as np

    common = np.flatnonzero(counts == counts.max()) + 1
    return float(common[np.abs(common - mean).argmin()])


def _gradients(counts: np.ndarray[Any, Any]) -> tuple[float, float, float, float]:
    import numpy as np

    if len(counts) < 2:
        return (float("nan"),) * 4
    slope = np.gradient(counts)
    return float(slope.max()), float(slope.argmax() + 1), float(slope.min()), float(slope.argmin() + 1)
