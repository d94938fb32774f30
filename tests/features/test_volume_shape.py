"""Moments and axes of regions in volumes against scikit-image and the ellipsoid's formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from skimage.measure import regionprops

import integrate as ig

ALL = ig.VolumeShape(descriptors=("moments", "axes", "elongation", "flatness", "orientation"))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 0.5)])
def test_moments_and_axes_are_those_of_scikit_image(spacing: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 4, (3, 4, 5)), np.ones((2, 3, 2), int))
    image = ig.make_volume(np.zeros(labels.shape, np.uint8), spacing_mm=spacing)
    found = ig.measure(image, labels, features=[ALL]).to_df()
    for theirs, (_, mine) in zip(regionprops(labels, spacing=spacing), found.iterrows(), strict=True):
        moments = theirs.moments_central / theirs.moments_central[0, 0, 0]
        for name, power in (("zz", (2, 0, 0)), ("yy", (0, 2, 0)), ("xx", (0, 0, 2)), ("zy", (1, 1, 0))):
            assert mine[f"moment_{name}_mm2"] == pytest.approx(moments[power], rel=1e-9, abs=1e-9)
        assert mine["moment_zx_mm2"] == pytest.approx(moments[1, 0, 1], rel=1e-9, abs=1e-9)
        assert mine["moment_yx_mm2"] == pytest.approx(moments[0, 1, 1], rel=1e-9, abs=1e-9)
        spread = (mine[["axis_major_mm", "axis_middle_mm", "axis_minor_mm"]].to_numpy()) ** 2 / 20
        inertia = sorted(theirs.inertia_tensor_eigvals)  # about an axis: what lies along the other two
        np.testing.assert_allclose(sorted(spread.sum() - spread), inertia, rtol=1e-9)
        direction = mine[["orientation_z", "orientation_y", "orientation_x"]].to_numpy()
        tensor = theirs.inertia_tensor
        np.testing.assert_allclose(tensor @ direction, inertia[0] * direction, atol=1e-8 * inertia[0])


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 0.7)])
def test_axes_are_those_an_ellipsoid_was_drawn_with(spacing: tuple[float, float, float]) -> None:
    semi, turn = np.array([22.0, 13.0, 8.0]), Rotation.from_euler("zyx", [25, 40, 10], degrees=True).as_matrix()
    place = np.stack(np.meshgrid(*[np.arange(-24, 24, step) + step / 2 for step in spacing], indexing="ij"), axis=-1)
    body = (((place @ turn) / semi) ** 2).sum(axis=-1) < 1
    image = ig.make_volume(body.astype(np.uint8), spacing_mm=spacing)
    table = ig.measure(image, body.astype(np.int32), features=[ALL])
    row = table.to_df().iloc[0]
    assert row[["axis_major_mm", "axis_middle_mm", "axis_minor_mm"]].tolist() == pytest.approx(2 * semi, rel=0.01)
    assert row["elongation"] == pytest.approx(13 / 22, rel=0.01)
    assert row["flatness"] == pytest.approx(8 / 22, rel=0.01)
    longest = turn[:, 0] * np.sign(turn[0, 0])
    assert row[["orientation_z", "orientation_y", "orientation_x"]].to_numpy() @ longest == pytest.approx(1, abs=1e-4)
    expected = turn @ np.diag(semi**2 / 5) @ turn.T
    assert row["moment_zx_mm2"] == pytest.approx(expected[0, 2], rel=0.02)
    assert table.var.loc["elongation", "definition"] == "IBSI:Q3CK"
    assert table.var.loc["moment_zx_mm2", "unit"] == "mm2"


def test_what_has_no_longest_axis_has_no_orientation() -> None:
    labels = np.zeros((4, 4, 6), int)
    labels[:2, :2, :2], labels[3, 3, 3], labels[0, 0, 3:6] = 1, 2, 3
    found = ig.measure(ig.make_volume(labels, spacing_mm=(1, 1, 1)), labels, features=[ALL]).to_df()
    cube, voxel, line = (row for _, row in found.iterrows())
    assert math.isnan(cube["orientation_z"])
    assert (cube["elongation"], cube["flatness"]) == pytest.approx((1, 1))
    assert voxel["axis_major_mm"] == 0
    assert math.isnan(voxel["elongation"])
    assert line[["orientation_z", "orientation_y", "orientation_x"]].tolist() == [0, 0, 1]
    assert line["flatness"] == 0
