"""Annotations of slides: outlines in pixels, from a file made by the standard and a real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from integrate.errors import DataError, IntegrateWarning
from integrate.readers.dicom_annotations import DicomAnnotations
from integrate.testing import ReaderTests

from .dicom_parts import dataset, item

SQUARES = [[(0, 0), (4, 0), (4, 4), (0, 4)], [(10.5, 10), (12.5, 10), (12.5, 13)]]


def group(number: int, kind: str, shapes: Any, **further: Any) -> Any:
    points = np.array([point for shape in shapes for point in shape], "<f4")
    made = item(AnnotationGroupNumber=number, AnnotationGroupLabel=f"group {number}", GraphicType=kind)
    made.NumberOfAnnotations, made.PointCoordinatesData = len(shapes), points.tobytes()
    made.AnnotationGroupGenerationType = "MANUAL"
    code = item(CodeValue="84640000", CodingSchemeDesignator="SCT", CodeMeaning="Nucleus")
    made.AnnotationPropertyTypeCodeSequence = [code]
    if kind == "POLYGON":
        starts = np.cumsum([0, *(2 * len(shape) for shape in shapes[:-1])]) + 1
        made.LongPrimitivePointIndexList = starts.astype("<u4").tobytes()
    for keyword, value in further.items():
        setattr(made, keyword, value)
    return made


def write(file: Path, *groups: Any, kind: str = "2D") -> str:
    made = dataset("ANN", "1.2.840.10008.5.1.4.1.1.91.1")
    made.AnnotationCoordinateType = kind
    made.AnnotationGroupSequence = list(groups)
    made.ReferencedImageSequence = [item(ReferencedSOPClassUID="1.2.3", ReferencedSOPInstanceUID="1.2.5")]
    made.save_as(file, enforce_file_format=True)
    return str(file)


class TestContract(ReaderTests):
    def reader(self, folder: Path) -> DicomAnnotations:
        ellipse = [[(0, 5), (10, 5), (5, 3), (5, 7)]]
        return DicomAnnotations(
            url=write(
                folder / "a.dcm",
                group(1, "POLYGON", SQUARES),
                group(2, "ELLIPSE", ellipse),
                group(3, "POINT", [[(1, 2)]]),
            )
        )

    def check(self, opened: Any) -> None:
        assert opened["id"].tolist() == ["1_1", "1_2", "2_1", "3_1"]
        assert opened.geometry.area.tolist()[:2] == [16.0, 3.0]
        assert opened.geometry[1].bounds == (10.5, 10.0, 12.5, 13.0)
        assert opened.geometry[2].area == pytest.approx(np.pi * 10, rel=2e-3)
        assert opened["classification"].tolist() == ["Nucleus"] * 4
        assert opened.attrs["integrate"]["image_uid"] == "1.2.5"


def test_lines_millimetres_and_wrong_counts(tmp_path: Path) -> None:
    lines = group(1, "POLYLINE", SQUARES)
    with pytest.warns(IntegrateWarning, match="2 polylines enclose no area"):
        assert DicomAnnotations(url=write(tmp_path / "a.dcm", lines)).read().empty
    with pytest.raises(DataError, match="speaks of 3D coordinates"):
        DicomAnnotations(url=write(tmp_path / "b.dcm", lines, kind="3D")).read()
    wrong = group(1, "POLYGON", SQUARES, NumberOfAnnotations=3)
    with pytest.raises(DataError, match="it has 2 shapes, and says 3"):
        DicomAnnotations(url=write(tmp_path / "c.dcm", wrong)).read()


def test_a_real_file_opens(test_data: Any) -> None:
    shapes = DicomAnnotations(url=str(test_data("dicom-small") / "sm_annotations.dcm")).read()
    assert len(shapes) > 0
    assert shapes["classification"].notna().all()
