"""Structured reports: every number with its unit, codes and lesion; outlines in pixels; nothing that tells who."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from integrate.errors import AlignmentError, DataError, IntegrateWarning, ParameterError
from integrate.readers.deidentify import KEY_VARIABLE, deidentify_dicom
from integrate.readers.dicom_report import DicomReport, DicomReportRegions
from integrate.readers.grid import Grid, make_volume
from integrate.readers.rtstruct import label_structures
from integrate.testing import ReaderTests

from .dicom_parts import dataset, item

KEY = "a key for tests only"
IMAGE = item(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID="1.2.9")
SQUARE = [10.0, 5.0, 20.0, 5.0, 20.0, 15.0, 10.0, 15.0, 10.0, 5.0]


def code(value: str, scheme: str, meaning: str) -> list[Any]:
    return [item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)]


def content(kind: str, name: list[Any], *below: Any, **said: Any) -> Any:
    made = item(RelationshipType="CONTAINS", ValueType=kind, ConceptNameCodeSequence=name, **said)
    if below:
        made.ContentSequence = list(below)
    return made


def number(name: list[Any], value: str | None, unit: str, *below: Any) -> Any:
    if value is None:
        absent = code("114009", "DCM", "Value out of range")
        return content("NUM", name, *below, MeasuredValueSequence=[], NumericValueQualifierCodeSequence=absent)
    measured = item(NumericValue=value, MeasurementUnitsCodeSequence=code(unit, "UCUM", unit))
    return content("NUM", name, *below, MeasuredValueSequence=[measured])


def selected(**reference: Any) -> Any:
    image = item(**{element.keyword: element.value for element in IMAGE}, **reference)
    return content("IMAGE", [], ReferencedSOPSequence=[image])


def lesion(name: str, *items: Any) -> Any:
    tracked = content("TEXT", code("112039", "DCM", "Tracking Identifier"), TextValue=name)
    uid = content("UIDREF", code("112040", "DCM", "Tracking Unique Identifier"), UID="1.2.77")
    mass = code("4147007", "SCT", "Mass")
    finding = content("CODE", code("121071", "DCM", "Finding"), ConceptCodeSequence=mass)
    return content("CONTAINER", code("125007", "DCM", "Measurement Group"), tracked, uid, finding, *items)


def outline(kind: str, data: list[float], **reference: Any) -> Any:
    name = code("111030", "DCM", "Image Region")
    return content("SCOORD", name, selected(**reference), GraphicType=kind, GraphicData=data)


def write(file: Path, *groups: Any) -> str:
    report = dataset("SR", "1.2.840.10008.5.1.4.1.1.88.33")
    report.CompletionFlag, report.ValueType = "COMPLETE", "CONTAINER"
    report.ConceptNameCodeSequence = code("126000", "DCM", "Imaging Measurement Report")
    observer = content("PNAME", code("121008", "DCM", "Person Observer Name"), PersonName="Doe^Reader")
    report.ContentSequence = [observer, content("CONTAINER", code("126010", "DCM", "Imaging Measurements"), *groups)]
    report.save_as(file, enforce_file_format=True)
    return str(file)


def two_lesions(file: Path) -> str:
    longest = code("103339001", "SCT", "Long axis")
    mean = content("CODE", code("121401", "DCM", "Derivation"), ConceptCodeSequence=code("373098007", "SCT", "Mean"))
    site = content(
        "CODE", code("363698007", "SCT", "Finding Site"), ConceptCodeSequence=code("39607008", "SCT", "Lung")
    )
    response = code("RESP", "99X", "Response")
    judged = content("CODE", response, ConceptCodeSequence=code("PR", "99X", "Partial response"))
    return write(
        file,
        lesion("GTV-1", outline("POLYLINE", SQUARE), site, number(longest, "14.25", "mm")),
        lesion(
            "GTV-2",
            outline("CIRCLE", [50.0, 50.0, 50.0, 60.0], ReferencedFrameNumber=3),
            number(code("112031", "DCM", "Attenuation"), "-7.5", "[hnsf'U]", mean),
            number(longest, None, "mm"),
            judged,
        ),
    )


class TestContract(ReaderTests):
    def reader(self, folder: Path) -> DicomReport:
        return DicomReport(url=two_lesions(folder / "a.dcm"), ids={"dicom_patient": "0007"})

    def check(self, opened: Any) -> None:
        assert opened["group"].tolist() == ["GTV-1", "GTV-2", "GTV-2", "GTV-2"]
        assert opened["measure"].tolist() == ["Long axis", "Attenuation", "Long axis", "Response"]
        np.testing.assert_array_equal(opened["value"], [14.25, -7.5, np.nan, np.nan])
        assert opened["unit"].tolist()[:2] == ["mm", "[hnsf'U]"]
        assert opened.loc[0, ["measure_code", "site", "site_code"]].tolist() == [
            "SCT:103339001",
            "Lung",
            "SCT:39607008",
        ]
        assert opened.loc[1, ["derivation", "finding", "finding_code"]].tolist() == ["Mean", "Mass", "SCT:4147007"]
        assert opened["text"].tolist()[2:] == ["Value out of range", "Partial response"]
        assert opened.loc[3, "text_code"] == "99X:PR"
        assert set(opened["annotator"]) == {"Doe^Reader"}
        assert set(opened["image_uid"]) == {"1.2.9"}
        assert opened.loc[1:, "site"].isna().all()  # what is said of one lesion is not said of the next


class TestRegions(ReaderTests):
    def reader(self, folder: Path) -> DicomReportRegions:
        return DicomReportRegions(url=two_lesions(folder / "a.dcm"))

    def check(self, opened: Any) -> None:
        assert opened["id"].tolist() == ["GTV-1_1", "GTV-2_1"]
        assert opened.geometry[0].equals(shapely.box(10, 5, 20, 15))
        assert opened.geometry[1].area == pytest.approx(np.pi * 100, rel=2e-3)
        assert opened["frame"].isna().tolist() == [True, False]
        assert opened.loc[1, "frame"] == 3
        assert opened["classification"].tolist() == ["Mass", "Mass"]


def test_lines_and_places_in_the_patient_are_told(tmp_path: Path) -> None:
    line = outline("POLYLINE", [0.0, 0.0, 5.0, 5.0])
    ellipse = outline("ELLIPSE", [0.0, 5.0, 10.0, 5.0, 5.0, 3.0, 5.0, 7.0])
    place = in_patient("POINT", [[1.0, 2.0, 3.0]])
    url = write(tmp_path / "a.dcm", lesion("L", line, place, ellipse, outline("POINT", [3.0, 4.0])))
    with pytest.warns(IntegrateWarning, match=r"of 4 regions 1 are lines .* and 1 are drawn .*space='patient'"):
        shapes = DicomReportRegions(url=url).read()
    assert shapes.geometry[0].area == pytest.approx(np.pi * 10, rel=2e-3)
    assert shapes.geometry[1].equals(shapely.Point(3, 4))
    with pytest.raises(DataError, match=r"a\.dcm is a structured report without measurements"):
        DicomReport(url=url).read()
    with pytest.raises(ParameterError, match=r"no space 'patien'; closest: 'patient'"):
        DicomReportRegions(url=url, space="patien").read()


def in_patient(kind: str, points: Any, frame: str = "1.2.4") -> Any:
    name = code("111030", "DCM", "Image Region")
    data = [float(v) for v in np.ravel(points)]
    return content("SCOORD3D", name, GraphicType=kind, GraphicData=data, ReferencedFrameOfReferenceUID=frame)


def box_mm(z: float, tilt: float = 0.0) -> np.ndarray:
    """A box of 4 × 6 mm in a plane of the patient, its corners half a millimetre off the voxel centres."""
    corners = np.array([[3.5, 2.5], [9.5, 2.5], [9.5, 6.5], [3.5, 6.5], [3.5, 2.5]])
    return np.column_stack([corners, z + tilt * corners[:, 0]])


def volume(frame: str = "1.2.4") -> Any:
    grid = Grid.from_affine(np.diag([1.0, 1.0, 3.0, 1.0]), where="test")
    notes = {**grid.notes(), "frame_of_reference_uid": frame}
    return make_volume(np.zeros((4, 12, 16)), grid, name="CT", notes=notes)


def test_outlines_in_the_patient_become_voxels_of_their_slice(tmp_path: Path) -> None:
    ellipse = in_patient("ELLIPSE", [[2, 6, 6], [12, 6, 6], [7, 3, 6], [7, 9, 6]])
    url = write(
        tmp_path / "a.dcm",
        lesion("L1", in_patient("POLYGON", box_mm(3.0)), in_patient("POINT", [[7.0, 4.0, 3.0]])),
        lesion("L2", ellipse),
        lesion("L3", in_patient("ELLIPSOID", np.arange(18).reshape(6, 3))),
    )
    with pytest.warns(IntegrateWarning, match=r"of 4 regions 1 are lines or ellipsoids; left out"):
        shapes = DicomReportRegions(url=url, space="patient").read()
    assert shapes["id"].tolist() == ["L1_1", "L1_2", "L2_1"]
    assert shapes.attrs["integrate"]["unit"] == "mm"
    assert shapes.geometry[1].equals(shapely.Point(7, 4, 3))
    labels = label_structures(shapes, volume())
    assert labels.attrs["integrate"]["labels"] == {"1": "L1", "2": "L2"}
    expected = np.zeros((4, 12, 16), int)
    expected[1, 3:7, 4:10] = 1
    y, x = np.mgrid[:12, :16]
    expected[2][((x - 7) / 5) ** 2 + ((y - 6) / 3) ** 2 < 0.97] = 2
    assert (labels.values[:2] == expected[:2]).all()
    assert abs(int((labels.values[2] == 2).sum()) - np.pi * 15) < 6  # centres on its edge may count or not
    assert (labels.values[2] >= expected[2]).all()


def test_outlines_of_another_frame_or_across_slices_are_refused(tmp_path: Path) -> None:
    across = in_patient("POLYGON", box_mm(3.0, tilt=0.5))
    shapes = DicomReportRegions(url=write(tmp_path / "a.dcm", lesion("L1", across)), space="patient").read()
    with pytest.raises(AlignmentError, match="1 contours of 'L1' lie between slices"):
        label_structures(shapes, volume())
    there = in_patient("POLYGON", box_mm(3.0), frame="1.2.99")
    url = write(tmp_path / "b.dcm", lesion("L1", in_patient("POLYGON", box_mm(3.0))), lesion("L2", there))
    shapes = DicomReportRegions(url=url, space="patient").read()
    assert int(label_structures(shapes, volume(), names="L1").sum()) == 24
    for names, frame in (("L2", "1.2.4"), (None, "1.2.4"), ("L1", "1.2.99")):
        with pytest.raises(AlignmentError, match="different frames of reference"):
            label_structures(shapes, volume(frame), names=names)


def test_another_patients_report_does_not_load(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="wrong patient"):
        DicomReport(url=two_lesions(tmp_path / "a.dcm"), ids={"dicom_patient": "0008"}).read()


@pytest.mark.parametrize("kind", [DicomReport, DicomReportRegions])
def test_a_report_read_deidentified_is_that_of_the_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    (tmp_path / "in").mkdir()
    url = two_lesions(tmp_path / "in" / "a.dcm")
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    copied = kind(url=deidentify_dicom(tmp_path / "in", tmp_path / "out")["path"][0]).read()
    read = kind(url=url, deidentify=True).read()
    assert read.astype(str).equals(copied.astype(str))
    told = read.drop(columns="geometry", errors="ignore").to_csv()
    assert not [secret for secret in ("GTV", "Doe", "1.2.9", "1.2.77", "0007") if secret in told]
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(ParameterError, match="needs a secret key"):
        kind(url=url, deidentify=True).read()


def test_a_report_made_by_highdicom_is_read(tmp_path: Path, test_data: Any) -> None:
    hd = pytest.importorskip("highdicom")
    import pydicom
    from pydicom.sr.codedict import codes

    image = pydicom.dcmread(test_data("dicom-small") / "ct_image.dcm")
    observer = hd.sr.PersonObserverIdentifyingAttributes(name="Doe^Reader")
    context = hd.sr.ObservationContext(hd.sr.ObserverContext(codes.DCM.Person, observer))
    corners = np.array(SQUARE, float).reshape(-1, 2)
    drawn = hd.sr.ImageRegion(
        graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
        graphic_data=corners,
        source_image=hd.sr.SourceImageForRegion.from_source_image(image),
    )
    group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=hd.UID(), identifier="lesion"),
        referenced_region=drawn,
        finding_type=codes.SCT.Mass,
        measurements=[hd.sr.Measurement(name=codes.SCT.Area, value=1.71, unit=codes.UCUM.SquareMillimeter)],
    )
    report = hd.sr.MeasurementReport(
        observation_context=context, procedure_reported=codes.LN.CTUnspecifiedBodyRegion, imaging_measurements=[group]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = hd.sr.Comprehensive3DSR(
            evidence=[image], content=report, series_number=1, series_instance_uid=hd.UID(),
            sop_instance_uid=hd.UID(), instance_number=1, manufacturer="test",
        )  # fmt: skip
    made.save_as(tmp_path / "a.dcm")
    (row,) = DicomReport(url=str(tmp_path / "a.dcm")).read().to_dict("records")
    assert (row["measure"], row["value"], row["unit"], row["finding"]) == ("Area", 1.71, "mm2", "Mass")
    assert (row["group"], row["annotator"], row["image_uid"]) == ("lesion", "Doe^Reader", str(image.SOPInstanceUID))
    (shape,) = DicomReportRegions(url=str(tmp_path / "a.dcm")).read().geometry
    assert shape.equals(shapely.box(10, 5, 20, 15))
