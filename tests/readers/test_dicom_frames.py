"""Many slices in one file, several phases, and every compression: the same voxels at the same places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from integrate.errors import DataError
from integrate.readers.dicom import DicomSeries
from integrate.readers.dicom_pixels import decode_frame
from integrate.readers.volume import Volume
from integrate.testing import ReaderTests

from .dicom_parts import write_enhanced


def stored(frames: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2000, (frames, 6, 9)).astype("u2")


def heights(*z: float) -> np.ndarray:
    return np.array([[-50, -30, value] for value in z], float)


def read(folder: Path, **options: Any) -> Any:
    return DicomSeries(url=str(folder), **options).read()


class TestEnhancedContract(ReaderTests):
    """An enhanced image whose frames are in no order and whose slopes differ."""

    lazy = True

    def reader(self, folder: Path) -> DicomSeries:
        (folder / "s").mkdir(parents=True)
        write_enhanced(folder / "s" / "a.dcm", stored(), heights(106, 100, 109, 103))
        return DicomSeries(url=str(folder / "s"), metadata={"modality": "CT"})

    def check(self, opened: Any) -> None:
        slopes = np.array([1.0, 2, 3, 4])[:, None, None]
        expected = (stored() * slopes - 10)[[1, 3, 0, 2]]
        np.testing.assert_array_equal(opened.values, expected.astype("f4"))
        notes = opened.attrs["integrate"]
        assert notes["spacing_mm"] == pytest.approx([3.0, 0.8, 1.1])
        assert notes["origin_lps_mm"] == [-50, -30, 100]
        assert notes["unit"] == "[hnsf'U]"


def test_phases_of_one_file_become_time(tmp_path: Path) -> None:
    index = [1, 2, 1, 2]
    write_enhanced(tmp_path / "a.dcm", stored(), heights(100, 100, 103, 103), TemporalPositionIndex=index)
    with pytest.raises(DataError, match=r"2 slices share a position.*or name what tells them apart by phase_by="):
        read(tmp_path)
    volume = read(tmp_path, phase_by="TemporalPositionIndex")
    assert volume.dims == ("t", "z", "y", "x")
    slopes = np.array([1.0, 2, 3, 4])[:, None, None]
    expected = (stored() * slopes - 10).astype("f4")
    np.testing.assert_array_equal(volume.values, np.stack([expected[[0, 2]], expected[[1, 3]]]))
    assert volume.attrs["integrate"]["phases"] == {"TemporalPositionIndex": ["1.0", "2.0"]}


def test_an_incomplete_phase_is_refused(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "a.dcm", stored(3), heights(100, 100, 103), TemporalPositionIndex=[1, 2, 1])
    with pytest.raises(DataError, match=r"different numbers of slices \('1.0: 2', '2.0: 1'\); slices are missing"):
        read(tmp_path, phase_by="TemporalPositionIndex")
    with pytest.raises(DataError, match=r"3 of 3 slices state no EchoTime"):
        read(tmp_path, phase_by="EchoTime")


@pytest.mark.parametrize(("series", "published"), [("mr_0003", "EPI_PE=AP_3"), ("mr_0004", "EPI_PE=PA_4")])
def test_siemens_mosaics_equal_the_published_nifti_voxel_for_voxel(test_data: Any, series: str, published: str) -> None:
    folder = test_data("dicom-mr-to-nifti")
    ours = read(folder / "In" / series)
    theirs = Volume(url=str(folder / "Ref" / f"{published}.nii")).read()
    assert ours.shape == theirs.shape == (2, 5, 72, 72)
    # dcm2niix stores rows from the foot of the image up; the two affines say so, and nothing else differs
    to_ours = np.linalg.inv(ours.attrs["integrate"]["affine_lps"]) @ np.array(theirs.attrs["integrate"]["affine_lps"])
    np.testing.assert_allclose(to_ours, [[1, 0, 0, 0], [0, -1, 0, 71], [0, 0, 1, 0], [0, 0, 0, 1]], atol=1e-5)
    np.testing.assert_array_equal(ours.values, theirs.values[:, :, ::-1])
    np.testing.assert_allclose(ours.t, theirs.t, atol=0.01)  # the NIfTI has the repetition time, we the clock


def example(name: str) -> Path:
    from pydicom.data import get_testdata_file

    return Path(str(get_testdata_file(name, download=False)))


@pytest.mark.parametrize(
    ("packed", "plain"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("SC_rgb_rle_2frame.dcm", None),
    ],
)
def test_every_lossless_compression_decodes_to_the_same_values(packed: str, plain: str | None) -> None:
    if plain is None:
        values = decode_frame(example(packed), 1)
        np.testing.assert_array_equal(values, 255 - decode_frame(example("SC_rgb_rle.dcm")))
        return
    np.testing.assert_array_equal(decode_frame(example(packed)), decode_frame(example(plain)))


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm", "JPEGLSNearLossless_16.dcm"])
def test_lossy_compressions_decode_as_gdcm_does_to_one_grey_level(name: str) -> None:
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(example(name))))[0]
    assert np.abs(decode_frame(example(name)).astype(int) - theirs.astype(int)).max() <= 1


def test_real_jpeg_lossless_equals_gdcm(test_data: Any) -> None:
    for name in ("JPGLosslessP14SV1_1s_1f_8b.dcm", "MR2_J2KR.dcm"):
        file = test_data("dicom-mixed") / name
        image = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))[0]
        slope = 1.0
        if name.startswith("MR2"):
            import pydicom

            header = pydicom.dcmread(file, stop_before_pixels=True)
            slope = float(header.RescaleSlope)
        np.testing.assert_allclose(decode_frame(file) * slope, image, rtol=1e-6, atol=1e-3)
