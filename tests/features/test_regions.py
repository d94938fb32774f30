"""Regions of every kind against a slow, obvious version: every pixel centre asked, one region at a time."""

from __future__ import annotations

import math
from typing import Any

import dask.array as da
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import affinity

from integrate.errors import AlignmentError, DataError, IdentityError, ParameterError, UnitError
from integrate.features.intensity import STATISTICS, Intensity
from integrate.features.measure import measure
from integrate.features.tiles import make_tiles
from integrate.model.image import make_image, make_labels

ALL = Intensity(statistics=tuple(STATISTICS))


def noise(*shape: int, dtype: str = "uint16", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 60_000, (2, *shape)).astype(dtype)


def as_image(data: Any, size: tuple[float, float] | None = None) -> xr.DataArray:
    return make_image(data, channels=[f"c{k}" for k in range(data.shape[0])], pixel_size_um=size)


def centres(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return x + 0.5, y + 0.5


def assert_each_equals_a_mask(image: xr.DataArray, regions: Any, masks: list[np.ndarray], **more: Any) -> None:
    """Every region has the numbers that its own mask, measured alone as labels, has."""
    table = measure(image, regions, features=[ALL, "shape"], **more)
    assert table.n_obs == len(masks)
    for row, mask in enumerate(masks):
        assert table.obs["n_pixels"].iloc[row] == mask.sum()
        if not mask.any():
            empty = table[row].to_df().iloc[0]
            zero = [name for name in empty.index if name.endswith("_n") or name.startswith("area")]
            assert (empty[zero] == 0).all()
            assert empty.drop(zero).isna().all()
            continue
        alone = measure(image, mask.astype(np.uint8), features=[ALL, "shape"])
        np.testing.assert_array_equal(table.X[row], alone.X[0])
        np.testing.assert_array_equal(table.obsm["spatial"][row], alone.obsm["spatial"][0])


@st.composite
def star(draw: st.DrawFn) -> shapely.Polygon:
    """A polygon around a random place, with or without a hole, perhaps partly beside the image."""
    corners = draw(st.integers(3, 9))
    radii = np.array(draw(st.lists(st.floats(0.3, 14), min_size=corners, max_size=corners)))
    angles = np.arange(corners) * 2 * np.pi / corners
    where = np.array([draw(st.floats(-5, 45)) + 0.1371, draw(st.floats(-5, 35)) + 0.0713])
    outer = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    return shapely.Polygon(where + outer, [where + outer * 0.4] if draw(st.booleans()) else [])


@settings(max_examples=25, deadline=None)
@given(polygons=st.lists(star(), min_size=1, max_size=6))
def test_polygons_with_holes_that_overlap_or_leave_the_image_equal_their_masks(polygons: list[Any]) -> None:
    image = noise(30, 40)
    polygons = [*polygons, shapely.box(0.2, 0.2, 39, 29)]  # one at least touches the image
    points = shapely.points(*centres((30, 40)))
    if any((shapely.distance(polygon.boundary, points) < 1e-9).any() for polygon in polygons):
        return  # a pixel centre on an outline: it belongs to one of the two sides
    masks = [shapely.contains_xy(polygon, *centres((30, 40))) for polygon in polygons]
    assert_each_equals_a_mask(as_image(image), polygons, masks)


def test_multipolygons_and_holes_within_holes() -> None:
    ring = shapely.box(2, 2, 28, 28).difference(shapely.box(6, 6, 24, 24))
    nested = ring.union(shapely.box(10, 10, 20, 20).difference(shapely.box(13, 13, 15, 15)))
    assert nested.geom_type == "MultiPolygon"
    assert_each_equals_a_mask(as_image(noise(30, 30)), [nested], [shapely.contains_xy(nested, *centres((30, 30)))])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(-3, 43), st.floats(-3, 33), st.floats(0, 9)), min_size=1, max_size=5))
def test_circles_equal_their_masks(circles: list[tuple[float, float, float]]) -> None:
    circles = [*circles, (20.5, 15.5, 5.0)]  # its edge passes through pixel centres, which are inside
    x, y = centres((30, 40))
    cx, cy, radius = np.array(circles).T
    distances = [np.hypot(x - a, y - b) - r for a, b, r in circles]
    if any(((np.abs(d) < 1e-9) & (d != 0)).any() for d in distances):
        return  # a tie that rounding decides
    frame = gpd.GeoDataFrame({"radius": radius}, geometry=shapely.points(cx, cy))
    assert_each_equals_a_mask(as_image(noise(30, 40)), frame, [distance <= 0 for distance in distances])


def test_circles_are_ellipses_in_pixels_that_are_not_square() -> None:
    image = as_image(noise(60, 30), size=(0.5, 1.0))
    frame = gpd.GeoDataFrame({"radius": [6.3]}, geometry=shapely.points([15.2], [14.9]))
    y, x = np.mgrid[:60, :30]
    assert_each_equals_a_mask(image, frame, [np.hypot(x + 0.5 - 15.2, (y + 0.5) / 2 - 14.9) <= 6.3], unit="um")


@pytest.mark.parametrize("chunks", [(1, 512, 512), (2, 700, 600)])
def test_chunks_and_threads_change_no_bit_of_outlines(chunks: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    image = noise(1200, 1300)
    places, radii = rng.uniform(0, 1250, (400, 2)), rng.uniform(3, 60, 400)
    polygons = [shapely.Point(p).buffer(r, quad_segs=3) for p, r in zip(places, radii, strict=True)]
    whole = measure(as_image(image), polygons, features=[ALL, "shape"], threads=1)
    lazy = measure(as_image(da.from_array(image, chunks=chunks)), polygons, features=[ALL, "shape"], threads=3)
    np.testing.assert_array_equal(lazy.X, whole.X)
    pd.testing.assert_frame_equal(lazy.obs, whole.obs)
    pd.testing.assert_frame_equal(lazy.var, whole.var)


def test_tiles_hold_every_pixel_once_whatever_the_pixel_size() -> None:
    image = noise(515, 700)
    for size in (None, (0.325, 0.325), (0.1, 0.3)):
        placed = as_image(image, size=size)
        tiles = make_tiles(placed, size=64)
        table = measure(placed, tiles, features=[ALL])
        assert table.n_obs == 9 * 11
        assert table.obs["n_pixels"].sum() == 515 * 700
        assert table.obs["n_pixels"].iloc[0] == 64 * 64
        first = table.to_df().iloc[12]  # second row, second column
        assert first["c0_mean"] == image[0, 64:128, 64:128].mean()
        assert (table.obs["covered"] == 1).all()
    in_um = make_tiles(as_image(image, size=(0.5, 0.5)), size=32, unit="um")
    np.testing.assert_array_equal(in_um.bounds, make_tiles(as_image(image), size=64).bounds)
    with pytest.raises(UnitError, match="pixel size of the image is unknown"):
        make_tiles(as_image(image), size=10, unit="um")
    with pytest.raises(ParameterError, match="smaller than a pixel"):
        make_tiles(as_image(image), size=0.5)


def test_a_cell_in_two_regions_counts_in_both_and_neighbours_share_no_pixel() -> None:
    image = as_image(np.ones((1, 20, 20)))
    left, right, both = shapely.box(0, 0, 10.5, 20), shapely.box(10.5, 0, 20, 20), shapely.box(0, 0, 20, 20)
    table = measure(image, [left, right, both], features=[ALL])
    assert table.obs["n_pixels"].tolist() == [200, 200, 400]
    angle = affinity.rotate(both, 33, origin=(10, 10))
    cut = list(shapely.ops.split(angle, shapely.LineString([(-9, 3.7), (29, 15.1)])).geoms)
    parts = measure(image, [*cut, angle], features=[ALL]).obs["n_pixels"].tolist()
    assert parts[0] + parts[1] == parts[2]


def test_a_region_beside_the_image_keeps_its_row_with_nothing_in_it() -> None:
    boxes = [shapely.box(2, 2, 6, 6), shapely.box(100, 100, 110, 110), shapely.box(-4, 0, 4, 4)]
    table = measure(as_image(noise(20, 20)), boxes, features=[ALL, "shape"])
    assert table.obs["n_pixels"].tolist() == [16, 0, 16]
    assert table.obs["covered"].tolist() == [1, 0, 0.5]
    assert math.isnan(table[1, "c0_mean"].X[0, 0])
    assert table[1, "c0_n"].X[0, 0] == 0
    with pytest.raises(AlignmentError, match=r"none of 1 outlines touches the image .* is the unit right\?"):
        measure(as_image(noise(20, 20)), boxes[1])


def test_ids_are_the_index_or_the_column_id_and_must_be_unique() -> None:
    image, boxes = as_image(noise(20, 20)), [shapely.box(0, 0, 4, 4), shapely.box(4, 4, 9, 9)]
    assert measure(image, gpd.GeoDataFrame(geometry=boxes, index=[70_000, 3])).obs["instance_id"].tolist() == [
        70_000,
        3,
    ]
    named = measure(image, gpd.GeoDataFrame({"id": ["tumour", "stroma"]}, geometry=boxes), region="outlines")
    assert named.obs_names.tolist() == ["outlines:tumour", "outlines:stroma"]
    with pytest.raises(IdentityError, match="1 ids repeat: '3'"):
        measure(image, gpd.GeoDataFrame(geometry=boxes, index=[3, 3]))
    with pytest.raises(IdentityError, match="1 of 2 outlines have no id"):
        measure(image, gpd.GeoDataFrame({"id": ["a", None]}, geometry=boxes))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (shapely.LineString([(0, 0), (5, 5)]), "neither polygons nor points with a column 'radius'"),
        (shapely.Polygon([(0, 0), (5, 5), (0, 5), (5, 0)]), "cross themselves"),
        (shapely.Point(3, 3), "neither polygons nor points"),
    ],
)
def test_shapes_that_cannot_be_filled_are_refused(shape: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        measure(as_image(noise(20, 20)), [shape])


def test_the_unit_of_shapes_is_never_guessed() -> None:
    image, box = as_image(noise(20, 20), size=(0.5, 0.25)), shapely.box(1, 2, 4, 7)
    with pytest.raises(UnitError, match="pass unit='um' or unit='px'"):
        measure(image, box)
    with pytest.raises(UnitError, match="pixel size of the image is unknown"):
        measure(as_image(noise(20, 20)), box, unit="um")
    in_px = measure(image, box, unit="px", features=[ALL, "shape"])
    in_um = measure(image, affinity.scale(box, 0.25, 0.5, origin=(0, 0)), unit="um", features=[ALL, "shape"])
    np.testing.assert_array_equal(in_px.X, in_um.X)
    noted = gpd.GeoDataFrame(geometry=[box])
    noted.attrs["integrate"] = {"unit": "px"}
    np.testing.assert_array_equal(measure(image, noted, features=[ALL, "shape"]).X, in_px.X)


def test_shapes_keep_their_place_on_a_crop_of_the_image() -> None:
    image, box = as_image(noise(40, 40), size=(0.5, 0.5)), shapely.box(12.2, 9, 20, 17)
    whole, crop = (measure(one, box, unit="px") for one in (image, image[:, 5:30, 10:35]))
    np.testing.assert_allclose(crop.X, whole.X, rtol=1e-12)
    assert crop.obsm["spatial"].tolist() == whole.obsm["spatial"].tolist()


def slow_nearest(labels: np.ndarray, shape: tuple[int, int], to_labels: np.ndarray) -> np.ndarray:
    """The label in which the centre of every pixel lies, pixel by pixel."""
    found = np.zeros(shape, labels.dtype)
    for y, x in np.ndindex(*shape):
        column, row, _ = np.floor(to_labels @ (x + 0.5, y + 0.5, 1) + 1e-9).astype(int)
        if 0 <= row < labels.shape[0] and 0 <= column < labels.shape[1]:
            found[y, x] = labels[row, column]
    return found


@pytest.mark.parametrize("scale", [0.5, 2.0, 3.0, 0.4])
def test_labels_of_another_pixel_size_and_place_are_taken_from_the_nearest_pixel(scale: float) -> None:
    rng = np.random.default_rng(5)
    image = as_image(noise(30, 40), size=(0.5, 0.5))
    labels = make_labels(rng.integers(0, 5, (50, 60)), pixel_size_um=(0.5 * scale, 0.5 * scale))[2:, 3:]
    to_labels = np.array([[1 / scale, 0, -3], [0, 1 / scale, -2], [0, 0, 1]])
    expected = slow_nearest(labels.values, (30, 40), to_labels)
    table = measure(image, labels, features=[ALL, "shape"])
    truth = measure(image, expected, features=[ALL, "shape"])
    present = table.obs["n_pixels"] > 0
    assert table.obs["instance_id"].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(table[present].X, truth.X)


def test_a_label_between_the_pixel_centres_keeps_its_row_with_nothing_in_it() -> None:
    labels = np.zeros((8, 8), int)
    labels[0, 0], labels[4:8, 4:8] = 9, 4
    image = as_image(noise(2, 2), size=(2.0, 2.0))
    table = measure(image, make_labels(labels, pixel_size_um=(0.5, 0.5)), features=[ALL])
    assert table.obs["instance_id"].tolist() == [4, 9]
    assert table.obs["n_pixels"].tolist() == [1, 0]
    assert math.isnan(table[1, "c0_mean"].X[0, 0])


def test_grids_that_nothing_relates_are_refused() -> None:
    image = as_image(noise(8, 8))
    with pytest.raises(AlignmentError, match="pixel size of at least one is unknown"):
        measure(image, make_labels(np.ones((4, 4), int), pixel_size_um=None))
    with pytest.raises(AlignmentError, match="pixel size of at least one is unknown"):
        measure(image, make_labels(np.ones((4, 4), int), pixel_size_um=(1, 1)))
    with pytest.raises(AlignmentError, match=r"an array does not say where it lies"):
        measure(image, np.ones((4, 4), int))


# What peers get wrong (spatialdata 0.7.3, sopa 2.2.11): the same cases, with the right numbers.


def elements(pixels: np.ndarray, labels: np.ndarray, image_at: Any = None, labels_at: Any = None) -> tuple[Any, Any]:
    from spatialdata.models import Image2DModel, Labels2DModel
    from spatialdata.transformations import Identity

    return (
        Image2DModel.parse(pixels, dims=("c", "y", "x"), transformations={"global": image_at or Identity()}),
        Labels2DModel.parse(labels, dims=("y", "x"), transformations={"global": labels_at or Identity()}),
    )


def test_spatialdata_1204_a_translated_crop_is_measured_where_it_lies() -> None:
    from spatialdata.transformations import Translation

    pixels = np.zeros((1, 20, 20))
    pixels[0, 10:, 10:] = 100
    labels = np.zeros((15, 15), int)
    labels[6:9, 6:9] = 1  # 0 there; read by pixel number it would be 100
    labels[11:14, 11:14] = 2
    image, regions = elements(pixels[:, 5:, 5:], labels, Translation([5, 5], axes=("y", "x")))
    assert measure(image, regions, features=[ALL]).to_df()["0_mean"].tolist() == [0, 100]


def test_spatialdata_950_another_scale_and_rotation() -> None:
    from spatialdata.transformations import Affine, Scale

    pixels = noise(40, 40)
    labels = np.pad(np.ones((10, 10), int), 5)
    image, regions = elements(pixels, labels, Scale([0.5, 0.5], axes=("y", "x")))
    table = measure(image, regions, features=[ALL])
    assert table.to_df()["0_mean"].tolist() == [pixels[0, 10:30, 10:30].mean()]
    turned = np.array([[np.cos(0.3), -np.sin(0.3), 3], [np.sin(0.3), np.cos(0.3), -4], [0, 0, 1]])
    at = Affine(turned, input_axes=("x", "y"), output_axes=("x", "y"))
    image, regions = elements(pixels, labels, None, at)
    expected = slow_nearest(labels, (40, 40), np.linalg.inv(turned))
    np.testing.assert_array_equal(measure(image, regions, features=[ALL]).X, measure(image, expected, features=[ALL]).X)


def test_spatialdata_1230_1250_without_background_and_only_background() -> None:
    labels = np.repeat([1, 2], 200).reshape(20, 20)
    assert measure(*elements(np.ones((1, 20, 20)), labels)).n_obs == 2
    assert measure(*elements(np.ones((1, 20, 20)), np.zeros((20, 20), int))).n_obs == 0


def test_spatialdata_aggregate_overflow_std_of_integers() -> None:
    pixels = noise(20, 20)
    table = measure(*elements(pixels, np.ones((20, 20), int)), features=[ALL])
    np.testing.assert_allclose(table.to_df()["0_std"], pixels[0].astype(float).std(), rtol=1e-14)


def test_spatialdata_shapes_are_measured_through_their_transformations_and_annotated() -> None:
    import spatialdata as sd
    from spatialdata.models import ShapesModel
    from spatialdata.transformations import Affine, Identity

    pixels = noise(40, 40)
    turned = np.array([[0.9, -0.2, 3], [0.1, 0.8, 4], [0, 0, 1]])
    at = Affine(turned, input_axes=("x", "y"), output_axes=("x", "y"))
    image, _ = elements(pixels, np.ones((40, 40), int))
    box = shapely.box(5.03, 6.07, 20.01, 22.02)
    boxes = gpd.GeoDataFrame(geometry=[box, shapely.box(500, 500, 510, 510)], index=[5, 70_000])
    shapes = ShapesModel.parse(boxes, transformations={"global": at})
    table = measure(image, shapes, features=[ALL], region="boxes")
    moved = affinity.affine_transform(box, [0.9, -0.2, 0.1, 0.8, 3, 4])
    assert table[0, "0_mean"].X[0, 0] == pixels[0][shapely.contains_xy(moved, *centres((40, 40)))].mean()
    spots = gpd.GeoDataFrame({"radius": [6.0]}, geometry=[shapely.Point(15, 15)])
    circle = measure(image, ShapesModel.parse(spots, transformations={"global": at}), features=[ALL])
    x, y = centres((40, 40))
    inside = np.hypot(*(np.linalg.inv(turned)[:2] @ [x.ravel(), y.ravel(), np.ones(1600)] - 15)) <= 6
    assert circle.obs["n_pixels"].tolist() == [inside.sum()]
    elsewhere = ShapesModel.parse(gpd.GeoDataFrame(geometry=[box]), transformations={"other": Identity()})
    with pytest.raises(AlignmentError, match="one is placed in 'other', the other in 'global'"):
        measure(image, elsewhere)
    space = sd.SpatialData.init_from_elements({"boxes": shapes, "table": table})
    _, rows = sd.join_spatialelement_table(sdata=space, spatial_element_names="boxes", table_name="table")
    assert rows.obs["instance_id"].tolist() == [5, 70_000]


def test_more_than_65535_shapes_are_measured() -> None:  # spatialdata 987
    number = np.arange(70_000)
    circles = gpd.GeoDataFrame({"radius": 0.4}, geometry=shapely.points(number % 300 + 0.5, number // 300 + 0.5),
                               index=number)  # fmt: skip
    table = measure(as_image(np.arange(72_000.0).reshape(1, 240, 300)), circles, features=[ALL])
    np.testing.assert_array_equal(table.to_df()["c0_mean"], number)


@pytest.mark.parametrize("notes", [False, True])
def test_spatialdata_elements_lie_where_their_transformations_say_and_know_their_pixel_size(notes: bool) -> None:
    from spatialdata.models import Image2DModel, Labels2DModel, ShapesModel
    from spatialdata.transformations import Identity, Scale

    pixels, labels = np.arange(64.0).reshape(1, 8, 8), np.zeros((4, 4), int)
    labels[1:3, 1:3] = 5
    fine, coarse = Scale([0.5, 0.5], ("y", "x")), Scale([1.0, 1.0], ("y", "x"))
    image = Image2DModel.parse(pixels, dims=("c", "y", "x"), c_coords=["a"], transformations={"P01": fine})
    regions = Labels2DModel.parse(labels, dims=("y", "x"), transformations={"P01": coarse})
    outline = gpd.GeoDataFrame(geometry=[shapely.box(1, 1, 3, 3)], index=[5])
    shapes = ShapesModel.parse(outline, transformations={"P01": Identity()})
    if notes:  # as load_subject leaves them
        image.attrs["integrate"] = {"pixel_size_um": [0.5, 0.5], "ids": {}}
        regions.attrs["integrate"] = {"pixel_size_um": [1.0, 1.0], "ids": {}}
    for places in (regions, shapes):
        row = measure(image, places).to_df().iloc[0]
        assert row["a_mean"] == pixels[0, 2:6, 2:6].mean()
        assert row["area_um2" if notes else "area_px2"] == (4.0 if notes else 16.0)
        assert row["centroid_x_um" if notes else "centroid_x_px"] == (2.0 if notes else 4.0)
        cropped = measure(image[:, 2:, 1:], places).to_df().iloc[0]
        assert cropped["a_mean"] == row["a_mean"]
        assert cropped["centroid_x_um" if notes else "centroid_x_px"] == (2.0 if notes else 4.0)
