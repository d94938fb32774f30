"""Single DICOM pictures and clips (ultrasound, X-ray, secondary capture) that have no place in a volume."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.deidentify import mask_uids
from integrate.readers.dicom_files import Slice, read_header
from integrate.readers.dicom_pixels import check_decoder, decode_frame

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["DicomImage"]

#: Channel names by samples per pixel; colour is decoded to RGB.
SAMPLES = {1: ["value"], 3: ["red", "green", "blue"]}
#: Code of "cm" in an ultrasound region, and of tissue in two dimensions.
CENTIMETRE, TISSUE_2D = 3, 1


class DicomImage(Reader):
    """Read one DICOM file of pictures (US, CR, DX, MG, XA, SC …) as a lazy image.

    Parameters
    ----------
    patient_namespace
        Key of ``ids`` that holds the PatientID; when the catalog gives it, the file must agree.
    deidentify
        Whether UIDs in the notes become keyed ones, the same as in copies by `deidentify_dicom` of one project (its key
        is ``INTEGRATE_DEIDENTIFY_KEY``); a file whose pixels may show a name is then refused.

    Returns
    -------
    DataArray ``(c, y, x)``, or ``(t, c, y, x)`` for a clip, Dask-backed, a chunk per frame. Channels are ``red``,
    ``green``, ``blue``, or ``value``. Values are as stored, or rescaled where the header gives a slope. Coordinates are
    mm where the header states a spacing, else pixels; ``attrs["integrate"]`` says of which plane: ``spacing_at`` is
    ``"patient"``, ``"detector"`` (an X-ray enlarges what lies before it) or ``None``. It also has ``spacing_mm``
    ``(y, x)``, ``regions`` (the calibrated areas of an ultrasound picture), ``photometric`` (``MONOCHROME1`` means that
    low values are bright; it is not inverted), ``burned_in`` (whether text of the patient may be in the pixels:
    ``"YES"``, ``"NO"`` or ``None`` for not stated), ``modality``, ``lossy`` and the UIDs.

    Raises
    ------
    DataError
        If the file is no DICOM image, is truncated, or patient or modality are not those the catalog names.
    MissingDependencyError
        If the pixels are compressed in a way that needs another package.

    Examples
    --------
    >>> from pydicom.data import get_testdata_file
    >>> image = DicomImage(url=get_testdata_file("CT_small.dcm")).read()
    >>> image.dims, image.shape, image.attrs["integrate"]["modality"]
    (('c', 'y', 'x'), (1, 128, 128), 'CT')
    """

    output_instance = "xarray:DataArray"

    def _open(self, path: Path, *, patient_namespace: str = "dicom_patient", deidentify: bool = False) -> xr.DataArray:
        import xarray as xr

        one = read_header(path)
        header = one.header
        if "Rows" not in header or "Columns" not in header:
            raise DataError(f"{path.name} is DICOM ({header.get('Modality')}) without pixels; name another reader")
        if one.pixel_fault:
            raise DataError(f"{path.name} {one.pixel_fault}; copy it again")
        check_promised(self, header, patient_namespace)
        check_decoder([one])
        channels = SAMPLES.get(int(header.get("SamplesPerPixel", 1)), SAMPLES[1])
        if header.get("PhotometricInterpretation") == "PALETTE COLOR":
            raise DataError(f"{path.name} keeps its colours in a palette; convert it to RGB")
        pixels = _lazy_frames(one, len(channels))
        spacing, plane, regions = _spacing(header)
        coords: dict[str, Any] = {"c": channels}
        for axis, n, step in zip("yx", pixels.shape[-2:], spacing or (1.0, 1.0), strict=True):
            coords[axis] = _centres(axis, n, step, "mm" if spacing else "px")
        notes = {
            "spacing_mm": list(spacing) if spacing else None,
            "spacing_at": plane,
            "regions": regions,
            "pixel_size_um": [step * 1000 for step in spacing] if spacing and plane == "patient" else None,
            "modality": str(header.get("Modality", "")),
            "photometric": str(header.get("PhotometricInterpretation", "")),
            "burned_in": header.get("BurnedInAnnotation"),
            "lossy": header.get("LossyImageCompression") == "01",
            "study_uid": str(header.get("StudyInstanceUID", "")),
            "series_uid": str(header.SeriesInstanceUID),
        }
        dims = ("t", "c", "y", "x")[-pixels.ndim :]
        if "t" in dims:
            coords["t"] = _frame_times(header, pixels.shape[0])
        notes = mask_uids(notes, header) if deidentify else notes
        return xr.DataArray(pixels, dims=dims, coords=coords, name=notes["modality"], attrs={ATTRS: notes})


def check_promised(reader: Reader, header: Any, namespace: str) -> None:
    """Check patient and modality against what the catalog says; the wrong patient must never load.

    Raises
    ------
    DataError
        If they differ.
    """
    expected, found = reader.ids.get(namespace), str(header.get("PatientID", "")).strip()
    if expected is not None and found != expected:
        raise DataError(
            f"wrong patient: the catalog says {namespace}={expected!r}, the files say PatientID={found!r}; "
            "correct the catalog's ids or its location"
        )
    promised, modality = str(reader.metadata.get("modality", "")), str(header.get("Modality", ""))
    if promised in ("CT", "MR", "PT", "US", "CR", "DX", "MG", "XA") and promised != modality:
        raise DataError(f"the catalog says modality {promised!r}, the files hold {modality!r}")


def _centres(axis: str, count: int, step: float, unit: str) -> tuple[str, Any, dict[str, str]]:
    import numpy as np

    return axis, (np.arange(count) + 0.5) * step, {"units": unit}


def _frame_times(header: Any, count: int) -> tuple[str, Any, dict[str, str]]:
    """Return the coordinate of frames: seconds where the header states them, else numbers."""
    import numpy as np

    steps = [float(v) for v in header.get("FrameTimeVector") or ()]
    if len(steps) == count:
        return "t", np.cumsum(steps) / 1000, {"units": "s"}
    if header.get("FrameTime"):
        return "t", np.arange(count) * float(header.FrameTime) / 1000, {"units": "s"}
    return "t", np.arange(count), {"units": "1"}


def _spacing(header: Any) -> tuple[tuple[float, float] | None, str | None, list[dict[str, Any]]]:
    """Return ``(y, x)`` in mm, the plane it holds for, and the calibrated regions of an ultrasound picture."""
    for keyword, plane in (("PixelSpacing", "patient"), ("ImagerPixelSpacing", "detector")):
        values = header.get(keyword)
        if values and len(values) == 2 and all(float(v) > 0 for v in values):
            return (float(values[0]), float(values[1])), plane, []
    regions: list[dict[str, Any]] = [
        {
            "box": [int(one.get(f"RegionLocation{key}", 0)) for key in ("MinY0", "MinX0", "MaxY1", "MaxX1")],
            "spacing_mm": [abs(float(one.PhysicalDeltaY)) * 10, abs(float(one.PhysicalDeltaX)) * 10],
        }
        for one in header.get("SequenceOfUltrasoundRegions") or ()
        if one.get("PhysicalUnitsXDirection") == one.get("PhysicalUnitsYDirection") == CENTIMETRE
        and one.get("RegionSpatialFormat") == TISSUE_2D
        and float(one.get("PhysicalDeltaX") or 0)
        and float(one.get("PhysicalDeltaY") or 0)
    ]
    found = {tuple(region["spacing_mm"]) for region in regions}
    if len(found) == 1:  # several regions of one scale are one picture
        y, x = found.pop()
        return (y, x), "patient", regions
    return None, None, regions


def _lazy_frames(one: Slice, channels: int) -> Any:
    import dask.array as da
    import numpy as np
    from dask.delayed import delayed

    header = one.header
    shape = (channels, int(header.Rows), int(header.Columns))
    rescale = None
    if "RescaleSlope" in header and "ModalityLUTSequence" not in header:
        rescale = (float(header.RescaleSlope), float(header.get("RescaleIntercept", 0)))
        rescale = None if rescale == (1.0, 0.0) else rescale
    bits = max(int(header.BitsAllocated), 8)
    stored = np.dtype(f"{'i' if header.get('PixelRepresentation') else 'u'}{bits // 8}")
    dtype = stored if rescale is None else np.dtype("float32" if bits <= 16 else "float64")
    count = int(header.get("NumberOfFrames") or 1)
    decode = delayed(_frame, pure=True)
    changed = one.file.stat().st_mtime_ns
    frames = [
        da.from_delayed(
            decode(one.file, changed, None if count == 1 else number, shape, dtype.str, rescale),
            shape=shape,
            dtype=dtype,
        )
        for number in range(count)
    ]
    return frames[0] if count == 1 else da.stack(frames)


def _frame(
    file: Path,
    changed_ns: int,
    number: int | None,
    shape: tuple[int, int, int],
    dtype: str,
    rescale: tuple[float, float] | None,
) -> np.ndarray[Any, Any]:
    """Return one frame as ``(c, y, x)``; ``changed_ns`` is there for its token."""
    import numpy as np

    stored = decode_frame(file, number)
    stored = stored[None] if stored.ndim == 2 else np.moveaxis(stored, -1, 0)
    if stored.shape != shape:
        raise DataError(f"{file.name} decodes to shape {stored.shape}, its header says {shape}; the file is damaged")
    return (stored if rescale is None else stored.astype(np.float64) * rescale[0] + rescale[1]).astype(dtype)
