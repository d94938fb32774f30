"""Volumes in NIfTI, NRRD and MetaImage files, in the patient's left-posterior-superior millimetres."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, warn
from integrate.readers.base import Reader
from integrate.readers.grid import Grid, make_volume

if TYPE_CHECKING:
    import dask.array as da
    import numpy as np
    import xarray as xr

__all__ = ["Volume", "as_labels"]

NIFTI = (".nii", ".nii.gz")
ITK = (".nrrd", ".nhdr", ".mha", ".mhd")
#: numpy type by NIfTI datatype code.
TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
#: Millimetres and seconds per unit, by NIfTI code; 0 is "not stated", which everybody reads as mm and s.
MILLIMETRES = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}
SECONDS = {0: 1.0, 8: 1.0, 16: 1e-3, 24: 1e-6}
#: Places of the fields of a NIfTI-1 and a NIfTI-2 header: numpy type without byte order, count, offset.
FIELDS = {
    348: {
        **{"dim": ("i2", 8, 40), "datatype": ("i2", 1, 70), "pixdim": ("f4", 8, 76), "vox_offset": ("f4", 1, 108)},
        **{"slope": ("f4", 1, 112), "inter": ("f4", 1, 116), "units": ("u1", 1, 123), "qform": ("i2", 1, 252)},
        **{"sform": ("i2", 1, 254), "quatern": ("f4", 6, 256), "srow": ("f4", 12, 280)},
    },
    540: {
        **{"dim": ("i8", 8, 16), "datatype": ("i2", 1, 12), "pixdim": ("f8", 8, 104), "vox_offset": ("i8", 1, 168)},
        **{"slope": ("f8", 1, 176), "inter": ("f8", 1, 184), "units": ("i4", 1, 500), "qform": ("i4", 1, 344)},
        **{"sform": ("i4", 1, 348), "quatern": ("f8", 6, 352), "srow": ("f8", 12, 400)},
    },
}
#: sform and qform that place a corner of the volume further apart than this contradict each other.
CONFLICT_MM = 0.1


class Volume(Reader):
    """Read a NIfTI-1/2, NRRD or MetaImage file as one lazy volume in patient coordinates.

    Parameters
    ----------
    labels
        The voxels are ids of regions: they must be whole numbers (some tools store them as floating point), and come
        back as integers.
    unit
        UCUM unit of the values; these files do not state one.

    Returns
    -------
    DataArray ``(z, y, x)``, or ``(t, z, y, x)`` for a series, Dask-backed: a chunk per slice of an uncompressed NIfTI,
    otherwise one chunk. Values are scaled as the header says; without a scale they keep their stored type.
    Coordinates are mm from the outer corner, as those of `DicomSeries`, with the same notes: ``affine_lps``,
    ``origin_lps_mm``, ``direction``, ``spacing_mm``. ``orientation`` is ``"LPS"``, or ``None`` with a warning when the
    file does not say how the volume lies in the patient; ``affine_lps`` then only scales.

    Raises
    ------
    DataError
        If the file is truncated or another format, its axes are not perpendicular, it holds more than one number per
        voxel, or (``labels=True``) a voxel is no whole number.

    Notes
    -----
    Where the two matrices of a NIfTI header contradict each other, the sform is used, with a warning. Millimetres are
    made of the unit the header states (readers differ: some ignore it).

    Examples
    --------
    >>> import numpy as np, SimpleITK as sitk
    >>> image = sitk.GetImageFromArray(np.ones((3, 4, 5), "int16"))
    >>> image.SetSpacing((0.8, 0.8, 2.5))
    >>> sitk.WriteImage(image, tmp_path / "a.nii.gz")
    >>> volume = Volume(url=tmp_path / "a.nii.gz").read()
    >>> volume.dims, [round(step, 3) for step in volume.attrs["integrate"]["spacing_mm"]]
    (('z', 'y', 'x'), [2.5, 0.8, 0.8])
    """

    output_instance = "xarray:DataArray"

    def _open(self, path: Path, *, labels: bool = False, unit: str | None = None) -> xr.DataArray:
        import dask.array as da

        name = path.name.lower()
        if name.endswith(NIFTI):
            stored = _read_nifti(path)
        elif name.endswith(ITK):
            stored = _read_itk(path)
        else:
            raise DataError(f"{path.name} is none of {', '.join(NIFTI + ITK)}; name its reader, or convert it")
        pixels = stored.pixels
        if labels:
            dtype = pixels.dtype if pixels.dtype.kind in "iu" else "int32"
            pixels = da.map_blocks(as_labels, pixels, name_of=path.name, dtype=dtype)
        notes = {**stored.grid.notes(), **stored.notes, "unit": unit, "modality": self.metadata.get("modality")}
        if not stored.placed:
            notes["orientation"] = None
            warn(f"{path.name} does not say how it lies in the patient; only its voxel size is known")
        return make_volume(pixels, stored.grid, name=path.name.partition(".")[0], notes=notes, time_s=stored.time_s)


@dataclass(frozen=True, slots=True)
class _Stored:
    """What a file holds: pixels in ``(t, z, y, x)``, their grid, and whether the file placed it in the patient."""

    pixels: da.Array
    grid: Grid
    placed: bool
    notes: dict[str, Any]
    time_s: Any = None


def as_labels(block: np.ndarray[Any, Any], *, name_of: str) -> np.ndarray[Any, Any]:
    """Return a block of whole numbers as integers.

    Raises
    ------
    DataError
        If a number is not whole: the file is an image.
    """
    import numpy as np

    if block.dtype.kind in "iu":
        return block
    whole = np.rint(block)
    if not np.array_equal(whole, block):
        raise DataError(f"{name_of} holds values that are no whole numbers; it is an image, not labels")
    return whole.astype("int32")


# --- NIfTI -----------------------------------------------------------------------------------------------------------


def _read_nifti(path: Path) -> _Stored:
    import numpy as np

    header, order = _nifti_header(path)
    shape = _nifti_shape(header, path)
    code = int(header["datatype"][0])
    if code not in TYPES:
        raise DataError(f"{path.name} has NIfTI data type {code}; only one real number per voxel is read")
    stored = np.dtype(order + TYPES[code])
    slope, inter = float(header["slope"][0]), float(header["inter"][0])
    scaled = math.isfinite(slope) and math.isfinite(inter) and slope != 0 and (slope, inter) != (1.0, 0.0)
    dtype = np.dtype("f4" if stored.itemsize <= 2 else "f8") if scaled else stored.newbyteorder("=")
    pixels = _nifti_pixels(path, shape, stored, int(header["vox_offset"][0]), (slope, inter) if scaled else None, dtype)
    units = int(header["units"][0])
    affine, placed = _nifti_affine(header, MILLIMETRES.get(units & 0x07, 1.0), path)
    step_s = float(header["pixdim"][4]) * SECONDS.get(units & 0x38, 0.0)
    time_s = np.arange(shape[0]) * step_s if len(shape) == 4 and step_s > 0 else None
    notes = {"stored_as": stored.newbyteorder("=").name, "scale": [slope, inter] if scaled else None}
    return _Stored(pixels, Grid.from_affine(affine, where=path.name), placed, notes, time_s)


def _nifti_header(path: Path) -> tuple[dict[str, Any], str]:
    import numpy as np

    try:
        with _opener(path)(path, "rb") as stream:
            raw = stream.read(540)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path.name} is not a readable NIfTI file ({error}); it may be truncated") from error
    for order in "<>":
        size = int(np.frombuffer(raw, f"{order}i4", 1)[0]) if len(raw) >= 4 else 0
        if size in FIELDS and len(raw) >= size:
            magic = raw[344:348] if size == 348 else raw[4:8]
            if magic.startswith(b"ni"):
                raise DataError(f"{path.name} is half of a .hdr/.img pair; save it as one .nii file")
            if magic[:2] == b"n+":
                header = {k: np.frombuffer(raw, order + t, n, at) for k, (t, n, at) in FIELDS[size].items()}
                return header, order
    raise DataError(f"{path.name} is not a NIfTI file; it is empty, cut off, or another format")


def _nifti_shape(header: dict[str, Any], path: Path) -> tuple[int, ...]:
    """Return ``(z, y, x)`` or ``(t, z, y, x)``."""
    count = int(header["dim"][0])
    sizes = [int(n) for n in header["dim"][1 : count + 1]] if 1 <= count <= 7 else []
    if len(sizes) < 2 or min(sizes) < 1 or any(n > 1 for n in sizes[4:]):
        raise DataError(f"{path.name} has dimensions {sizes or count}; expected x, y, z and at most time")
    sizes = [*sizes[:4], *[1] * (3 - len(sizes))]
    sizes = sizes[:3] if len(sizes) == 4 and sizes[3] == 1 else sizes
    return tuple(reversed(sizes))


def _nifti_affine(header: dict[str, Any], to_mm: float, path: Path) -> tuple[np.ndarray[Any, Any], bool]:
    """Return the LPS matrix in mm, and whether the header stated one."""
    import numpy as np

    found = []
    if int(header["sform"][0]) > 0:
        found.append(np.vstack([header["srow"].astype(float).reshape(3, 4), [0, 0, 0, 1]]))
    if int(header["qform"][0]) > 0:
        found.append(_quaternion_affine(header))
    to_lps = np.diag([-to_mm, -to_mm, to_mm, 1.0])
    if not found:
        return np.diag([*(np.abs(header["pixdim"][1:4]).astype(float) * to_mm), 1.0]), False
    if len(found) == 2:
        ends = np.array([[0, 0, 0, 1], [*(header["dim"][1:4] - 1), 1]], float)
        apart = float(np.linalg.norm(((found[0] - found[1]) @ ends.T)[:3], axis=0).max()) * to_mm
        if apart > CONFLICT_MM:
            warn(f"sform and qform of {path.name} place a corner {apart:.2f} mm apart; the sform is used")
    return to_lps @ found[0], True


def _quaternion_affine(header: dict[str, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    b, c, d, *offset = (float(v) for v in header["quatern"])
    a = math.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    steps = np.abs(header["pixdim"][1:4].astype(float)) * [1, 1, -1 if header["pixdim"][0] < 0 else 1]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = rotation * steps, offset
    return affine


def _opener(path: Path) -> Callable[..., Any]:
    return gzip.open if path.name.lower().endswith(".gz") else open


def _nifti_pixels(
    path: Path,
    shape: tuple[int, ...],
    stored: np.dtype[Any],
    offset: int,
    scale: tuple[float, float] | None,
    dtype: np.dtype[Any],
) -> da.Array:
    import dask.array as da
    import numpy as np
    from dask.base import tokenize

    packed = _opener(path) is not open
    needed, size = offset + math.prod(shape) * stored.itemsize, path.stat().st_size
    if not packed and needed > size:
        raise DataError(f"{path.name} is truncated: its header promises {needed:,} bytes, the file has {size:,}")
    chunks = shape if packed else (*[1] * (len(shape) - 2), *shape[-2:])
    return da.map_blocks(
        _nifti_block,
        chunks=da.core.normalize_chunks(chunks, shape),
        dtype=dtype,
        meta=np.empty((0,) * len(shape), dtype),
        name="nifti-" + tokenize(path, path.stat().st_mtime_ns, shape, chunks, dtype),
        path=path,
        stored=stored,
        offset=offset,
        scale=scale,
        out=dtype,
    )


def _nifti_block(
    *,
    path: Path,
    stored: np.dtype[Any],
    offset: int,
    scale: tuple[float, float] | None,
    out: np.dtype[Any],
    block_info: Any = None,
) -> np.ndarray[Any, Any]:
    import numpy as np

    info = block_info[None]
    starts = [start for start, _ in info["array-location"]]
    size = math.prod(info["chunk-shape"]) * stored.itemsize
    first = int(np.ravel_multi_index(starts, info["shape"])) * stored.itemsize  # blocks are contiguous in the file
    try:
        with _opener(path)(path, "rb") as stream:
            stream.seek(offset + first)
            raw = stream.read(size)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path.name} cannot be unpacked ({error}); it is truncated or damaged") from error
    if len(raw) < size:
        raise DataError(f"{path.name} is truncated: {len(raw):,} of {size:,} bytes of a block are there; copy it again")
    values = np.frombuffer(raw, stored).reshape(info["chunk-shape"])
    if scale is None:
        return values.astype(out)
    return (values.astype(np.float64) * scale[0] + scale[1]).astype(out)


# --- NRRD and MetaImage ----------------------------------------------------------------------------------------------


def _read_itk(path: Path) -> _Stored:
    import numpy as np
    import SimpleITK as sitk

    reader = _itk_reader(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise DataError(f"{path.name} is not a readable volume ({_reason(error)}); it may be truncated") from error
    if reader.GetDimension() != 3 or reader.GetNumberOfComponents() != 1:
        found = f"{reader.GetDimension()} dimensions, {reader.GetNumberOfComponents()} numbers per voxel"
        raise DataError(f"{path.name} has {found}; expected three dimensions and one number")
    affine = np.eye(4)
    affine[:3, :3] = np.array(reader.GetDirection()).reshape(3, 3) * np.array(reader.GetSpacing())
    affine[:3, 3] = reader.GetOrigin()
    shape = tuple(reversed(reader.GetSize()))
    dtype = np.dtype(sitk.GetArrayViewFromImage(sitk.Image([1, 1, 1], reader.GetPixelID())).dtype)
    placed = _is_placed(path, reader)
    notes = {"stored_as": dtype.name, "scale": None}
    return _Stored(_itk_pixels(path, shape, dtype), Grid.from_affine(affine, where=path.name), placed, notes)


def _itk_reader(path: Path) -> Any:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("NrrdImageIO" if path.suffix.lower() in (".nrrd", ".nhdr") else "MetaImageIO")
    reader.SetFileName(str(path))
    return reader


def _is_placed(path: Path, reader: Any) -> bool:
    """Return whether the header names a patient space; NRRD may not, MetaImage always means LPS here."""
    if path.suffix.lower() not in (".nrrd", ".nhdr"):
        return True
    with path.open("rb") as stream:
        lines = stream.read(65536).partition(b"\n\n")[0].decode("latin-1").splitlines()
    fields = {key.strip().lower(): value for key, _, value in (line.partition(":") for line in lines)}
    units = {unit.strip('"') for unit in fields.get("space units", "").split()} - {"mm", ""}
    if units:
        raise DataError(f"{path.name} is in {sorted(units)}; only millimetres are read, convert it")
    return "NRRD_space" in reader.GetMetaDataKeys()


def _itk_pixels(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> da.Array:
    import dask.array as da
    from dask.base import tokenize
    from dask.delayed import delayed

    name = "itk-" + tokenize(path, path.stat().st_mtime_ns)
    return da.from_delayed(delayed(_itk_load, name=name)(path, shape), shape=shape, dtype=dtype, name=name + "-array")


def _itk_load(path: Path, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    import SimpleITK as sitk

    try:
        pixels = sitk.GetArrayFromImage(_itk_reader(path).Execute())
    except RuntimeError as error:
        raise DataError(f"{path.name} cannot be read ({_reason(error)}); it is truncated or damaged") from error
    if pixels.shape != shape:
        raise DataError(f"{path.name} has shape {pixels.shape}, its header said {shape}; it has changed")
    return pixels


def _reason(error: RuntimeError) -> str:
    """Return the last telling line of what ITK says over many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no reason given"
