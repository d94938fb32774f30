"""Shapes in volumes against a slow, obvious version: every voxel centre asked, one region at a time."""

from __future__ import annotations

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
from spatialdata.transformations import Identity, Scale

import integrate as ig
from integrate.errors import AlignmentError, DataError, IdentityError, IntegrateWarning, ParameterError, UnitError
from integrate.features.measure import measure
from integrate.readers.dicom import DicomSeries
from integrate.readers.rtstruct import RtStruct, label_structures
from integrate.readers.volume import Volume

SHAPE, SPACING = (9, 14, 17), (3.0, 1.0, 0.5)
FEATURES = [ig.Intensity(statistics=("n", "sum", "mean", "std", "min", "max")), "quantiles", "shape"]


def volume(shape: tuple[int, ...] = SHAPE, spacing: tuple[float, ...] = SPACING, **more: Any) -> xr.DataArray:
    data = np.random.default_rng(0).integers(0, 60_000, shape).astype(np.uint16)
    return ig.make_volume(data, spacing_mm=spacing, **more)


def places(image: xr.DataArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    z, y, x = np.meshgrid(*[image[axis].values for axis in "zyx"], indexing="ij")
    return x, y, z


def assert_each_equals_a_mask(image: xr.DataArray, regions: Any, masks: list[np.ndarray], edge: int = 64) -> None:
    """Every region has the numbers that its own mask, measured alone as labels, has; wherever the volume is cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("integrate.features.blocks._EDGE_OF_VOLUME", edge)
        table = measure(image, regions, features=FEATURES, unit="mm", threads=2)
    assert table.obs["n_pixels"].tolist() == [int(mask.sum()) for mask in masks]
    for row, mask in enumerate(masks):
        if mask.any():
            alone = measure(image, mask.astype(np.uint8), features=FEATURES)
            np.testing.assert_array_equal(table.X[row], alone.X[0])
            np.testing.assert_array_equal(table.obsm["spatial"][row], alone.obsm["spatial"][0])
        else:
            empty = table[row].to_df().iloc[0]
            zero = [name for name in empty.index if name.endswith("_n") or name == "volume_mm3"]
            assert (empty[zero] == 0).all()
            assert empty.drop(zero).isna().all()


def balls(found: list[tuple[float, ...]]) -> gpd.GeoDataFrame:
    x, y, z, radius = np.array(found).T
    return gpd.GeoDataFrame({"radius": radius}, geometry=shapely.points(x, y, z))


@settings(max_examples=8, deadline=None)
@given(
    found=st.lists(
        st.tuples(*[st.integers(-16, 140).map(lambda n: n / 4 + 0.06)] * 3, st.integers(0, 50).map(lambda n: n / 4)),
        max_size=4,
    ),
    edge=st.integers(2, 9),
)
def test_balls_equal_their_masks_wherever_the_volume_is_cut(found: list[tuple[float, ...]], edge: int) -> None:
    image = volume()
    x, y, z = places(image)
    found = [*found, (4.25, 6.5, 13.5, 3.0)]  # its surface passes through voxel centres, which are inside
    masks = [(x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 <= r**2 for a, b, c, r in found]
    assert_each_equals_a_mask(image, balls(found), masks, edge)


@st.composite
def prism(draw: st.DrawFn) -> tuple[shapely.Polygon, float, float]:
    corners = draw(st.integers(3, 6))
    angle = np.arange(corners) * 2 * np.pi / corners
    radius = np.array(draw(st.lists(st.floats(0.5, 9), min_size=corners, max_size=corners)))
    outer = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    middle = np.array([draw(st.integers(-2, 10)) + 0.1371, draw(st.integers(-2, 15)) + 0.0713])
    z0 = draw(st.integers(-20, 112)) / 4 + 0.03
    hole = [middle + outer * 0.4] if draw(st.booleans()) else []
    return shapely.Polygon(middle + outer, hole), z0, z0 + draw(st.integers(1, 60)) / 4


@settings(max_examples=8, deadline=None)
@given(found=st.lists(prism(), max_size=4), edge=st.integers(2, 9))
def test_boxes_and_prisms_with_holes_equal_their_masks(found: list[tuple[Any, float, float]], edge: int) -> None:
    image = volume()
    x, y, z = places(image)
    found = [*found, (shapely.box(1, 2, 6, 9), 4.5, 13.5)]  # voxel centres on its faces: in below, out above
    points = shapely.points(x, y)
    if any((shapely.distance(one.boundary, points) < 1e-9).any() for one, _, _ in found[:-1]):
        return  # a voxel centre on a side: it belongs to one of the two
    masks = [shapely.contains_xy(one, x, y) & (a <= z) & (z < b) for one, a, b in found[:-1]]
    masks.append((x >= 1) & (x < 6) & (y >= 2) & (y < 9) & (z >= 4.5) & (z < 13.5))
    shapes, low, high = zip(*found, strict=True)
    assert_each_equals_a_mask(image, gpd.GeoDataFrame({"z0": low, "z1": high}, geometry=list(shapes)), masks, edge)


def contours(image: xr.DataArray, drawn: dict[str, list[tuple[int, Any]]]) -> gpd.GeoDataFrame:
    rows = [
        (name, shapely.force_3d(one, float(image.z[plane]))) for name, found in drawn.items() for plane, one in found
    ]
    names, shapes = zip(*rows, strict=True)
    return gpd.GeoDataFrame(geometry=list(shapes), index=list(names))


@pytest.mark.parametrize("edge", [2, 5, 64])
def test_stacked_contours_with_holes_islands_and_gaps_equal_their_masks(edge: int) -> None:
    image = volume()
    x, y, _ = places(image)
    corners = [(0.6, 1.3, 7.4, 12.2), (2.1, 3.2, 6.3, 9.9), (3.2, 4.4, 4.9, 8.1), (7.6, 2, 8.4, 6)]
    outer, hole, island, apart = (shapely.box(*one) for one in corners)
    drawn = {"lesion": [(1, outer), (2, outer), (2, hole), (2, island), (3, apart), (6, hole), (2, apart)]}
    drawn["other"] = [(k, island) for k in (5, 2, 1)]  # overlaps the first
    masks = []
    for found in drawn.values():
        mask = np.zeros(SHAPE, bool)
        for plane, one in found:
            mask[plane] ^= shapely.contains_xy(one, x[plane], y[plane])
        masks.append(mask)
    regions = contours(image, drawn)
    assert_each_equals_a_mask(image, regions, masks, edge)
    mixed = regions.sample(frac=1, random_state=0)
    table, other = (measure(image, one, features=FEATURES, unit="mm") for one in (regions, mixed))
    assert table.obs["instance_id"].tolist() == ["lesion", "other"]
    other = other[[other.obs["instance_id"].tolist().index(name) for name in ("lesion", "other")]]
    np.testing.assert_array_equal(table.X, other.X)


def test_cubes_of_a_grid_hold_every_voxel_once_and_are_its_blocks() -> None:
    image = volume()
    tiles = ig.make_tiles(image, size=5)
    assert len(tiles) == 2 * 3 * 4
    masks = [
        np.zeros(SHAPE, bool) | ((k // 5 == one.plane) & (j // 5 == one.row) & (i // 5 == one.column))
        for one in tiles.itertuples()
        for k, j, i in [np.indices(SHAPE)]
    ]
    table = measure(image, tiles, features=["intensity"])
    assert table.obs["n_pixels"].tolist() == [int(mask.sum()) for mask in masks]
    np.testing.assert_allclose(
        table.to_df()["intensity_mean"], [image.values[mask].mean() for mask in masks], rtol=1e-14
    )
    cropped = measure(image[2:, 3:, 4:], tiles, features=["intensity"], unit="px")  # of the whole volume
    kept = (slice(2, None), slice(3, None), slice(4, None))
    assert cropped.obs["n_pixels"].tolist() == [int(mask[kept].sum()) for mask in masks]
    in_mm = ig.make_tiles(volume(spacing=(1.0, 1.0, 1.0)), size=5, unit="mm")
    np.testing.assert_array_equal(in_mm.bounds, tiles.bounds)
    in_um = ig.make_tiles(volume(spacing=(1.0, 1.0, 1.0)), size=5000, unit="um")
    np.testing.assert_array_equal(in_um[["z0", "z1"]], tiles[["z0", "z1"]])


@pytest.mark.parametrize("chunks", [(3, 14, 17), (4, 5, 6), (9, 7, 17)])
def test_chunks_and_threads_change_no_bit_of_shapes_in_a_volume(chunks: tuple[int, ...]) -> None:
    image = volume((30, 40, 50), (1.0, 1.0, 1.0))
    rng = np.random.default_rng(1)
    regions = balls([(*rng.uniform(0, 45, 3), rng.uniform(1, 15)) for _ in range(12)])
    whole = measure(image, regions, unit="mm", features=FEATURES, threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("integrate.features.blocks._EDGE_OF_VOLUME", 4)
        lazy = image.copy(data=da.from_array(image.values, chunks=chunks))
        found = measure(lazy, regions, unit="mm", features=FEATURES, threads=3)
    np.testing.assert_array_equal(found.X, whole.X)
    pd.testing.assert_frame_equal(found.obs, whole.obs)
    assert found.var["input_hash"].equals(whole.var["input_hash"])


def test_micrometres_and_millimetres_are_the_same_shapes() -> None:
    image, regions = volume(), balls([(4.2, 6.5, 13.1, 3.2), (1.1, 2.3, 9.0, 6.0)])
    larger = regions.assign(radius=regions["radius"] * 1000)
    larger["geometry"] = shapely.transform(np.asarray(regions.geometry), lambda points: points * 1000, include_z=True)
    mine, other = measure(image, regions, unit="mm"), measure(image, larger, unit="um")
    np.testing.assert_array_equal(mine.X, other.X)
    np.testing.assert_allclose(mine.obs["covered"], other.obs["covered"], rtol=1e-12)


def test_elements_of_spatialdata_meet_in_their_shared_space() -> None:
    image, regions = volume(), balls([(4.2, 6.5, 13.1, 3.2), (1.1, 2.3, 9.0, 6.0)])
    placed = ig.make_volume(image.values, spacing_mm=SPACING)
    placed = placed.assign_coords({axis: np.arange(placed.sizes[axis]) + 0.5 for axis in "zyx"})
    placed.attrs["transform"] = {"patient": Scale(list(SPACING[::-1]), axes=("x", "y", "z"))}
    drawn = regions.copy()
    drawn.attrs["transform"] = {"patient": Identity()}
    found, expected = measure(placed, drawn), measure(image, regions, unit="mm")
    assert found.obs["n_pixels"].tolist() == expected.obs["n_pixels"].tolist()
    np.testing.assert_allclose(found.X, expected.X, rtol=1e-12)


def test_the_part_of_a_shape_outside_the_volume_is_stated() -> None:
    image = volume((20, 20, 20), (1.0, 1.0, 1.0))
    centre = [(10, 10, 10, 4), (0, 10, 10, 4), (0, 0, 10, 4), (0, 0, 0, 4), (0, 0, 30, 4)]
    covered = measure(image, balls(centre), unit="mm").obs["covered"].tolist()
    assert covered == pytest.approx([1, 1 / 2, 1 / 4, 1 / 8, 0], abs=1e-3)
    boxes = gpd.GeoDataFrame({"z0": [-5.0, 5.0], "z1": [15.0, 15.0]}, geometry=[shapely.box(10, -10, 20, 10)] * 2)
    assert measure(image, boxes, unit="mm").obs["covered"].tolist() == [0.375, 0.5]


def test_contours_of_a_patient_lie_where_its_affine_says() -> None:
    direction = np.array([[0, -1, 0], [1, 0, 0], [0, 0, -1.0]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = direction * SPACING[::-1], (-40, 25, 310)
    image = volume(affine_lps=affine.tolist())
    square = np.array([(2.5, 3.5), (9.5, 3.5), (9.5, 8.5), (2.5, 8.5)])
    rows = []
    for k in (2, 3, 4):
        points = np.c_[square, np.full(4, k), np.ones(4)] @ affine.T
        rows.append({"roi_name": "GTV", "kind": "CLOSED_PLANAR", "geometry": shapely.Polygon(points[:, :3])})
    rows.append({"roi_name": "centre", "kind": "POINT", "geometry": shapely.Point(0, 0, 0)})
    structures = gpd.GeoDataFrame(rows, geometry="geometry")
    structures.attrs["integrate"] = {"unit": "mm", "orientation": "LPS"}
    with pytest.warns(IntegrateWarning, match="1 structures enclose nothing .* have no row: 'centre'"):
        table = measure(image, structures, features=["intensity"])
    assert table.obs["instance_id"].tolist() == ["GTV"]
    attrs, structures = structures.attrs, structures.iloc[:3]
    structures.attrs = attrs
    assert table.to_df()["intensity_mean"].iloc[0] == image.values[2:5, 4:9, 3:10].mean()
    assert measure(image[1:, 2:], structures, features=["intensity"]).X.tolist() == table.X.tolist()
    with pytest.raises(AlignmentError, match="the volume has no affine_lps"):
        measure(volume(), structures)
    framed = structures.assign(frame_of_reference_uid=["1.2", "1.2", "1.3"])
    framed.attrs = attrs
    with pytest.raises(AlignmentError, match="lie in 2 frames of reference and the volume states none"):
        measure(image, framed)
    beside = shapely.transform(structures.geometry.to_numpy(), lambda points: points + 1.2, include_z=True)
    moved = structures.set_geometry(beside)
    moved.attrs = structures.attrs
    with pytest.raises(AlignmentError, match=r"3 contours of 'GTV' lie between the planes of the volume, at '1\.60'"):
        measure(image, moved)


def test_the_structure_of_the_lung_phantom_has_the_voxels_of_the_published_mask(test_data: Any) -> None:
    folder = test_data("ibsi1-phantoms") / "ibsi_1_ct_radiomics_phantom"
    image = DicomSeries(url=str(folder / "dicom/image")).read()
    structures = RtStruct(url=str(folder / "dicom/mask/DCM_RS_00060.dcm")).read()
    table = measure(image, structures, features=["intensity", "shape"])
    published = Volume(url=str(folder / "nifti/mask/mask.nii.gz"), labels=True).read()
    labels = label_structures(structures, image)
    np.testing.assert_array_equal(labels.values, published.values)
    drawn = measure(image, labels, features=["intensity", "shape"])
    row = table.obs["instance_id"].tolist().index("GTV-1")
    assert table.obs["n_pixels"].iloc[row] == drawn.obs["n_pixels"].iloc[0] == 125_256
    np.testing.assert_array_equal(table.X[row], drawn.X[0])


def test_shapes_that_no_volume_can_hold_are_refused() -> None:
    image, flat = volume(), shapely.box(1, 1, 5, 5)
    ball, box = balls([(4, 4, 4, 3)]), gpd.GeoDataFrame({"z0": [1.0], "z1": [9.0]}, geometry=[flat])
    with pytest.raises(UnitError, match="pass unit='mm', unit='um' or unit='px'"):
        measure(image, ball)
    with pytest.raises(DataError, match="points with z and a column 'radius'"):
        measure(image, [flat], unit="mm")
    with pytest.raises(DataError, match="1 shapes do not have z0 below z1"):
        measure(image, box.assign(z0=9.0), unit="mm")
    with pytest.raises(IdentityError, match="1 ids repeat"):
        measure(image, pd.concat([box, box]), unit="mm")
    with pytest.raises(AlignmentError, match="none of 1 shapes touches the volume"):
        measure(image, balls([(400, 4, 4, 3)]), unit="mm")
    with pytest.raises(ParameterError, match="within is for images"):
        ig.make_tiles(image, size=5, within=[flat])
    counted = xr.DataArray(np.zeros(SHAPE), dims=("z", "y", "x"))
    with pytest.raises(UnitError, match="the size of the voxels is unknown"):
        measure(counted, ball, unit="mm")
    assert measure(counted, ball).obs["n_pixels"].iloc[0] > 0
