"""Label images: integer TIFF masks in which every value names one instance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from integrate.errors import DataError
from integrate.model.image import make_labels
from integrate.readers.base import Reader
from integrate.readers.tiff import check_pixel_size, lazy_level, open_tiff, series_of
from integrate.readers.volume import as_labels

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Labels"]


class Labels(Reader):
    """Read a single-plane TIFF of whole numbers as a lazy label image; 0 is background.

    Returns
    -------
    DataArray ``(y, x)`` of integers, Dask-backed. The pixel size is what the catalog says, otherwise unknown. Whole
    numbers that a tool stored as floating point come back as int32; a pixel that is none is an error when loaded.

    Raises
    ------
    DataError
        If the file is truncated, not a TIFF, not one 2-D plane, or not of an integer type.
    ParameterError
        If the pixel size is not two positive numbers.

    Examples
    --------
    >>> import numpy as np, tifffile
    >>> tifffile.imwrite(tmp_path / "cells.tif", np.array([[0, 1], [2, 2]], "uint16"))
    >>> labels = Labels(url=tmp_path / "cells.tif", pixel_size_um=[0.5, 0.5]).read()
    >>> labels.dims, labels["x"].attrs["units"], int(labels.max())
    (('y', 'x'), 'um', 2)
    """

    output_instance = "xarray:DataArray"

    def _open(self, path: Path, *, pixel_size_um: Sequence[float] | None = None) -> xr.DataArray:
        size = check_pixel_size(pixel_size_um)
        with open_tiff(path) as tiff:
            stage = series_of(tiff, path)
            found = " and ".join(f"{one.dtype} of shape {one.shape}" for one in tiff.series)
            if len(tiff.series) > 1 or len(stage.shape) != 2 or stage.dtype.kind not in "iuf":
                raise DataError(f"{path.name} holds {found}; a label image is one 2-D plane of integers")
        pixels = lazy_level(path)
        if pixels.dtype.kind == "f":
            import dask.array as da

            pixels = da.map_blocks(as_labels, pixels, name_of=path.name, dtype="int32")
        return make_labels(pixels, pixel_size_um=size)
