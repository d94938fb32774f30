"""The response map of a whole volume, to look at what a filter sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integrate.errors import DataError
from integrate.features.radiomics.filters import Filter, SimoncelliFilter
from integrate.features.radiomics.grid import read_grid
from integrate.keys import ATTRS
from integrate.model.image import image_notes

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["filter_volume"]


def filter_volume(volume: xr.DataArray, by: Filter) -> xr.DataArray:
    """Return the response of a volume to a filter, on the same grid.

    Parameters
    ----------
    volume
        Intensities, dims ``(z, y, x)``, with a voxel size in mm; NaN is "no intensity".
    by
        `MeanFilter`, `LaplacianOfGaussian`, `LawsFilter`, `GaborFilter`, `WaveletFilter` or `SimoncelliFilter`.

    Returns
    -------
    DataArray, float64, with the coordinates and notes of `volume`; ``attrs["integrate"]["filter"]`` says what was
    done. Voxels without intensity stay NaN, and are filtered as if they were like the nearest one that has some.

    Raises
    ------
    DataError
        If `volume` is no volume of numbers, or has no intensity at all.
    UnitError
        If the size of voxels in mm is unknown.

    Examples
    --------
    >>> from integrate.features.radiomics.phantom import digital_phantom
    >>> image, _ = digital_phantom()
    >>> float(filter_volume(image, ig.MeanFilter(3)).max().round(2))
    4.11
    """
    import numpy as np

    from integrate.features.radiomics.response import respond, respond_everywhere
    from integrate.features.radiomics.sample import Box, fill_unknown

    grid = read_grid(volume, what="volume")
    if volume.dtype.kind not in "buif":
        raise DataError(f"voxels are {volume.dtype}; expected numbers")
    image = volume.values.astype(np.float64)
    unknown = ~np.isfinite(image)
    if unknown.all():
        raise DataError("every voxel is NaN; nothing can be filtered")
    image = fill_unknown(image)

    def part(box: Box) -> np.ndarray:
        return image[tuple(slice(first, first + n) for first, n in zip(*box, strict=True))]

    if isinstance(by, SimoncelliFilter):
        response = respond_everywhere(image, by)
    else:
        response = respond(part, ((0, 0, 0), grid.shape), grid.shape, grid.spacing_mm, by)
    response[unknown] = np.nan
    return volume.copy(data=response).assign_attrs({ATTRS: {**image_notes(volume), "filter": repr(by)}})
