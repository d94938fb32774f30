"""Fast kernels against slow obvious versions, and what may change nothing."""

from __future__ import annotations

import itertools
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.measure import marching_cubes, mesh_surface_area

from integrate.features.radiomics.directions import half_directions
from integrate.features.radiomics.local_intensity import PEAK_RADIUS_MM
from integrate.features.radiomics.measure import measure_radiomics
from integrate.features.radiomics.mesh import find_hull, measure_surface
from integrate.features.radiomics.settings import FixedBinNumber, FixedBinSize, Radiomics, Resample
from integrate.features.radiomics.statistics import describe_values
from integrate.features.radiomics.texture_kernels import count_runs
from integrate.features.radiomics.volume import make_volume

SPACING = (2.5, 0.9, 0.7)


def blob(seed: int, shape: tuple[int, int, int] = (7, 9, 8), *, share: float = 0.6) -> np.ndarray:
    """Return a ragged mask with holes that does not fill its box."""
    mask = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 0.8)
    mask = mask > np.quantile(mask, 1 - share)
    mask[0], mask[:, 0], mask[:, :, 0] = False, False, False
    return mask


def pair(seed: int, *, levels: int = 6) -> tuple[xr.DataArray, xr.DataArray]:
    mask = blob(seed)
    image = np.random.default_rng(seed).integers(1, levels + 1, mask.shape).astype(float)
    return make_volume(image, spacing_mm=SPACING), make_volume(mask.astype(np.uint8), spacing_mm=SPACING)


def values(image: xr.DataArray, mask: xr.DataArray, **chosen: object) -> dict[str, float]:
    table = measure_radiomics(image, mask, settings=Radiomics(FixedBinSize(1, start=1), **chosen), labels=[1])
    return dict(zip(table.var_names, table.X[0].tolist(), strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_the_counted_surface_is_that_of_marching_cubes(seed: int) -> None:
    inside = np.pad(blob(seed), 1)
    vertices, faces, _, _ = marching_cubes(inside.astype(np.float32), level=0.5, spacing=SPACING)
    a, b, c = (vertices[faces[:, k]].astype(float) for k in range(3))
    volume, area = measure_surface(inside, SPACING)
    assert volume == pytest.approx(abs((a * np.cross(b, c)).sum() / 6), rel=1e-5)
    assert area == pytest.approx(mesh_surface_area(vertices, faces), rel=1e-5)
    corners, hull_volume, hull_area = find_hull(inside, SPACING)
    hull = ConvexHull(vertices)
    assert (hull_volume, hull_area) == pytest.approx((hull.volume, hull.area), rel=1e-5)
    np.testing.assert_allclose(corners.max(axis=0), vertices.max(axis=0), rtol=1e-5)
    np.testing.assert_allclose(corners.min(axis=0), vertices.min(axis=0), rtol=1e-5)
    everyone = np.sqrt(((vertices[:, None].astype(float) - vertices) ** 2).sum(axis=-1)).max()
    found = np.sqrt(((corners[:, None] - corners) ** 2).sum(axis=-1)).max()
    assert found == pytest.approx(everyone, rel=1e-5)


def test_a_large_ball_has_the_volume_the_area_and_the_axes_of_a_ball() -> None:
    z, y, x = np.mgrid[-24:25, -24:25, -24:25]
    ball = (z**2 + y**2 + x**2 <= 400).astype(np.uint8)
    image = make_volume(ball * 1.0, spacing_mm=(1, 1, 1))
    found = values(image, make_volume(ball, spacing_mm=(1, 1, 1)), families=["morphology"])
    assert found["morph_volume"] == pytest.approx(4 / 3 * np.pi * 20**3, rel=0.01)
    assert found["morph_pca_maj_axis"] == pytest.approx(4 * 20 / 5**0.5, rel=0.01)
    assert found["morph_vol_dens_aee"] == pytest.approx((5**0.5 / 2) ** 3, rel=0.02)
    assert found["morph_diam"] == pytest.approx(41, rel=0.01)
    # the series for the surface of an ellipsoid ends in that of a sphere
    radius = found["morph_pca_maj_axis"] / 2
    sphere = 4 * np.pi * radius**2
    assert found["morph_area_mesh"] / found["morph_area_dens_aee"] == pytest.approx(sphere, rel=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_autocorrelation_equals_the_loop_over_all_pairs(seed: int) -> None:
    image, mask = pair(seed)
    places = np.argwhere(mask.values == 1) * SPACING
    x = image.values[mask.values == 1]
    off = x - x.mean()
    weights = products = squares = 0.0
    for i, j in itertools.permutations(range(len(x)), 2):
        weight = 1 / np.linalg.norm(places[i] - places[j])
        weights += weight
        products += weight * off[i] * off[j]
        squares += weight * (x[i] - x[j]) ** 2
    found = values(image, mask, families=["morphology"])
    assert found["morph_moran_i"] == pytest.approx(len(x) / weights * products / (off @ off), rel=1e-10)
    assert found["morph_geary_c"] == pytest.approx((len(x) - 1) / (2 * weights) * squares / (off @ off), rel=1e-10)


@pytest.mark.parametrize("with_nan", [False, True])
def test_peaks_equal_the_mean_over_every_voxel_of_the_sphere(*, with_nan: bool) -> None:
    rng = np.random.default_rng(5)
    image = make_volume(rng.normal(-400, 30, (12, 30, 31)), spacing_mm=SPACING)
    if with_nan:
        image.values[rng.random(image.shape) < 0.1] = np.nan
    mask = make_volume(np.pad(blob(1), ((2, 3), (10, 11), (0, 23))).astype(np.uint8), spacing_mm=SPACING)
    every = np.stack(np.meshgrid(*(np.arange(n) for n in image.shape), indexing="ij"), axis=-1) * SPACING
    inside = (mask.values == 1) & np.isfinite(image.values)
    means = {
        tuple(at): np.nanmean(image.values[((every - at * np.array(SPACING)) ** 2).sum(axis=-1) <= PEAK_RADIUS_MM**2])
        for at in np.argwhere(inside)
    }
    brightest = max(means, key=lambda at: image.values[at])
    found = values(image, mask, families=["local_intensity"])
    assert found["loc_peak_loc"] == pytest.approx(means[brightest], rel=1e-12)
    assert found["loc_peak_glob"] == pytest.approx(max(means.values()), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_textures_equal_those_of_obvious_loops(seed: int) -> None:
    image, mask = pair(seed)
    level = np.where(mask.values == 1, image.values, 0).astype(int)
    found = values(image, mask, textures=["3D_comb", "2D_comb"])
    places = {tuple(at): int(level[tuple(at)]) for at in np.argwhere(level)}
    near = [d for d in itertools.product((-1, 0, 1), repeat=3) if any(d)]

    def beside(at: tuple[int, ...]) -> list[int]:
        around = (tuple(np.add(at, d)) for d in near)
        return [places[one] for one in around if one in places]

    pairs = np.array([(one, other) for at, one in places.items() for other in beside(at)])
    assert found["cm_contrast_3D_comb"] == pytest.approx(((pairs[:, 0] - pairs[:, 1]) ** 2).mean())
    assert found["cm_corr_3D_comb"] == pytest.approx(np.corrcoef(pairs.T)[0, 1])
    assert found["cm_auto_corr_3D_comb"] == pytest.approx(pairs.prod(axis=1).mean())

    dependences = np.array([1 + beside(at).count(one) for at, one in places.items()])
    assert found["ngl_hde_3D"] == pytest.approx((dependences.astype(float) ** 2).mean())
    tones = [(one, abs(one - np.mean(beside(at)))) for at, one in places.items() if beside(at)]
    share = {one: sum(1 for other, _ in tones if other == one) / len(tones) for one, _ in tones}
    assert found["ngt_coarseness_3D"] == pytest.approx(1 / sum(share[one] * apart for one, apart in tones))

    zones = [
        (one, (parts == k).sum(), depth[parts == k].min())
        for one in range(1, level.max() + 1)
        for parts, number in [ndimage.label(level == one, np.ones((3, 3, 3)))]
        for depth in [ndimage.distance_transform_cdt(np.pad(level > 0, 1), "taxicab")[1:-1, 1:-1, 1:-1]]
        for k in range(1, number + 1)
    ]
    sizes, depths = np.array([zone[1] for zone in zones]), np.array([zone[2] for zone in zones])
    assert found["szm_lze_3D"] == pytest.approx((sizes.astype(float) ** 2).mean())
    assert found["dzm_lde_3D"] == pytest.approx((depths.astype(float) ** 2).mean())
    assert found["szm_z_perc_3D"] == pytest.approx(len(zones) / len(places))


@pytest.mark.parametrize("levels", [2, 6])
def test_runs_equal_a_walk_from_every_voxel_with_another_level_behind_it(levels: int) -> None:
    image, mask = pair(0, levels=levels)
    level = np.pad(np.where(mask.values == 1, image.values, 0).astype(np.int32), 1)
    directions = half_directions(flat=False)
    expected = np.zeros((13, levels, max(level.shape)), int)
    for d, step in enumerate(directions):
        for at in np.argwhere(level):
            if level[tuple(at - step)] != level[tuple(at)]:
                length = next(n for n in itertools.count(1) if level[tuple(at + n * step)] != level[tuple(at)])
                expected[d, level[tuple(at)] - 1, length - 1] += 1
    np.testing.assert_array_equal(count_runs(level, 1, len(level) - 1, directions, levels), expected)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_percentiles_of_ordered_values_are_those_of_numpy(numbers: list[float]) -> None:
    found = describe_values(np.sort(numbers))
    for name, share in (("p10", 10), ("median", 50), ("p90", 90)):
        assert found[name] == np.percentile(numbers, share)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.tuples(*[st.integers(0, 3)] * 3))
def test_where_a_lesion_lies_changes_nothing_but_its_place(seed: int, shift: tuple[int, int, int]) -> None:
    image, mask = pair(seed)
    room = [(one, 3 - one) for one in shift]
    moved = [make_volume(np.pad(one.values, room), spacing_mm=SPACING) for one in (image, mask)]
    chosen = [name for name in Radiomics().families if name != "local_intensity"]  # whose spheres see the surroundings
    here, there = values(image, mask, families=chosen), values(*moved, families=chosen)
    for name, one in here.items():
        assert there[name] == pytest.approx(one, rel=1e-9, abs=1e-12, nan_ok=True), name


def test_lesions_are_measured_as_if_each_were_alone_on_any_number_of_threads() -> None:
    image, mask = pair(3, levels=20)
    labels = mask.copy(data=np.where(mask.values == 1, np.arange(8) // 3 + 1, 0) * 70_000)
    together = measure_radiomics(image, labels, threads=2)
    assert together.obs["instance_id"].tolist() == [70_000, 140_000, 210_000]
    for row, label in enumerate(together.obs["instance_id"]):
        alone = measure_radiomics(image, labels.copy(data=(labels.values == label).astype(np.int16)), threads=1)
        np.testing.assert_array_equal(together.X[row], alone.X[0])


@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_a_crop_of_a_scan_gives_the_lesion_the_same_values(method: str) -> None:
    """Resampling looks only at the surroundings of a lesion, yet gives what resampling the whole scan would give."""
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(rng.normal(size=(50, 60, 64)), 1.5) * 1000
    labels = np.zeros(image.shape, np.uint8)
    labels[20:28, 25:36, 24:40] = 1
    whole = [make_volume(one, spacing_mm=(3, 1, 1)) for one in (image, labels)]
    chosen = Radiomics(FixedBinSize(25), resample=Resample(2, method=method), families=("statistics", "glcm"))
    found = measure_radiomics(*whole, settings=chosen)
    ratio = np.array([2 / 3, 2, 2])
    shape = np.ceil(np.array(image.shape) / ratio).astype(int)
    first = (np.array(image.shape) - 1) / 2 - ratio * (shape - 1) / 2
    order = {"linear": 1, "cubic": 3}[method]
    resampled = ndimage.affine_transform(image, ratio, first, output_shape=tuple(shape), order=order, mode="nearest")
    inside = ndimage.affine_transform(labels * 1.0, ratio, first, output_shape=tuple(shape), order=1, mode="nearest")
    expected = resampled[inside >= 0.5 - 1e-6]
    assert found.obs["n_voxels"].iloc[0] == len(expected)
    assert float(found[:, "stat_mean"].X[0, 0]) == pytest.approx(expected.mean(), rel=1e-9)
    assert float(found[:, "stat_max"].X[0, 0]) == pytest.approx(expected.max(), rel=1e-9)


@pytest.mark.parametrize("flip", [False, True])
def test_a_mask_on_another_grid_is_brought_to_the_image(*, flip: bool) -> None:
    image, mask = pair(2)
    place = np.array([[0.7, 0, 0, 10], [0, 0.9, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1.0]])
    here = [make_volume(one.values, spacing_mm=SPACING, affine_lps=place) for one in (image, mask)]
    cut = mask.values[:, 1:, 1:]
    there = place.copy()
    there[:3, 3] = (place @ [1, 1, 0, 1])[:3]
    if flip:
        cut = cut[:, ::-1]
        there[:3, 3] = (place @ [1, mask.shape[1] - 1, 0, 1])[:3]
        there[:3, 1] *= -1
    other = make_volume(np.ascontiguousarray(cut), spacing_mm=SPACING, affine_lps=there)
    expected, found = measure_radiomics(*here), measure_radiomics(here[0], other)
    np.testing.assert_allclose(found.X, expected.X, rtol=1e-12)
    np.testing.assert_allclose(found.obsm["spatial"], expected.obsm["spatial"])


def test_a_cropped_volume_knows_where_it_lies() -> None:
    image, mask = pair(2)
    place = np.diag([0.7, 0.9, 2.5, 1.0])
    image, mask = (make_volume(one.values, spacing_mm=SPACING, affine_lps=place) for one in (image, mask))
    whole = measure_radiomics(image, mask)
    cropped = measure_radiomics(image, mask.isel(y=slice(1, None), x=slice(1, 8)))
    np.testing.assert_array_equal(cropped.X, whole.X)


def test_columns_say_unit_definition_and_origin_and_survive_a_file(tmp_path: Path) -> None:
    image, mask = pair(1)
    image.attrs["integrate"]["unit"] = "[hnsf'U]"
    image.attrs["integrate"]["ids"] = {"subject_id": "P1", "acquisition_id": "A1"}
    table = measure_radiomics(image, mask)
    assert table.var.loc["stat_mean", ["unit", "definition", "level"]].tolist() == ["[hnsf'U]", "IBSI:Q4LE", "instance"]
    assert table.var.loc["stat_var", "unit"] == "([hnsf'U])2"
    assert table.var.loc["morph_volume", "unit"] == "mm3"
    assert table.var.loc["cm_joint_entr_3D_comb", "statistic"] == "joint entropy, 3D_comb"
    assert table.obs["acquisition_id"].tolist() == ["A1"]
    table.write_h5ad(tmp_path / "lesions.h5ad")
    again = ad.read_h5ad(tmp_path / "lesions.h5ad")
    np.testing.assert_array_equal(again.X, table.X)
    assert again.var.equals(table.var)
    other = measure_radiomics(image + 1e-9, mask, settings=Radiomics(FixedBinNumber(16)))
    for column in ("settings_hash", "input_hash"):
        assert (other.var[column] != table.var[column]).all()
