"""DICOM series: slices stacked by their positions in the patient, with the geometry they state and no other."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, MissingDependencyError, ParameterError, closest, some
from integrate.readers.base import Reader
from integrate.readers.grid import Grid, make_volume

if TYPE_CHECKING:
    import dask.array as da
    import numpy as np
    import xarray as xr

__all__ = ["DicomSeries"]

#: Slices may lie this far off an even, straight stack: positions are often written to a tenth of a millimetre.
TOLERANCE_MM = 0.15
#: … and never further than this share of the smallest voxel edge, or a gap in a micro-CT would pass.
TOLERANCE_SHARE = 0.2
#: Files that lie beside DICOM files and are none. Any other that is no DICOM is an error: it may be a cut-off slice.
BESIDE = (".csv", ".json", ".log", ".md", ".pdf", ".tsv", ".txt", ".xml", ".yaml", ".yml")
#: What pydicom and its decoders raise on damaged bytes.
DAMAGE = (
    *(EOFError, OSError, struct.error, zlib.error),
    *(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
)
#: What every slice of a stack must share.
SHARED = (
    *("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "Modality", "Rows", "Columns"),
    *("PixelSpacing", "ImageOrientationPatient", "PhotometricInterpretation", "BitsAllocated", "RescaleType", "Units"),
)
#: UCUM unit by what the file says of its rescaled values.
RESCALED_UNITS = {"HU": "[hnsf'U]"}
PET_UNITS = {"BQML": "Bq/mL", "CNTS": "{counts}", "GML": "g/mL", "PROPCPS": "{counts}/s"}


class DicomSeries(Reader):
    """Read the single-frame slices of one DICOM series (CT, MR, PET) as one lazy volume in patient coordinates.

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

    Returns
    -------
    DataArray ``(z, y, x)``, Dask-backed, one chunk per slice, rescaled per slice; NaN where the scanner measured
    nothing. Coordinates are distances in mm of voxel centres from the outer corner of the volume along the slice
    normal, the image columns and the image rows, i.e. ``(k + 0.5) * spacing``. ``attrs["integrate"]`` holds

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
    ) -> xr.DataArray:
        slices, beside = _read_headers(path)
        slices = _one_series(slices, series_uid, path)
        _check_single_frames(slices)
        _check_shared(slices)
        header = slices[0].header
        self._check_promised(header, patient_namespace)
        slices, grid = _stack(slices)
        pixels = _lazy_slices(slices, keep_padding=keep_padding)
        notes = {
            **grid.notes(),
            "modality": str(header.Modality),
            "unit": _unit(header),
            "frame_of_reference_uid": str(header.get("FrameOfReferenceUID", "")),
            "study_uid": str(header.get("StudyInstanceUID", "")),
            "series_uid": str(header.SeriesInstanceUID),
            "lossy": any(one.header.get("LossyImageCompression") == "01" for one in slices),
            "padding": "kept" if keep_padding else "NaN",
            "left_out": beside,
        }
        return make_volume(pixels, grid, name=str(header.Modality), notes=notes)

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


@dataclass(frozen=True, slots=True)
class _Slice:
    """One file: its header, and what is wrong with its pixels (``""`` when nothing is)."""

    file: Path
    header: Any
    pixel_fault: str

    @property
    def name(self) -> str:
        return self.file.name


def _read_headers(folder: Path) -> tuple[list[_Slice], list[str]]:
    """Return every DICOM file of the folder, and the names of the others."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    beside = [f for f in files if f.name.startswith(".") or f.name == "DICOMDIR" or f.suffix.lower() in BESIDE]
    slices = [_read_header(file) for file in files if file not in set(beside)]
    if not slices:
        raise DataError(f"no DICOM file in folder {folder.name!r}; found {len(files)} other files")
    return slices, [file.name for file in beside]


def _read_header(file: Path) -> _Slice:
    import pydicom

    with file.open("rb") as stream, warnings.catch_warnings():
        # about values that break a rule of the standard; those we use are checked here, and nobody can act on the rest
        warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")
        try:
            header = pydicom.dcmread(stream, stop_before_pixels=True)
            if "SeriesInstanceUID" not in header:
                raise DataError(f"{file.name} has no SeriesInstanceUID; it is truncated or not an image")
            return _Slice(file, header, _pixel_fault(stream, header, file.stat().st_size))
        except pydicom.errors.InvalidDicomError as error:
            raise DataError(f"{file.name} is not a DICOM file; it is empty, cut off, or another format") from error
        except DAMAGE as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{file.name} is not a readable DICOM file ({error}); it may be truncated") from error


def _pixel_fault(stream: Any, header: Any, size: int) -> str:
    """Return what is wrong with the pixel data that begins here, without reading it."""
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    if header.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return ""  # inflating has checked it
    implicit, little = header.original_encoding
    order = "<" if little else ">"
    start = stream.read(8 if implicit else 12)
    if len(start) < (8 if implicit else 12):
        return "ends before its pixels"
    length = struct.unpack(f"{order}I", start[-4:])[0]
    if length == 0xFFFFFFFF:
        return "" if _fragments_end(stream, size) else "ends inside its pixels"
    needed = int(header.get("Rows", 0)) * int(header.get("Columns", 0)) * int(header.get("BitsAllocated", 0)) // 8
    if stream.tell() + length > size:
        return f"ends inside its pixels ({size - stream.tell():,} of {length:,} bytes)"
    return f"holds {length:,} bytes of pixels for an image of {needed:,}" if length < needed else ""


def _fragments_end(stream: Any, size: int) -> bool:
    """Walk over the fragments of compressed pixels to their end mark, without reading them."""
    while stream.tell() < size:
        item = stream.read(8)
        if len(item) < 8:
            return False
        group, element, length = struct.unpack("<HHI", item)
        if (group, element) == (0xFFFE, 0xE0DD):
            return True
        stream.seek(length, 1)
    return False


def _one_series(slices: Sequence[_Slice], wanted: str | None, folder: Path) -> list[_Slice]:
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


def _check_single_frames(slices: Sequence[_Slice]) -> None:
    for one in slices:
        header = one.header
        if int(header.get("NumberOfFrames") or 1) > 1 or "PerFrameFunctionalGroupsSequence" in header:
            raise DataError(f"{one.name} holds many frames in one file; only series of single slices are read yet")
        if "MOSAIC" in (header.get("ImageType") or ()):
            raise DataError(f"{one.name} is a Siemens mosaic, many slices tiled in one image; it is not read yet")
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
            raise DataError(f"{one.name} states no {some(absent)}; without a place in the patient it is no volume")
        if int(header.get("SamplesPerPixel", 1)) != 1:
            raise DataError(f"{one.name} is a colour image; a volume has one number per voxel")
        if "ModalityLUTSequence" in header:
            raise DataError(f"{one.name} maps its values by a table (Modality LUT); only slope and intercept are read")


def _check_shared(slices: Sequence[_Slice]) -> None:
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


def _stack(slices: Sequence[_Slice]) -> tuple[list[_Slice], Grid]:
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


def _even_step(ordered: Sequence[_Slice], offsets: np.ndarray[Any, Any], pixel_mm: float) -> tuple[float | None, float]:
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
            "keep one of each"
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


def _lazy_slices(slices: Sequence[_Slice], *, keep_padding: bool) -> da.Array:
    import dask.array as da
    import numpy as np
    from dask.delayed import delayed

    header = slices[0].header
    _check_decoder(slices)
    shape = (int(header.Rows), int(header.Columns))
    dtype = np.dtype("float32" if int(header.BitsAllocated) <= 16 else "float64")
    decode = delayed(_decode, pure=True)
    planes = [
        da.from_delayed(
            decode(
                one.file,
                one.file.stat().st_mtime_ns,
                shape,
                dtype.str,
                (float(one.header.get("RescaleSlope", 1)), float(one.header.get("RescaleIntercept", 0))),
                None if keep_padding else _padding(one.header),
            ),
            shape=shape,
            dtype=dtype,
        )
        for one in slices
    ]
    return da.stack(planes)


def _check_decoder(slices: Sequence[_Slice]) -> None:
    from pydicom.pixels.decoders.base import get_decoder

    for uid in {one.header.file_meta.get("TransferSyntaxUID") for one in slices}:
        if uid is None:
            raise DataError(f"{slices[0].name} does not state how its pixels are stored (TransferSyntaxUID)")
        try:
            decoder = get_decoder(uid)
        except NotImplementedError as error:
            raise DataError(
                f"pixels are stored as {uid.name}, which no decoder here reads; convert the files"
            ) from error
        if not decoder.is_available:
            raise MissingDependencyError(
                f"pixels are stored as {uid.name}; to read them: pip install pylibjpeg pylibjpeg-openjpeg pylibjpeg-rle"
            )


def _padding(header: Any) -> tuple[int, int] | None:
    """Return the lowest and highest stored value that mean "nothing was measured here"."""
    if header.get("PixelPaddingValue") is None:
        return None
    signed, bits = int(header.get("PixelRepresentation", 0)), int(header.BitsAllocated)
    ends = [int(header.PixelPaddingValue), int(header.get("PixelPaddingRangeLimit") or header.PixelPaddingValue)]
    low, high = sorted(end - (1 << bits) if signed and end >= 1 << (bits - 1) else end for end in ends)
    return low, high


def _decode(
    file: Path,
    changed_ns: int,
    shape: tuple[int, int],
    dtype: str,
    rescale: tuple[float, float],
    padding: tuple[int, int] | None,
) -> np.ndarray[Any, Any]:
    """Return one slice; ``changed_ns`` is there for its token, so that a rewritten file is decoded again."""
    import numpy as np
    import pydicom

    try:
        stored = pydicom.dcmread(file).pixel_array
    except (*DAMAGE, pydicom.errors.InvalidDicomError) as error:
        raise DataError(f"{file.name} cannot be decoded ({error}); the file is damaged or has changed") from error
    if stored.shape != shape:
        raise DataError(f"{file.name} decodes to shape {stored.shape}, its header says {shape}; the file is damaged")
    values = (stored.astype(np.float64) * rescale[0] + rescale[1]).astype(dtype)
    if padding is not None:
        values[(stored >= padding[0]) & (stored <= padding[1])] = np.nan
    return values


def _unit(header: Any) -> str | None:
    """Return the UCUM unit of rescaled values, ``None`` when the file does not say."""
    if header.Modality == "CT" and "RescaleSlope" in header:
        return RESCALED_UNITS.get(
            str(header.get("RescaleType") or "HU")
        )  # HU is what CT means unless it says otherwise
    if header.Modality == "PT":
        return PET_UNITS.get(str(header.get("Units", "")))
    return None
