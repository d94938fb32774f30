"""DICOM structured reports of measurements (TID 1500): a table of numbers with units and codes, and their outlines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, closest, warn
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.deidentify import masked_header
from integrate.readers.dicom_annotations import ellipse_outline
from integrate.readers.dicom_files import DAMAGE, read_header
from integrate.readers.dicom_image import check_promised

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

__all__ = ["DicomReport", "DicomReportRegions"]

GROUP = "DCM:125007"
#: Tag of ContentSequence, and the length that says a sequence ends by a mark (pydicom notices when that is absent).
CONTENT, UNDEFINED = 0x0040A730, 0xFFFFFFFF
#: What a content item says of its whole group, by the code of its name.
CONTEXT: dict[str, str] = {
    "DCM:112039": "group",
    "DCM:112040": "tracking_uid",
    "DCM:121071": "finding",
    "SCT:363698007": "site",
    "SRT:G-C0E3": "site",
    "DCM:121008": "annotator",
    "DCM:121013": "annotator",
}
#: What a content item says of the number it belongs to.
BESIDE: dict[str, str] = {"DCM:121401": "derivation", "SCT:370129005": "method", "SRT:G-C036": "method"}
CODED: tuple[str, ...] = ("finding", "site")
COLUMNS: tuple[str, ...] = (
    *("group", "tracking_uid", "finding", "finding_code", "site", "site_code", "annotator"),
    *("measure", "measure_code", "value", "unit", "text", "text_code", "derivation", "method", "image_uid"),
)
#: Where outlines may be drawn, and the columns of each beside those of both.
SPACES: dict[str, tuple[str, ...]] = {
    "pixels": ("frame",),
    "patient": ("roi_name", "kind", "frame_of_reference_uid"),
}
#: Corners of a circle.
ARC = 64


class DicomReport(Reader):
    """Read the measurements of a DICOM structured report (modality SR, TID 1500) as a table.

    Parameters
    ----------
    patient_namespace
        Key of ``ids`` that holds the PatientID; when the catalog gives it, the file must agree.
    deidentify
        Whether to read it as it stands in copies by `deidentify_dicom` of one project (its key is
        ``INTEGRATE_DEIDENTIFY_KEY``): UIDs become keyed ones; texts and names are gone, codes and numbers stay.

    Returns
    -------
    DataFrame, a row per measurement or coded evaluation: ``measure`` and ``measure_code`` (``"SCT:410668003"``: scheme
    and value), ``value`` (NaN for an evaluation, or where the report gives no number: ``text`` then says why),
    ``unit`` (UCUM), ``text`` and ``text_code`` of an evaluation, ``derivation`` (mean, maximum …), ``method``. Of the
    lesion it is about: ``group`` (tracking identifier), ``tracking_uid``, ``finding``, ``site`` with their codes,
    ``annotator`` and ``image_uid`` (the first image, or segmentation, that it was made on). What the report does not
    say is missing.

    Raises
    ------
    DataError
        If the file is no structured report, holds no measurement, or is damaged.

    Examples
    --------
    >>> from pydicom.dataset import Dataset, FileMetaDataset
    >>> from pydicom.uid import ExplicitVRLittleEndian
    >>> def code(value, scheme, meaning):
    ...     made = Dataset()
    ...     made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = value, scheme, meaning
    ...     return [made]
    >>> report, number, measured = Dataset(), Dataset(), Dataset()
    >>> report.file_meta = FileMetaDataset()
    >>> report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    >>> report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    >>> report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    >>> measured.NumericValue, measured.MeasurementUnitsCodeSequence = "14.25", code("mm", "UCUM", "millimetre")
    >>> number.ValueType, number.ConceptNameCodeSequence = "NUM", code("103339001", "SCT", "Long axis")
    >>> number.MeasuredValueSequence = [measured]
    >>> report.SeriesInstanceUID, report.Modality, report.ContentSequence = "1.2.4", "SR", [number]
    >>> report.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    >>> DicomReport(url=tmp_path / "a.dcm").read()[["measure", "value", "unit"]].values.tolist()
    [['Long axis', 14.25, 'mm']]
    """

    output_instance = "pandas:DataFrame"

    def _open(self, path: Path, *, patient_namespace: str = "dicom_patient", deidentify: bool = False) -> pd.DataFrame:
        import pandas as pd

        report = _report(self, path, patient_namespace, deidentify=deidentify)
        try:
            rows = list(_measurements(report, {}))
        except DAMAGE as error:
            raise DataError(f"the content of {path.name} is damaged ({error})") from error
        if not rows:
            raise DataError(f"{path.name} is a structured report without measurements; expected one after TID 1500")
        table = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
        table["value"] = table["value"].astype(float)
        title = _named(report.get("ConceptNameCodeSequence"))[0]
        table.attrs[ATTRS] = {"title": title, "status": str(report.get("CompletionFlag", ""))}
        return table


class DicomReportRegions(Reader):
    """Read the outlines of a DICOM structured report (modality SR, TID 1500) as shapes.

    Parameters
    ----------
    space
        ``"pixels"`` for what is drawn on an image (SCOORD), ``"patient"`` for what is drawn in millimetres of the
        patient (SCOORD3D).
    patient_namespace, deidentify
        As of `DicomReport`.

    Returns
    -------
    GeoDataFrame: ``geometry`` (polygons; points where the report has points), ``id`` (``<group>_<number>``),
    ``classification`` (the finding), ``annotator``, ``group`` (tracking identifier) and ``image_uid``. In ``"pixels"``
    the geometry is in pixels of each one's image (corner of the first pixel at 0, 0) and ``frame`` counts from 1,
    missing where the image has one. In ``"patient"`` it is 3-D in LPS mm, ``roi_name`` is the group, ``kind`` as of
    `RtStruct` and ``frame_of_reference_uid`` says in which frame: `label_structures` draws them on a volume, and
    refuses what lies in another frame of reference or not on one slice. Lines and ellipsoids, and what is drawn in the
    other space, are left out and counted in a warning.

    Raises
    ------
    ParameterError
        If there is no such space.
    DataError
        If the file is no structured report, or is damaged.

    Examples
    --------
    >>> from pydicom.dataset import Dataset, FileMetaDataset
    >>> from pydicom.uid import ExplicitVRLittleEndian
    >>> report, region = Dataset(), Dataset()
    >>> report.file_meta = FileMetaDataset()
    >>> report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    >>> report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
    >>> report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    >>> region.ValueType, region.GraphicType = "SCOORD", "POLYLINE"
    >>> region.GraphicData = [0, 0, 4, 0, 4, 3, 0, 0]
    >>> report.SeriesInstanceUID, report.Modality, report.ContentSequence = "1.2.4", "SR", [region]
    >>> report.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    >>> DicomReportRegions(url=tmp_path / "a.dcm").read().geometry[0].area
    6.0
    """

    output_instance = "geopandas:GeoDataFrame"

    def _open(
        self,
        path: Path,
        *,
        space: str = "pixels",
        patient_namespace: str = "dicom_patient",
        deidentify: bool = False,
    ) -> gpd.GeoDataFrame:
        import geopandas as gpd

        if space not in SPACES:
            raise ParameterError(f"no space {space!r}; {closest(space, list(SPACES))}")
        report = _report(self, path, patient_namespace, deidentify=deidentify)
        try:
            found = list(_regions(report, {}))
        except DAMAGE as error:
            raise DataError(f"a region of {path.name} is damaged ({error})") from error
        told = [row for row in found if row["space"] == space]
        rows = [row for row in told if row["geometry"] is not None]
        if len(rows) < len(found):
            elsewhere = len(found) - len(told)
            other = next(name for name in SPACES if name != space)
            left = [f"{len(told) - len(rows)} are lines or ellipsoids"] if len(rows) < len(told) else []
            left += [f"{elsewhere} are drawn in the other space (space={other!r})"] if elsewhere else []
            warn(f"{path.name}: of {len(found)} regions {' and '.join(left)}; left out")
        counted: dict[str, int] = {}
        for row in rows:
            counted[row["group"]] = counted.get(row["group"], 0) + 1
            row["id"] = f"{row['group']}_{counted[row['group']]}"
        columns = ["geometry", "id", "classification", "annotator", "group", "image_uid", *SPACES[space]]
        made = gpd.GeoDataFrame(rows, columns=columns, geometry="geometry", crs=None)
        notes: dict[str, Any] = {"unit": "px", "left_out": len(found) - len(rows)}
        if space == "patient":
            notes |= {"unit": "mm", "orientation": "LPS"}
        else:
            made["frame"] = made["frame"].astype("Int64")
        made.attrs[ATTRS] = notes
        return made


def _report(reader: Reader, path: Path, patient_namespace: str, *, deidentify: bool) -> Any:
    header = read_header(path).header
    raw = header.get_item(CONTENT) if CONTENT in header else None
    if raw is not None and raw.is_raw and len(raw.value or b"") < raw.length < UNDEFINED:
        raise DataError(f"{path.name} ends within its content; it is truncated, copy it again")
    if header.get("Modality") != "SR" or not header.get("ContentSequence"):
        raise DataError(f"{path.name} holds {header.get('Modality')!r}; expected SR with content")
    check_promised(reader, header, patient_namespace)
    return masked_header(header) if deidentify else header


def _items(holder: Any) -> list[Any]:
    return list(holder.get("ContentSequence") or ())


def _named(codes: Any) -> tuple[str | None, str | None]:
    """Return meaning and ``scheme:value`` of the first code of a sequence."""
    if not codes:
        return None, None
    value = codes[0].get("CodeValue") or codes[0].get("LongCodeValue") or codes[0].get("URNCodeValue")
    return str(codes[0].get("CodeMeaning", "")) or None, f"{codes[0].get('CodingSchemeDesignator', '')}:{value}"


def _name_code(item: Any) -> str:
    return str(_named(item.get("ConceptNameCodeSequence"))[1])


def _context(holder: Any, known: dict[str, Any]) -> dict[str, Any]:
    """Return what a container says of everything in it, beside what is known from above."""
    said = dict(known)
    for item in _items(holder):
        name = CONTEXT.get(_name_code(item))
        if name in CODED:
            said[name], said[f"{name}_code"] = _named(item.get("ConceptCodeSequence"))
        elif name is not None:
            said[name] = str(item.get("TextValue") or item.get("UID") or item.get("PersonName") or "") or None
    if _name_code(holder) == GROUP and (uid := _image_uid(holder)):
        said["image_uid"] = uid
    return said


def _image_uid(holder: Any) -> str | None:
    """Return the first image that a content item, or what is below it, refers to."""
    for reference in holder.get("ReferencedSOPSequence") or ():
        return str(reference.ReferencedSOPInstanceUID)
    return next((uid for item in _items(holder) if (uid := _image_uid(item))), None)


def _measurements(holder: Any, known: dict[str, Any]) -> Iterator[dict[str, Any]]:
    said = _context(holder, known)
    inside = _name_code(holder) == GROUP
    for item in _items(holder):
        name, code = _named(item.get("ConceptNameCodeSequence"))
        kind = item.get("ValueType")
        if kind == "CONTAINER":
            yield from _measurements(item, said)
        elif kind == "NUM":
            yield {**said, "measure": name, "measure_code": code, **_number(item)}
        elif kind == "CODE" and inside and code not in CONTEXT and code not in BESIDE:
            meaning, value = _named(item.get("ConceptCodeSequence"))
            yield {**said, "measure": name, "measure_code": code, "text": meaning, "text_code": value}


def _number(item: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        BESIDE[_name_code(one)]: _named(one.get("ConceptCodeSequence"))[0]
        for one in _items(item)
        if _name_code(one) in BESIDE
    }
    told |= {k: v for k, v in _context(item, {}).items() if k.removesuffix("_code") in CODED and v}
    if uid := _image_uid(item):
        told["image_uid"] = uid
    measured = item.get("MeasuredValueSequence")
    if not measured:
        return {**told, "text": _named(item.get("NumericValueQualifierCodeSequence"))[0]}
    units = measured[0].get("MeasurementUnitsCodeSequence")
    exact = measured[0].get("FloatingPointValue")
    value = exact if exact is not None else measured[0].NumericValue
    return {**told, "value": float(value), "unit": str(units[0].CodeValue) if units else None}


def _regions(holder: Any, known: dict[str, Any]) -> Iterator[dict[str, Any]]:
    said = _context(holder, known)
    for item in _items(holder):
        if item.get("ValueType") in ("SCOORD", "SCOORD3D"):
            images = [reference for one in _items(item) for reference in one.get("ReferencedSOPSequence") or ()]
            frames = [reference.get("ReferencedFrameNumber") for reference in images]
            shape = _shape(item)
            yield {
                "space": "pixels" if item.ValueType == "SCOORD" else "patient",
                "geometry": shape,
                "classification": said.get("finding"),
                "annotator": said.get("annotator"),
                "group": said.get("group") or "",
                "image_uid": _image_uid(item) or said.get("image_uid"),
                "frame": next((_first(frame) for frame in frames if frame is not None), None),
                "roi_name": said.get("group") or "",
                "kind": "CLOSED_PLANAR" if getattr(shape, "geom_type", "") == "Polygon" else "POINT",
                "frame_of_reference_uid": str(item.get("ReferencedFrameOfReferenceUID", "")),
            }
        else:
            yield from _regions(item, said)


def _first(number: Any) -> int:
    return int(number) if isinstance(number, (int, str)) else int(number[0])


def _shape(item: Any) -> Any:
    """Return the outline or points of an item, in two or three dimensions; ``None`` for a line or an ellipsoid."""
    import numpy as np
    import shapely

    from integrate.readers.geojson import enclosed

    axes = 2 if item.ValueType == "SCOORD" else 3
    points = np.asarray(item.GraphicData, float).reshape(-1, axes)
    kind = str(item.GraphicType)
    if kind in ("POINT", "MULTIPOINT"):
        return shapely.Point(points[0]) if len(points) == 1 else shapely.MultiPoint(points)
    if kind == "CIRCLE":  # its centre, and a point on it
        angle = np.linspace(0, 2 * np.pi, ARC, endpoint=False)
        radius = float(np.hypot(*(points[1] - points[0])))
        return shapely.Polygon(points[0] + radius * np.column_stack([np.cos(angle), np.sin(angle)]))
    if kind == "ELLIPSE":
        return shapely.Polygon(ellipse_outline(points))
    if kind == "ELLIPSOID" or len(points) < 4 or not np.array_equal(points[0], points[-1]):
        return None
    outline = shapely.Polygon(points)
    return outline if axes == 3 or outline.is_valid else enclosed(outline)
