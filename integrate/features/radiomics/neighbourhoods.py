"""Neighbourhoods of all voxels of one level, from which tone differences and dependences are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.features.radiomics.directions import neighbour_steps

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.radiomics.region import Region

__all__ = ["Neighbourhoods", "find_neighbourhoods"]


@dataclass(frozen=True, slots=True)
class Neighbourhoods:
    """Per level: voxels with neighbours, their summed differences from them, voxels by number of equal neighbours."""

    counts: np.ndarray[Any, Any]
    differences: np.ndarray[Any, Any]
    dependences: np.ndarray[Any, Any]


def find_neighbourhoods(region: Region, dimension: str) -> list[Neighbourhoods]:
    """Return the neighbourhoods of each matrix: one per slice for ``"2D"``, otherwise one for the region."""
    from integrate.features.radiomics.texture_kernels import count_neighbours

    steps = neighbour_steps(region.levels.shape, flat=dimension != "3D")
    last = region.slices[-1] + 1
    spans = [(one, one + 1) for one in region.slices] if dimension == "2D" else [(region.slices[0], last)]
    return [Neighbourhoods(*count_neighbours(region.levels, *span, steps, region.number)) for span in spans]
