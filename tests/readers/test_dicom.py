"""DICOM series: geometry from positions, refusal of what is no regular volume, and the right patient."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrate.errors import DataError, ParameterError
from integrate.readers.dicom import DicomSeries
from integrate.testing import ReaderTests

ORIGIN = np.array([-50.0, -30.0, 100.0])
SPACING = (3.0, 0.8, 1.1)  # z, y, x
SERIES = "1.2.826.0.1.3680043.8.498.1"


def rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    a, b, c = np.radians(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def at_height(z: float) -> np.ndarray:
    return ORIGIN + np.array([0, 0, z])


def stored_values(slices: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2000, (slices, 6, 9)).astype(np.uint16)


def write_slice(
    file: Path, pixels: np.ndarray, position: np.ndarray, axes: np.ndarray, number: int, **changes: Any
) -> None:
    """Write one CT slice with the traps of real ones: a thickness that is no distance, numbers that run backwards."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = changes.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{SERIES}.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = "1.2.3", SERIES, "1.2.4"
    dataset.Modality, dataset.PatientID, dataset.PatientName = "CT", "0007", "Doe^Jane"
    dataset.StudyDate, dataset.PatientBirthDate = "20200317", "19600102"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.InstanceNumber, dataset.SliceThickness, dataset.SliceLocation = 99 - number, 5.0, -3.0 * number
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelSpacing = [SPACING[1], SPACING[2]]
    dataset.ImageOrientationPatient = [f"{v:.6f}" for v in (*axes[:, 0], *axes[:, 1])]
    dataset.ImagePositionPatient = [f"{v:.4f}" for v in position]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
    dataset.PixelData = pixels.tobytes()
    for name, value in changes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    dataset.save_as(file, enforce_file_format=True)


def write_series(
    folder: Path, *, axes: np.ndarray | None = None, tilt: float = 0.0, skip: int | None = None, **changes: Any
) -> Path:
    """Write five slices under names in no order; return the folder."""
    folder.mkdir(parents=True)
    axes = np.eye(3) if axes is None else axes
    step = SPACING[0] * axes[:, 2] + tilt * axes[:, 1]
    for k, pixels in enumerate(stored_values()):
        if k != skip:
            write_slice(folder / f"IM{(k * 3) % 5:03d}.dcm", pixels, ORIGIN + k * step, axes, k, **changes)
    return folder


def name_of(k: int) -> str:
    return f"IM{(k * 3) % 5:03d}.dcm"


def read(folder: Path, **options: Any) -> Any:
    return DicomSeries(url=str(folder), **options).read()


class TestContract(ReaderTests):
    lazy = True

    def reader(self, folder: Path) -> DicomSeries:
        source = write_series(folder / "source")
        return DicomSeries(url=str(source), ids={"dicom_patient": "0007"}, metadata={"modality": "CT"})

    def check(self, opened: Any) -> None:
        assert opened.dims == ("z", "y", "x")
        assert opened.chunks == ((1,) * 5, (6,), (9,))
        np.testing.assert_array_equal(opened.values, stored_values().astype(np.float32) - 1024)
        notes = opened.attrs["integrate"]
        assert notes["orientation"] == "LPS"
        assert notes["unit"] == "[hnsf'U]"


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(degrees=st.tuples(*[st.floats(-180, 180)] * 3))
def test_affine_puts_every_voxel_where_it_was_written_in_any_orientation(
    tmp_path_factory: pytest.TempPathFactory, degrees: tuple[float, float, float]
) -> None:
    axes = rotation(degrees)
    volume = read(write_series(tmp_path_factory.mktemp("oblique") / "s", axes=axes))
    notes = volume.attrs["integrate"]
    affine = np.array(notes["affine_lps"])
    for i, j, k in [(0, 0, 0), (8, 0, 0), (0, 5, 0), (0, 0, 4), (8, 5, 4)]:
        expected = ORIGIN + axes @ (np.array([i, j, k]) * SPACING[::-1])
        np.testing.assert_allclose((affine @ [i, j, k, 1])[:3], expected, atol=1e-3)
    np.testing.assert_allclose(np.array(notes["direction"]), axes, atol=1e-5)
    np.testing.assert_array_equal(volume.values, stored_values().astype(np.float32) - 1024)


def test_coordinates_are_voxel_centres_from_the_outer_corner(tmp_path: Path) -> None:
    volume = read(write_series(tmp_path / "s"))
    np.testing.assert_allclose(volume.z, (np.arange(5) + 0.5) * 3.0)
    np.testing.assert_allclose(volume.y, (np.arange(6) + 0.5) * 0.8)  # PixelSpacing is [row, column]
    np.testing.assert_allclose(volume.x, (np.arange(9) + 0.5) * 1.1)
    assert volume.attrs["integrate"]["spacing_mm"] == pytest.approx([3.0, 0.8, 1.1])


def test_notes_are_json_and_hold_neither_name_nor_date(tmp_path: Path) -> None:
    text = json.dumps(read(write_series(tmp_path / "s")).attrs)
    for private in ("Doe", "20200317", "19600102", "0007"):
        assert private not in text


def test_wrong_patient_is_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    with pytest.raises(
        DataError, match=r"wrong patient: the catalog says dicom_patient='0008', the files say .*'0007'"
    ):
        read(folder, ids={"dicom_patient": "0008"})
    with pytest.raises(DataError, match="wrong patient: the catalog says hospital='7'"):
        read(folder, ids={"hospital": "7"}, patient_namespace="hospital")
    assert read(folder, ids={"hospital": "0007"}, patient_namespace="hospital").shape == (5, 6, 9)


def test_wrong_modality_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="catalog says modality 'MR', the files hold 'CT'"):
        read(write_series(tmp_path / "s"), metadata={"modality": "MR"})


def test_missing_slice_is_named_by_its_neighbours(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", skip=2)
    with pytest.raises(DataError, match=rf"3.00 mm as a rule, but '6.00 mm from {name_of(1)} to {name_of(3)}'"):
        read(folder)


def test_gap_is_found_even_between_micrometre_slices(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    for k in (0, 1, 2, 4):
        position = at_height(0.05 * k)
        write_slice(folder / f"{k}.dcm", stored_values()[k], position, np.eye(3), k, PixelSpacing=[0.05, 0.05])
    with pytest.raises(DataError, match=r"unevenly spaced: 0.05 mm as a rule, but '0.10 mm from 2.dcm to 4.dcm'"):
        read(folder)


def test_positions_rounded_to_a_tenth_are_no_gap(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    for k in range(5):
        position = np.round(at_height(1.25 * k), 1)
        write_slice(folder / f"{k}.dcm", stored_values()[k], position, np.eye(3), k)
    notes = read(folder).attrs["integrate"]
    assert notes["spacing_mm"][0] == pytest.approx(1.25)
    assert 0 < notes["position_residual_mm"] <= 0.1


def test_gantry_tilt_is_refused_with_its_angle(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", tilt=0.6)  # atan(0.6 / 3) = 11.3°
    with pytest.raises(DataError, match=rf"displaced within their plane, by up to 2.40 mm \({name_of(4)}\).* 11.3°"):
        read(folder)


def test_duplicate_position_is_named(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    (folder / "ZZ.dcm").write_bytes((folder / name_of(3)).read_bytes())
    with pytest.raises(DataError, match=rf"share a position with another: '{name_of(3)} and ZZ.dcm'"):
        read(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "differ from .* in ImageOrientationPatient"),
        ({"PixelSpacing": [0.8, 1.0]}, "differ from .* in PixelSpacing"),
        ({"PatientID": "0008"}, "differ from .* in PatientID"),
        ({"FrameOfReferenceUID": "9.9"}, "differ from .* in FrameOfReferenceUID"),
        ({"RescaleSlope": None}, "4 of 5 slices state a rescale slope"),
        ({"ImagePositionPatient": None}, "states no 'ImagePositionPatient'"),
        ({"NumberOfFrames": 4}, "holds 108 bytes of pixels for an image of 432"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "MOSAIC"]}, "Siemens mosaic"),
        ({"SeriesInstanceUID": "9.8"}, "holds 2 series; name one by series_uid="),
        ({"Rows": 7}, "is truncated|are truncated"),
    ],
)
def test_a_slice_that_does_not_belong_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    folder = write_series(tmp_path / "s")
    write_slice(folder / name_of(2), stored_values()[2], at_height(6.0), np.eye(3), 2, **changes)
    with pytest.raises(DataError, match=message) as caught:
        read(folder)
    assert name_of(2) in str(caught.value) or "series" in str(caught.value) or "4 of 5" in str(caught.value)


def test_one_series_of_several_is_read_by_its_uid(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    write_slice(folder / "scout.dcm", stored_values()[0], ORIGIN, np.eye(3), 77, SeriesInstanceUID="9.8")
    assert read(folder, series_uid=SERIES).shape == (5, 6, 9)
    assert read(folder, series_uid="9.8").attrs["integrate"]["spacing_mm"][0] is None
    with pytest.raises(ParameterError, match=rf"no series '{re.escape(SERIES)}2'.*closest: '{re.escape(SERIES)}'"):
        read(folder, series_uid=SERIES + "2")


def test_rescale_is_per_slice_as_in_pet(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    for k, pixels in enumerate(stored_values()):
        changes = {"Modality": "PT", "Units": "BQML", "RescaleSlope": 0.5 + 0.1 * k, "RescaleIntercept": 0}
        write_slice(folder / f"{9 - k}.dcm", pixels, at_height(3.0 * k), np.eye(3), k, **changes)
    volume = read(folder)
    slopes = (0.5 + 0.1 * np.arange(5))[:, None, None]
    np.testing.assert_allclose(volume.values, stored_values() * slopes, rtol=1e-6)
    assert volume.attrs["integrate"]["unit"] == "Bq/mL"


def test_padding_is_missing_unless_kept(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    pixels = stored_values()[0].astype(np.int16)
    pixels[0, :3] = -2000
    for k in range(2):
        changes = {"PixelRepresentation": 1, "PixelPaddingValue": -2000}
        write_slice(folder / f"{k}.dcm", pixels, at_height(3.0 * k), np.eye(3), k, **changes)
    values = read(folder).values
    assert np.isnan(values[:, 0, :3]).all()
    assert np.isnan(values).sum() == 6
    assert read(folder, keep_padding=True).values[0, 0, 0] == -3024


def test_unit_is_unknown_when_the_file_does_not_say(tmp_path: Path) -> None:
    assert read(write_series(tmp_path / "mr", Modality="MR")).attrs["integrate"]["unit"] is None
    assert read(write_series(tmp_path / "us", RescaleType="US")).attrs["integrate"]["unit"] is None


def test_text_beside_the_slices_is_noted_and_anything_else_is_an_error(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    (folder / "SOURCE.txt").write_text("where from")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1")
    assert read(folder).attrs["integrate"]["left_out"] == [".DS_Store", "SOURCE.txt"]
    (folder / "IM777").write_bytes(b"cut off before the preamble ended")
    with pytest.raises(DataError, match="IM777 is not a DICOM file"):
        read(folder)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_slice_cut_off_anywhere_is_refused_when_opened(tmp_path: Path, compressed: bool) -> None:
    import pydicom
    from pydicom.uid import RLELossless

    folder = write_series(tmp_path / "s")
    victim = folder / name_of(2)
    if compressed:
        dataset = pydicom.dcmread(victim)
        dataset.compress(RLELossless)
        dataset.save_as(victim)
        np.testing.assert_array_equal(read(folder).values[2], stored_values()[2].astype(np.float32) - 1024)
    content = victim.read_bytes()
    for length in range(0, len(content), 41):
        victim.write_bytes(content[:length])
        with pytest.raises(DataError, match=victim.name):
            read(folder)


def test_a_slice_damaged_after_opening_is_named_when_decoded(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    volume = read(folder)
    (folder / name_of(2)).write_bytes(b"")
    with pytest.raises(DataError, match=rf"{name_of(2)} cannot be decoded"):
        volume.compute()
    assert volume[0].values.shape == (6, 9)


def test_headers_that_break_the_standard_do_not_warn(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # writing it warns
        folder = write_series(tmp_path / "s", StudyDate="17 March 2020", PatientSex="female")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(folder).shape == (5, 6, 9)


def test_ibsi_phantom_equals_simpleitk_and_its_mask_grid(test_data: Any) -> None:
    import SimpleITK as sitk

    root = test_data("ibsi1-phantoms") / "ibsi_1_ct_radiomics_phantom"
    folder = root / "dicom" / "image"
    volume = read(folder)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    reference = reader.Execute()
    np.testing.assert_array_equal(volume.values, sitk.GetArrayFromImage(reference))
    mask = sitk.ReadImage(str(next((root / "nifti" / "mask").iterdir())))
    assert volume.shape == mask.GetSize()[::-1] == (60, 201, 204)
    assert int(sitk.GetArrayFromImage(mask).sum()) == 125256
    notes = volume.attrs["integrate"]
    np.testing.assert_allclose(notes["origin_lps_mm"], mask.GetOrigin(), atol=1e-4)
    np.testing.assert_allclose(notes["spacing_mm"][::-1], mask.GetSpacing(), atol=1e-6)
    affine = np.array(notes["affine_lps"])
    for index in [(0, 0, 0), (203, 200, 59), (17, 101, 33)]:
        point = reference.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose((affine @ [*index, 1])[:3], point, atol=1e-3)


def test_real_folders_of_mixed_objects_are_refused_with_what_they_hold(test_data: Any) -> None:
    with pytest.raises(DataError, match=r"holds 5 series.*CT, 1 files.*SEG, 1 files"):
        read(test_data("dicom-small"))
    with pytest.raises(DataError, match=r"holds 3 series.*US, 1 files.*MR, 1 files"):
        read(test_data("dicom-mixed"))


def test_real_single_slice_has_no_invented_spacing(test_data: Any) -> None:
    volume = read(test_data("dicom-small"), series_uid="1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322")
    assert volume.shape == (1, 128, 128)
    assert volume.attrs["integrate"]["spacing_mm"] == [None, 0.661468, 0.661468]
    assert volume.z.attrs["units"] == "px"


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ("77654033/CT2", "1.25 mm as a rule, but '202.50 mm from 17106 to 17136'"),
        ("98892001/CT2N", "differ from .* in ImageOrientationPatient"),
        ("98892003/MR700", "6 of 7 slices differ from .* in ImageOrientationPatient"),
    ],
)
def test_pydicoms_irregular_series_are_refused(series: str, message: str) -> None:
    import pydicom

    folder = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests" / series
    with pytest.raises(DataError, match=message):
        read(folder)


def test_pydicoms_regular_series_is_read() -> None:
    import pydicom

    folder = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests" / "98892001" / "CT5N"
    volume = read(folder)
    assert volume.shape == (5, 16, 16)
    assert volume.attrs["integrate"]["spacing_mm"][0] == pytest.approx(2.5)
