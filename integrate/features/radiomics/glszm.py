"""The grey level size zone matrix: how large the patches of one grey level are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.features.radiomics.zones import Zones, describe_zones

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.radiomics.region import Region

__all__ = ["measure_zone_sizes"]


def measure_zone_sizes(region: Region, zones: Zones, dimension: str) -> np.ndarray[Any, Any]:
    """Return the 16 size zone features."""
    return describe_zones(region, zones, zones.sizes, dimension)
