"""Single DICOM pictures: colour, clips, and a spacing that says of which plane it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from integrate.errors import DataError
from integrate.readers.dicom_image import DicomImage
from integrate.testing import ReaderTests

from .dicom_parts import add_pixels, dataset, item

XRAY = "1.2.840.10008.5.1.4.1.1.1.1"


def stored(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4000, shape or (6, 9)).astype("u2")


def write(file: Path, pixels: np.ndarray | None = None, **changes: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    made = dataset("DX", XRAY)
    add_pixels(made, stored() if pixels is None else pixels)
    for name, value in changes.items():
        setattr(made, name, value)
    made.save_as(file, enforce_file_format=True)
    return file


def read(file: Path, **options: Any) -> Any:
    return DicomImage(url=str(file), **options).read()


class TestContract(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> DicomImage:
        file = write(folder / "a.dcm", ImagerPixelSpacing=[0.2, 0.1], BurnedInAnnotation="NO")
        return DicomImage(url=str(file), ids={"dicom_patient": "0007"}, metadata={"modality": "DX"})

    def check(self, opened: Any) -> None:
        assert opened.dims == ("c", "y", "x")
        assert opened.dtype == np.uint16
        np.testing.assert_array_equal(opened.values[0], stored())
        notes = opened.attrs["integrate"]
        assert (notes["spacing_mm"], notes["spacing_at"]) == ([0.2, 0.1], "detector")
        assert notes["pixel_size_um"] is None  # an X-ray enlarges what lies before the detector
        np.testing.assert_allclose(opened.y[:2], [0.1, 0.3])
        assert notes["burned_in"] == "NO"


def test_a_clip_has_time(tmp_path: Path) -> None:
    clip = read(write(tmp_path / "a.dcm", stored(3, 6, 9), FrameTime=40))
    assert clip.dims == ("t", "c", "y", "x")
    np.testing.assert_allclose(clip.t, [0, 0.04, 0.08])
    np.testing.assert_array_equal(clip.values[:, 0], stored(3, 6, 9))


def test_regions_of_one_scale_calibrate_an_ultrasound_picture(tmp_path: Path) -> None:
    region = {
        "RegionSpatialFormat": 1,
        "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaX": 0.02,
        "PhysicalDeltaY": 0.03,
    }
    one = read(write(tmp_path / "a.dcm", SequenceOfUltrasoundRegions=[item(**region)]))
    assert one.attrs["integrate"]["spacing_mm"] == pytest.approx([0.3, 0.2])
    other = item(**{**region, "PhysicalDeltaX": 0.05})
    two = read(write(tmp_path / "b.dcm", SequenceOfUltrasoundRegions=[item(**region), other]))
    assert two.attrs["integrate"]["spacing_mm"] is None
    assert len(two.attrs["integrate"]["regions"]) == 2
    assert two.x.attrs["units"] == "px"


def test_the_wrong_patient_never_loads(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dicom_patient='0008', the files say PatientID='0007'"):
        read(write(tmp_path / "a.dcm"), ids={"dicom_patient": "0008"})


def test_real_ultrasound_pictures(test_data: Any) -> None:
    folder = test_data("dicom-mixed")
    colour = read(folder / "US1_UNCR.dcm")
    assert colour.shape == (3, 480, 640)
    assert colour.c.values.tolist() == ["red", "green", "blue"]
    grey = read(folder / "JPGLosslessP14SV1_1s_1f_8b.dcm")
    assert grey.attrs["integrate"]["spacing_mm"] == pytest.approx([0.254767, 0.254767], abs=1e-6)


def test_structures_are_no_picture(test_data: Any) -> None:
    file = test_data("ibsi1-phantoms") / "ibsi_1_ct_radiomics_phantom/dicom/mask/DCM_RS_00060.dcm"
    with pytest.raises(DataError, match=r"is DICOM \(RTSTRUCT\) without pixels; name another reader"):
        read(file)
