"""Pixels of DICOM files, decoded one frame at a time when asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, MissingDependencyError
from integrate.readers.dicom_files import DAMAGE, Slice

if TYPE_CHECKING:
    import dask.array as da
    import numpy as np

__all__ = ["check_decoder", "decode_frame", "lazy_slices"]

#: Compressions that pydicom leaves to other packages and imagecodecs, which is always here, decodes exactly.
IMAGECODECS: dict[str, str] = {
    "1.2.840.10008.1.2.4.51": "jpeg8_decode",  # 12-bit JPEG; Pillow has the 8-bit one
    "1.2.840.10008.1.2.4.57": "jpegsof3_decode",
    "1.2.840.10008.1.2.4.70": "jpegsof3_decode",
    "1.2.840.10008.1.2.4.80": "jpegls_decode",
    "1.2.840.10008.1.2.4.81": "jpegls_decode",
    "1.2.840.10008.1.2.4.201": "htj2k_decode",
    "1.2.840.10008.1.2.4.202": "htj2k_decode",
    "1.2.840.10008.1.2.4.203": "htj2k_decode",
}
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"


def check_decoder(slices: Sequence[Slice]) -> None:
    """Check that the pixels can be decoded, before anybody asks for them.

    Raises
    ------
    DataError
        If the files do not say how their pixels are stored, or no decoder exists.
    MissingDependencyError
        If a package is missing.
    """
    from pydicom.pixels.decoders.base import get_decoder

    for one in slices:
        uid = one.header.file_meta.get("TransferSyntaxUID")
        if uid is None:
            raise DataError(f"{slices[0].name} does not state how its pixels are stored (TransferSyntaxUID)")
        if _imagecodec(one.header):
            continue
        try:
            decoder = get_decoder(uid)
        except NotImplementedError as error:
            raise DataError(
                f"pixels are stored as {uid.name}, which no decoder here reads; convert the files"
            ) from error
        if not decoder.is_available:
            raise MissingDependencyError(
                f"pixels are stored as {uid.name}; to read them: pip install pylibjpeg pylibjpeg-libjpeg"
            )


def lazy_slices(slices: Sequence[Slice], *, scale: float = 1.0, keep_padding: bool = False) -> da.Array:
    """Return the slices as one lazy array ``(slice, y, x)``, rescaled per slice; padding is NaN unless kept."""
    import dask.array as da
    import numpy as np
    from dask.delayed import delayed

    header = slices[0].header
    shape = (int(header.Rows), int(header.Columns))
    dtype = np.dtype("float32" if int(header.BitsAllocated) <= 16 else "float64")
    decode = delayed(_rescaled, pure=True)
    planes = []
    for one in slices:
        slope, intercept = float(one.header.get("RescaleSlope", 1)), float(one.header.get("RescaleIntercept", 0))
        padding = None if keep_padding else _padding(one.header)
        source = (one.file, one.file.stat().st_mtime_ns, one.frame, one.tile)
        plane = decode(*source, shape, dtype.str, (slope * scale, intercept * scale), padding)
        planes.append(da.from_delayed(plane, shape=shape, dtype=dtype))
    return da.stack(planes)


def decode_frame(file: Path, frame: int | None = None) -> np.ndarray[Any, Any]:
    """Return the stored values of one frame, or of the only one; colour as RGB, values not rescaled.

    Raises
    ------
    DataError
        If the pixels are damaged, or the file is no longer what its header said.
    """
    import pydicom
    from pydicom.pixels.utils import pixel_array

    try:
        dataset = pydicom.dcmread(file)
        if int(dataset.get("BitsAllocated") or 0) == 1 and not dataset.file_meta.TransferSyntaxUID.is_compressed:
            return _bits(dataset, frame or 0)
        codec = _imagecodec(dataset)
        if codec:
            return _by_imagecodecs(dataset, codec, frame or 0)
        return pixel_array(dataset, index=frame)
    except (*DAMAGE, pydicom.errors.InvalidDicomError) as error:
        raise DataError(f"{file.name} cannot be decoded ({error}); the file is damaged or has changed") from error


def _bits(dataset: Any, frame: int) -> np.ndarray[Any, Any]:
    """Return a frame of one bit per pixel; pydicom loses the place of frames that do not begin at a byte."""
    import numpy as np

    shape = (int(dataset.Rows), int(dataset.Columns))
    start = frame * shape[0] * shape[1]
    stop = start + shape[0] * shape[1]
    held = np.frombuffer(dataset.PixelData[start // 8 : -(-stop // 8)], np.uint8)
    return np.unpackbits(held, bitorder="little")[start % 8 :][: stop - start].reshape(shape)


def _imagecodec(header: Any) -> str | None:
    """Return the imagecodecs function for these pixels, or ``None`` where pydicom decodes them."""
    uid = str(header.file_meta.get("TransferSyntaxUID", ""))
    if int(header.get("SamplesPerPixel", 1)) != 1 or (uid == JPEG_EXTENDED and int(header.get("BitsStored", 8)) <= 8):
        return None
    return IMAGECODECS.get(uid)


def _by_imagecodecs(dataset: Any, codec: str, frame: int) -> np.ndarray[Any, Any]:
    import imagecodecs
    import numpy as np
    from pydicom.encaps import get_frame

    data = get_frame(dataset.PixelData, frame, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
    stored = getattr(imagecodecs, codec)(data)
    if int(dataset.get("PixelRepresentation", 0)) == 0 or stored.dtype.kind == "i":
        return stored
    unused = 8 * stored.dtype.itemsize - int(dataset.BitsStored)  # the sign is the highest stored bit
    signed = np.left_shift(stored, unused).view(f"i{stored.dtype.itemsize}")
    return np.right_shift(signed, unused)


def _padding(header: Any) -> tuple[int, int] | None:
    """Return the lowest and highest stored value that mean "nothing was measured here"."""
    if header.get("PixelPaddingValue") is None:
        return None
    signed, bits = int(header.get("PixelRepresentation", 0)), int(header.BitsAllocated)
    ends = [int(header.PixelPaddingValue), int(header.get("PixelPaddingRangeLimit") or header.PixelPaddingValue)]
    low, high = sorted(end - (1 << bits) if signed and end >= 1 << (bits - 1) else end for end in ends)
    return low, high


def _rescaled(
    file: Path,
    changed_ns: int,
    frame: int | None,
    tile: tuple[int, int] | None,
    shape: tuple[int, int],
    dtype: str,
    rescale: tuple[float, float],
    padding: tuple[int, int] | None,
) -> np.ndarray[Any, Any]:
    """Return one slice; ``changed_ns`` is there for its token, so that a rewritten file is decoded again."""
    import numpy as np

    stored = decode_frame(file, frame)
    if tile is not None:
        stored = stored[tile[0] : tile[0] + shape[0], tile[1] : tile[1] + shape[1]]
    if stored.shape != shape:
        raise DataError(f"{file.name} decodes to shape {stored.shape}, its header says {shape}; the file is damaged")
    values = (stored.astype(np.float64) * rescale[0] + rescale[1]).astype(dtype)
    if padding is not None:
        values[(stored >= padding[0]) & (stored <= padding[1])] = np.nan
    return values
