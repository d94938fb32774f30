"""A NIfTI-1 file of a volume, with its place in the patient."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError
from integrate.model.image import image_notes

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["write_nifti"]

#: NIfTI codes of data types.
CODES: dict[str, int] = {
    "uint8": 2, "int16": 4, "int32": 8, "float32": 16, "float64": 64, "int8": 256, "uint16": 512, "uint32": 768,
    "int64": 1024, "uint64": 1280,
}  # fmt: skip
MM_AND_SECONDS = 2 | 8


def write_nifti(volume: xr.DataArray, path: Path) -> None:
    """Write a volume ``(t?, z, y, x)`` that knows its ``affine_lps``, slice by slice.

    Raises
    ------
    DataError
        If NIfTI has no such data type, or an axis is too long for its header.
    """
    import numpy as np

    code = CODES.get(volume.dtype.name)
    if code is None or max(volume.shape) > 32_767:
        raise DataError(f"NIfTI-1 cannot hold {volume.dtype} of shape {volume.shape}; write .ome.zarr instead")
    with gzip.open(path, "wb", 6) if path.name.endswith(".gz") else path.open("wb") as stream:
        stream.write(_header(volume, code))
        for index in np.ndindex(volume.shape[:-2]):
            plane = np.ascontiguousarray(volume.data[index])
            stream.write(plane.astype(volume.dtype.newbyteorder("<"), copy=False).tobytes())


def _header(volume: xr.DataArray, code: int) -> bytes:
    import numpy as np

    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(image_notes(volume)["affine_lps"], float)
    sizes = list(volume.shape[::-1])
    steps = [float(one) for one in np.linalg.norm(to_ras[:3, :3], axis=0)]
    times: Any = volume.coords["t"].values if "t" in volume.dims else []
    step_s = float(times[1] - times[0]) if len(times) > 1 and volume.coords["t"].attrs.get("units") == "s" else 0.0
    dim = [len(sizes), *sizes, *[1] * (7 - len(sizes))]
    pixdim = [1.0, *steps, step_s, 0.0, 0.0, 0.0]
    header = struct.pack("<i35xB", 348, 0)
    header += struct.pack("<8h", *dim) + struct.pack("<3f4h", 0, 0, 0, 0, code, 8 * volume.dtype.itemsize, 0)
    header += struct.pack("<8f", *pixdim) + struct.pack("<3fhBB", 352.0, 1.0, 0.0, 0, 0, MM_AND_SECONDS)
    header += struct.pack("<4f2i", 0, 0, 0, 0, 0, 0) + b"integrate".ljust(80, b"\0") + b"\0" * 24
    header += struct.pack("<2h", 0, 1) + struct.pack("<6f", *[0] * 6)  # no quaternion: the matrix says it exactly
    header += struct.pack("<12f", *to_ras[:3].ravel()) + b"\0" * 16 + b"n+1\0"
    return header + b"\0" * 4
