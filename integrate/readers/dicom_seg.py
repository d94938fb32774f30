"""DICOM segmentations (SEG): segments as labels on the grid that their frames state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, DataError, DatasetNotFoundError, closest
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.deidentify import mask_uids
from integrate.readers.dicom_files import Slice, read_header
from integrate.readers.dicom_frames import split_slices
from integrate.readers.dicom_image import check_promised
from integrate.readers.dicom_pixels import decode_frame
from integrate.readers.grid import Grid, make_volume

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["DicomSeg", "place_labels"]

#: Frames may lie this share of the slice distance off the grid; positions are written with few digits.
OFF_GRID = 0.05
#: Grids agree when no corner lies further apart than this share of a voxel.
SAME_GRID = 0.05


class DicomSeg(Reader):
    """Read a DICOM segmentation (binary, fractional or label map) as lazy labels in patient coordinates.

    Parameters
    ----------
    segments
        Labels (names) of the segments to read; all by default. Needed where segments overlap.
    patient_namespace
        Key of ``ids`` that holds the PatientID; when the catalog gives it, the file must agree.
    deidentify
        Whether UIDs in the notes become keyed ones, the same as in copies by `deidentify_dicom` of one project (its key
        is ``INTEGRATE_DEIDENTIFY_KEY``); a file whose pixels may show a name is then refused.

    Returns
    -------
    DataArray ``(z, y, x)`` of int32, Dask-backed, a chunk per slice; the value is the segment number. The grid is that
    of the frames: planes that no frame covers, between or around them, hold no segment. Put the labels on an image's
    grid with `place_labels`. ``attrs["integrate"]["labels"]`` names each segment, ``"segments"`` has their codes.

    Raises
    ------
    DataError
        If the file is no SEG, truncated, its frames are no regular planes, or (when loaded) segments overlap.
    DatasetNotFoundError
        If no segment has a wanted name.

    Notes
    -----
    A fractional segment holds a voxel where its fraction is at least one half.

    Examples
    --------
    >>> from pydicom import dcmread
    >>> from pydicom.data import get_testdata_file
    >>> slice_ = dcmread(get_testdata_file("CT_small.dcm"))
    >>> (tmp_path / "ct").mkdir()
    >>> for number in range(2):
    ...     slice_.ImagePositionPatient[2] = 5.0 * number
    ...     slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}"
    ...     slice_.save_as(tmp_path / "ct" / f"{number}.dcm")
    >>> from integrate.readers.dicom import DicomSeries
    >>> labels = (DicomSeries(url=tmp_path / "ct").read() > 500).astype(int)
    >>> written = ig.write_labels(labels, tmp_path / "a.dcm", source=tmp_path / "ct", names={1: "bone"})
    >>> found = DicomSeg(url=written).read()
    >>> found.dims, found.attrs["integrate"]["labels"]
    (('z', 'y', 'x'), {'1': 'bone'})
    """

    output_instance = "xarray:DataArray"

    def _open(
        self,
        path: Path,
        *,
        segments: Sequence[str] | None = None,
        patient_namespace: str = "dicom_patient",
        deidentify: bool = False,
    ) -> xr.DataArray:
        one = read_header(path)
        header = one.header
        if header.get("Modality") != "SEG" or "SegmentSequence" not in header:
            raise DataError(f"{path.name} holds {header.get('Modality')!r}; expected SEG, or it is truncated")
        if one.pixel_fault:
            raise DataError(f"{path.name} {one.pixel_fault}; copy it again")
        check_promised(self, header, patient_namespace)
        described = {int(s.SegmentNumber): _describe(s) for s in header.SegmentSequence if "SegmentNumber" in s}
        names = {number: str(about["label"]) for number, about in described.items()}
        for name in segments or ():
            if name not in names.values():
                raise DatasetNotFoundError(f"no segment named {name!r} in {path.name}; {closest(name, names.values())}")
        chosen = [n for n, name in names.items() if segments is None or name in segments]
        frames = split_slices(one)
        grid, planes = _planes(frames, path)
        pixels = _lazy_labels(one, frames, planes, chosen)
        notes = {
            **grid.notes(),
            "modality": "SEG",
            "labels": {str(number): names[number] for number in chosen},
            "segments": {str(number): described[number] for number in chosen},
            "frame_of_reference_uid": str(header.get("FrameOfReferenceUID", "")),
            "study_uid": str(header.get("StudyInstanceUID", "")),
        }
        notes = mask_uids(notes, header) if deidentify else notes
        return make_volume(pixels, grid, name="SEG", notes=notes)


def place_labels(labels: xr.DataArray, volume: xr.DataArray) -> xr.DataArray:
    """Return labels on the grid of a volume, when both grids have the same voxels.

    Parameters
    ----------
    labels
        What `DicomSeg` returns: often only the planes that hold something.
    volume
        The image they belong to; only its grid is used.

    Returns
    -------
    DataArray of the volume's ``(z, y, x)``, with 0 where `labels` has no plane. Nothing is interpolated.

    Raises
    ------
    AlignmentError
        If the voxels of the two do not coincide, or labels lie outside the volume; resample them first.
    """
    import numpy as np
    import xarray as xr

    theirs, ours = np.array(labels.attrs[ATTRS]["affine_lps"]), np.array(volume.attrs[ATTRS]["affine_lps"])
    to_ours = np.linalg.inv(ours) @ theirs
    size = np.array(labels.shape[::-1])
    ends = np.array([[0, 0, 0, 1], [*(size - 1), 1]], float) @ to_ours.T
    corners = np.rint(ends[:, :3]).astype(int)
    if np.abs(ends[:, :3] - corners).max() > SAME_GRID or not np.allclose(np.abs(corners[1] - corners[0]), size - 1):
        raise AlignmentError("the voxels of labels and volume do not coincide; resample the labels (nearest) first")
    space = np.array(volume.shape[-3:][::-1])
    if (corners.min(axis=0) < 0).any() or (corners.max(axis=0) >= space).any():
        raise AlignmentError(f"labels reach voxels {corners.tolist()} (x, y, z) of a volume of {space.tolist()}")
    data = labels.data
    for axis in range(3):  # an axis may run the other way
        if corners[1][axis] < corners[0][axis]:
            data = np.flip(data, 2 - axis)
    low = corners.min(axis=0)
    before, after = low[::-1], (space - low - size)[::-1]
    import dask.array as da

    padded = da.pad(da.asarray(data), list(zip(before.tolist(), after.tolist(), strict=True)))
    grid = {
        k: volume.attrs[ATTRS][k] for k in ("orientation", "affine_lps", "origin_lps_mm", "direction", "spacing_mm")
    }
    coords = {axis: volume.coords[axis] for axis in ("z", "y", "x")}
    attrs = {ATTRS: {**labels.attrs[ATTRS], **grid}}
    return xr.DataArray(padded, dims=("z", "y", "x"), coords=coords, name=labels.name, attrs=attrs)


def _describe(segment: Any) -> dict[str, Any]:
    kind = segment.get("SegmentedPropertyTypeCodeSequence")
    code = f"{kind[0].get('CodingSchemeDesignator', '')}:{kind[0].get('CodeValue', '')}" if kind else None
    return {
        "label": str(segment.get("SegmentLabel", "")),
        "type": str(kind[0].get("CodeMeaning", "")) if kind else None,
        "code": code,
        "algorithm": str(segment.get("SegmentAlgorithmType", "")) or None,
    }


def _planes(frames: Sequence[Slice], path: Path) -> tuple[Grid, list[int]]:
    """Return the grid the frames lie on, and the plane of each frame."""
    import numpy as np

    first = frames[0].header
    if "ImagePositionPatient" not in first or "ImageOrientationPatient" not in first or "PixelSpacing" not in first:
        raise DataError(f"{path.name} does not place its frames in the patient; segmentations of slides are not read")
    orientation = np.array(first.ImageOrientationPatient, float)
    for one in frames:
        if np.abs(np.array(one.header.ImageOrientationPatient, float) - orientation).max() > 1e-4:
            raise DataError(f"the frames of {path.name} differ in orientation; they are no volume")
    along_row, along_column = orientation.reshape(2, 3)
    normal = np.cross(along_row, along_column)
    positions = np.array([one.header.ImagePositionPatient for one in frames], float)
    heights = (positions - positions[0]) @ normal
    levels = np.unique(heights.round(3))
    stated = float(first.get("SpacingBetweenSlices") or 0)
    step = stated or (float(np.diff(levels).min()) if len(levels) > 1 else float(first.get("SliceThickness") or 0))
    if not step > 0:
        raise DataError(f"{path.name} holds one plane and states no distance of slices; its place is not known")
    planes = (heights - heights.min()) / step
    whole = np.rint(planes).astype(int)
    if np.abs(planes - whole).max() > OFF_GRID:
        raise DataError(f"the frames of {path.name} do not lie on planes {step:g} mm apart; they are no regular volume")
    row_step, column_step = (float(v) for v in first.PixelSpacing)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([along_row * column_step, along_column * row_step, normal * step], axis=1)
    affine[:3, 3] = positions[int(heights.argmin())]
    return Grid.from_affine(affine, where=path.name), [int(v) for v in whole]


def _lazy_labels(one: Slice, frames: Sequence[Slice], planes: Sequence[int], chosen: Sequence[int]) -> Any:
    import dask.array as da
    import numpy as np
    from dask.delayed import delayed

    header = one.header
    shape = (int(header.Rows), int(header.Columns))
    kind = str(header.get("SegmentationType", "BINARY"))
    most = float(header.get("MaximumFractionalValue") or 1)
    held: dict[int, list[tuple[int, int | None]]] = {plane: [] for plane in range(max(planes) + 1)}
    for frame, plane in zip(frames, planes, strict=True):
        number = frame.header.get("ReferencedSegmentNumber")
        if kind == "LABELMAP":
            number = None
        elif number is None:
            raise DataError(f"{frame.name} does not say of which segment it is; the file is damaged")
        if number is None or int(number) in chosen:
            held[plane].append((frame.frame or 0, None if number is None else int(number)))
    draw = delayed(_draw, pure=True)
    changed, alone = one.file.stat().st_mtime_ns, len(frames) == 1
    made = [
        da.from_delayed(
            draw(one.file, changed, parts, shape, most / 2 if kind == "FRACTIONAL" else 0.5, tuple(chosen), alone),
            shape=shape,
            dtype=np.int32,
        )
        for _, parts in sorted(held.items())
    ]
    return da.stack(made)


def _draw(
    file: Path,
    changed_ns: int,
    parts: Sequence[tuple[int, int | None]],
    shape: tuple[int, int],
    least: float,
    chosen: Sequence[int],
    alone: bool,  # noqa: FBT001 - a task takes its arguments by position
) -> np.ndarray[Any, Any]:
    """Return one plane of labels; ``changed_ns`` is there for its token."""
    import numpy as np

    labels = np.zeros(shape, np.int32)
    for frame, number in parts:
        stored = decode_frame(file, None if alone else frame)
        if stored.shape != shape:
            raise DataError(f"{file.name} decodes to shape {stored.shape}, its header says {shape}; it is damaged")
        if number is None:
            return np.where(np.isin(stored, list(chosen)), stored, 0).astype(np.int32)
        mask = stored >= least
        if (labels[mask] > 0).any():
            raise DataError(f"segments of {file.name} overlap in a plane; read them one by one with segments=")
        labels[mask] = number
    return labels
