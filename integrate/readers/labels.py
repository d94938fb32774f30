"""Label images: integer TIFF masks in which every value names one instance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from integrate.errors import DataError
from integrate.model.image import make_labels
from integrate.readers.base import Reader
from integrate.readers.tiff import check_pixel_size, lazy_level, open_tiff, series_of

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
        If the file is truncated, not a TIFF, not one 2-D plane, or not of an integer type.
    ParameterError
        If the pixel size is not two positive numbers.
    """

    output_instance = "xarray:DataArray"

    def _open(self, path: Path, *, pixel_size_um: Sequence[float] | None = None) -> xr.DataArray:
        size = check_pixel_size(pixel_size_um)
        with open_tiff(path) as tiff:
            stage = series_of(tiff, path)
            found = " and ".join(f"{one.dtype} of shape {one.shape}" for one in tiff.series)
            if len(tiff.series) > 1 or len(stage.shape) != 2 or stage.dtype.kind not in "iu":
                raise DataError(f"{path.name} holds {found}; a label image is one 2-D plane of integers")
        return make_labels(lazy_level(path), pixel_size_um=size)
