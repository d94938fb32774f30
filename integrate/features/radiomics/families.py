"""All families of one region as one row of numbers, with the reason for what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.features.radiomics.discretise import MOST_LEVELS
from integrate.features.radiomics.glcm import measure_pairs
from integrate.features.radiomics.gldzm import measure_zone_distances
from integrate.features.radiomics.glrlm import measure_runs
from integrate.features.radiomics.glszm import measure_zone_sizes
from integrate.features.radiomics.histogram import measure_histogram
from integrate.features.radiomics.ivh import measure_volumes
from integrate.features.radiomics.local_intensity import measure_peaks
from integrate.features.radiomics.morphology import measure_morphology
from integrate.features.radiomics.neighbourhoods import find_neighbourhoods
from integrate.features.radiomics.ngldm import measure_dependences
from integrate.features.radiomics.ngtdm import measure_tone_differences
from integrate.features.radiomics.nomenclature import FAMILIES, aggregations_of
from integrate.features.radiomics.settings import Radiomics
from integrate.features.radiomics.statistics import measure_statistics
from integrate.features.radiomics.zones import find_zones

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.radiomics.region import Region

__all__ = ["explain", "measure_region"]

_TEXTURES = ("glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm")


def measure_region(region: Region, settings: Radiomics) -> np.ndarray[Any, Any]:
    """Return the values of every column that `settings` ask for, NaN where a feature is undefined."""
    import numpy as np

    textures = _measure_textures(region, settings)
    row = []
    for family in settings.families:
        for how in aggregations_of(family, settings.textures):
            if family in _TEXTURES:
                values = textures.get((family, how))
            elif family == "morphology":
                values = measure_morphology(region)
            else:
                values = _measure_intensities(region, family, settings)
            row.append(np.full(len(FAMILIES[family]), np.nan) if values is None else values)
    return np.concatenate(row) if row else np.empty(0)


def explain(region: Region, settings: Radiomics) -> str:
    """Return why features of a region are missing; empty where nothing is unusual."""
    if not region.measured.any():
        empty = "every voxel is NaN" if settings.resegment is None else "no voxel left after re-segmentation"
        return f"{empty}: form only"
    if region.number > settings.max_levels:
        lacking = "no textures and no histogram" if region.number > MOST_LEVELS else "no textures"
        return f"{region.number} grey levels, more than max_levels={settings.max_levels}: {lacking}"
    if region.values.size == 1:
        return "one voxel: no spread and no neighbours"
    if region.values.min() == region.values.max():
        return "one intensity: no spread"
    return ""


def _measure_intensities(region: Region, family: str, settings: Radiomics) -> np.ndarray[Any, Any] | None:
    if not region.values.size:
        return None
    if family == "local_intensity":
        return measure_peaks(region)
    if family == "statistics":
        return measure_statistics(region)
    if family == "histogram":
        return measure_histogram(region) if region.number <= MOST_LEVELS else None
    return measure_volumes(region, settings)


def _measure_textures(region: Region, settings: Radiomics) -> dict[tuple[str, str], np.ndarray[Any, Any]]:
    """Return the features of every texture family and aggregation; zones and neighbourhoods are found once."""
    wanted = [family for family in settings.families if family in _TEXTURES]
    if not wanted or not region.values.size or region.number > settings.max_levels:
        return {}
    found: dict[tuple[str, str], np.ndarray[Any, Any]] = {}
    for family, measure in (("glcm", measure_pairs), ("glrlm", measure_runs)):
        if family in wanted:
            found |= {(family, how): measure(region, how) for how in settings.textures}
    dimensions = aggregations_of("glszm", settings.textures)
    if {"glszm", "gldzm"} & set(wanted):
        zones = {flat: find_zones(region, flat=flat) for flat in {one != "3D" for one in dimensions}}
        for how in dimensions:
            found["glszm", how] = measure_zone_sizes(region, zones[how != "3D"], how)
            found["gldzm", how] = measure_zone_distances(region, zones[how != "3D"], how)
    if {"ngtdm", "ngldm"} & set(wanted):
        for how in dimensions:
            neighbourhoods = find_neighbourhoods(region, how)
            found["ngtdm", how] = measure_tone_differences(neighbourhoods)
            found["ngldm", how] = measure_dependences(neighbourhoods)
    return found
