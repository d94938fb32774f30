"""DICOM bulk annotations of slides: outlines and points in pixels of the finest level."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, warn
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.dicom_files import DAMAGE, read_header
from integrate.readers.dicom_image import check_promised

if TYPE_CHECKING:
    import geopandas as gpd
    import numpy as np

__all__ = ["DicomAnnotations", "ellipse_outline"]

#: Corners of an ellipse.
ARC = 64


class DicomAnnotations(Reader):
    """Read microscopy bulk simple annotations (modality ANN) as shapes.

    Parameters
    ----------
    patient_namespace
        Key of ``ids`` that holds the PatientID; when the catalog gives it, the file must agree.

    Returns
    -------
    GeoDataFrame in pixels of the slide's finest level (corner of the first pixel at 0, 0): ``geometry`` (polygons;
    points where the file has points), ``id`` (``<group>_<number>``), ``classification`` (meaning of the group's
    property type), ``annotator`` (``"AUTOMATIC"``, ``"MANUAL"`` …) and ``group`` (its label). Polylines enclose no
    area: they are left out and counted in a warning. ``attrs["integrate"]["image_uid"]`` names the image they were
    drawn on.

    Raises
    ------
    DataError
        If the file holds no such annotations, is damaged, or speaks of millimetres of the slide, not of pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from pydicom.dataset import Dataset, FileMetaDataset
    >>> from pydicom.uid import ExplicitVRLittleEndian
    >>> made, group = Dataset(), Dataset()
    >>> made.file_meta = FileMetaDataset()
    >>> made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    >>> made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.91.1"
    >>> made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    >>> made.SeriesInstanceUID, made.Modality, made.AnnotationCoordinateType = "1.2.4", "ANN", "2D"
    >>> made.AnnotationGroupSequence = [group]
    >>> group.AnnotationGroupNumber, group.AnnotationGroupLabel, group.GraphicType = 1, "nuclei", "RECTANGLE"
    >>> group.NumberOfAnnotations, corners = 1, [0, 0, 4, 0, 4, 3, 0, 3]
    >>> group.PointCoordinatesData = np.array(corners, "<f4").tobytes()
    >>> made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    >>> shapes = DicomAnnotations(url=tmp_path / "a.dcm").read()
    >>> shapes["group"][0], shapes.geometry[0].area
    ('nuclei', 12.0)
    """

    output_instance = "geopandas:GeoDataFrame"

    def _open(self, path: Path, *, patient_namespace: str = "dicom_patient") -> gpd.GeoDataFrame:
        import geopandas as gpd

        header = read_header(path).header
        if header.get("Modality") != "ANN" or "AnnotationGroupSequence" not in header:
            raise DataError(f"{path.name} holds {header.get('Modality')!r}; expected ANN with annotation groups")
        if header.get("AnnotationCoordinateType") != "2D":
            raise DataError(
                f"{path.name} speaks of {header.get('AnnotationCoordinateType')} coordinates; expected 2D pixels"
            )
        check_promised(self, header, patient_namespace)
        rows: list[dict[str, Any]] = []
        left = 0
        for group in header.AnnotationGroupSequence:
            try:
                shapes = _shapes(group)
            except DAMAGE as error:
                raise DataError(f"a group of {path.name} is damaged ({error})") from error
            left += int(group.NumberOfAnnotations) if shapes is None else 0
            kinds = group.get("AnnotationPropertyTypeCodeSequence") or []
            told = {
                "classification": str(kinds[0].CodeMeaning) if kinds else None,
                "annotator": str(group.get("AnnotationGroupGenerationType", "")) or None,
                "group": str(group.get("AnnotationGroupLabel", "")),
            }
            number = int(group.get("AnnotationGroupNumber", 0))
            rows += [{"geometry": one, "id": f"{number}_{i}", **told} for i, one in enumerate(shapes or (), start=1)]
        if left:
            warn(f"{path.name}: {left} polylines enclose no area and are left out")
        columns = ["geometry", "id", "classification", "annotator", "group"]
        made = gpd.GeoDataFrame(rows, columns=columns, geometry="geometry", crs=None)
        images = header.get("ReferencedImageSequence") or []
        uid = str(images[0].ReferencedSOPInstanceUID) if images else ""
        made.attrs[ATTRS] = {"unit": "px", "image_uid": uid, "left_out": left}
        return made


def _shapes(group: Any) -> list[Any] | None:
    """Return the shapes of a group, ``None`` when they are lines."""
    import numpy as np
    import shapely

    double = "DoublePointCoordinatesData" in group
    data = group.DoublePointCoordinatesData if double else group.PointCoordinatesData
    points = np.frombuffer(data, "<f8" if double else "<f4").astype(float).reshape(-1, 2)
    kind, count = str(group.GraphicType), int(group.NumberOfAnnotations)
    if kind == "POLYLINE":
        return None
    if kind == "POINT":
        return list(shapely.points(points))
    if kind == "POLYGON":
        starts = np.frombuffer(group.LongPrimitivePointIndexList, "<u4").astype(int) // 2  # values are counted, from 1
        parts = np.split(points, starts[1:])
    else:
        parts = np.split(points, count)
    if len(parts) != count:
        raise ValueError(f"it has {len(parts)} shapes, and says {count}")
    return [shapely.Polygon(ellipse_outline(part) if kind == "ELLIPSE" else part) for part in parts]


def ellipse_outline(ends: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the outline of an ellipse given by the ends of its two axes."""
    import numpy as np

    angle = np.linspace(0, 2 * np.pi, ARC, endpoint=False)[:, None]
    centre, major, minor = ends.mean(axis=0), (ends[1] - ends[0]) / 2, (ends[3] - ends[2]) / 2
    return centre + np.cos(angle) * major + np.sin(angle) * minor
