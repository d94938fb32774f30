"""The grey level distance zone matrix: how deep below the border the patches of one grey level lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.features.radiomics.zones import Zones, describe_zones

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.radiomics.region import Region

__all__ = ["measure_zone_distances"]


def measure_zone_distances(region: Region, zones: Zones, dimension: str) -> np.ndarray[Any, Any]:
    """Return the 16 distance zone features."""
    return describe_zones(region, zones, zones.depths, dimension)
