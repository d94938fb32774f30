"""Standardised uptake: the factor by hand, and refusal where the files do not say enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from integrate.errors import DataError, ParameterError
from integrate.readers.dicom import DicomSeries

from .dicom_parts import add_pixels, dataset, item

HALF_LIFE_S = 6586.2  # fluorine-18
DOSE_BQ = 3.7e8


def stored() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 30000, (3, 4, 5)).astype("u2")


def write(folder: Path, *, tracer: dict[str, Any] | None = None, **changes: Any) -> Path:
    folder.mkdir()
    for k, pixels in enumerate(stored()):
        made = dataset("PT", "1.2.840.10008.5.1.4.1.1.128", k)
        add_pixels(made, pixels)
        made.PixelSpacing, made.ImageOrientationPatient = [4, 4], [1, 0, 0, 0, 1, 0]
        made.ImagePositionPatient = [0, 0, 3.0 * k]
        made.RescaleSlope, made.RescaleIntercept, made.Units = 0.5 + 0.1 * k, 0, "BQML"
        made.PatientWeight, made.DecayCorrection = 70, "START"
        made.SeriesDate = made.AcquisitionDate = "20200101"
        made.SeriesTime, made.AcquisitionTime = "110000.00", f"1105{k:02d}"
        about = {
            "RadionuclideTotalDose": DOSE_BQ,
            "RadionuclideHalfLife": HALF_LIFE_S,
            "RadiopharmaceuticalStartTime": "100000.00",
            **(tracer or {}),
        }
        made.RadiopharmaceuticalInformationSequence = [
            item(**{key: value for key, value in about.items() if value is not None})
        ]
        for name, value in changes.items():
            setattr(made, name, value)
        made.save_as(folder / f"{k}.dcm", enforce_file_format=True)
    return folder


def factor(folder: Path) -> float:
    return float(DicomSeries(url=str(folder), suv="bw").read().attrs["integrate"]["suv"]["factor"])


def test_uptake_decays_from_injection_to_the_series_time(tmp_path: Path) -> None:
    volume = DicomSeries(url=str(write(tmp_path / "s")), suv="bw").read()
    by_hand = 70_000 / (DOSE_BQ * 0.5 ** (3600 / HALF_LIFE_S))
    assert by_hand == pytest.approx(2.763e-4, rel=1e-3)
    slopes = np.array([0.5, 0.6, 0.7])[:, None, None]
    np.testing.assert_allclose(volume.values, stored() * slopes * by_hand, rtol=1e-6)
    assert volume.attrs["integrate"]["unit"] == "g/mL"
    assert volume.attrs["integrate"]["suv"]["decay_s"] == 3600


def test_without_suv_values_stay_activity(tmp_path: Path) -> None:
    volume = DicomSeries(url=str(write(tmp_path / "s"))).read()
    assert volume.attrs["integrate"]["unit"] == "Bq/mL"
    assert volume.attrs["integrate"]["suv"] is None


def test_activity_corrected_to_injection_does_not_decay_again(tmp_path: Path) -> None:
    assert factor(write(tmp_path / "s", DecayCorrection="ADMIN")) == pytest.approx(70_000 / DOSE_BQ)


def test_an_injection_before_midnight_is_of_the_day_before(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "s", tracer={"RadiopharmaceuticalStartTime": "233000"}, SeriesTime="003000", AcquisitionTime="003500"
    )
    assert factor(folder) == pytest.approx(70_000 / (DOSE_BQ * 0.5 ** (3600 / HALF_LIFE_S)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Units": "CNTS"}, "SUV needs activity in BQML, the files are in CNTS"),
        ({"PatientWeight": None}, "PatientWeight is None"),
        ({"DecayCorrection": "NONE"}, "DecayCorrection is 'NONE'"),
        ({"SeriesTime": "120000"}, "SeriesTime is later than the first AcquisitionTime"),
        ({"tracer": {"RadionuclideTotalDose": 370.0}}, "RadionuclideTotalDose is 370; expected Bq"),
        ({"tracer": {"RadiopharmaceuticalStartTime": None}}, "the time of injection is not stated"),
        ({"tracer": {"RadiopharmaceuticalStartDateTime": "20191230100000"}}, "injection lies 49.0 h before the scan"),
    ],
)
def test_what_is_not_stated_is_not_guessed(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        factor(write(tmp_path / "s", **changes))


def test_other_kinds_of_uptake_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"suv='lbm'; give \"bw\""):
        DicomSeries(url=str(write(tmp_path / "s")), suv="lbm").read()
