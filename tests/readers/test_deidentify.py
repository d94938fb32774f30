"""De-identified copies: every planted secret goes, at every depth, and what analysis needs stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

import integrate as ig
from integrate.errors import DataError, ParameterError
from integrate.readers.deidentify import KEY_VARIABLE, deidentify_dicom, identifying
from integrate.readers.dicom import DicomSeries

from .dicom_parts import add_pixels, dataset, item

KEY = "a secret of this project"
#: Planted in texts of every kind, at the top and nested.
SECRETS = {
    "PatientName": "SECRET^NAME", "PatientBirthDate": "19500203", "AccessionNumber": "SECRETACC",
    "StudyID": "SECRETSID",
    "InstitutionName": "SECRET HOSPITAL", "InstitutionAddress": "SECRET STREET", "StationName": "SECRETSTATION",
    "ReferringPhysicianName": "SECRET^REFERRER", "OperatorsName": "SECRET^OPERATOR",
    "DeviceSerialNumber": "SECRETSERIAL",
    "StudyDescription": "SECRET study", "SeriesDescription": "SECRET series", "ProtocolName": "SECRET protocol",
    "ImageComments": "SECRET image", "PatientComments": "SECRET patient", "OtherPatientIDs": "SECRETOTHER",
    "PatientAddress": "SECRET ADDRESS", "PatientTelephoneNumbers": "SECRET123", "EthnicGroup": "SECRET",
    "Occupation": "SECRET JOB", "AdditionalPatientHistory": "SECRET history",
    "PerformedProcedureStepDescription": "SECRET",
    "RequestedProcedureDescription": "SECRET", "DerivationDescription": "SECRET",
}  # fmt: skip


def write(folder: Path, *, patient: str = "SECRET-0007", count: int = 3, **changes: Any) -> None:
    """Write a PET series that refers to itself, with secrets everywhere."""
    folder.mkdir(exist_ok=True, parents=True)
    for k in range(count):
        made = dataset("PT", "1.2.840.10008.5.1.4.1.1.128", k + 1)
        for keyword, value in SECRETS.items():
            setattr(made, keyword, value)
        made.PatientID, made.PatientAge, made.PatientWeight, made.PatientSex = patient, "093Y", 70, "F"
        made.ImagePositionPatient, made.ImageOrientationPatient = [0, 0, 3.0 * k], [1, 0, 0, 0, 1, 0]
        made.PixelSpacing, made.RescaleSlope, made.RescaleIntercept = [2, 2], 1, 0
        made.StudyDate, made.SeriesDate, made.SeriesTime = "20200110", "20200110", "120000"
        made.AcquisitionDate, made.AcquisitionTime, made.Manufacturer = "20200110", "120000", "MAKER"
        made.Units, made.DecayCorrection, made.CorrectedImage = "BQML", "START", ["DECY", "ATTN"]
        drug = item(
            RadiopharmaceuticalStartDateTime="20200110110000", RadionuclideTotalDose=3e8, RadionuclideHalfLife=6586.2
        )
        drug.Radiopharmaceutical, drug.RadiopharmaceuticalStartTime = "FDG", "110000"
        made.RadiopharmaceuticalInformationSequence = [drug]
        nested = item(ReferencedSOPClassUID=made.SOPClassUID, ReferencedSOPInstanceUID=f"{made.SeriesInstanceUID}.1")
        nested.ImageComments = "SECRET nested"
        made.ReferencedImageSequence = [nested]
        deep = item(ContentCreatorName="SECRET^DEEP", ReferencedImageSequence=[nested])
        made.SourceImageSequence = [deep]
        block = made.private_block(0x0011, "SECRET MAKER", create=True)
        block.add_new(1, "LO", "SECRET private")
        made.add_new(0x60000010, "US", 4)
        made.add_new(0x60003000, "OW", b"SECRETOVERLAY!!!")
        for keyword, value in changes.items():
            setattr(made, keyword, value)
        add_pixels(made, np.full((4, 5), k, np.int16))
        made.save_as(folder / f"SECRET_{k}.dcm", enforce_file_format=True)
    (folder / "readme.txt").write_text("no DICOM")


def copies(table: Any) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in table["path"]]


def test_no_planted_secret_is_left_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path / "in")
    table = deidentify_dicom(tmp_path / "in", tmp_path / "out", key=KEY)
    assert table["copied"].all()
    assert len(table) == 3
    for path in (tmp_path / "out").rglob("*.dcm"):
        content = path.read_bytes()
        assert b"SECRET" not in content
        assert b"19500203" not in content
        assert b"20200110" not in content
        assert "SECRET" not in str(path.relative_to(tmp_path))
    one = copies(table)[0]
    assert one.PatientIdentityRemoved == "YES"
    assert one.PatientBirthDate == ""
    assert [code.CodeValue for code in one.DeidentificationMethodCodeSequence] == ["113100", "113107", "113108"]
    assert identifying(pydicom.dcmread(tmp_path / "in" / "SECRET_0.dcm"))
    assert not any(element.tag.is_private for element in one)


def test_references_still_resolve_and_kinds_are_kept(tmp_path: Path) -> None:
    write(tmp_path / "in")
    held = copies(deidentify_dicom(tmp_path / "in", tmp_path / "out", key=KEY))
    instances = {one.SOPInstanceUID for one in held}
    assert len(instances) == 3
    assert {one.SeriesInstanceUID for one in held}.isdisjoint({"1.2.826.0.1.3680043.8.498.1"})
    for one in held:
        assert one.ReferencedImageSequence[0].ReferencedSOPInstanceUID in instances
        assert one.SourceImageSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID in instances
        assert one.SOPClassUID == "1.2.840.10008.5.1.4.1.1.128"
        assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID


def test_intervals_and_uptake_stay_right(tmp_path: Path) -> None:
    write(tmp_path / "in")
    table = deidentify_dicom(tmp_path / "in", tmp_path / "out", key=KEY)
    one = copies(table)[0]
    injected = one.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime
    assert (injected[:8], injected[8:]) == (one.SeriesDate, "110000")
    assert one.SeriesDate != "20200110"
    assert (one.PatientAge, float(one.PatientWeight), one.PatientSex) == ("090Y", 70.0, "F")
    before = DicomSeries(url=str(tmp_path / "in"), suv="bw").read()
    after = DicomSeries(url=str(Path(table["path"][0]).parent), suv="bw").read()
    np.testing.assert_array_equal(before.values, after.values)
    assert before.attrs["integrate"]["suv"] == after.attrs["integrate"]["suv"]


def test_one_person_stays_one_person_and_two_stay_two(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a", patient="A")
    write(tmp_path / "in" / "b", patient="B")
    first = deidentify_dicom(tmp_path / "in", tmp_path / "out", key=KEY)
    again = deidentify_dicom(tmp_path / "in", tmp_path / "again", key=KEY)
    other = deidentify_dicom(tmp_path / "in", tmp_path / "other", key="another project's secret")
    assert first["subject"].nunique() == 2
    assert first["subject"].tolist() == again["subject"].tolist()
    assert set(first["subject"]).isdisjoint(other["subject"])
    shifts = {one.PatientID: one.StudyDate for one in copies(first)}
    assert len(set(shifts.values())) == 2


def test_pictures_that_may_show_a_name_are_not_copied(tmp_path: Path) -> None:
    write(tmp_path / "in", count=1, BurnedInAnnotation="YES")
    table = deidentify_dicom(tmp_path / "in", tmp_path / "out", key=KEY)
    assert table["reason"].tolist() == ["it says that a name is burned into its pixels"]
    write(tmp_path / "us", count=1, Modality="US")
    table = deidentify_dicom(tmp_path / "us", tmp_path / "out2", key=KEY)
    assert not table["copied"].any()
    assert not list(tmp_path.glob("out*/**/*.dcm"))
    assert deidentify_dicom(tmp_path / "us", tmp_path / "out3", key=KEY, pixels_checked=True)["copied"].all()


def test_a_secret_is_needed_and_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "in")
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(ParameterError, match="needs a secret key of at least 12 signs"):
        deidentify_dicom(tmp_path / "in", tmp_path / "out")
    with pytest.raises(ParameterError, match="'in' is there already"):
        deidentify_dicom(tmp_path / "in", tmp_path / "in", key=KEY)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no DICOM file in 'none'"):
        deidentify_dicom(tmp_path / "none", tmp_path / "out", key=KEY)


def test_reading_deidentified_gives_the_uids_of_the_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "in")
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    table = deidentify_dicom(tmp_path / "in", tmp_path / "out")
    copied = DicomSeries(url=str(Path(table["path"][0]).parent)).read().attrs["integrate"]
    read = DicomSeries(url=str(tmp_path / "in"), deidentify=True).read().attrs["integrate"]
    for name in ("series_uid", "study_uid", "frame_of_reference_uid"):
        assert read[name] == copied[name] != ""
    write(tmp_path / "us", count=1, Modality="US")
    with pytest.raises(DataError, match="the pixels cannot be de-identified"):
        DicomSeries(url=str(tmp_path / "us"), deidentify=True).read()


def test_real_files_lose_what_identifies(tmp_path: Path, test_data: Any) -> None:
    for name in ("dicom-mixed", "dicom-small"):
        table = deidentify_dicom(test_data(name), tmp_path / name, key=KEY)
        assert table["copied"].any()
        for one in copies(table[table["copied"]]):
            kept = [e for e in identifying(one) if e not in ("PatientID", "PatientName", "DeidentificationMethod")]
            assert [e for e in kept if not e.endswith(("Date", "DateTime", "Label", "ROIName"))] == []


def test_phi_is_listed_by_place_never_by_value(tmp_path: Path) -> None:
    write(tmp_path / "pet")
    (tmp_path / "t.csv").write_text(
        "patient,surname,seen,contact,note\n1,Miller,2020-01-31,a@b.org,x\n2,Meier,2021-03-04,+49 170 1234567,"
        + "y" * 80
        + "\n"
    )
    (tmp_path / "c.yaml").write_text(
        "version: 2\nmetadata: {name: c, description: d, licence: CC0-1.0}\nentries:\n"
        "  pet:\n    reader: DicomSeries\n    kwargs: {url: '{CATALOG_DIR}/pet'}\n"
        "    metadata: {level: acquisition}\n"
        "  clinical:\n    reader: Table\n    kwargs: {url: '{CATALOG_DIR}/t.csv', keys: {patient: p}}\n"
        "    metadata: {level: subject}\n"
    )
    found = ig.find_phi(ig.open_catalog(tmp_path / "c.yaml"))
    told = set(zip(found["dataset"], found["kind"], found["where"], found["count"], strict=True))
    assert ("pet", "DICOM element", "PatientName", 3) in told
    assert ("pet", "DICOM element", "SourceImageSequence.ContentCreatorName", 3) in told
    assert ("clinical", "column name", "surname", 2) in told
    assert ("clinical", "date", "seen", 2) in told
    assert ("clinical", "e-mail address", "contact", 1) in told
    assert ("clinical", "telephone number", "contact", 1) in told
    assert ("clinical", "free text", "note", 1) in told
    assert "SECRET" not in found.to_string()
    assert "Miller" not in found.to_string()
    from typer.testing import CliRunner

    from integrate.cli import app

    shown = CliRunner().invoke(app, ["catalog", "phi", str(tmp_path / "c.yaml")])
    assert shown.exit_code == 0
    assert "PatientName" in shown.output
    assert "SECRET" not in shown.output
