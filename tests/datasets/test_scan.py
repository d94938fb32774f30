"""The CT of the simulated study: geometry and lesion against the planted truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from integrate.datasets.cohort import stream
from integrate.datasets.scan import plan_scan, render_scan

Series = tuple[list[pydicom.FileDataset], NDArray[np.float64]]


@pytest.fixture(scope="module", params=range(2))
def series(request: pytest.FixtureRequest, study: Path, truth: dict[str, Any]) -> tuple[str, Series]:
    """One subject's slices in the order of their positions, and their Hounsfield units."""
    name = [n for n, subject in truth["subjects"].items() if "ct" in subject][request.param]
    folder = study / "ct" / truth["subjects"][name]["hospital_id"]
    slices = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    orientation = np.array(slices[0].ImageOrientationPatient, float)
    normal = np.cross(orientation[:3], orientation[3:])
    slices.sort(key=lambda s: float(np.dot(np.array(s.ImagePositionPatient, float), normal)))
    volume = np.stack([s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept) for s in slices])
    return name, (slices, volume)


def test_the_header_has_the_hospital_spelling_and_a_date(series: tuple[str, Series], truth: dict[str, Any]) -> None:
    import datetime

    name, (slices, _) = series
    planted = truth["subjects"][name]
    assert {s.PatientID for s in slices} == {planted["hospital_id"]}
    day = datetime.datetime.strptime(slices[0].StudyDate, "%Y%m%d").date()
    assert -10 <= (day - datetime.date.fromisoformat(planted["diagnosis_date"])).days <= 14


def test_uids_are_valid_and_belong_together(series: tuple[str, Series]) -> None:
    slices = series[1][0]
    assert all(pydicom.uid.UID(s.SOPInstanceUID).is_valid for s in slices)
    assert len({s.SOPInstanceUID for s in slices}) == len(slices)
    assert len({(s.StudyInstanceUID, s.SeriesInstanceUID, s.FrameOfReferenceUID) for s in slices}) == 1
    assert all(s.file_meta.MediaStorageSOPInstanceUID == s.SOPInstanceUID for s in slices)


def test_the_series_has_the_traps_of_real_ones(series: tuple[str, Series], truth: dict[str, Any]) -> None:
    name, (slices, _) = series
    between, down, along = truth["subjects"][name]["ct"]["spacing_zyx_mm"]
    positions = np.array([s.ImagePositionPatient for s in slices], float)
    np.testing.assert_allclose(np.linalg.norm(np.diff(positions, axis=0), axis=1), between, atol=1e-4)
    assert float(slices[0].SliceThickness) != between
    assert [float(v) for v in slices[0].PixelSpacing] == [down, along]
    assert down != along
    assert slices[0].Rows != slices[0].Columns
    numbers = [int(s.InstanceNumber) for s in slices]
    assert numbers == sorted(numbers, reverse=True)
    names = [str(s.filename) for s in slices]
    assert names != sorted(names)


def test_a_threshold_finds_the_planted_volume(series: tuple[str, Series], truth: dict[str, Any]) -> None:
    from scipy import ndimage

    name, (_, volume) = series
    planted = truth["subjects"][name]
    labels, count = ndimage.label(volume > -400)
    sizes = ndimage.sum_labels(np.ones_like(labels), labels, np.arange(1, count + 1))
    spacing = np.array(planted["ct"]["spacing_zyx_mm"])
    found = sizes * spacing.prod()
    closest = found[np.argmin(np.abs(found - planted["lesion_volume_mm3"]))]
    assert closest == pytest.approx(planted["lesion_volume_mm3"], rel=0.04)


def test_the_lesion_lies_where_the_geometry_says(series: tuple[str, Series], truth: dict[str, Any]) -> None:
    name, (slices, volume) = series
    planted = truth["subjects"][name]["ct"]
    orientation = np.array(slices[0].ImageOrientationPatient, float)
    along, down = orientation[:3] * float(slices[0].PixelSpacing[1]), orientation[3:] * float(slices[0].PixelSpacing[0])
    indices = np.indices(volume.shape).reshape(3, -1).T
    positions = np.array([s.ImagePositionPatient for s in slices], float)[indices[:, 0]]
    positions += indices[:, 1:2] * down + indices[:, 2:] * along
    inside = np.linalg.norm((positions - planted["lesion_centre_lps_mm"]) / planted["lesion_semi_axes_mm"], axis=1)
    values = volume.reshape(-1)
    assert np.median(values[inside < 0.7]) == pytest.approx(35, abs=3)
    assert np.median(values[(inside > 1.4) & (inside < 1.6)]) < -700


def test_partial_volume_adds_up_on_straight_and_oblique_grids() -> None:
    tilted = []
    for number in range(6):
        rng = stream(1, "ct", number)
        grid, lesion = plan_scan(rng, volume_mm3=9000.0)
        tilted.append(not np.allclose(grid.directions, np.eye(3)))
        np.testing.assert_allclose(grid.directions @ grid.directions.T, np.eye(3), atol=1e-5)
        volume = render_scan(grid, lesion, rng)
        positions = grid.positions()
        near = np.linalg.norm((positions - lesion.centre_mm) / lesion.semi_axes_mm, axis=-1) < 1.35
        share = (volume[near].astype(float) + 830) / (35 + 830)
        assert share.sum() * np.prod(grid.spacing_mm) == pytest.approx(9000, rel=0.04)
    assert len(set(tilted)) == 2
