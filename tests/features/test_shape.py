"""Shapes against scikit-image, against geometry, and in physical units where pixels are not square."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import euler_number, regionprops_table

from integrate.features.measure import measure
from integrate.features.shape import Shape
from integrate.model.image import make_image


def shapes(labels: np.ndarray, *, pixel_size_um: tuple[float, float] | None = None) -> pd.DataFrame:
    image = make_image(np.zeros((1, *labels.shape), np.uint8), channels=["A"], pixel_size_um=pixel_size_um)
    table = measure(image, labels, features=["shape"])
    return table.to_df().set_index(table.obs["instance_id"].to_numpy())


def skimage_shapes(labels: np.ndarray, spacing: tuple[float, float]) -> pd.DataFrame:
    names = ["label", "area", "centroid", "bbox", "equivalent_diameter_area", "axis_major_length", "axis_minor_length"]
    more = ["perimeter_crofton"] if spacing[0] == spacing[1] else []
    found = regionprops_table(labels, spacing=spacing, properties=[*names, "eccentricity", "orientation", *more])
    return pd.DataFrame(found).set_index("label")


shapes_of_blobs = st.tuples(st.integers(1, 15), st.integers(1, 15))
blobs = hnp.arrays(np.int32, shapes_of_blobs, elements=st.sampled_from([0, 1, 1, 2, 9]))


@settings(max_examples=60, deadline=None)
@given(labels=blobs, size=st.sampled_from([(1.0, 1.0), (0.5, 0.5), (0.25, 2.0), (3.0, 0.1)]), edge=st.integers(1, 20))
def test_shapes_equal_scikit_image_wherever_the_labels_are_cut(
    labels: np.ndarray, size: tuple[float, float], edge: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("integrate.features.blocks._EDGE", edge)
        ours = shapes(labels, pixel_size_um=size)
    theirs = skimage_shapes(labels, size)
    assert ours.index.tolist() == theirs.index.tolist()
    same = {
        "area_um2": theirs["area"],
        "centroid_y_um": theirs["centroid-0"] + size[0] / 2,  # they count from the centre of the first pixel
        "centroid_x_um": theirs["centroid-1"] + size[1] / 2,
        "bbox_min_y_um": theirs["bbox-0"] * size[0],
        "bbox_min_x_um": theirs["bbox-1"] * size[1],
        "bbox_max_y_um": theirs["bbox-2"] * size[0],
        "bbox_max_x_um": theirs["bbox-3"] * size[1],
        "equivalent_diameter_um": theirs["equivalent_diameter_area"],
        "axis_major_um": theirs["axis_major_length"],
    }
    for name, expected in same.items():
        np.testing.assert_allclose(ours[name], expected, rtol=1e-9, err_msg=name)
    # Where the minor axis is 0 up to rounding, its square root is not.
    np.testing.assert_allclose(ours["axis_minor_um"], theirs["axis_minor_length"], rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(ours["eccentricity"], theirs["eccentricity"], rtol=1e-5, atol=1e-5)
    if "perimeter_crofton" in theirs:
        np.testing.assert_allclose(ours["perimeter_um"], theirs["perimeter_crofton"], rtol=1e-12)
    oriented = ours["eccentricity"] > 0.05
    turns = (ours["orientation_rad"] - theirs["orientation"])[oriented] / math.pi  # the same axis up to half a turn
    np.testing.assert_allclose(turns, turns.round(), atol=1e-6)


@pytest.mark.parametrize("size", [(1.0, 1.0), (0.5, 2.0)])
def test_moments_are_those_of_scikit_image_over_the_number_of_pixels(size: tuple[float, float]) -> None:
    labels = np.random.default_rng(0).choice([0, 1, 1, 2], (12, 9)).astype(np.int32)
    image = make_image(np.zeros((1, 12, 9), np.uint8), channels=["A"], pixel_size_um=size)
    found = measure(image, labels, features=[Shape(("moments",))])
    theirs = pd.DataFrame(regionprops_table(labels, spacing=size, properties=["moments_central"]))
    for name, power in (("yy", "2-0"), ("xx", "0-2"), ("xy", "1-1")):
        expected = theirs[f"moments_central-{power}"] / theirs["moments_central-0-0"]
        np.testing.assert_allclose(found.to_df()[f"moment_{name}_um2"], expected, rtol=1e-12)
    assert found.var["unit"].unique().tolist() == ["um2"]


def of_hulls(labels: np.ndarray, size: tuple[float, float] = (1.0, 1.0)) -> pd.DataFrame:
    image = make_image(np.zeros((1, *labels.shape), np.uint8), channels=["A"], pixel_size_um=size)
    table = measure(image, labels, features=[Shape(("solidity", "convexity", "feret", "euler_number", "perimeter"))])
    return table.to_df().set_index(table.obs["instance_id"].to_numpy())


def slow_hull(mask: np.ndarray, size: tuple[float, float]) -> tuple[float, float, float, float]:
    """Return area, perimeter, largest and smallest width of the hull of all pixels, each a rectangle."""
    y, x = np.nonzero(mask)
    pixels = shapely.box(x * size[1], y * size[0], (x + 1) * size[1], (y + 1) * size[0])
    hull = shapely.convex_hull(shapely.union_all(pixels))
    corners = shapely.get_coordinates(hull)
    along = np.diff(corners, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1)[:, None]
    reach = np.ptp(corners @ across.T, axis=0)
    return hull.area, hull.length, max(math.dist(a, b) for a in corners for b in corners), reach.min()


@settings(max_examples=40, deadline=None)
@given(labels=blobs, size=st.sampled_from([(1.0, 1.0), (0.25, 2.0)]), edge=st.integers(1, 20))
def test_hulls_and_euler_numbers_equal_the_slow_version_wherever_the_labels_are_cut(
    labels: np.ndarray, size: tuple[float, float], edge: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("integrate.features.blocks._EDGE", edge)
        ours = of_hulls(labels, size)
    for instance in np.unique(labels[labels > 0]):
        mask, row = labels == instance, ours.loc[instance]
        area, around, largest, smallest = slow_hull(mask, size)
        assert row["solidity"] == pytest.approx(mask.sum() * size[0] * size[1] / area, rel=1e-12)
        assert row["convexity"] * row["perimeter_um"] == pytest.approx(around, rel=1e-12)
        assert row[["feret_max_um", "feret_min_um"]].tolist() == pytest.approx([largest, smallest], rel=1e-12)
        assert row["euler_number"] == euler_number(mask, connectivity=2)


def test_widths_and_solidity_are_those_of_scikit_image_but_for_the_corners_of_pixels() -> None:
    y, x = np.mgrid[:120, :120]
    labels = (((y - 60) / 50) ** 2 + ((x - 60) / 20) ** 2 < 1).astype(int) * 3
    labels[55:65, 60:] = 0
    theirs = regionprops_table(labels, properties=["solidity", "feret_diameter_max"])
    row = of_hulls(labels).loc[3]
    assert row["solidity"] == pytest.approx(theirs["solidity"][0], rel=0.02)
    assert row["feret_max_um"] == pytest.approx(theirs["feret_diameter_max"][0], abs=1.0)
    assert row["feret_min_um"] < 41


def test_the_hull_of_overlapping_outlines_is_that_of_each_alone() -> None:
    image = make_image(np.zeros((1, 60, 60), np.uint8), channels=["A"], pixel_size_um=None)
    outlines = [shapely.box(5, 5, 35, 25), shapely.box(20, 10, 50, 40)]
    found = measure(image, outlines, features=[Shape(("solidity", "feret"))]).to_df()
    assert found["solidity"].tolist() == [1.0, 1.0]
    assert found["feret_min_px"].tolist() == [20.0, 30.0]
    assert found["feret_max_px"].tolist() == pytest.approx([math.hypot(30, 20), math.hypot(30, 30)])


def test_a_disc_of_square_pixels_has_the_known_size() -> None:
    y, x = np.mgrid[:101, :101]
    row = shapes(((y - 50) ** 2 + (x - 50) ** 2 < 40**2).astype(int)).loc[1]
    assert row["area_px2"] == pytest.approx(math.pi * 40**2, rel=0.005)
    assert row["perimeter_px"] == pytest.approx(2 * math.pi * 40, rel=0.01)
    assert row[["centroid_y_px", "centroid_x_px"]].tolist() == [50.5, 50.5]
    assert row["axis_major_px"] == pytest.approx(80, rel=0.005)
    assert math.isnan(row["orientation_rad"])


@pytest.mark.parametrize("size", [(1.0, 1.0), (2.0, 1.0), (1.0, 2.0), (0.5, 1.5), (4.0, 1.0)])
@pytest.mark.parametrize("tilt", [0.0, 0.5, 1.2, math.pi / 2, 2.5])
def test_an_ellipse_has_the_same_physical_shape_on_any_pixels(size: tuple[float, float], tilt: float) -> None:
    y, x = (np.arange(int(240 / edge)) * edge + edge / 2 - 120 for edge in size)
    along = np.cos(tilt) * y[:, None] + np.sin(tilt) * x[None]
    across = -np.sin(tilt) * y[:, None] + np.cos(tilt) * x[None]
    row = shapes(((along / 90) ** 2 + (across / 45) ** 2 < 1).astype(int), pixel_size_um=size).loc[1]
    h = (45 / 135) ** 2  # Ramanujan: the perimeter is pi (a + b) (1 + 3h / (10 + sqrt(4 - 3h)))
    assert row["area_um2"] == pytest.approx(math.pi * 90 * 45, rel=0.01)
    perimeter = math.pi * 135 * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))
    assert row["perimeter_um"] == pytest.approx(perimeter, rel=0.04 if max(size) / min(size) <= 2 else 0.065)
    assert row[["axis_major_um", "axis_minor_um"]].tolist() == pytest.approx([180, 90], rel=0.01)
    assert row["eccentricity"] == pytest.approx(math.sqrt(0.75), rel=0.005)
    assert math.sin(row["orientation_rad"] - tilt) == pytest.approx(0, abs=0.01)


def test_the_perimeter_of_one_pixel_is_that_of_its_cuts() -> None:
    assert shapes(np.array([[1]])).loc[1, "perimeter_px"] == pytest.approx(math.pi / 4 * (2 + math.sqrt(2)))
    assert shapes(np.array([[1]])).loc[1, "eccentricity"] == 0


def test_touching_regions_have_their_own_outlines() -> None:
    both = shapes(np.repeat([[1, 2]], 4, axis=0).repeat(4, axis=1))
    alone = shapes(np.ones((4, 4), int))
    assert both["perimeter_px"].tolist() == [alone.loc[1, "perimeter_px"]] * 2


def test_units_ride_in_the_names_and_in_var() -> None:
    image = make_image(np.zeros((1, 2, 2), np.uint8), channels=["A"], pixel_size_um=None)
    var = measure(image, np.ones((2, 2), int), features=["shape"]).var
    units = {"area_px2": "[pix]2", "centroid_y_px": "[pix]", "eccentricity": "1", "orientation_rad": "rad"}
    assert var.loc[list(units), "unit"].to_dict() == units
    assert not [name for name in var.index if "um" in name]


def test_only_the_descriptors_asked_for_are_columns() -> None:
    image = make_image(np.zeros((1, 2, 2), np.uint8), channels=["A"], pixel_size_um=(1, 1))
    table = measure(image, np.ones((2, 2), int), features=[Shape(descriptors=("perimeter", "area"))])
    assert table.var_names.tolist() == ["perimeter_um", "area_um2"]
    assert measure(image, np.ones((2, 2), int), features=[]).shape == (1, 0)


def test_positions_of_a_huge_grid_do_not_overflow() -> None:
    from integrate.features.blocks import Block, Window
    from integrate.features.family import Measured
    from integrate.features.grid import Grid
    from integrate.features.position import Position, count_pixels, find_centroids, find_moments

    edge = 40_000  # one square of 1.6e9 pixels far from the origin: sums of squares leave 64 bits
    rows = np.arange(edge)
    window = Window(10**6, 10**6 + edge, 10**6, 10**6 + edge)
    run = np.zeros(edge, np.int64)
    block = Block(window, np.array([1]), run, rows, run, run + edge)
    grid = Grid((2 * 10**6,) * 2, (1.0, 1.0), (0.0, 0.0), "px")
    measured = Measured(grid, (), block.ids, Position().from_regions(block))
    assert count_pixels(measured).tolist() == [edge**2]
    assert find_centroids(measured).tolist() == [[10**6 + edge / 2] * 2]
    np.testing.assert_allclose(find_moments(measured), [[(edge**2 - 1) / 12, (edge**2 - 1) / 12, 0]], rtol=1e-12)
