"""Structures drawn for radiotherapy (RTSTRUCT): planar contours in the patient, and the voxels they enclose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, DataError, DatasetNotFoundError, closest, some
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.deidentify import masked_header
from integrate.readers.dicom_files import read_header
from integrate.readers.dicom_image import check_promised

if TYPE_CHECKING:
    import geopandas as gpd
    import numpy as np
    import xarray as xr

__all__ = ["RtStruct", "label_structures"]

#: Contours that enclose an area; points and open lines are kept and enclose no voxel.
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR")
#: A contour may lie this share of the slice distance off the plane of a slice.
OFF_PLANE = 0.2


class RtStruct(Reader):
    """Read a DICOM RTSTRUCT as a table of contours in patient coordinates.

    Parameters
    ----------
    patient_namespace
        Key of ``ids`` that holds the PatientID; when the catalog gives it, the file must agree.
    deidentify
        Whether to read it as it stands in copies by `deidentify_dicom` of one project (its key is
        ``INTEGRATE_DEIDENTIFY_KEY``): UIDs and names of structures become keyed ones.

    Returns
    -------
    GeoDataFrame, a row per contour: ``roi_number``, ``roi_name``, ``interpreted_type`` (e.g. ``"GTV"``), ``kind`` (e.g.
    ``"CLOSED_PLANAR"``), ``image_uid`` (slice it was drawn on, if stated), ``frame_of_reference_uid`` of its structure
    and ``geometry``, 3-D in LPS mm. The structures without any contour are in ``attrs["integrate"]["empty"]``, the
    frame of reference beside it where all share one. Turn it into labels on an image's grid with `label_structures`.

    Raises
    ------
    DataError
        If the file is no RTSTRUCT, truncated, or of another patient.

    Examples
    --------
    >>> from pydicom import dcmread
    >>> from pydicom.data import get_testdata_file
    >>> plan = dcmread(get_testdata_file("rtstruct.dcm"), force=True)
    >>> plan.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    >>> structures = RtStruct(url=tmp_path / "a.dcm").read()
    >>> structures[["roi_name", "kind"]].drop_duplicates().values.tolist()
    [['patient', 'CLOSED_PLANAR'], ['Isocenter 1', 'POINT'], ['Isocenter 2', 'POINT']]
    """

    output_instance = "geopandas:GeoDataFrame"

    def _open(
        self, path: Path, *, patient_namespace: str = "dicom_patient", deidentify: bool = False
    ) -> gpd.GeoDataFrame:
        import geopandas as gpd

        header = read_header(path).header
        if header.get("Modality") != "RTSTRUCT" or "StructureSetROISequence" not in header:
            raise DataError(f"{path.name} holds {header.get('Modality')!r}; expected RTSTRUCT, or it is truncated")
        if not {"ROIContourSequence", "RTROIObservationsSequence"} <= set(header.dir()):
            raise DataError(
                f"{path.name} names structures and ends before it draws and describes them; it is truncated"
            )
        check_promised(self, header, patient_namespace)
        header = masked_header(header) if deidentify else header
        rois = {int(roi.ROINumber): roi for roi in header.StructureSetROISequence}
        kinds = {
            int(one.ReferencedROINumber): str(one.get("RTROIInterpretedType") or "")
            for one in header.get("RTROIObservationsSequence") or ()
        }
        rows = []
        for drawn in header.get("ROIContourSequence") or ():
            number = int(drawn.ReferencedROINumber)
            if number not in rois:
                raise DataError(f"{path.name} draws structure {number} and does not name it; the file is damaged")
            name, kind = str(rois[number].get("ROIName", "")), kinds.get(number, "")
            frame = {"frame_of_reference_uid": str(rois[number].get("ReferencedFrameOfReferenceUID", ""))}
            drawn_on = drawn.get("ContourSequence") or ()
            rows += [_row(contour, number, name, kind, path) | frame for contour in drawn_on]
        columns = [
            "roi_number",
            "roi_name",
            "interpreted_type",
            "kind",
            "image_uid",
            "frame_of_reference_uid",
            "geometry",
        ]
        table = gpd.GeoDataFrame(rows, columns=columns, geometry="geometry", crs=None)
        frames = {str(roi.get("ReferencedFrameOfReferenceUID", "")) for roi in rois.values()}
        table.attrs[ATTRS] = {
            "unit": "mm",
            "orientation": "LPS",
            "frame_of_reference_uid": frames.pop() if len(frames) == 1 else "",
            "study_uid": str(header.get("StudyInstanceUID", "")),
            "empty": sorted(str(roi.get("ROIName", "")) for n, roi in rois.items() if n not in set(table.roi_number)),
        }
        return table


def _row(contour: Any, number: int, name: str, interpreted: str, path: Path) -> dict[str, Any]:
    import numpy as np
    import shapely

    kind, values = str(contour.get("ContourGeometricType", "")), np.array(contour.get("ContourData") or (), float)
    promised = int(contour.get("NumberOfContourPoints") or 0)
    if len(values) != 3 * promised or not promised:
        raise DataError(
            f"a contour of {name!r} in {path.name} has {len(values)} numbers for {promised} points; truncated"
        )
    points = values.reshape(-1, 3)
    geometry: Any = shapely.Point(points[0])
    if kind in CLOSED and len(points) >= 3:
        geometry = shapely.Polygon(points)
    elif len(points) >= 2:
        geometry = shapely.LineString(points)
    images = contour.get("ContourImageSequence")
    return {
        "roi_number": number,
        "roi_name": name,
        "interpreted_type": interpreted,
        "kind": kind,
        "image_uid": str(images[0].ReferencedSOPInstanceUID) if images else None,
        "geometry": geometry,
    }


def label_structures(
    structures: gpd.GeoDataFrame, volume: xr.DataArray, *, names: str | Sequence[str] | None = None
) -> xr.DataArray:
    """Return the voxels of a volume whose centre lies inside the structures, as labels.

    Parameters
    ----------
    structures
        What `RtStruct` returns, or `DicomReportRegions` of ``space="patient"``.
    volume
        The image they were drawn on, as `DicomSeries` or `Volume` return it; only its grid is used.
    names
        Structures to draw, in order; all that enclose voxels by default. Label 1 is the first.

    Returns
    -------
    DataArray ``(z, y, x)`` of int32 on the volume's grid; 0 is background. ``attrs["integrate"]["labels"]`` gives the
    name of each label. Contours of one structure in one slice are combined by exclusive or, so that an inner one is a
    hole.

    Raises
    ------
    DatasetNotFoundError
        If no structure has a wanted name.
    AlignmentError
        If a contour lies between the slices, or outside the volume, or a structure in another frame of reference.
    DataError
        If structures overlap: labels cannot hold a voxel of two; draw them one by one.
    """
    import numpy as np

    notes = volume.attrs[ATTRS]
    known = list(dict.fromkeys(structures.loc[structures["kind"].isin(CLOSED), "roi_name"]))
    wanted = known if names is None else [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in known:
            raise DatasetNotFoundError(f"no structure named {name!r}; {closest(name, known)}")
    _check_frames(structures, wanted, notes.get("frame_of_reference_uid"))
    labels = np.zeros(volume.shape[-3:], np.int32)
    inverse = np.linalg.inv(np.array(notes["affine_lps"]))
    for label, name in enumerate(wanted, start=1):
        chosen = structures[(structures["roi_name"] == name) & structures["kind"].isin(CLOSED)]
        mask = _fill(chosen.geometry, inverse, labels.shape, name)
        twice = int((labels[mask] > 0).sum())
        if twice:
            raise DataError(
                f"{twice} voxels of {name!r} are in another structure too; draw them one by one with names="
            )
        labels[mask] = label
    kept = ("orientation", "affine_lps", "origin_lps_mm", "direction", "spacing_mm", "frame_of_reference_uid", "ids")
    found = {key: notes[key] for key in kept if key in notes}
    coords = {axis: volume.coords[axis] for axis in ("z", "y", "x")}
    given = {**found, "labels": {str(i): name for i, name in enumerate(wanted, start=1)}}
    import xarray as xr

    return xr.DataArray(labels, dims=("z", "y", "x"), coords=coords, name="labels", attrs={ATTRS: given})


def _check_frames(structures: gpd.GeoDataFrame, wanted: Sequence[str], here: str | None) -> None:
    """Refuse structures of another frame of reference than the volume's, or of several where it states none."""
    elsewhere = [name for name in wanted if here and _frames(structures, [name]) - {here}]
    if elsewhere:
        rest = [name for name in wanted if name not in elsewhere]
        raise AlignmentError(
            f"the structures {some(elsewhere)} and the volume have different frames of reference; register them first"
            + (f", or draw only {some(rest)} with names=" if rest else "")
        )
    if not here and (several := len(_frames(structures, wanted))) > 1:
        raise AlignmentError(
            f"the structures lie in {several} frames of reference and the volume states none, so that no more than one "
            "can be right; draw those of its own with names="
        )


def _frames(structures: gpd.GeoDataFrame, names: Sequence[str]) -> set[str]:
    """Return the frames of reference that structures state."""
    if "frame_of_reference_uid" in structures:
        stated = set(structures.loc[structures["roi_name"].isin(names), "frame_of_reference_uid"])
    else:
        stated = {structures.attrs.get(ATTRS, {}).get("frame_of_reference_uid")}
    return {one for one in stated if one}


def _fill(contours: Any, to_index: np.ndarray[Any, Any], shape: tuple[int, ...], name: str) -> np.ndarray[Any, Any]:
    """Return the voxels whose centre lies inside the contours, by the even-odd rule in each slice."""
    import numpy as np
    import shapely

    toggles = np.zeros((shape[0], shape[1], shape[2] + 1), bool)
    off_plane = []
    for contour in contours:
        points = shapely.get_coordinates(contour, include_z=True)
        x, y, z = (np.c_[points, np.ones(len(points))] @ to_index.T)[:, :3].T
        k = round(float(z.mean()))
        if np.abs(z - k).max() > OFF_PLANE:
            off_plane.append(f"{float(z.mean()):.2f}")
        elif not 0 <= k < shape[0]:
            raise AlignmentError(f"a contour of {name!r} lies outside the volume, at slice {k} of {shape[0]}")
        else:
            _toggle(toggles[k], x, y)
    if off_plane:
        raise AlignmentError(f"{len(off_plane)} contours of {name!r} lie between slices, at {some(off_plane)}")
    return np.logical_xor.accumulate(toggles[:, :, :-1], axis=2)


def _toggle(plane: np.ndarray[Any, Any], x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> None:
    """Mark in each row where a line through the voxel centres enters or leaves a closed contour."""
    import numpy as np

    x2, y2 = np.roll(x, -1), np.roll(y, -1)
    first = np.ceil(np.minimum(y, y2)).astype(int).clip(0, plane.shape[0])
    last = np.ceil(np.maximum(y, y2)).astype(int).clip(0, plane.shape[0])  # a row at the upper end belongs to the next
    count = last - first
    edge = np.repeat(np.arange(len(x)), count)
    if not len(edge):
        return
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    crossing = x[edge] + (row - y[edge]) * (x2 - x)[edge] / (y2 - y)[edge]
    column = np.ceil(crossing).astype(int).clip(0, plane.shape[1] - 1)
    np.logical_xor.at(plane, (row, column), True)
