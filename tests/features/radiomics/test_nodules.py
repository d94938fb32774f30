"""Nodules hang free in the lung: neither its wall nor its vessels are any."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from integrate.errors import ParameterError, UnitError
from integrate.features.radiomics.measure import measure_radiomics
from integrate.features.radiomics.nodules import segment_nodules
from integrate.features.radiomics.settings import Radiomics
from integrate.features.radiomics.volume import make_volume

SPACING = (3.0, 1.5, 1.5)


def chest(*balls: tuple[float, float, float, float]) -> xr.DataArray:
    """Return lung with a wall on one side, a vessel through it, noise, and balls given as centre and radius in mm."""
    shape = (30, 60, 60)
    places = np.stack(
        np.meshgrid(*(np.arange(n) * step for n, step in zip(shape, SPACING, strict=True)), indexing="ij")
    )
    share = np.zeros(shape)
    for *centre, radius in balls:
        away = np.sqrt(((places - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(axis=0))
        share = np.maximum(share, np.clip((radius - away) / 1.5 + 0.5, 0, 1))
    share[:, :6] = 1
    vessel = (places[0] - 60) ** 2 + (places[1] - 50) ** 2 < 2.5**2
    hounsfield = -850 + 890 * np.maximum(share, vessel) + np.random.default_rng(0).normal(0, 15, shape)
    return make_volume(hounsfield, spacing_mm=SPACING, unit="[hnsf'U]")


def test_nodules_are_found_with_their_volume_and_place_largest_first() -> None:
    scan = chest((30, 60, 30, 8), (45, 30, 60, 12))
    found = measure_radiomics(scan, segment_nodules(scan), settings=Radiomics(families=["morphology"]))
    assert found.n_obs == 2
    volumes = found[:, "morph_vol_approx"].X[:, 0]
    np.testing.assert_allclose(volumes, [4 / 3 * np.pi * 12**3, 4 / 3 * np.pi * 8**3], rtol=0.06)
    np.testing.assert_allclose(found.obsm["spatial"] - [0.75, 0.75, 1.5], [[60, 30, 45], [30, 60, 30]], atol=0.4)


def test_a_lung_without_a_nodule_has_none() -> None:
    scan = chest()
    found = segment_nodules(scan)
    assert found.values.max() == 0
    assert measure_radiomics(scan, found).n_obs == 0


def test_what_touches_the_wall_is_not_a_nodule() -> None:
    assert segment_nodules(chest((45, 12, 45, 9))).values.max() == 0


def test_a_volume_without_millimetres_is_refused() -> None:
    with pytest.raises(UnitError, match="does not say its voxel size"):
        segment_nodules(xr.DataArray(np.zeros((3, 3, 3)), dims=("z", "y", "x")))
    with pytest.raises(ParameterError, match="min_radius_mm is 0"):
        segment_nodules(chest(), min_radius_mm=0)
