"""The grey level co-occurrence matrix: how often two grey levels are neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.features.radiomics.average import mean_of
from integrate.features.radiomics.directions import half_directions

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.radiomics.region import Region

__all__ = ["measure_pairs"]


def measure_pairs(region: Region, aggregation: str) -> np.ndarray[Any, Any]:
    """Return the 25 co-occurrence features, brought together as `aggregation` says."""
    from integrate.features.radiomics.matrix_kernels import describe_pairs
    from integrate.features.radiomics.texture_kernels import count_pairs

    dimension, how = aggregation.rsplit("_", 1)
    directions = half_directions(flat=dimension != "3D")
    last = region.slices[-1] + 1
    spans = [(one, one + 1) for one in region.slices] if dimension == "2D" else [(region.slices[0], last)]
    matrices = []
    for span in spans:
        counts = count_pairs(region.levels, *span, directions, region.number)
        matrices += [counts.sum(axis=0)] if how == "comb" else list(counts)
    return mean_of([describe_pairs(matrix) for matrix in matrices])
