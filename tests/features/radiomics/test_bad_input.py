"""What is not a sound lesion gives defined values, or NaN with a reason, or an error that says what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from integrate.errors import AlignmentError, DataError, IdentityError, ParameterError, UnitError
from integrate.features.radiomics.measure import measure_radiomics
from integrate.features.radiomics.settings import FixedBinNumber, FixedBinSize, Radiomics, Resample, Resegment
from integrate.features.radiomics.volume import make_volume

ALL_WAYS = Radiomics(textures=("2D_avg", "2D_comb", "2_5D_avg", "2_5D_comb", "3D_avg", "3D_comb"))


def scan(shape: tuple[int, int, int] = (6, 8, 9), *, spacing: Any = (1, 1, 1), **notes: Any) -> xr.DataArray:
    return make_volume(np.random.default_rng(0).normal(100, 20, shape), spacing_mm=spacing, **notes)


def mask_of(volume: xr.DataArray, *boxes: tuple[slice, slice, slice]) -> xr.DataArray:
    labels = np.zeros(volume.shape, np.uint8)
    for number, box in enumerate(boxes, start=1):
        labels[box] = number
    return volume.copy(data=labels)


BOX = (slice(1, 5), slice(2, 7), slice(1, 8))


def value(table: Any, name: str) -> float:
    return float(table[:, name].X[0, 0])


def test_without_labels_there_are_no_rows_but_all_columns() -> None:
    table = measure_radiomics(scan(), mask_of(scan()))
    assert table.shape == (0, 170)


def test_an_empty_boolean_mask_and_a_wanted_label_that_is_absent_are_rows_with_a_reason() -> None:
    volume = scan()
    tables = [
        measure_radiomics(volume, mask_of(volume).astype(bool)),
        measure_radiomics(volume, mask_of(volume), labels=[1]),
    ]
    for table in tables:
        assert np.isnan(table.X).all()
        assert table.obs["reason"].tolist() == ["no voxel has this label"]
        assert table.obs["n_voxels"].tolist() == [0]


@pytest.mark.parametrize("settings", [ALL_WAYS, Radiomics(resample=Resample(1, method="cubic"))])
def test_one_voxel_has_a_form_and_an_intensity_and_no_spread(settings: Radiomics) -> None:
    volume = scan()
    table = measure_radiomics(volume, mask_of(volume, (slice(3, 4), slice(3, 4), slice(3, 4))), settings=settings)
    assert table.obs["reason"].iloc[0].startswith("one voxel")
    assert not np.isinf(table.X).any()
    assert value(table, "morph_volume") == pytest.approx(1 / 6)  # an octahedron between voxel centres
    assert value(table, "morph_pca_maj_axis") == 0
    assert value(table, "stat_var") == value(table, "stat_skew") == 0
    assert value(table, "stat_mean") == volume.values[3, 3, 3]
    assert np.isnan(value(table, "cm_joint_max_3D_comb"))
    assert value(table, "szm_sze_3D") == 1


def test_two_voxels_have_no_robust_deviation() -> None:
    volume = scan()
    table = measure_radiomics(volume, mask_of(volume, (slice(3, 4), slice(3, 4), slice(3, 5))))
    assert np.isnan(value(table, "stat_rmad"))
    assert value(table, "stat_mad") == pytest.approx(value(table, "stat_range") / 2)


@pytest.mark.parametrize("bins", [FixedBinNumber(16), FixedBinSize(5)])
def test_a_constant_region_has_no_spread(bins: FixedBinNumber | FixedBinSize) -> None:
    volume = scan()
    volume.values[:] = 7.0
    settings = Radiomics(bins, textures=ALL_WAYS.textures)
    table = measure_radiomics(volume, mask_of(volume, BOX), settings=settings)
    assert table.obs["reason"].tolist() == ["one intensity: no spread"]
    assert not np.isinf(table.X).any()
    assert value(table, "cm_joint_max_3D_comb") == 1
    assert value(table, "cm_contrast_3D_comb") == value(table, "ih_entropy") == 0
    assert np.isnan(value(table, "cm_corr_3D_comb"))
    assert np.isnan(value(table, "morph_moran_i"))
    assert value(table, "ngt_coarseness_3D") == 1e6


@pytest.mark.parametrize("scale", [1e-120, 1e120])
def test_intensities_of_any_scale_have_the_same_form(scale: float) -> None:
    volume = scan()
    chosen = Radiomics(families=["morphology", "statistics", "glcm"])
    plain, scaled = (measure_radiomics(one, mask_of(volume, BOX), settings=chosen) for one in (volume, volume * scale))
    for name in ("morph_moran_i", "morph_geary_c", "stat_skew", "stat_kurt", "stat_qcod", "cm_contrast_3D_comb"):
        assert value(scaled, name) == pytest.approx(value(plain, name), rel=1e-9), name


@pytest.mark.parametrize("nothing", [np.nan, np.inf])
def test_voxels_without_intensity_are_counted_and_left_out(nothing: float) -> None:
    volume = scan()
    known = volume.values[BOX].copy()
    volume.values[2, 3, 3:5] = nothing
    known[1, 1, 2:4] = np.nan
    table = measure_radiomics(volume, mask_of(volume, BOX))
    assert table.obs[["n_voxels", "n_measured", "n_nan"]].iloc[0].tolist() == [140, 138, 2]
    assert value(table, "stat_mean") == pytest.approx(np.nanmean(known), rel=1e-12)
    assert np.isfinite(table.X).all()


def test_voxels_without_intensity_do_not_spread_by_interpolation() -> None:
    volume = scan()
    volume.values[0, 0, 0] = np.nan
    for method in ("linear", "cubic"):
        settings = Radiomics(resample=Resample(0.5, method=method))
        table = measure_radiomics(volume, mask_of(volume, BOX), settings=settings)
        assert table.obs["n_nan"].tolist() == [0]
        assert np.isfinite(table.X).all()


def test_a_region_without_any_intensity_still_has_a_form() -> None:
    volume = scan()
    volume.values[:] = np.nan
    table = measure_radiomics(volume, mask_of(volume, BOX))
    assert table.obs["reason"].tolist() == ["every voxel is NaN: form only"]
    assert value(table, "morph_vol_approx") == 140
    assert np.isnan(value(table, "stat_mean"))


def test_resegmentation_that_leaves_nothing_is_a_reason() -> None:
    volume = scan()
    settings = Radiomics(resegment=Resegment(interval=(5000, 6000)))
    table = measure_radiomics(volume, mask_of(volume, BOX), settings=settings)
    assert table.obs["reason"].tolist() == ["no voxel left after re-segmentation: form only"]
    assert table.obs["n_measured"].tolist() == [0]


def test_a_speck_that_interpolation_loses_is_a_reason() -> None:
    volume = scan()
    mask = mask_of(volume, (slice(3, 4), slice(3, 4), slice(3, 4)), (slice(0, 2),) * 3)
    table = measure_radiomics(volume, mask, settings=Radiomics(resample=Resample(4)), labels=[1])
    assert table.obs["reason"].tolist() == ["no voxel left after interpolation"]


def test_too_many_grey_levels_are_a_reason_and_not_a_full_memory() -> None:
    volume = scan()
    table = measure_radiomics(volume, mask_of(volume, BOX), settings=Radiomics(FixedBinSize(1e-6)))
    assert "more than max_levels=1024: no textures and no histogram" in table.obs["reason"].iloc[0]
    assert np.isnan(value(table, "ih_mean"))
    assert np.isnan(value(table, "cm_joint_max_3D_comb"))
    assert np.isfinite(value(table, "stat_mean"))


def test_thick_slices_are_measured_in_millimetres() -> None:
    volume = scan(spacing=(5, 0.8, 0.8))
    table = measure_radiomics(volume, mask_of(volume, BOX))
    assert value(table, "morph_vol_approx") == pytest.approx(140 * 5 * 0.64)
    # a box's corners are cut by marching cubes, its extent is not: 4 slices, 5 rows, 7 columns
    assert value(table, "morph_vol_dens_aabb") * (4 * 5 * 5 * 0.8 * 7 * 0.8) == pytest.approx(
        value(table, "morph_volume")
    )


def placed(volume: xr.DataArray, *, shift: float, spacing: float = 1.0) -> xr.DataArray:
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = shift
    return make_volume(volume.values, spacing_mm=[spacing] * 3, affine_lps=affine)


def test_a_mask_outside_the_image_is_a_reason() -> None:
    volume = scan()
    mask = placed(mask_of(volume, BOX), shift=500.0)
    table = measure_radiomics(placed(volume, shift=0), mask)
    assert table.obs["reason"].tolist() == ["outside the image"]
    assert np.isnan(table.X).all()


def test_a_mask_half_outside_the_image_is_measured_inside_and_said_to_be_cut() -> None:
    volume = scan()
    mask = placed(mask_of(volume, BOX), shift=4.0)
    table = measure_radiomics(placed(volume, shift=0), mask)
    assert table.obs["reason"].tolist() == ["cut off at the edge of the image"]
    assert table.obs["n_voxels"].tolist() == [1 * 2 * 4]


def test_grids_without_a_shared_place_are_refused() -> None:
    volume = scan()
    mask = placed(mask_of(volume, BOX)[:, :, :5], shift=0)
    with pytest.raises(AlignmentError, match="only one of them says where in the patient it lies"):
        measure_radiomics(volume, mask)


def test_another_patients_mask_is_refused() -> None:
    volume = scan(ids={"subject_id": "P1"})
    mask = mask_of(scan(ids={"subject_id": "P2"}), BOX)
    with pytest.raises(IdentityError, match="P1"):
        measure_radiomics(volume, mask)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda v, m: (v.drop_vars("z"), m), UnitError, "does not say its voxel size"),
        (lambda v, m: (v[0], m), DataError, "dims"),
        (lambda v, m: (v, m.astype(float) + 0.5), DataError, "whole numbers"),
        (lambda v, m: (v, m.astype(int) - 1), DataError, "labels of 0 and above"),
        (lambda v, m: (v[:, ::2][:, [0, 1, 3]], m), AlignmentError, "uneven"),
        (lambda v, m: (v.astype(str), m), DataError, "expected numbers"),
    ],
)
def test_what_is_no_volume_is_refused(change: Any, error: type[Exception], match: str) -> None:
    volume = scan()
    with pytest.raises(error, match=match):
        measure_radiomics(*change(volume, mask_of(volume, BOX)))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Radiomics(families=["glcn"]), "closest: 'glcm'"),
        (lambda: Radiomics(families="glcm"), "expected a list"),
        (lambda: Radiomics(textures=["3D"]), "no textures '3D'"),
        (lambda: Radiomics(textures=["3D_avg", "3D_avg"]), "repeat"),
        (lambda: Resample(0), "a length above 0"),
        (lambda: Resample((1, 1)), "a length above 0"),
        (lambda: Resample(1, method="spline"), "no method 'spline'"),
        (lambda: Resegment(interval=(4, 3)), "low < high"),
        (lambda: Resegment(outliers_sigma=-1), "above 0"),
        (lambda: FixedBinSize(0), "above 0"),
        (lambda: FixedBinNumber(1.5), "whole number"),
    ],
)
def test_settings_without_meaning_are_refused(make: Any, match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        make()


@pytest.mark.parametrize("labels", [[1, 1], [0]])
def test_labels_that_repeat_or_are_background_are_refused(labels: list[int]) -> None:
    volume = scan()
    with pytest.raises(ParameterError, match="different numbers"):
        measure_radiomics(volume, mask_of(volume, BOX), labels=labels)
