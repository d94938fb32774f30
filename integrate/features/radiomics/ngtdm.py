"""The neighbourhood grey tone difference matrix: how far voxels differ from the mean of their neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from integrate.features.radiomics.average import mean_of
from integrate.features.radiomics.neighbourhoods import Neighbourhoods

if TYPE_CHECKING:
    import numpy as np

__all__ = ["measure_tone_differences"]

#: Coarseness of a region without any difference, by the IBSI manual.
_WITHOUT_DIFFERENCE = 1e6


def measure_tone_differences(neighbourhoods: Sequence[Neighbourhoods]) -> np.ndarray[Any, Any]:
    """Return coarseness, contrast, busyness, complexity and strength."""
    return mean_of([_describe(one.counts, one.differences) for one in neighbourhoods])


def _describe(counts: np.ndarray[Any, Any], differences: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    total = counts.sum()
    if total == 0:
        return np.full(5, np.nan)
    level = np.flatnonzero(counts) + 1.0
    p, s = counts[counts > 0] / total, differences[counts > 0]
    weighted, summed = float(p @ s), float(s.sum())
    apart = level[:, None] - level
    spread = float((p[:, None] * p * apart**2).sum())
    tones = float(np.abs(level[:, None] * p[:, None] - level * p).sum())
    joint = (p * s)[:, None] + p * s
    several = len(level) * (len(level) - 1)
    return np.array(
        [
            1 / weighted if weighted > 0 else _WITHOUT_DIFFERENCE,
            spread / several * summed / total if several else 0.0,
            weighted / tones if tones > 0 else 0.0,
            float((np.abs(apart) * joint / (p[:, None] + p)).sum()) / total,
            float(((p[:, None] + p) * apart**2).sum()) / summed if summed > 0 else 0.0,
        ]
    )
