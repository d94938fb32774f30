"""The neighbouring grey level dependence matrix: how many neighbours share a voxel's grey level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from integrate.features.radiomics.average import mean_of
from integrate.features.radiomics.neighbourhoods import Neighbourhoods

if TYPE_CHECKING:
    import numpy as np

__all__ = ["measure_dependences"]


def measure_dependences(neighbourhoods: Sequence[Neighbourhoods]) -> np.ndarray[Any, Any]:
    """Return the 17 dependence features; a voxel counts itself among those it depends on."""
    import numpy as np

    from integrate.features.radiomics.matrix_kernels import describe_sizes

    matrices = [one.dependences for one in neighbourhoods]
    return mean_of([describe_sizes(m, np.arange(1, m.shape[1] + 1), int(m.sum())) for m in matrices])
