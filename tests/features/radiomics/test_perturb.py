"""Perturbations do what their names say, and tell robust features from fragile ones."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import ndimage

import integrate as ig
from integrate.errors import IntegrateError
from integrate.features.radiomics.measure import measure_perturbed, measure_radiomics
from integrate.features.radiomics.perturb import Perturbation, estimate_noise
from integrate.features.radiomics.phantom import digital_phantom
from integrate.features.radiomics.settings import Radiomics, Resample
from integrate.features.radiomics.volume import make_volume

SETTINGS = Radiomics(resample=Resample(1), families=["morphology", "statistics"])
INTENSITIES = Radiomics(resample=Resample(1), families=["statistics"])


def scan(seed: int = 0, *, radius: float = 9, noise: float = 5) -> tuple[xr.DataArray, xr.DataArray]:
    """Return a smooth image with noise and two balls in it."""
    rng = np.random.default_rng(seed)
    shape = (30, 44, 64)
    image = 300 * ndimage.gaussian_filter(rng.normal(size=shape), 4) + rng.normal(0, noise, shape)
    z, y, x = np.meshgrid(*(np.arange(n, dtype=float) for n in shape), indexing="ij")
    drawn = np.zeros(shape, np.uint8)
    for label, middle in ((1, 18), (2, 44)):
        drawn[(z - 15) ** 2 + (y - 21) ** 2 + (x - middle) ** 2 < radius**2] = label
    return make_volume(image, spacing_mm=(1, 1, 1)), make_volume(drawn, spacing_mm=(1, 1, 1))


def changed(*changes: Perturbation, settings: Radiomics = SETTINGS) -> pd.DataFrame:
    table = measure_perturbed(*scan(), changes, settings=settings)
    return table.to_df().assign(perturbation=table.obs["perturbation"], n_voxels=table.obs["n_voxels"])


def test_no_change_is_the_plain_measurement() -> None:
    table = measure_perturbed(*scan(), [Perturbation()], settings=SETTINGS)
    plain = measure_radiomics(*scan(), settings=SETTINGS)
    np.testing.assert_array_equal(table.X, plain.X)
    assert table.var.equals(plain.var)
    assert table.obs["lesion"].tolist() == ["lesions:1", "lesions:2"]


@pytest.mark.parametrize("change", [Perturbation(turn_deg=90), Perturbation(turn_deg=-90), Perturbation(shift=3)])
def test_a_grid_that_falls_on_voxels_again_changes_nothing(change: Perturbation) -> None:
    found = changed(Perturbation(), change)
    plain, moved = found.iloc[:2, :-2], found.iloc[2:, :-2]
    np.testing.assert_allclose(moved.astype(float), plain.astype(float), rtol=1e-6, atol=1e-9)


def test_turning_keeps_the_place_of_a_lesion_in_the_patient() -> None:
    changes = [Perturbation(), Perturbation(turn_deg=20), Perturbation(shift=0.4)]
    table = measure_perturbed(*scan(), changes, settings=SETTINGS)
    places = np.asarray(table.obsm["spatial"]).reshape(3, 2, 3)
    np.testing.assert_allclose(places[1:], places[[0, 0]], atol=0.2)
    volumes = table[:, "morph_volume"].X.reshape(3, 2)
    np.testing.assert_allclose(volumes[1:], volumes[[0, 0]], rtol=0.02)
    assert (table[:, "stat_var"].X.reshape(3, 2)[1:] < table[:, "stat_var"].X.reshape(3, 2)[0]).all()  # it interpolates


def test_a_lesion_in_the_corner_is_turned_whole() -> None:
    image, _ = scan()
    drawn = np.zeros(image.shape, np.uint8)
    drawn[5:10, :6, :6] = 1
    table = measure_perturbed(
        image, make_volume(drawn, spacing_mm=(1, 1, 1)), [Perturbation(turn_deg=30)], settings=SETTINGS
    )
    assert table.obs["reason"].tolist() == [""]
    assert table.obs["n_voxels"].iloc[0] == pytest.approx(180, rel=0.1)


def test_noise_is_a_multiple_of_what_the_image_has() -> None:
    image, _ = scan(noise=5)
    assert estimate_noise(image.values) == pytest.approx(5, rel=0.1)
    found = changed(Perturbation(), Perturbation(noise=2))
    added = found["stat_var"].to_numpy()[2:] - found["stat_var"].to_numpy()[:2]
    np.testing.assert_allclose(added, 100, rtol=0.35)


@pytest.mark.parametrize("share", [-0.2, 0.1, 0.5])
def test_growing_changes_the_volume_by_its_share(share: float) -> None:
    found = changed(Perturbation(), Perturbation(grow=share))
    np.testing.assert_allclose(found["n_voxels"][2:], found["n_voxels"][:2] * (1 + share), atol=1)


def test_outlines_move_by_millimetres_and_not_into_each_other() -> None:
    image, mask = scan()
    drawn = (ndimage.distance_transform_edt(mask.values == 0) < 5) * np.where(np.arange(64) < 31, 1, 2)
    mask = mask.copy(data=drawn.astype(np.uint8))
    changes = [Perturbation(), *(Perturbation(contour_mm=0.8, seed=seed) for seed in range(6))]
    counts = [measure_perturbed(image, mask, [one], settings=INTENSITIES).obs["n_voxels"].to_numpy() for one in changes]
    share = np.array(counts[1:]) / counts[0] - 1
    assert np.abs(share).max() < 0.4
    assert share.std() > 0.05
    ball = scan()[1].values == 1
    z, y, x = np.indices(ball.shape)
    radius = np.sqrt((z - 15) ** 2 + (y - 21) ** 2 + (x - 18) ** 2)
    noise = Perturbation(contour_mm=1.5, contour_scale_mm=4)
    moved = noise._move_outline(ball, (1, 1, 1), np.random.default_rng(0))
    assert moved[radius < 4].all()
    assert not moved[radius > 15].any()
    assert 0.6 < 2 * (ball & moved).sum() / (ball.sum() + moved.sum()) < 0.95


def test_a_mean_repeats_where_a_maximum_does_not() -> None:
    tables = []
    for seed in range(6):
        image, mask = scan(seed)
        changes = Perturbation.every(turn_deg=[0, 10], noise=[0, 3], seed=seed)
        table = measure_perturbed(image, mask, changes, settings=INTENSITIES, region=f"scan{seed}")
        tables.append(table.to_df().join(table.obs[["lesion", "perturbation"]]))
    found = ig.icc(pd.concat(tables), of="lesion", by="perturbation", features=["stat_mean", "stat_range"])
    found = found.set_index("x")
    assert found["n_targets"].tolist() == [12, 12]
    assert found.loc["stat_mean", "effect"] > 0.99
    assert found.loc["stat_range", "effect"] < 0.9


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda *pair: measure_perturbed(*pair, [], settings=Radiomics()), "expected one or more, each once"),
        (lambda *pair: measure_perturbed(*pair, [Perturbation()] * 2, settings=Radiomics()), "each once"),
        (
            lambda *pair: measure_perturbed(*pair, [Perturbation(shift=0.5)], settings=Radiomics()),
            "'shift0.5' interpolate: say how",
        ),
        (lambda *pair: Perturbation(grow=-1), "grow above -1"),
        (lambda *pair: Perturbation(noise=-1), "expected noise and contour_mm of 0 or more"),
    ],
)
def test_what_changes_nothing_sensible_is_refused(work: Callable[..., object], message: str) -> None:
    with pytest.raises(IntegrateError, match=re.escape(message)):
        work(*digital_phantom())
