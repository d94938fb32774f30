"""Volumes against scikit-image and geometry, in physical units, wherever they are cut."""

from __future__ import annotations

import math

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from skimage.measure import euler_number, regionprops_table

import integrate as ig
from integrate.errors import AlignmentError, DataError, ParameterError, UnitError
from integrate.features.measure import measure

from .slow import slow_intensity


def volume(data: np.ndarray | da.Array, spacing: tuple[float, float, float] = (3.0, 1.0, 0.5)) -> xr.DataArray:
    return ig.make_volume(data, spacing_mm=spacing)


def frame(image: xr.DataArray, labels: object, **more: object) -> pd.DataFrame:
    table = measure(image, labels, **more)  # type: ignore[arg-type]
    return table.to_df().set_index(table.obs["instance_id"].to_numpy())


labels_of_volumes = hnp.arrays(
    np.int32, st.tuples(*[st.integers(1, 6)] * 3), elements=st.sampled_from([0, 1, 1, 2, 70_000])
)


@settings(max_examples=40, deadline=None)
@given(labels=labels_of_volumes, edge=st.integers(1, 6))
def test_shape_and_intensity_equal_the_slow_version_wherever_the_volume_is_cut(labels: np.ndarray, edge: int) -> None:
    pixels = np.random.default_rng(0).integers(-2000, 3000, labels.shape).astype(np.int16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("integrate.features.blocks._EDGE_OF_VOLUME", edge)
        ours = frame(volume(pixels), labels)
    whole = frame(volume(pixels), labels)
    assert ours.equals(whole)
    expected = slow_intensity(pixels[None], labels)
    assert ours.index.tolist() == sorted(expected)
    for instance, row in ours.iterrows():
        inside = labels == instance
        assert row["intensity_mean"] == pytest.approx(expected[instance][0]["mean"], rel=1e-14)
        assert row["intensity_std"] == pytest.approx(expected[instance][0]["std"], rel=1e-12)
        assert row["euler_number"] == euler_number(inside, connectivity=3)
        assert row["volume_mm3"] == inside.sum() * 1.5
        theirs = regionprops_table(inside.astype(int), spacing=(3.0, 1.0, 0.5), properties=["centroid", "bbox"])
        for k, (axis, step) in enumerate(zip("zyx", (3.0, 1.0, 0.5), strict=True)):
            assert row[f"centroid_{axis}_mm"] == pytest.approx(theirs[f"centroid-{k}"][0] + step / 2, rel=1e-12)
            assert row[f"bbox_min_{axis}_mm"] == theirs[f"bbox-{k}"][0] * step
            assert row[f"bbox_max_{axis}_mm"] == theirs[f"bbox-{k + 3}"][0] * step


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (3.0, 0.7, 0.7)])
def test_a_ball_has_the_same_size_in_any_voxels(spacing: tuple[float, float, float]) -> None:
    place = np.meshgrid(*[np.arange(-24, 24, step) + step / 2 for step in spacing], indexing="ij")
    ball = (sum(part**2 for part in place) < 20**2).astype(np.int32)
    row = frame(volume(ball, spacing), ball, features=["shape"]).loc[1]
    assert row["volume_mm3"] == pytest.approx(4 / 3 * math.pi * 20**3, rel=0.01)
    assert row["surface_mm2"] == pytest.approx(4 * math.pi * 20**2, rel=0.04)
    assert row["sphericity"] == pytest.approx(1, rel=0.04)
    assert row[["axis_major_mm", "axis_middle_mm", "axis_minor_mm"]].tolist() == pytest.approx([40] * 3, rel=0.015)
    assert row["equivalent_diameter_mm"] == pytest.approx(40, rel=0.01)


def test_axes_are_those_of_scikit_image() -> None:
    z, y, x = np.mgrid[:40, :40, :40] - 20.0
    body = (((z / 18) ** 2 + (y / 9) ** 2 + ((x + 0.3 * z) / 5) ** 2) < 1).astype(int)
    theirs = regionprops_table(body, properties=["axis_major_length", "axis_minor_length"])
    row = frame(volume(body, (1, 1, 1)), body, features=["shape"]).loc[1]
    # scikit-image adds 1/12, the moment of a voxel about its own centre, to every axis.
    assert row["axis_major_mm"] == pytest.approx(theirs["axis_major_length"][0], rel=0.005)
    assert row["axis_minor_mm"] == pytest.approx(theirs["axis_minor_length"][0], rel=0.03)


def test_euler_numbers_count_tunnels_and_cavities() -> None:
    ring, shell = np.ones((1, 3, 3), int), np.ones((3, 3, 3), int)
    ring[0, 1, 1] = 0
    shell[1, 1, 1] = 0
    assert frame(volume(ring), ring, features=["shape"]).loc[1, "euler_number"] == 0
    assert frame(volume(shell), shell, features=["shape"]).loc[1, "euler_number"] == 2


@settings(max_examples=25, deadline=None)
@given(labels=labels_of_volumes, edge=st.integers(1, 6))
def test_hulls_are_those_of_all_corners_wherever_the_volume_is_cut(labels: np.ndarray, edge: int) -> None:
    spacing = (3.0, 1.0, 0.5)
    features = [ig.VolumeShape(descriptors=("solidity", "convexity", "feret", "surface"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("integrate.features.blocks._EDGE_OF_VOLUME", edge)
        ours = frame(volume(labels, spacing), labels, features=features)
    assert ours.equals(frame(volume(labels, spacing), labels, features=features))
    for instance, row in ours.iterrows():
        voxels = np.argwhere(labels == instance)
        corners = (voxels[:, None] + np.indices((2, 2, 2)).reshape(3, 8).T).reshape(-1, 3) * spacing
        hull = ConvexHull(corners)
        assert row["solidity"] == pytest.approx(len(voxels) * 1.5 / hull.volume, rel=1e-9)
        assert row["convexity"] == pytest.approx(hull.area / row["surface_mm2"], rel=1e-9)
        assert row["feret_max_mm"] == pytest.approx(pdist(corners).max(), rel=1e-12)


def test_a_box_fills_its_hull_and_a_hollow_ball_does_not() -> None:
    box = np.zeros((6, 8, 9), int)
    box[1:5, 2:6, 3:8] = 4
    row = frame(volume(box, (2.0, 1.0, 1.0)), box, features=[ig.VolumeShape(descriptors=("solidity", "feret"))]).loc[4]
    assert row["solidity"] == pytest.approx(1, rel=1e-12)
    assert row["feret_max_mm"] == pytest.approx(math.sqrt(8**2 + 4**2 + 5**2), rel=1e-12)
    place = np.indices((41, 41, 41)) - 20
    radius = np.sqrt((place**2).sum(axis=0))
    shell = ((radius < 20) & (radius > 10)).astype(int)
    row = frame(volume(shell, (1, 1, 1)), shell, features=[ig.VolumeShape(descriptors=("solidity", "feret"))]).loc[1]
    beyond = 20.5  # a hull goes through corners, half a voxel beyond the ball
    assert row["solidity"] == pytest.approx((20**3 - 10**3) / beyond**3, rel=0.01)
    farthest = 20 + math.sqrt(3) / 2  # a corner of a voxel whose middle lies in the ball
    assert 39 <= row["feret_max_mm"] <= 2 * farthest


def test_lazy_volumes_of_several_channels_give_the_same_bits_and_hashes() -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 60_000, (2, 20, 40, 30), dtype=np.uint16)
    labels = rng.integers(0, 4, (20, 40, 30)).astype(np.uint32)
    sizes = zip("zyx", labels.shape, strict=True)
    coords = {"c": ["DNA", "CD8"], **{a: (a, np.arange(n) + 0.5, {"units": "um"}) for a, n in sizes}}

    def table(data: object, regions: object) -> object:
        image = xr.DataArray(data, dims=("c", "z", "y", "x"), coords=coords)
        return measure(image, regions, features=["intensity", "quantiles", "shape"])  # type: ignore[arg-type]

    memory = table(pixels, labels)
    lazy = table(da.from_array(pixels, chunks=(1, 7, 16, 30)), da.from_array(labels, chunks=(5, 40, 8)))
    np.testing.assert_array_equal(memory.X, lazy.X)  # type: ignore[attr-defined]
    assert memory.var.equals(lazy.var)  # type: ignore[attr-defined]
    assert memory.obsm["spatial"].shape == (3, 3)  # type: ignore[attr-defined]
    assert memory.var.loc["volume_um3", "unit"] == "um3"  # type: ignore[attr-defined]


def test_what_does_not_fit_a_volume_is_refused() -> None:
    image, labels = volume(np.zeros((2, 4, 4))), np.ones((2, 4, 4), int)
    with pytest.raises(AlignmentError, match="lie elsewhere"):
        measure(image, labels[:, :3])
    with pytest.raises(AlignmentError, match="lie elsewhere"):
        measure(image, ig.make_volume(labels, spacing_mm=(1, 1, 1)))
    with pytest.raises(DataError, match="expected labels of a volume"):
        measure(image, labels.astype(float))
    with pytest.raises(ParameterError, match="Shape is not measured in a volume"):
        measure(image, labels, features=[ig.Shape()])
    with pytest.raises(ParameterError, match="no feature 'texture' of volumes"):
        measure(image, labels, features=["texture"])
    with pytest.raises(AlignmentError, match="a series with gaps"):
        measure(image.assign_coords(z=[0.0, 1.0]).isel(z=[1, 0]), labels)
    mixed = image.assign_coords(z=("z", [0.5, 1.5], {"units": "px"}))
    with pytest.raises(UnitError, match="different units"):
        measure(mixed, labels)
