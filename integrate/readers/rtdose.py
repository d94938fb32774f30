"""Radiotherapy dose: the grid of an RTDOSE in gray, where it lies in the patient."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError
from integrate.readers.base import Reader
from integrate.readers.deidentify import mask_uids
from integrate.readers.dicom_files import Slice, read_header
from integrate.readers.dicom_image import check_promised
from integrate.readers.dicom_pixels import check_decoder, lazy_slices
from integrate.readers.grid import Grid, make_volume

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["RtDose"]

#: Distances of planes may differ by this share.
EVEN = 0.01


class RtDose(Reader):
    """Read a DICOM dose grid lazily.

    Parameters
    ----------
    patient_namespace
        Key of ``ids`` that holds the PatientID; when the catalog gives it, the file must agree.
    deidentify
        Whether UIDs in the notes become keyed ones, as `DicomSeries` says.

    Returns
    -------
    DataArray ``(z, y, x)``, Dask-backed, a chunk per plane: stored values times the file's scaling. Coordinates and
    notes are as of `DicomSeries`; ``unit`` is ``"Gy"``, or ``"1"`` for a relative dose; ``dose_type`` and
    ``summation`` are as the file says.

    Raises
    ------
    DataError
        If the file is no dose grid, is truncated, has no scaling, or its planes are not evenly spaced.

    Examples
    --------
    >>> from pydicom.data import get_testdata_file
    >>> dose = RtDose(url=get_testdata_file("rtdose.dcm")).read()
    >>> dose.dims, dose.shape, dose.attrs["integrate"]["unit"]
    (('z', 'y', 'x'), (15, 10, 10), '1')
    """

    output_instance = "xarray:DataArray"

    def _open(self, path: Path, *, patient_namespace: str = "dicom_patient", deidentify: bool = False) -> xr.DataArray:
        one = read_header(path)
        header = one.header
        if header.get("Modality") != "RTDOSE" or not float(header.get("DoseGridScaling") or 0) > 0:
            raise DataError(f"{path.name} holds {header.get('Modality')!r}; expected RTDOSE with a DoseGridScaling")
        if one.pixel_fault:
            raise DataError(f"{path.name} {one.pixel_fault}; copy it again")
        check_promised(self, header, patient_namespace)
        check_decoder([one])
        affine, order = _geometry(header, path)
        grid = Grid.from_affine(affine, where=path.name)
        scaled = copy(header)
        scaled.RescaleSlope, scaled.RescaleIntercept = float(header.DoseGridScaling), 0
        frames = [Slice(path, scaled, "", frame=k if len(order) > 1 else None) for k in order]
        notes: dict[str, Any] = {
            **grid.notes(),
            "modality": "RTDOSE",
            "unit": "Gy" if header.get("DoseUnits") == "GY" else "1",
            "dose_type": str(header.get("DoseType", "")),
            "summation": str(header.get("DoseSummationType", "")),
            "frame_of_reference_uid": str(header.get("FrameOfReferenceUID", "")),
            "study_uid": str(header.get("StudyInstanceUID", "")),
            "series_uid": str(header.SeriesInstanceUID),
        }
        notes = mask_uids(notes, header) if deidentify else notes
        return make_volume(lazy_slices(frames, keep_padding=True), grid, name="RTDOSE", notes=notes)


def _geometry(header: Any, path: Path) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Return the matrix from voxel index to patient mm, and the frames in the order of their planes."""
    import numpy as np

    count = int(header.get("NumberOfFrames") or 1)
    offsets = np.array([float(one) for one in header.get("GridFrameOffsetVector") or [0.0]])
    if len(offsets) != count:
        raise DataError(f"{path.name} has {count} planes and {len(offsets)} offsets; it does not say where they lie")
    offsets = offsets - offsets[0]  # absolute ones begin at the position of the first plane
    order = [int(k) for k in np.argsort(offsets)]
    steps = np.diff(offsets[order])
    if count > 1 and (steps.min() <= 0 or np.ptp(steps) > EVEN * steps.mean()):
        raise DataError(
            f"the planes of {path.name} lie {np.unique(steps.round(4)).tolist()} mm apart; expected even steps"
        )
    rows, columns = (float(one) for one in header.PixelSpacing)
    turned = np.array([float(one) for one in header.ImageOrientationPatient]).reshape(2, 3)
    normal = np.cross(turned[0], turned[1])
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = turned[0] * columns, turned[1] * rows
    affine[:3, 2] = normal * (float(steps.mean()) if count > 1 else 1.0)
    affine[:3, 3] = np.array([float(one) for one in header.ImagePositionPatient]) + normal * offsets.min()
    return affine, order
