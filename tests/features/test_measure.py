"""Measured numbers against a slow, obvious version, whatever the data type, the chunks and the threads."""

from __future__ import annotations

import json
import math
from typing import Any

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from integrate.errors import AlignmentError, DataError, IdentityError, ParameterError
from integrate.features.intensity import STATISTICS, Intensity
from integrate.features.measure import measure
from integrate.features.shape import Shape
from integrate.model.image import make_image, make_labels, pixel_size_um
from integrate.model.provenance import recorded

from .slow import slow_intensity

DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "float16", "float32", "float64"]
ALL = Intensity(statistics=tuple(STATISTICS))


def as_image(data: Any, **more: Any) -> xr.DataArray:
    return make_image(data, channels=[f"c{k}" for k in range(data.shape[0])], pixel_size_um=None, **more)


def intensity(image: Any, labels: Any, **more: Any) -> pd.DataFrame:
    table = measure(as_image(image), labels, features=[ALL], **more)
    return table.to_df().set_index(table.obs["instance_id"].to_numpy())


def assert_equals_slow(image: np.ndarray, labels: np.ndarray, found: pd.DataFrame) -> None:
    expected = slow_intensity(image, labels)
    assert found.index.tolist() == sorted(expected)
    for instance, channels in expected.items():
        for number, statistics in enumerate(channels):
            for name, value in statistics.items():
                got = found.loc[instance, f"c{number}_{name}"]
                exact = name in ("n", "min", "max")
                assert got == pytest.approx(value, rel=0 if exact else 1e-14, abs=0, nan_ok=True), (instance, name)


@st.composite
def images_and_labels(draw: st.DrawFn, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)))
    image = draw(hnp.arrays(np.dtype(dtype), shape, elements=_elements(dtype)))
    ids = st.sampled_from([0, 1, 2, 70_000, 2**40])
    return image, draw(hnp.arrays(np.int64, shape[1:], elements=ids))


def _elements(dtype: str) -> st.SearchStrategy[Any] | None:
    if dtype == "int64":
        return st.integers(-(2**53), 2**53)
    if not dtype.startswith("float"):
        return None
    single = st.floats(-1000, 1000, width=16) if dtype == "float16" else st.floats(-(2.0**40), 2.0**40, width=32)
    ordinary = single.filter(lambda value: value == 0 or abs(value) > 1e-4)
    return st.just(math.nan) | (ordinary.map(lambda value: value * 0.1) if dtype == "float64" else ordinary)


@pytest.mark.parametrize("dtype", DTYPES)
def test_intensity_equals_the_slow_version_for_every_data_type(dtype: str) -> None:
    @settings(max_examples=40, deadline=None)
    @given(images_and_labels(dtype))
    def check(pair: tuple[np.ndarray, np.ndarray]) -> None:
        assert_equals_slow(*pair, intensity(*pair))

    check()


@settings(max_examples=60, deadline=None)
@given(
    pair=st.sampled_from(["uint16", "int16", "float32", "float64"]).flatmap(images_and_labels),
    image_chunks=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)),
    label_chunks=st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
def test_chunks_change_no_number(
    pair: tuple[np.ndarray, np.ndarray], image_chunks: tuple[int, int, int], label_chunks: tuple[int, int]
) -> None:
    image, labels = pair
    whole = measure(as_image(image), labels, features=[ALL, "shape"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("integrate.features.blocks._EDGE", 1)  # cut at every chunk, however small
        lazy = as_image(da.from_array(image, chunks=image_chunks))
        parts = measure(lazy, da.from_array(labels, chunks=label_chunks), features=[ALL, "shape"])
    pd.testing.assert_frame_equal(parts.obs, whole.obs)
    pd.testing.assert_frame_equal(parts.var, whole.var)
    exact = [
        name for name in whole.var_names if image.dtype.kind != "f" or not name.endswith(("_sum", "_mean", "_std"))
    ]
    np.testing.assert_array_equal(parts[:, exact].X, whole[:, exact].X)
    np.testing.assert_allclose(parts.X, whole.X, rtol=1e-12, atol=0)
    np.testing.assert_array_equal(parts.obsm["spatial"], whole.obsm["spatial"])


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_blocks_of_the_real_size_and_threads_change_no_bit(dtype: str) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 65_536, (3, 1100, 1300)).astype(dtype)
    labels = toy_cells((1100, 1300))
    one = measure(as_image(image), labels, features=[ALL, "shape"], threads=1)
    many = measure(as_image(image), labels, features=[ALL, "shape"], threads=4)
    lazy = measure(as_image(da.from_array(image, chunks=(2, 600, 1300))), labels, features=[ALL, "shape"])
    np.testing.assert_array_equal(many.X, one.X)
    np.testing.assert_array_equal(lazy.X, one.X)
    assert lazy.uns["integrate"]["input_hash"] == one.uns["integrate"]["input_hash"]


def toy_cells(shape: tuple[int, int]) -> np.ndarray:
    """Discs of radius 10 on a lattice of 23 pixels, numbered from 1."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    number = (y // 23) * (shape[1] // 23 + 1) + x // 23 + 1
    return np.where((y % 23 - 11) ** 2 + (x % 23 - 11) ** 2 < 100, number, 0).astype(np.int32)


def test_sums_of_the_brightest_16_bit_image_do_not_overflow() -> None:
    image = np.full((1, 1000, 1000), 65_535, np.uint16)
    image[0, 0, 0] = 0
    row = intensity(image, np.ones((1000, 1000), np.uint8)).loc[1]
    deviation = 65_535 * math.sqrt(1e-6 * (1 - 1e-6))
    assert row["c0_sum"] == 65_535 * 999_999
    assert row["c0_std"] == pytest.approx(deviation, rel=1e-15)


def test_the_most_negative_image_keeps_its_sign() -> None:
    image = np.full((1, 4, 4), -32_768, np.int16)
    image[0, 0] = 32_767
    row = intensity(image, np.ones((4, 4), np.int16)).loc[1]
    assert row[["c0_min", "c0_max", "c0_mean"]].tolist() == [-32_768, 32_767, -16_384.25]
    assert row["c0_std"] == pytest.approx(65_535 * math.sqrt(3) / 4, rel=1e-15)


def test_squares_that_leave_64_bits_still_give_an_exact_deviation() -> None:
    from integrate.features.kernels import finish_integers

    n = np.array([2**33])  # pixels of 65,534 and 65,535, half each: the sum of squares is twice what 64 bits hold
    total = n // 2 * (65_534 + 65_535)
    squares = np.array([(2**32 * (65_534**2 + 65_535**2)) % 2**64], np.uint64).view(np.int64)
    mean, deviation = 2, 3
    sums = (part[:, None] for part in (total, squares, total, total))
    assert finish_integers(np.array([mean, deviation]), n, *sums).tolist() == [[[65_534.5, 0.5]]]


def test_a_constant_region_has_no_deviation() -> None:
    assert intensity(np.full((1, 5, 5), 0.1), np.ones((5, 5), int)).loc[1, "c0_std"] == 0


def test_pixels_that_are_nan_are_left_out_and_counted() -> None:
    image = np.array([[[1, np.nan, 3, np.nan]], [[1, 2, 3, 4]]], np.float32)
    table = measure(as_image(image), np.array([[5, 5, 5, 6]]), features=[ALL])
    assert table.obs["n_nan"].tolist() == [1, 1]
    assert table.obs["n_pixels"].tolist() == [3, 1]
    assert table[:, ["c0_n", "c0_mean"]].X[0].tolist() == [2, 2]
    empty = table.to_df().loc[table.obs_names[1]]
    assert empty["c0_n"] == 0
    assert empty[["c0_sum", "c0_mean", "c0_std", "c0_min", "c0_max"]].isna().all()
    assert empty["c1_mean"] == 4


def test_infinite_pixels_have_an_infinite_mean_and_no_deviation() -> None:
    row = intensity(np.array([[[1.0, np.inf]]]), np.array([[1, 1]])).loc[1]
    assert row[["c0_sum", "c0_mean", "c0_max"]].tolist() == [np.inf] * 3
    assert math.isnan(row["c0_std"])


def test_ids_may_be_large_and_far_apart() -> None:
    labels = np.array([[2**40, 70_000, 3]])
    table = measure(as_image(np.arange(3.0).reshape(1, 1, 3)), labels)
    assert table.obs["instance_id"].tolist() == [3, 70_000, 2**40]
    assert table.obs["instance_id"].dtype == np.int64
    assert table[:, "c0_mean"].X.ravel().tolist() == [2, 1, 0]
    assert (
        measure(as_image(np.ones((1, 1, 1))), np.array([[2**63 - 1]], np.uint64)).obs["instance_id"].iloc[0]
        == 2**63 - 1
    )


def test_labels_without_background_are_all_measured() -> None:
    assert intensity(np.ones((1, 4, 4)), np.repeat([[1], [2]], 2, axis=0) * np.ones((1, 4), int)).index.tolist() == [
        1,
        2,
    ]


@pytest.mark.parametrize("data", [np.ones((2, 4, 4), np.uint8), da.ones((2, 4, 4), chunks=2, dtype="float32")])
def test_only_background_gives_the_same_columns_and_no_rows(data: Any) -> None:
    empty = measure(as_image(data), np.zeros((4, 4), int))
    full = measure(as_image(data), np.ones((4, 4), int))
    assert empty.shape == (0, full.n_vars)
    assert empty.var_names.tolist() == full.var_names.tolist()
    assert empty.var["unit"].tolist() == full.var["unit"].tolist()
    assert empty.obsm["spatial"].shape == (0, 2)
    assert empty.obs.dtypes.astype(str).to_dict() == full.obs.dtypes.astype(str).to_dict()


READS: list[tuple[int, ...]] = []


def counted_ones(block_info: Any) -> np.ndarray:
    READS.append(block_info[None]["chunk-location"])
    return np.ones(block_info[None]["chunk-shape"], np.uint8)


def test_pixels_are_read_once_and_only_where_regions_are() -> None:
    chunks = ((1,), (1024, 1024), (1024,))
    lazy = da.map_blocks(counted_ones, chunks=chunks, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    labels = np.zeros((2048, 1024), int)
    labels[5, 5] = 1
    table = measure(as_image(lazy), labels)
    assert table[:, "c0_mean"].X.tolist() == [[1]]
    assert READS == [(0, 0, 0)]
    measure(as_image(lazy), labels, features=["shape"])
    assert READS == [(0, 0, 0)]


def test_big_endian_strided_and_read_only_arrays_are_measured_like_any_other() -> None:
    image = np.arange(64, dtype=np.uint16).reshape(1, 8, 8)
    labels = np.repeat([1, 2], 32).reshape(8, 8)
    swapped = image.astype(">u2")
    swapped.flags.writeable = False
    np.testing.assert_array_equal(intensity(swapped, labels.T.astype(">i4").T), intensity(image, labels))


def test_input_hash_changes_with_any_measured_pixel_and_with_no_other() -> None:
    image = np.zeros((2, 6, 6), np.uint8)
    labels = np.zeros((6, 6), int)
    labels[1:4, 1:4] = 3

    def hashes(image: np.ndarray, labels: np.ndarray = labels) -> tuple[str, str]:
        var = measure(as_image(image), labels).var["input_hash"]
        return var["c0_mean"], var["area_px2"]

    first = hashes(image)
    inside, outside, swapped = image.copy(), image.copy(), image.copy()
    inside[1, 2, 2] = 1
    outside[1, 0, 0] = 1
    swapped[0, 2, 2] = 1
    assert hashes(outside) == first
    assert len({first[0], hashes(inside)[0], hashes(swapped)[0], hashes(image.astype(np.uint16))[0]}) == 4
    assert hashes(inside)[1] == first[1]
    moved = hashes(image, np.roll(labels, 1, axis=1))
    assert moved[0] != first[0]
    assert moved[1] != first[1]


@settings(max_examples=60, deadline=None)
@given(
    pair=st.sampled_from(["uint8", "uint16", "float32", "float64"]).flatmap(images_and_labels), seed=st.integers(0, 99)
)
def test_input_hash_tells_every_single_change_of_a_measured_pixel(
    pair: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    image, labels = pair
    rng = np.random.default_rng(seed)
    where = np.argwhere(np.broadcast_to(labels != 0, image.shape))
    if len(where) == 0:
        return
    changed = image.copy()
    changed.view(f"u{image.itemsize}")[tuple(where[rng.integers(len(where))])] ^= 1 << int(
        rng.integers(8 * image.itemsize)
    )
    one, other = (measure(as_image(data), labels, features=["intensity"]).uns["integrate"] for data in (image, changed))
    assert one["input_hash"] != other["input_hash"]


def test_input_hash_tells_an_image_from_its_negative() -> None:
    image, labels = np.random.default_rng(0).random((1, 8, 8)), np.ones((8, 8), int)
    one, other = (measure(as_image(data), labels).uns["integrate"]["input_hash"] for data in (image, -image))
    assert one != other


def test_input_hash_is_the_same_in_every_release() -> None:
    image = np.arange(2 * 5 * 7, dtype=np.float32).reshape(2, 5, 7)
    assert measure(as_image(image), toy_cells((5, 7)) + 1).uns["integrate"]["input_hash"] == "114e384e178593b7"


def test_the_table_says_who_and_what_it_shows() -> None:
    ids = {"subject_id": "P01", "acquisition_id": "2206"}
    image = make_image(
        np.ones((1, 4, 4), np.uint8), channels=["CD45"], pixel_size_um=(0.5, 0.25), ids=ids, sha256="ab" * 32
    )
    labels = make_labels(np.eye(4, dtype=int), pixel_size_um=(0.5, 0.25), ids={"acquisition_id": "2206"})
    table = measure(image, labels)
    assert table.obs_names.tolist() == ["2206:1"]
    assert table.obs[["subject_id", "acquisition_id", "region"]].iloc[0].tolist() == ["P01", "2206", "2206"]
    assert isinstance(table.obs["subject_id"].dtype, pd.CategoricalDtype)
    assert pixel_size_um(table) == (0.5, 0.25)  # type: ignore[arg-type]
    notes = table.uns["integrate"]
    assert notes["unit"] == "um"
    assert notes["sha256"] == "ab" * 32
    assert json.loads(notes["settings"])["Intensity"]["statistics"] == ["mean", "std", "min", "max"]
    mean = table.var.loc["CD45_mean"]
    assert mean[["unit", "level", "definition", "channel", "statistic"]].tolist() == [
        "", "instance", "IBSI:Q4LE", "CD45", "mean",
    ]  # fmt: skip
    assert mean["tool"].startswith("integrate ")
    assert table.var["input_hash"].str.fullmatch("[0-9a-f]{16}").all()
    assert recorded("measure")[-1]["input_hash"] == notes["input_hash"]
    assert measure(image, labels, region="cells").obs_names.tolist() == ["cells:1"]


def test_settings_and_inputs_have_hashes_of_their_own() -> None:
    image, labels = as_image(np.ones((1, 3, 3))), np.ones((3, 3), int)
    default, fewer = measure(image, labels).var, measure(image, labels, features=[Intensity(("mean",)), "shape"]).var
    assert default.loc["c0_mean", "settings_hash"] != fewer.loc["c0_mean", "settings_hash"]
    assert default.loc["area_px2", "settings_hash"] == fewer.loc["area_px2", "settings_hash"]
    assert default.loc["c0_mean", "input_hash"] == fewer.loc["c0_mean", "input_hash"]


def test_the_table_is_one_of_spatialdata_and_survives_its_zarr_and_h5ad(tmp_path: Any) -> None:
    import spatialdata as sd
    from spatialdata.models import Labels2DModel, TableModel

    image = make_image(np.random.default_rng(0).random((2, 8, 8)), channels=["A", "B"], pixel_size_um=(0.5, 0.5),
                       ids={"subject_id": "P01"})  # fmt: skip
    labels = np.repeat([0, 3, 9, 11], 16).reshape(8, 8)
    table = measure(image, labels, region="cells")
    TableModel().validate(table)
    element = Labels2DModel.parse(labels, dims=("y", "x"))
    space = sd.SpatialData.init_from_elements({"cells": element}, attrs={})
    space["cells_table"] = table
    space.write(tmp_path / "study.zarr")
    back = sd.read_zarr(tmp_path / "study.zarr")["cells_table"]
    table.write_h5ad(tmp_path / "cells.h5ad")
    for other in (back, ad.read_h5ad(tmp_path / "cells.h5ad")):
        np.testing.assert_array_equal(other.X, table.X)
        assert other.var.astype(str).equals(table.var.astype(str))
        assert other.obs.astype(str).equals(table.obs.astype(str))
        assert other.uns["integrate"]["settings"] == table.uns["integrate"]["settings"]
        assert dict(other.uns["integrate"]["ids"]) == {"subject_id": "P01"}
        assert pixel_size_um(other) == (0.5, 0.5)  # type: ignore[arg-type]
    _, rows = sd.join_spatialelement_table(sdata=space, spatial_element_names="cells", table_name="cells_table")
    assert rows.n_obs == 3


def test_an_empty_table_is_valid_too(tmp_path: Any) -> None:
    import spatialdata as sd
    from spatialdata.models import TableModel

    table = measure(as_image(np.ones((1, 4, 4))), np.zeros((4, 4), int))
    TableModel().validate(table)
    sd.SpatialData.init_from_elements({"cells": table}).write(tmp_path / "none.zarr")
    assert sd.read_zarr(tmp_path / "none.zarr")["cells"].shape == table.shape
    table.write_h5ad(tmp_path / "none.h5ad")
    assert ad.read_h5ad(tmp_path / "none.h5ad").shape == table.shape


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ones((4, 4), bool), "of bool .*number the parts of a mask"),
        (np.ones((4, 4)), "of float64"),
        (-np.ones((4, 4), int), "label -1 is not an id"),
        (np.full((4, 4), 2**63, np.uint64), "label 9223372036854775808 is not an id"),
        ("cells", "found str of no dtype"),
    ],
)
def test_what_is_no_label_image_is_refused(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        measure(as_image(np.ones((1, 4, 4))), labels)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(DataError, match="found ndarray with dims \\(\\)"):
        measure(np.ones((1, 4, 4)), np.ones((4, 4), int))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no pixels"):
        measure(as_image(np.ones((1, 0, 4))), np.ones((0, 4), int))
    with pytest.raises(DataError, match="complex128"):
        measure(as_image(np.ones((1, 4, 4), complex)), np.ones((4, 4), int))


def test_another_shape_is_refused() -> None:
    with pytest.raises(AlignmentError, match=r"4 x 4 pixels \(y, x\), regions are \(4, 5\)"):
        measure(as_image(np.ones((1, 4, 4))), np.ones((4, 5), int))


def test_a_crop_of_one_array_or_both_keeps_its_place() -> None:
    image = make_image(np.arange(400.0).reshape(1, 20, 20), channels=["A"], pixel_size_um=(0.5, 0.5))
    labels = make_labels(np.pad(np.ones((2, 2), int), ((10, 8), (12, 6))), pixel_size_um=(0.5, 0.5))
    inside = {"y": slice(5, 20), "x": slice(5, 20)}
    whole = measure(image, labels)
    for crop in (measure(image.isel(inside), labels.isel(inside)), measure(image.isel(inside), labels)):
        np.testing.assert_allclose(crop.X, whole.X)
        assert crop.obsm["spatial"].tolist() == whole.obsm["spatial"].tolist() == [[6.5, 5.5]]


def test_a_strided_image_whose_pixel_size_is_no_longer_true_is_refused() -> None:
    image = make_image(np.ones((1, 8, 8)), channels=["A"], pixel_size_um=(0.5, 0.5))[:, ::2, ::2]
    with pytest.raises(AlignmentError, match=r"'y' moves by 1 to 1 from pixel to pixel, its pixel size is 0\.5"):
        measure(image, np.ones((4, 4), int))


def test_spatialdata_elements_without_a_shared_space_are_refused() -> None:
    from spatialdata.models import Image2DModel, Labels2DModel
    from spatialdata.transformations import Identity, Translation

    moved = Translation([5, 5], axes=("y", "x"))
    image = Image2DModel.parse(
        np.ones((1, 4, 4)), dims=("c", "y", "x"), transformations={"global": moved, "b": Identity()}
    )
    labels = np.ones((4, 4), int)
    with pytest.raises(AlignmentError, match="no shared coordinate system"):
        measure(image, Labels2DModel.parse(labels, dims=("y", "x"), transformations={"mine": Identity()}))
    both = {"global": Identity(), "b": Identity()}
    with pytest.raises(AlignmentError, match="placed differently in 'b', 'global'"):
        measure(image, Labels2DModel.parse(labels, dims=("y", "x"), transformations=both))
    placed = Labels2DModel.parse(labels, dims=("y", "x"), transformations={"global": moved})
    assert measure(image, placed).n_obs == 1


def test_labels_of_another_acquisition_are_refused() -> None:
    image = as_image(np.ones((1, 4, 4)), ids={"acquisition_id": "A1", "subject_id": "P1"})
    labels = make_labels(np.ones((4, 4), int), pixel_size_um=None, ids={"acquisition_id": "A2"})
    with pytest.raises(IdentityError, match="acquisition_id 'A1' and 'A2'"):
        measure(image, labels)


def test_unknown_or_repeated_features_are_refused() -> None:
    image, labels = as_image(np.ones((1, 4, 4))), np.ones((4, 4), int)
    with pytest.raises(ParameterError, match="no feature 'intensty'; closest: 'intensity'"):
        measure(image, labels, features=["intensty"])
    with pytest.raises(ParameterError, match="expected a list"):
        measure(image, labels, features="shape")
    with pytest.raises(ParameterError, match="repeat"):
        measure(image, labels, features=["shape", Shape()])
    with pytest.raises(ParameterError, match="no intensity statistic 'median'"):
        Intensity(statistics=("median",))
    with pytest.raises(ParameterError, match="no shape descriptor 'aria'; closest: 'area'"):
        Shape(descriptors=("aria",))
    with pytest.raises(ParameterError, match="repeat; give each once"):
        Intensity(statistics=("mean", "mean"))
    with pytest.raises(ParameterError, match="threads is 0"):
        measure(image, labels, threads=0)
