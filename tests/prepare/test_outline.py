"""Outlines found in drawn boxes, against shapes whose edge is known."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from integrate.errors import DataError, ParameterError
from integrate.prepare.outline import ActiveContour, Finder, Flood, Threshold, outline_object

ROWS, COLUMNS = np.mgrid[:60, :70] + 0.5
DISC = np.hypot(ROWS - 30, COLUMNS - 35) < 18
NOISE = np.random.default_rng(0).normal(0, 6, DISC.shape)


@pytest.mark.parametrize("finder", [Threshold(), Flood(), ActiveContour()])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_noisy_disc_is_outlined_bright_or_dark(finder: Finder, sign: int) -> None:
    found = outline_object(100 + sign * 80 * DISC + NOISE, finder=finder)
    truth = shapely.Point(35, 30).buffer(18)
    assert found.is_valid
    assert 2 * found.intersection(truth).area / (found.area + truth.area) > 0.95


def test_a_rectangle_is_outlined_to_its_very_edges() -> None:
    box = np.zeros((20, 30))
    box[5:15, 4:25] = 7
    assert outline_object(box, finder=Threshold(blur=0)).equals(shapely.box(4, 5, 25, 15))


def test_the_object_at_the_middle_is_meant_and_holes_are_filled() -> None:
    box = np.zeros((40, 40))
    box[3:9, 3:30] = 9
    box[15:28, 15:28] = 9
    box[20:23, 17:19] = 0
    found = outline_object(box, finder=Threshold(blur=0))
    assert found.bounds == (15, 15, 28, 28)
    assert len(found.interiors) == 0


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (np.zeros((3, 9)), "too small"),
        (np.full((9, 9), 4.0), "all its pixels are alike"),
        (np.full((9, 9), np.nan), "alike or missing"),
    ],
)
def test_an_empty_box_is_said(box: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        outline_object(box)
    with pytest.raises(ParameterError, match="tolerance is 2"):
        Flood(tolerance=2)


def test_missing_pixels_are_never_part_of_the_object() -> None:
    plane = np.where(DISC, 100.0, 0.0)
    plane[:, 35:] = np.nan
    assert outline_object(plane, finder=Threshold(blur=0)).bounds[2] <= 35
