"""One whole slide with all its levels and the pictures kept beside it, as a tree of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, some
from integrate.keys import ATTRS
from integrate.model.image import make_image
from integrate.readers.base import Reader
from integrate.readers.dicom_files import DAMAGE, read_header
from integrate.readers.ome_tiff import OmeTiff
from integrate.readers.slide import Slide

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["DicomSlide", "WholeSlide"]

WSI_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
#: Pixels along y and x that one block decodes, at the least, in whole tiles.
BLOCK = 1024


class WholeSlide(Reader):
    r"""Read a whole slide (SVS, other tiled TIFFs, OME-TIFF) with all its levels, lazily.

    Parameters
    ----------
    pixel_size_um
        ``(y, x)`` edge of a pixel of level 0, where the file does not state it.

    Returns
    -------
    DataTree with a child ``scale0`` (the finest), ``scale1`` … per level, each with a variable ``image`` ``(c, y, x)``
    in the same coordinates: micrometres where the scanner stated its pixel size, else pixels of that level. Pictures
    kept beside the slide are ``associated/<name>``; a label may show the name of the patient. ``attrs["integrate"]``
    has ``pixel_size_um`` of level 0 (``None``: not known), ``pixel_size_from``, ``levels``, ``associated``,
    ``has_label`` and ``icc_profile`` (kept, not applied).

    Raises
    ------
    DataError
        If the file is truncated, not a TIFF, or its first image is no colour image.

    Examples
    --------
    >>> import numpy as np, tifffile
    >>> told = "Aperio Image\r\n512x512|AppMag = 20|MPP = 0.5"
    >>> with tifffile.TiffWriter(tmp_path / "a.svs") as tiff:
    ...     for step in (1, 4):
    ...         pixels = np.zeros((512 // step, 512 // step, 3), "uint8")
    ...         tiff.write(pixels, tile=(128, 128), photometric="rgb", metadata=None, description=told)
    >>> slide = WholeSlide(url=tmp_path / "a.svs").read()
    >>> slide["scale0"]["image"].shape, slide.attrs["integrate"]["pixel_size_um"]
    ((3, 512, 512), [0.5, 0.5])
    """

    output_instance = "xarray:DataTree"

    def _open(self, path: Path, *, pixel_size_um: Sequence[float] | None = None) -> xr.DataTree:
        if path.name.lower().endswith((".ome.tif", ".ome.tiff")) and pixel_size_um is None:
            reader = OmeTiff(url=str(path))
            first = reader._open(path)
            levels = [first, *(reader._open(path, level=k) for k in range(1, len(first.attrs[ATTRS]["levels"])))]
            size = first.attrs[ATTRS]["pixel_size_um"]
            told: dict[str, Any] = {
                "pixel_size_from": "file" if size else None,
                "associated": [],
                "has_label": False,
                "icc_profile": False,
            }
            return make_slide(levels, {}, {**first.attrs[ATTRS], **told})
        slide = Slide(url=str(path))
        first = slide._open(path, pixel_size_um=pixel_size_um)
        notes = first.attrs[ATTRS]
        further = range(1, len(notes["levels"]))
        levels = [first, *(slide._open(path, level=k, pixel_size_um=pixel_size_um) for k in further)]
        pictures = {name: slide._open(path, associated=name) for name in notes["associated"]}
        return make_slide(levels, pictures, notes)


class DicomSlide(Reader):
    """Read a DICOM whole slide, a folder with an instance per level, with all its levels, lazily.

    Parameters
    ----------
    patient_namespace
        Key of ``ids`` that holds the PatientID; when the catalog gives it, the files must agree.

    Returns
    -------
    DataTree as of `WholeSlide`. Tiles that a sparse level does not hold are white, and counted in
    ``attrs["integrate"]["missing_tiles"]`` per level.

    Raises
    ------
    DataError
        If the folder holds no DICOM slide or several, a file is damaged, the patient is another, or an instance has
        several focal planes or optical paths.

    Examples
    --------
    >>> import numpy as np
    >>> from pydicom.dataset import Dataset, FileMetaDataset
    >>> from pydicom.uid import ExplicitVRLittleEndian
    >>> made, step, shared = Dataset(), Dataset(), Dataset()
    >>> made.file_meta = FileMetaDataset()
    >>> made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    >>> made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    >>> made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    >>> made.Modality, made.SeriesInstanceUID, made.ImageType = "SM", "1.2.4", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    >>> made.Rows, made.Columns, made.TotalPixelMatrixRows, made.TotalPixelMatrixColumns = 64, 64, 100, 60
    >>> made.NumberOfFrames, made.SamplesPerPixel, made.PhotometricInterpretation = 2, 3, "RGB"
    >>> made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    >>> made.PlanarConfiguration, made.DimensionOrganizationType = 0, "TILED_FULL"
    >>> step.PixelSpacing, shared.PixelMeasuresSequence = [0.0005, 0.0005], [step]
    >>> made.SharedFunctionalGroupsSequence = [shared]
    >>> made.add_new("PixelData", "OB", bytes(2 * 64 * 64 * 3))
    >>> made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    >>> slide = DicomSlide(url=tmp_path).read()
    >>> slide["scale0"]["image"].shape, slide.attrs["integrate"]["pixel_size_um"]
    ((3, 100, 60), [0.5, 0.5])
    """

    output_instance = "xarray:DataTree"
    is_folder = True

    def _open(self, path: Path, *, patient_namespace: str = "dicom_patient") -> xr.DataTree:
        from integrate.readers.dicom_image import check_promised

        headers = _headers(path)
        check_promised(self, headers[0][1], patient_namespace)
        volumes = [one for one in headers if _kind(one[1]) == "VOLUME"]
        others = {_kind(header).lower(): (file, header) for file, header in headers if _kind(header) != "VOLUME"}
        if not volumes:
            raise DataError(f"the DICOM slide in {path.name!r} has no level; it holds {some(others)}")
        volumes.sort(key=lambda one: -int(one[1].TotalPixelMatrixColumns))
        missing: list[int] = []
        levels = [_level(file, header, missing) for file, header in volumes]
        pictures = {name: _level(file, header, []) for name, (file, header) in others.items()}
        header = volumes[0][1]
        size = levels[0].attrs[ATTRS]["pixel_size_um"]
        notes = {
            "pixel_size_um": size,
            "pixel_size_from": "scanner" if size else None,
            "associated": sorted(pictures),
            "has_label": "label" in pictures,
            "icc_profile": any("ICCProfile" in one for one in header.get("OpticalPathSequence", [])),
            "missing_tiles": missing,
            "modality": "SM",
            "study_uid": str(header.get("StudyInstanceUID", "")),
            "series_uid": str(header.get("SeriesInstanceUID", "")),
            "frame_of_reference_uid": str(header.get("FrameOfReferenceUID", "")),
        }
        return make_slide(levels, pictures, notes)


def make_slide(levels: Sequence[Any], pictures: Mapping[str, Any], notes: Mapping[str, Any]) -> xr.DataTree:
    """Return a tree of the levels and the pictures beside them."""
    import xarray as xr

    held = {f"scale{k}": xr.Dataset({"image": level}) for k, level in enumerate(levels)}
    held |= {f"associated/{name}": xr.Dataset({"image": picture}) for name, picture in pictures.items()}
    tree = xr.DataTree.from_dict(held)
    tree.attrs[ATTRS] = {**notes, "levels": [list(level.shape) for level in levels]}
    return tree


def _headers(path: Path) -> list[tuple[Path, Any]]:
    """Return the headers of the instances of one slide."""
    found = []
    for file in sorted(one for one in path.rglob("*") if one.is_file()):
        if file.suffix.lower() not in (".dcm", ""):
            continue
        one = read_header(file)
        if str(one.header.get("SOPClassUID", "")) == WSI_CLASS:
            if one.pixel_fault:
                raise DataError(f"{file.name} {one.pixel_fault}; copy it again")
            found.append((file, one.header))
    series = {str(header.get("SeriesInstanceUID")) for _, header in found}
    if len(series) != 1:
        raise DataError(f"folder {path.name!r} holds {len(series)} DICOM slides; expected the instances of one")
    return found


def _kind(header: Any) -> str:
    """Return ``VOLUME``, ``LABEL``, ``OVERVIEW`` or ``THUMBNAIL``."""
    kinds = [str(one) for one in header.get("ImageType", [])]
    return kinds[2] if len(kinds) > 2 else "VOLUME"


def _level(file: Path, header: Any, missing: list[int]) -> xr.DataArray:
    """Return one instance as a lazy image."""
    import dask.array as da
    import numpy as np

    rows, columns = int(header.TotalPixelMatrixRows), int(header.TotalPixelMatrixColumns)
    tile = (int(header.Rows), int(header.Columns))
    samples = int(header.SamplesPerPixel)
    if samples not in (1, 3) or int(header.BitsAllocated) not in (8, 16):
        raise DataError(f"{file.name} has {samples} samples of {header.BitsAllocated} bits; expected grey or colour")
    places = _places(file, header, tile, (rows, columns))
    missing.append(-(-rows // tile[0]) * -(-columns // tile[1]) - len(places))
    chunks = tuple(one * -(-BLOCK // one) for one in tile)
    dtype = "uint8" if int(header.BitsAllocated) == 8 else "uint16"
    pixels = da.map_blocks(
        _read_block,
        chunks=da.core.normalize_chunks((samples, *chunks), (samples, rows, columns)),
        dtype=dtype,
        meta=np.empty((0, 0, 0), dtype),
        file=file,
        tile=tile,
        places=places,
        changed_ns=file.stat().st_mtime_ns,
    )
    names = ["red", "green", "blue"] if samples == 3 else ["grey"]
    return make_image(pixels, channels=names, pixel_size_um=_pixel_size(header))


def _pixel_size(header: Any) -> tuple[float, float] | None:
    for group in header.get("SharedFunctionalGroupsSequence", []):
        for measures in group.get("PixelMeasuresSequence", []):
            spacing = measures.get("PixelSpacing")
            if spacing and all(float(one) > 0 for one in spacing):
                return float(spacing[0]) * 1000, float(spacing[1]) * 1000
    return None


def _places(file: Path, header: Any, tile: tuple[int, int], size: tuple[int, int]) -> dict[tuple[int, int], int]:
    """Return the frame of every tile, by the tile's row and column."""
    across, down = -(-size[1] // tile[1]), -(-size[0] // tile[0])
    count = int(header.get("NumberOfFrames") or 1)
    listed = header.get("PerFrameFunctionalGroupsSequence")
    if str(header.get("DimensionOrganizationType", "")) == "TILED_FULL" or listed is None:
        if count != across * down:
            raise DataError(
                f"{file.name} has {count} frames for {across} × {down} tiles; several focal planes or optical "
                "paths are not read"
            )
        return {(number // across, number % across): number for number in range(count)}
    places: dict[tuple[int, int], int] = {}
    for number, group in enumerate(listed):
        where = group.PlanePositionSlideSequence[0]
        top = int(where.RowPositionInTotalImagePixelMatrix) - 1
        left = int(where.ColumnPositionInTotalImagePixelMatrix) - 1
        key = (top // tile[0], left // tile[1])
        if top % tile[0] or left % tile[1] or key in places:
            raise DataError(
                f"frame {number} of {file.name} lies off the grid of tiles, or over another; that is not read"
            )
        places[key] = number
    return places


def _read_block(
    *, file: Path, tile: tuple[int, int], places: Mapping[tuple[int, int], int], changed_ns: int, block_info: Any = None
) -> np.ndarray[Any, Any]:
    """Return one block; `changed_ns` is there for its token, so that a rewritten file is read again."""
    import numpy as np
    import pydicom
    from pydicom.pixels.utils import iter_pixels

    _, (top, bottom), (left, right) = block_info[None]["array-location"]
    samples = block_info[None]["chunk-shape"][0]
    rows = range(top // tile[0], -(-bottom // tile[0]))
    columns = range(left // tile[1], -(-right // tile[1]))
    wanted = sorted((places[r, c], r, c) for r in rows for c in columns if (r, c) in places)
    dtype = np.dtype(block_info[None]["dtype"])
    block = np.full((len(rows) * tile[0], len(columns) * tile[1], samples), np.iinfo(dtype).max, dtype)
    try:
        frames = iter_pixels(file, indices=[number for number, _, _ in wanted]) if wanted else iter(())
        for (_, r, c), pixels in zip(wanted, frames, strict=True):
            y, x = (r - rows.start) * tile[0], (c - columns.start) * tile[1]
            block[y : y + tile[0], x : x + tile[1]] = pixels.reshape(*tile, samples)
    except (*DAMAGE, pydicom.errors.InvalidDicomError) as error:
        raise DataError(f"tiles of {file.name} cannot be decoded ({error}); the file is damaged") from error
    return block[: bottom - top, : right - left].transpose(2, 0, 1)
