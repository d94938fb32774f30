"""Segmentations: every segment on its plane, empty planes empty, and on the grid of its image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from integrate.errors import AlignmentError, DataError, DatasetNotFoundError
from integrate.readers.dicom_seg import DicomSeg, place_labels
from integrate.readers.grid import Grid, make_volume
from integrate.testing import ReaderTests

from .dicom_parts import write_segmentation

#: Frames as files have them: by segment, planes in no order, empty planes left out.
HEIGHTS, NUMBERS = [109.0, 100.0, 109.0], [1, 1, 2]


def masks() -> np.ndarray:
    made = np.zeros((3, 6, 9), bool)
    made[0, 1:3, 2:5] = made[1, 2:4, 0:7] = made[2, 4:6, 6:9] = True
    return made


def positions(heights: list[float] = HEIGHTS) -> np.ndarray:
    return np.array([[-50, -30, z] for z in heights], float)


def read(file: Path, **options: Any) -> Any:
    return DicomSeg(url=str(file), **options).read()


def image(origin: tuple[float, float, float] = (-50, -30, 94), shape: tuple[int, ...] = (8, 6, 9)) -> Any:
    affine = np.diag([1.1, 0.8, 3.0, 1])
    affine[:3, 3] = origin
    grid = Grid.from_affine(affine, where="test")
    return make_volume(np.zeros(shape), grid, name="CT", notes=grid.notes())


class TestContract(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> DicomSeg:
        folder.mkdir(exist_ok=True)
        file = write_segmentation(folder / "a.dcm", masks(), positions(), NUMBERS)
        return DicomSeg(url=str(file), ids={"dicom_patient": "0007"})

    def check(self, opened: Any) -> None:
        assert opened.shape == (4, 6, 9)
        expected = np.zeros((4, 6, 9), int)
        expected[3] = masks()[0] + 2 * masks()[2]
        expected[0] = masks()[1]
        np.testing.assert_array_equal(opened.values, expected)
        assert opened.attrs["integrate"]["labels"] == {"1": "part 1", "2": "part 2"}
        assert opened.attrs["integrate"]["segments"]["1"]["code"] == "SCT:4147007"


def test_labels_land_on_the_image_grid(tmp_path: Path) -> None:
    labels = read(write_segmentation(tmp_path / "a.dcm", masks(), positions(), NUMBERS))
    placed = place_labels(labels, image())
    assert placed.shape == (8, 6, 9)
    np.testing.assert_array_equal(placed.values[2:6], labels.values)
    assert not placed.values[[0, 1, 6, 7]].any()
    with pytest.raises(AlignmentError, match="do not coincide"):
        place_labels(labels, image(origin=(-50.5, -30, 94)))
    with pytest.raises(AlignmentError, match="labels reach voxels"):
        place_labels(labels, image(shape=(5, 6, 9)))


def test_an_image_whose_slices_run_the_other_way_gets_the_same_labels(tmp_path: Path) -> None:
    labels = read(write_segmentation(tmp_path / "a.dcm", masks(), positions(), NUMBERS))
    affine = np.diag([1.1, 0.8, -3.0, 1])
    affine[:3, 3] = [-50, -30, 115]
    grid = Grid.from_affine(affine, where="test")
    downwards = make_volume(np.zeros((8, 6, 9)), grid, name="CT", notes=grid.notes())
    np.testing.assert_array_equal(place_labels(labels, downwards).values, place_labels(labels, image()).values[::-1])


def test_overlapping_segments_are_read_one_by_one(tmp_path: Path) -> None:
    twice = masks()
    twice[2] = twice[0]
    file = write_segmentation(tmp_path / "a.dcm", twice, positions(), NUMBERS)
    with pytest.raises(DataError, match=r"segments of a.dcm overlap"):
        read(file).compute()
    assert int(read(file, segments=["part 2"]).sum()) == 2 * 6
    with pytest.raises(DatasetNotFoundError, match="no segment named 'part 3'"):
        read(file, segments=["part 3"])


def test_a_fraction_of_one_half_counts(tmp_path: Path) -> None:
    fractions = np.zeros((3, 6, 9), "u1")
    fractions[0, 0, :3] = [99, 100, 200]
    file = write_segmentation(tmp_path / "a.dcm", fractions, positions(), NUMBERS, kind="FRACTIONAL")
    assert read(file).values[3, 0, :3].tolist() == [0, 1, 1]


def test_frames_off_the_stated_planes_are_refused(tmp_path: Path) -> None:
    file = write_segmentation(tmp_path / "a.dcm", masks(), positions([100, 104, 106]), NUMBERS)
    with pytest.raises(DataError, match="do not lie on planes 3 mm apart"):
        read(file)


def test_real_segmentation_of_a_ct(test_data: Any) -> None:
    labels = read(test_data("dicom-small") / "seg_image_ct_binary.dcm")
    assert labels.shape == (3, 16, 16)
    assert labels.values.sum(axis=(1, 2)).tolist() == [127, 256, 255]


def test_a_segmentation_of_a_slide_is_refused(test_data: Any) -> None:
    with pytest.raises(DataError, match="segmentations of slides are not read"):
        read(test_data("dicom-small") / "seg_image_sm_dots.dcm")
