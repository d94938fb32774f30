"""The grey level run length matrix: how long grey levels stay the same along a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.features.radiomics.average import mean_of
from integrate.features.radiomics.directions import half_directions

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.radiomics.region import Region

__all__ = ["measure_runs"]


def measure_runs(region: Region, aggregation: str) -> np.ndarray[Any, Any]:
    """Return the 16 run length features, brought together as `aggregation` says."""
    import numpy as np

    from integrate.features.radiomics.matrix_kernels import describe_sizes
    from integrate.features.radiomics.texture_kernels import count_runs

    dimension, how = aggregation.rsplit("_", 1)
    directions = half_directions(flat=dimension != "3D")
    lengths = np.arange(1, max(region.levels.shape) + 1)
    last = region.slices[-1] + 1
    spans = [(one, one + 1) for one in region.slices] if dimension == "2D" else [(region.slices[0], last)]
    features = []
    for first, stop in spans:
        counts = count_runs(region.levels, first, stop, directions, region.number)
        voxels = int(region.measured[first - 1 : stop - 1].sum())
        if how == "comb":
            features.append(describe_sizes(counts.sum(axis=0), lengths, voxels * len(directions)))
        else:
            features += [describe_sizes(matrix, lengths, voxels) for matrix in counts]
    return mean_of(features)[:16]
