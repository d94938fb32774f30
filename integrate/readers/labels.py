"""Label images: integer TIFF masks in which every value names one instance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from integrate.errors import DataError
from integrate.model.image import make_labels
from integrate.readers.base import Reader
from integrate.readers.tiff import lazy_level, open_tiff

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Labels"]


class Labels(Reader):
    """Read a single-plane integer TIFF as a lazy label image; 0 is background.

    Returns
    -------
    DataArray ``(y, x)``, Dask-backed. The pixel size is what the catalog says, otherwise unknown.

    Raises
    ------
    DataError
        If the file is truncated, not a TIFF, not 2-D, or not of an integer type.
    """

    output_instance = "xarray:DataArray"

    def _open(self, path: Path, *, pixel_size_um: Sequence[float] | None = None) -> xr.DataArray:
        with open_tiff(path) as tiff:
            shape, dtype = tiff.series[0].shape, tiff.series[0].dtype
        if len(shape) != 2 or dtype.kind not in "iu":
            raise DataError(f"{path.name} holds {dtype} of shape {shape}; a label image is 2-D and integer")
        size = None if pixel_size_um is None else (float(pixel_size_um[0]), float(pixel_size_um[1]))
        return make_labels(lazy_level(path), pixel_size_um=size)
