"""DICOM series: slices stacked by their positions in the patient, with the geometry they state and no other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, closest, some
from integrate.readers.base import Reader
from integrate.readers.deidentify import mask_uids
from integrate.readers.dicom_files import Slice, read_headers
from integrate.readers.dicom_frames import is_mosaic, split_slices
from integrate.readers.dicom_pixels import check_decoder, lazy_slices
from integrate.readers.grid import Grid, make_volume
from integrate.readers.suv import suv_body_weight

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["DicomSeries"]

#: Slices may lie this far off an even, straight stack: positions are often written to a tenth of a millimetre.
TOLERANCE_MM = 0.15
#: … and never further than this share of the smallest voxel edge, or a gap in a micro-CT would pass.
TOLERANCE_SHARE = 0.2
#: What every slice of a stack must share.
SHARED = (
    *("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "Modality", "Rows", "Columns"),
    *("PixelSpacing", "ImageOrientationPatient", "PhotometricInterpretation", "BitsAllocated", "RescaleType", "Units"),
)
#: UCUM unit by what the file says of its rescaled values.
RESCALED_UNITS = {"HU": "[hnsf'U]"}
PET_UNITS = {"BQML": "Bq/mL", "CNTS": "{counts}", "GML": "g/mL", "PROPCPS": "{counts}/s"}


class DicomSeries(Reader):
    """Read one DICOM series (CT, MR, PET) as one lazy volume in patient coordinates.

    Slices are single files, frames of an enhanced image, or tiles of a Siemens mosaic.

    Slices are ordered by their position along the slice normal, never by name or InstanceNumber, and their distance
    comes from positions, never from SliceThickness. A series with a gap, a duplicate position, gantry tilt or mixed
    orientations is refused, because no regular volume holds it.

    Parameters
    ----------
    series_uid
        SeriesInstanceUID to read where the folder holds several.
    patient_namespace
        Key of ``ids`` that holds the PatientID; when the catalog gives it, the files must agree.
    keep_padding
        Keep voxels that the file declares as padding (PixelPaddingValue) as numbers instead of NaN.
    phase_by
        DICOM keyword that tells the phases or echoes of a series apart, e.g. ``"TemporalPositionIdentifier"``; the
        result then has an axis ``t``. Several mosaics are told apart by their AcquisitionNumber.
    suv
        ``"bw"`` returns PET as standardised uptake by body weight, in g/mL.
    deidentify
        Whether UIDs in the notes become keyed ones, the same as in copies by `deidentify_dicom` of one project (its key
        is ``INTEGRATE_DEIDENTIFY_KEY``); a file whose pixels may show a name is then refused.

    Returns
    -------
    DataArray ``(z, y, x)``, or ``(t, z, y, x)``, Dask-backed, one chunk per slice, rescaled per slice; NaN
    where the scanner measured nothing. Coordinates are distances in mm of voxel centres from the outer corner of the
    volume along the slice normal, the image columns and the image rows, i.e. ``(k + 0.5) * spacing``.
    ``attrs["integrate"]`` holds

    - ``affine_lps``: 4 × 4, from voxel index ``(i, j, k, 1)`` (along x, y, z; integers are centres) to patient LPS mm;
    - ``origin_lps_mm`` (centre of the first voxel), ``direction`` (its columns are the unit vectors of i, j, k) and
      ``spacing_mm`` ``(z, y, x)``, whose z is ``None`` for a single slice;
    - ``position_residual_mm``: how far a slice lies off the stack, ``frame_of_reference_uid``, ``study_uid``,
      ``series_uid``, ``modality``, ``unit`` (UCUM, ``None`` when the file does not say), ``lossy``, ``padding``.

    Names and dates of the file are not kept.

    Raises
    ------
    DataError
        If a file is no DICOM or truncated, the slices are no regular volume, or patient or modality are not those the
        catalog names. The slices at fault are named.
    ParameterError
        If no series has the wanted UID.
    MissingDependencyError
        If the pixels are compressed in a way that needs another package.

    Examples
    --------
    >>> from pydicom import dcmread
    >>> from pydicom.data import get_testdata_file
    >>> slice_ = dcmread(get_testdata_file("CT_small.dcm"))
    >>> for number in range(3):
    ...     slice_.ImagePositionPatient[2] = 5.0 * number
    ...     slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}"
    ...     slice_.save_as(tmp_path / f"{9 - number}.dcm")
    >>> volume = DicomSeries(url=tmp_path).read()
    >>> volume.dims, volume.shape, volume["z"].attrs["units"]
    (('z', 'y', 'x'), (3, 128, 128), 'mm')
    >>> [round(step, 3) for step in volume.attrs["integrate"]["spacing_mm"]]
    [5.0, 0.661, 0.661]
    """

    output_instance = "xarray:DataArray"
    is_folder = True

    def _open(
        self,
        path: Path,
        *,
        series_uid: str | None = None,
        patient_namespace: str = "dicom_patient",
        keep_padding: bool = False,
        phase_by: str | None = None,
        suv: str | None = None,
        deidentify: bool = False,
    ) -> xr.DataArray:
        import dask.array as da

        if suv not in (None, "bw"):
            raise ParameterError(f'suv={suv!r}; give "bw" for uptake by body weight, or nothing')
        files, beside = read_headers(path)
        files = _one_series(files, series_uid, path)
        slices = [part for one in files for part in split_slices(one)]
        _check_places(slices)
        _check_shared(slices)
        header = slices[0].header
        self._check_promised(header, patient_namespace)
        check_decoder(files)
        phase_by = phase_by or ("AcquisitionNumber" if len(files) > 1 and all(map(is_mosaic, files)) else None)
        phases = _phases(slices, phase_by)
        stacks = [_stack(phase) for phase in phases.values()]
        grid = _common_grid([grid for _, grid in stacks], list(phases))
        uptake = None if suv is None else suv_body_weight(slices)
        scale = 1.0 if uptake is None else float(uptake["factor"])
        volumes = [lazy_slices(ordered, scale=scale, keep_padding=keep_padding) for ordered, _ in stacks]
        notes = {
            **grid.notes(),
            "modality": str(header.Modality),
            "unit": "g/mL" if uptake else _unit(header),
            "suv": uptake,
            "frame_of_reference_uid": str(header.get("FrameOfReferenceUID", "")),
            "study_uid": str(header.get("StudyInstanceUID", "")),
            "series_uid": str(header.SeriesInstanceUID),
            "lossy": any(one.header.get("LossyImageCompression") == "01" for one in files),
            "padding": "kept" if keep_padding else "NaN",
            "phases": {phase_by: [str(value) for value in phases]} if phase_by else None,
            "left_out": beside,
        }
        notes = mask_uids(notes, header) if deidentify else notes
        pixels = da.stack(volumes) if phase_by else volumes[0]
        time_s = _times([ordered for ordered, _ in stacks]) if phase_by else None
        return make_volume(pixels, grid, name=str(header.Modality), notes=notes, time_s=time_s)

    def _check_promised(self, header: Any, namespace: str) -> None:
        """Check patient and modality against what the catalog says; the wrong patient must never load."""
        expected, found = self.ids.get(namespace), str(header.get("PatientID", "")).strip()
        if expected is not None and found != expected:
            raise DataError(
                f"wrong patient: the catalog says {namespace}={expected!r}, the files say PatientID={found!r}; "
                "correct the catalog's ids or its location"
            )
        promised = str(self.metadata.get("modality", ""))
        if promised in ("CT", "MR", "PT") and promised != header.Modality:
            raise DataError(f"the catalog says modality {promised!r}, the files hold {str(header.Modality)!r}")


def _one_series(slices: Sequence[Slice], wanted: str | None, folder: Path) -> list[Slice]:
    found = Counter((str(one.header.SeriesInstanceUID), str(one.header.get("Modality", ""))) for one in slices)
    uids = [uid for uid, _ in found]
    if wanted is not None and wanted not in uids:
        raise ParameterError(f"no series {wanted!r} in folder {folder.name!r}; {closest(wanted, uids)}")
    if wanted is None and len(set(uids)) > 1:
        listed = [f"{uid} ({modality}, {count} files)" for (uid, modality), count in found.items()]
        cut_off = [f"{one.name} {one.pixel_fault}" for one in slices if one.pixel_fault]
        beware = f"; {len(cut_off)} files hold no whole image: {some(cut_off)}" if cut_off else ""
        raise DataError(
            f"folder {folder.name!r} holds {len(listed)} series; name one by series_uid=: {some(listed)}{beware}"
        )
    chosen = [one for one in slices if wanted is None or str(one.header.SeriesInstanceUID) == wanted]
    faults = [f"{one.name} {one.pixel_fault}" for one in chosen if one.pixel_fault]
    if faults:
        raise DataError(f"{len(faults)} of {len(chosen)} slices are truncated: {some(faults)}; copy them again")
    return chosen


def _check_places(slices: Sequence[Slice]) -> None:
    for one in slices:
        header = one.header
        if int(header.get("NumberOfFrames") or 1) > 1 and one.frame is None:
            raise DataError(f"{one.name} holds many frames and does not say where each lies; it is no volume")
        absent = [
            name
            for name in (
                "Rows",
                "Columns",
                "Modality",
                "PixelSpacing",
                "ImageOrientationPatient",
                "ImagePositionPatient",
            )
            if header.get(name) in (None, "", [])
        ]
        if absent:
            raise DataError(
                f"{one.name} states no {some(absent)}; without a place in the patient it is no volume, read it with "
                "DicomImage"
            )
        if int(header.get("SamplesPerPixel", 1)) != 1:
            raise DataError(f"{one.name} is a colour image; a volume has one number per voxel")
        if "ModalityLUTSequence" in header:
            raise DataError(f"{one.name} maps its values by a table (Modality LUT); only slope and intercept are read")


def _check_shared(slices: Sequence[Slice]) -> None:
    first = slices[0]
    for name in SHARED:
        odd = [one for one in slices if not _same(one.header.get(name), first.header.get(name))]
        if odd:
            values = f"{odd[0].header.get(name)} against {first.header.get(name)}"
            raise DataError(
                f"{len(odd)} of {len(slices)} slices differ from {first.name} in {name} ({values}): "
                f"{some(one.name for one in odd)}; they are no single volume, split the folder"
            )
    scaled = [one.name for one in slices if "RescaleSlope" in one.header]
    if 0 < len(scaled) < len(slices):
        raise DataError(
            f"{len(scaled)} of {len(slices)} slices state a rescale slope ({some(scaled)}), the rest do not"
        )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, (str, int, type(None))) or isinstance(other, (str, int, type(None))):
        return bool(one == other)
    return len(one) == len(other) and all(abs(float(a) - float(b)) <= 1e-4 for a, b in zip(one, other, strict=True))


def _phases(slices: Sequence[Slice], keyword: str | None) -> dict[Any, list[Slice]]:
    """Return the slices of each phase, in the order of the values that tell them apart."""
    if keyword is None:
        return {None: list(slices)}
    absent = [one.name for one in slices if one.header.get(keyword) in (None, "")]
    if absent:
        raise DataError(f"{len(absent)} of {len(slices)} slices state no {keyword}: {some(absent)}")
    values = {one.name: one.header.get(keyword) for one in slices}
    keys: dict[str, Any]
    try:
        keys = {name: float(value) for name, value in values.items()}
    except (TypeError, ValueError):
        keys = {name: str(value) for name, value in values.items()}
    phases: dict[Any, list[Slice]] = {key: [] for key in sorted(set(keys.values()))}
    for one in slices:
        phases[keys[one.name]].append(one)
    counts = Counter(len(phase) for phase in phases.values())
    if len(counts) > 1:
        listed = [f"{key}: {len(phase)}" for key, phase in phases.items()]
        raise DataError(f"phases by {keyword} have different numbers of slices ({some(listed)}); slices are missing")
    return phases


def _common_grid(grids: Sequence[Grid], phases: Sequence[Any]) -> Grid:
    import numpy as np

    first = np.array(grids[0].affine_lps())
    for grid, phase in zip(grids, phases, strict=True):
        if np.abs(np.array(grid.affine_lps()) - first).max() > TOLERANCE_MM:
            raise DataError(f"phase {phase!r} lies elsewhere than phase {phases[0]!r}; they are no single series")
    return grids[0]


def _times(stacks: Sequence[Sequence[Slice]]) -> list[float] | None:
    """Return the seconds at which each phase began, ``None`` when the files do not say or time does not run."""
    began = [min((_acquired_s(one.header) for one in stack), default=math.nan) for stack in stacks]
    times = [moment - began[0] for moment in began]
    return times if all(later > earlier for earlier, later in pairwise(times)) else None


def _acquired_s(header: Any) -> float:
    """Return the second of the day a slice was acquired at; NaN when it does not say."""
    text = str(header.get("AcquisitionTime") or "")
    if len(text) < 6 or not text[:6].isdigit():
        return math.nan
    return int(text[:2]) * 3600.0 + int(text[2:4]) * 60 + float(text[4:])


def _stack(slices: Sequence[Slice]) -> tuple[list[Slice], Grid]:
    """Return the slices in order along their normal, and the grid they lie on."""
    import numpy as np

    header = slices[0].header
    along_row, along_column = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(along_row, along_column)
    lengths = np.array([np.linalg.norm(along_row), np.linalg.norm(along_column), np.linalg.norm(normal)])
    if not np.allclose(lengths, 1, atol=1e-3):
        raise DataError(f"ImageOrientationPatient of {slices[0].name} is no pair of perpendicular unit vectors")
    direction = np.stack([along_row, along_column, normal], axis=1) / lengths
    row_step, column_step = (float(step) for step in header.PixelSpacing)  # distance of rows, then of columns
    positions = np.array([one.header.ImagePositionPatient for one in slices], float)
    order = np.argsort(positions @ direction[:, 2], kind="stable")
    ordered = [slices[i] for i in order]
    offsets = (positions[order] - positions[order[0]]) @ direction  # along x, y, z of the stack
    step, residual = _even_step(ordered, offsets, min(row_step, column_step))
    grid = Grid(
        origin_lps_mm=tuple(positions[order[0]].tolist()),
        direction=tuple(tuple(row) for row in direction.tolist()),
        spacing_mm=(step, row_step, column_step),
        residual_mm=residual,
    )
    return ordered, grid


def _even_step(ordered: Sequence[Slice], offsets: np.ndarray[Any, Any], pixel_mm: float) -> tuple[float | None, float]:
    """Return the distance of slices and the largest departure from an even, straight stack.

    Raises
    ------
    DataError
        If positions repeat, a slice is missing, or slices are displaced within their plane (gantry tilt).
    """
    import numpy as np

    if len(ordered) == 1:
        return None, 0.0
    names, heights = [one.name for one in ordered], offsets[:, 2]
    steps = np.diff(heights)
    step = float(heights[-1] / (len(heights) - 1))
    tolerance = min(TOLERANCE_MM, TOLERANCE_SHARE * min(float(np.median(steps)) or pixel_mm, pixel_mm))
    pairs = [f"{names[k]} and {names[k + 1]}" for k in np.flatnonzero(steps <= tolerance)]
    if pairs:
        raise DataError(
            f"{len(pairs)} slices share a position with another: {some(pairs)}; they are copies, phases or echoes, "
            "keep one of each, or name what tells them apart by phase_by="
        )
    ideal = np.arange(len(heights)) * step
    if np.abs(heights - ideal).max() > tolerance:
        usual = float(np.median(steps))
        pairs = [f"{steps[k]:.2f} mm from {names[k]} to {names[k + 1]}" for k in _odd_steps(steps, usual, tolerance)]
        raise DataError(f"slices are unevenly spaced: {usual:.2f} mm as a rule, but {some(pairs)}; slices are missing")
    drift = np.linalg.norm(offsets[:, :2], axis=1)
    if drift.max() > tolerance:
        angle = float(np.degrees(np.arctan2(drift[-1], heights[-1])))
        raise DataError(
            f"slices are displaced within their plane, by up to {drift.max():.2f} mm ({names[int(drift.argmax())]}); "
            f"with a gantry tilted by {angle:.1f}° they are no rectangular volume, correct the tilt first"
        )
    residual = np.hypot(heights - ideal, drift).max()
    return step, float(residual)


def _odd_steps(steps: np.ndarray[Any, Any], usual: float, tolerance: float) -> list[int]:
    """Return which steps depart from the usual one, or the single worst when each departs only a little."""
    import numpy as np

    departures = np.abs(steps - usual)
    return [int(k) for k in np.flatnonzero(departures > tolerance)] or [int(departures.argmax())]


def _unit(header: Any) -> str | None:
    """Return the UCUM unit of rescaled values, ``None`` when the file does not say."""
    if header.Modality == "CT" and "RescaleSlope" in header:
        return RESCALED_UNITS.get(
            str(header.get("RescaleType") or "HU")
        )  # HU is what CT means unless it says otherwise
    if header.Modality == "PT":
        return PET_UNITS.get(str(header.get("Units", "")))
    return None
