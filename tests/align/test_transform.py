"""A transform followed by its inverse changes nothing; spaces and units are checked; disk and SpatialData keep it."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.interpolate import RBFInterpolator
from spatialdata.models import PointsModel, ShapesModel
from spatialdata.transformations import Identity, Scale, get_transformation

import integrate as ig
from integrate.align.space import Space
from integrate.align.store import from_spatialdata, to_spatialdata
from integrate.align.transform import Affine, DisplacementField, ThinPlate, Transform, identity
from integrate.errors import AlignmentError, DataError, SourceNotFoundError, UnitError

SLIDE, SECTION, PIXELS = Space("slide", "um"), Space("section", "um"), Space("slide_px", "px")
PATIENT, OTHER = (Space(name, "mm", ("x", "y", "z")) for name in ("patient", "other"))

angles = st.floats(-3.1, 3.1)
lengths = st.floats(0.05, 20)
shifts = st.floats(-1e4, 1e4)


def turn(angle: float, scale: tuple[float, float], shift: tuple[float, float]) -> Affine:
    c, s = np.cos(angle), np.sin(angle)
    rows = ((c * scale[0], -s * scale[1], shift[0]), (s * scale[0], c * scale[1], shift[1]), (0, 0, 1))
    return Affine(rows, SLIDE, SECTION)


def wave_field(amplitude: float, *, dims: int = 2) -> DisplacementField:
    size, here, there = (40, SLIDE, SECTION) if dims == 2 else (16, PATIENT, OTHER)
    nodes = np.stack(np.meshgrid(*[np.arange(size) * 10.0] * dims, indexing="ij")[::-1], axis=-1)
    vectors = amplitude * np.sin(nodes[..., ::-1] / 60 + np.arange(dims))
    return DisplacementField(vectors, (5.0,) * dims, (10.0,) * dims, here, there)


def plate() -> ThinPlate:
    rng = np.random.default_rng(4)
    here = rng.uniform(0, 400, (9, 2))
    return ThinPlate(here, here @ [[0.9, 0.2], [-0.2, 0.9]] + rng.normal(0, 6, (9, 2)) + 30, SLIDE, SECTION)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50)
@given(angles, st.tuples(lengths, lengths), st.tuples(shifts, shifts), st.lists(st.tuples(shifts, shifts), min_size=1))
def test_an_affine_and_its_inverse_are_the_identity(
    angle: float, scale: tuple[float, float], shift: tuple[float, float], points: list[tuple[float, float]]
) -> None:
    there = turn(angle, scale, shift)
    np.testing.assert_allclose(there.inverse().map_points(there.map_points(points)), points, atol=1e-7)
    both = there.then(there.inverse())
    assert isinstance(both, Affine)
    np.testing.assert_allclose(both.array, np.eye(3), atol=1e-7)


@pytest.mark.parametrize("bent", [wave_field(4.0), plate(), turn(0.3, (1, 1), (2, 3)).then(identity(SECTION))])
def test_a_bent_transform_and_its_inverse_are_the_identity(bent: Transform) -> None:
    points = np.random.default_rng(1).uniform(-50, 450, (300, 2))
    np.testing.assert_allclose(bent.inverse().map_points(bent.map_points(points)), points, atol=1e-7)
    np.testing.assert_allclose(bent.map_points(bent.inverse().map_points(points)), points, atol=1e-7)
    np.testing.assert_allclose(bent.inverse().inverse().map_points(points), bent.map_points(points), atol=1e-9)


def test_a_chain_with_a_field_inverts_part_by_part() -> None:
    chain = turn(0.2, (1.1, 0.9), (40, -7)).then(identity(SECTION, SLIDE)).then(wave_field(4.0))
    points = np.random.default_rng(2).uniform(0, 400, (200, 2))
    np.testing.assert_allclose(chain.inverse().map_points(chain.map_points(points)), points, atol=1e-7)
    assert (chain.source, chain.target) == (SLIDE, SECTION)
    assert (chain.inverse().source, chain.inverse().target) == (SECTION, SLIDE)


def test_a_field_over_a_volume_inverts() -> None:
    field = wave_field(3.0, dims=3)
    points = np.random.default_rng(3).uniform(0, 150, (200, 3))
    assert np.abs(field.map_points(points) - points).max() > 2
    np.testing.assert_allclose(field.inverse().map_points(field.map_points(points)), points, atol=1e-7)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(shifts, shifts), min_size=1))
def test_the_identity_changes_no_bit(points: list[tuple[float, float]]) -> None:
    assert np.array_equal(identity(SLIDE).map_points(points), np.array(points))


def test_a_matrix_of_pixel_centres_moves_by_half_a_pixel() -> None:
    """DICOM says where the centre of the first voxel lies; pixel 0 covers [0, 1), so its centre is 0.5."""
    centres = np.array([[2.0, 0, 100], [0, 3.0, 200], [0, 0, 1]])
    affine = Affine.from_centres(centres, PIXELS, SLIDE)
    assert affine.map_points([[0.5, 0.5], [1.5, 2.5]]).tolist() == [[100, 200], [102, 206]]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_a_thin_plate_is_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    here, there, probe = (rng.uniform(0, 300, (n, 2)) for n in (12, 12, 50))
    spline = ThinPlate(here, there, SLIDE, SECTION)
    np.testing.assert_allclose(spline.map_points(here), there, atol=1e-6)
    other = RBFInterpolator(here, there, kernel="thin_plate_spline")
    np.testing.assert_allclose(spline.map_points(probe), other(probe), atol=1e-4)


def test_spaces_meet_only_where_they_are_one() -> None:
    there = turn(0.1, (1, 1), (0, 0))
    with pytest.raises(AlignmentError, match=r"lies in space 'section' .*expected 'slide'.*declare an Affine"):
        there.then(there)
    millimetres = Affine.scale([1e-3, 1e-3], Space("section", "mm"), SLIDE)
    with pytest.raises(UnitError, match="gives space 'section' in um, expected mm"):
        there.then(millimetres)
    with pytest.raises(AlignmentError, match="does not say in which space"):
        identity(Space("", "um")).then(there)
    with pytest.raises(AlignmentError, match=r"use Affine\.scale"):
        identity(PIXELS, SLIDE)


def test_what_is_no_transform_is_refused() -> None:
    with pytest.raises(DataError, match="no affine map with an inverse"):
        Affine(((1, 0, 0), (2, 0, 0), (0, 0, 1)), SLIDE, SECTION)
    with pytest.raises(DataError, match="expected a finite 3 × 3"):
        Affine(((1, 0), (0, 1)), SLIDE, SECTION)
    with pytest.raises(DataError, match=r"2 numbers each.*\(1, 3\)"):
        identity(SLIDE).map_points([[1, 2, 3]])
    line = np.arange(8.0).reshape(4, 2)
    with pytest.raises(DataError, match="span 1 of 2 directions"):
        ThinPlate(line, line, SLIDE, SECTION)
    with pytest.raises(DataError, match="two landmarks have one position"):
        ThinPlate(np.zeros((4, 2)), line, SLIDE, SECTION)
    with pytest.raises(DataError, match="do not make a field"):
        DisplacementField(np.zeros((3, 3, 3)), (0, 0), (1, 1), SLIDE, SECTION)


def test_a_fold_has_no_inverse_and_says_so() -> None:
    vectors = np.zeros((1, 5, 2))
    vectors[0, :, 0] = [0, 0, -30, 0, 0]
    fold = DisplacementField(vectors, (0, 0), (10, 10), SLIDE, SECTION)
    with pytest.raises(AlignmentError, match="the transform folds there"):
        fold.inverse().map_points(np.c_[np.linspace(-20, 40, 200), np.zeros(200)])


@pytest.mark.parametrize(
    "kept",
    [
        turn(0.3, (0.7, 2), (5, 6)),
        wave_field(2.0),
        plate(),
        plate().inverse(),
        turn(0.3, (0.7, 2), (5, 6)).then(identity(SECTION, SLIDE)).then(wave_field(2.0)),
        wave_field(1.0, dims=3),
    ],
    ids=lambda kept: type(kept).__name__,
)
def test_disk_keeps_every_number(kept: Transform, tmp_path: Path) -> None:
    again = ig.read_transform(ig.write_transform(kept, tmp_path / "t.zarr", notes={"by": "hand"}))
    points = np.random.default_rng(5).uniform(0, 120, (50, kept.source.ndim))
    assert np.array_equal(again.map_points(points), kept.map_points(points))
    assert (again.source, again.target) == (kept.source, kept.target)
    ig.write_transform(kept, tmp_path / "t.zarr")  # replaced
    assert [one.name for one in tmp_path.iterdir()] == ["t.zarr"]


def test_the_written_form_is_ngff_with_axes_in_array_order(tmp_path: Path) -> None:
    import zarr

    shift = Affine.scale([2, 3], PIXELS, SLIDE, offset=[10, 20])
    ome = zarr.open_group(ig.write_transform(shift, tmp_path / "t.zarr"), mode="r").attrs["ome"]
    (said,) = ome["coordinateTransformations"]
    assert (said["type"], said["input"], said["output"]) == ("affine", "slide_px", "slide")
    assert said["affine"] == [[3, 0, 20], [0, 2, 10]]  # y before x
    assert [axis["name"] for axis in ome["coordinateSystems"][1]["axes"]] == ["y", "x"]
    assert ome["coordinateSystems"][1]["axes"][0]["unit"] == "micrometer"


def test_what_is_no_transform_on_disk_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"no transform at 'none\.zarr'"):
        ig.read_transform(tmp_path / "none.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(DataError, match="is no transform written"):
        ig.read_transform(tmp_path / "empty.zarr")


def test_spatialdata_holds_the_same_map() -> None:
    there = turn(0.4, (0.5, 2), (7, 8))
    back = from_spatialdata(to_spatialdata(there), SLIDE, SECTION)
    np.testing.assert_array_equal(back.array, there.array)
    with pytest.raises(AlignmentError, match="ThinPlate from 'slide' to 'section' bends"):
        to_spatialdata(plate())


def test_outlines_circles_and_points_move() -> None:
    there = Affine.scale([2, 2], SLIDE, SECTION, offset=[100, 0])
    square = gpd.GeoDataFrame({"name": ["a"]}, geometry=[shapely.box(1, 2, 3, 4)])
    assert ig.move(square, there).geometry.iloc[0].bounds == (102, 4, 106, 8)
    assert square.geometry.iloc[0].bounds == (1, 2, 3, 4)
    circle = gpd.GeoDataFrame({"radius": [5.0]}, geometry=[shapely.Point(1, 2)])
    moved = ig.move(circle, there)
    assert moved.geometry.iloc[0].coords[0] == (102, 4)
    np.testing.assert_allclose(moved["radius"], 10)
    table = pd.DataFrame({"x": [1.0], "y": [2.0], "gene": ["A"]})
    assert ig.move(table, there).to_dict("list") == {"x": [102.0], "y": [4.0], "gene": ["A"]}


@pytest.mark.parametrize("tolerance", [0.5, 0.05])
def test_a_long_edge_bends_with_the_tissue(tolerance: float) -> None:
    """Four corners alone would lose what bulges out between them; a very fine polygon is the truth."""
    rows, columns = np.indices((21, 21)) * 50.0
    bulge = np.stack([20 * np.sin(np.pi * rows / 1000), 12 * np.sin(np.pi * columns / 500)], axis=-1)
    field = DisplacementField(bulge, (0, 0), (50, 50), SLIDE, SECTION)
    hole = shapely.box(300, 300, 700, 650)
    drawn = gpd.GeoDataFrame(geometry=[shapely.box(100, 100, 900, 900) - hole, shapely.box(5, 5, 6, 6)])
    moved = ig.move(drawn, field, tolerance=tolerance).geometry
    fine = shapely.transform(shapely.segmentize(drawn.geometry.to_numpy(), 0.2), field.map_points)
    corners = shapely.transform(drawn.geometry.to_numpy(), field.map_points)
    assert shapely.hausdorff_distance(moved.iloc[0].exterior, fine[0].exterior) <= 1.2 * tolerance
    wrong = [shapely.area(shapely.symmetric_difference(one, fine[0])) for one in (moved.iloc[0], corners[0])]
    assert wrong[0] < tolerance * fine[0].length < wrong[1]
    assert shapely.get_num_coordinates(moved.iloc[1]) == 5  # a cell needs no more
    assert shapely.get_num_coordinates(ig.move(drawn, identity(SLIDE, SECTION)).geometry.iloc[0]) == 10
    spot = ig.assign(drawn.iloc[:1], gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1100, 600)]), transform=field)
    inside = fine[0].intersection(shapely.box(0, 0, 1100, 600)).area / fine[0].area
    assert spot["covered"].iloc[0] == pytest.approx(inside, abs=1e-3)


def test_elements_move_from_their_placement_and_stay_lazy() -> None:
    there = Affine.scale([1, 1], SLIDE, SECTION, offset=[100, 0])
    frame = pd.DataFrame({"x": [4.0, 8.0], "y": [2.0, 2.0]})
    points = PointsModel.parse(frame, transformations={"slide": Scale([0.5, 0.5], axes=("x", "y"))})
    moved = ig.move(points, there)
    assert hasattr(moved, "dask")
    assert moved.compute()[["x", "y"]].to_numpy().tolist() == [[102, 1], [104, 1]]
    assert list(get_transformation(moved, get_all=True)) == ["section"]
    box = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 2, 2)])
    shapes = ShapesModel.parse(box, transformations={"other": Identity()})
    with pytest.raises(AlignmentError, match="the element lies in space 'other'"):
        ig.move(shapes, there)


def test_shapes_in_another_unit_do_not_move() -> None:
    shapes = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 2, 2)])
    shapes.attrs["integrate"] = {"unit": "px"}
    with pytest.raises(UnitError, match="the elements are in 'px', space 'slide' in 'um'"):
        ig.move(shapes, identity(SLIDE, SECTION))
