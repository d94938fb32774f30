"""A volume made from an array: named axes, a voxel size in millimetres and, where known, its place in the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError
from integrate.keys import ATTRS
from integrate.model.image import image_notes

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["make_volume"]


def make_volume(
    data: Any,
    *,
    spacing_mm: Sequence[float],
    affine_lps: Sequence[Sequence[float]] | None = None,
    unit: str = "",
    ids: Mapping[str, str] | None = None,
) -> xr.DataArray:
    """Return an image or mask as the DICOM reader returns volumes.

    Parameters
    ----------
    data
        Array ``(z, y, x)``, or a single slice ``(y, x)``; the ids of a DataArray are kept unless `ids` are given.
    spacing_mm
        Distance of voxel centres ``(z, y, x)``.
    affine_lps
        4 × 4 matrix from voxel index ``(i, j, k, 1)`` (along x, y, z; integers are centres) to patient LPS mm.
    unit
        UCUM unit of the intensities.
    ids
        Who and what the volume shows.

    Returns
    -------
    DataArray, dims ``(z, y, x)``, coordinates in mm from the outer corner.

    Raises
    ------
    DataError
        If `data` has neither three axes nor two.

    Examples
    --------
    >>> import numpy as np
    >>> make_volume(np.zeros((2, 3, 4)), spacing_mm=(3, 1, 1)).z.values.tolist()
    [1.5, 4.5]
    """
    import numpy as np
    import xarray as xr

    if ids is None and isinstance(data, xr.DataArray):
        ids = image_notes(data).get("ids")
    data = data.data if isinstance(data, xr.DataArray) else data
    data = data[None] if data.ndim == 2 else data
    if data.ndim != 3 or len(spacing_mm) != 3:
        raise DataError(f"expected (z, y, x) and three spacings, found {tuple(data.shape)} and {tuple(spacing_mm)}")
    coords = {
        axis: (axis, (np.arange(n) + 0.5) * float(step), {"units": "mm"})
        for axis, n, step in zip("zyx", data.shape, spacing_mm, strict=True)
    }
    notes: dict[str, Any] = {"spacing_mm": [float(one) for one in spacing_mm], "unit": unit, "ids": dict(ids or {})}
    if affine_lps is not None:
        notes["affine_lps"] = np.asarray(affine_lps, float).tolist()
    return xr.DataArray(data, dims=("z", "y", "x"), coords=coords, attrs={ATTRS: notes})
