"""Dose grids: scaled to gray, placed by their offsets whether relative or absolute."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from integrate.errors import DataError
from integrate.readers.rtdose import RtDose
from integrate.testing import ReaderTests

from .dicom_parts import add_pixels, dataset

PIXELS = np.random.default_rng(0).integers(0, 60_000, (4, 5, 6), dtype=np.uint32)


def write(file: Path, offsets: list[float], **changes: Any) -> str:
    made = dataset("RTDOSE", "1.2.840.10008.5.1.4.1.1.481.2")
    made.ImagePositionPatient, made.ImageOrientationPatient = [-10, 20, 100], [1, 0, 0, 0, 1, 0]
    made.PixelSpacing, made.GridFrameOffsetVector, made.DoseGridScaling = [2.5, 3.0], offsets, 1e-3
    made.DoseUnits, made.DoseType, made.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    add_pixels(made, PIXELS)
    made.save_as(file, enforce_file_format=True)
    return str(file)


class TestContract(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> RtDose:
        return RtDose(url=write(folder / "a.dcm", [0, 4, 8, 12]))

    def check(self, opened: Any) -> None:
        np.testing.assert_allclose(opened.values, PIXELS * 1e-3)
        notes = opened.attrs["integrate"]
        assert (notes["unit"], notes["spacing_mm"], notes["summation"]) == ("Gy", [4.0, 2.5, 3.0], "PLAN")
        assert notes["origin_lps_mm"] == [-10, 20, 100]


def test_absolute_and_descending_offsets_lie_where_they_say(tmp_path: Path) -> None:
    absolute = RtDose(url=write(tmp_path / "a.dcm", [100, 104, 108, 112])).read()
    assert absolute.attrs["integrate"]["origin_lps_mm"] == [-10, 20, 100]
    down = RtDose(url=write(tmp_path / "b.dcm", [0, -4, -8, -12])).read()
    assert down.attrs["integrate"]["origin_lps_mm"] == [-10, 20, 88]
    np.testing.assert_allclose(down.values, PIXELS[::-1] * 1e-3)


def test_uneven_planes_and_a_missing_scaling_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lie \[4.0, 5.0\] mm apart; expected even steps"):
        RtDose(url=write(tmp_path / "a.dcm", [0, 4, 8, 13])).read()
    with pytest.raises(DataError, match="expected RTDOSE with a DoseGridScaling"):
        RtDose(url=write(tmp_path / "b.dcm", [0, 4, 8, 12], DoseGridScaling=None)).read()
    with pytest.raises(DataError, match="has 4 planes and 3 offsets"):
        RtDose(url=write(tmp_path / "c.dcm", [0, 4, 8])).read()


def test_a_real_grid_is_scaled(tmp_path: Path) -> None:
    shutil.copy(str(get_testdata_file("rtdose.dcm")), tmp_path / "rtdose.dcm")
    dose = RtDose(url=str(tmp_path / "rtdose.dcm")).read()
    assert dose.shape == (15, 10, 10)
    assert float(dose.max()) == pytest.approx(1.254)
    assert dose.attrs["integrate"]["spacing_mm"] == [5.0, 10.0, 10.0]
