"""Nodules of a CT of the chest, found as dense balls that hang free in the lung."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.errors import DataError
from integrate.features.radiomics.filters import check_positive
from integrate.features.radiomics.grid import read_grid
from integrate.keys import ATTRS
from integrate.model.image import image_notes

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["segment_nodules"]


def segment_nodules(volume: xr.DataArray, *, threshold_hu: float = -400.0, min_radius_mm: float = 4.0) -> xr.DataArray:
    """Return the nodules of a chest CT as labels, the largest first.

    Parameters
    ----------
    volume
        Hounsfield units, dims ``(z, y, x)``, with a voxel size in mm.
    threshold_hu
        Halfway between lung and soft tissue, so that voxels which both share count for the one they hold more of.
    min_radius_mm
        A nodule holds a ball of this radius; vessels do not.

    Returns
    -------
    DataArray of int32, 1 is the largest nodule, 0 is everything else; no label where nothing is found.

    Raises
    ------
    DataError
        If `volume` is no volume of numbers.
    UnitError
        If the size of voxels in mm is unknown.

    Notes
    -----
    Dense tissue that reaches the border of the volume is chest wall, heart or diaphragm, so a nodule that touches the
    pleura is missed. It is a start for a look, not a diagnosis.

    Examples
    --------
    >>> import numpy as np
    >>> lung = np.full((9, 30, 30), -850.0)
    >>> lung[2:7, 10:20, 10:20] = 40
    >>> found = segment_nodules(ig.make_volume(lung, spacing_mm=(3, 1, 1)))
    >>> int((found == 1).sum())
    500
    """
    import numpy as np
    from scipy import ndimage

    check_positive("min_radius_mm", min_radius_mm)
    spacing = read_grid(volume, what="volume").spacing_mm
    if volume.dtype.kind not in "iuf":
        raise DataError(f"voxels are {volume.dtype}; expected Hounsfield units")
    dense = volume.values > threshold_hu
    depth = ndimage.distance_transform_edt(np.pad(dense, 1, mode="edge"), sampling=spacing)[1:-1, 1:-1, 1:-1]
    cores, _ = ndimage.label(depth >= min_radius_mm)
    free = np.setdiff1d(np.arange(1, cores.max() + 1), _at_border(cores))
    far, nearest = ndimage.distance_transform_edt(cores == 0, sampling=spacing, return_indices=True)
    grown = np.where(dense & (far <= min_radius_mm + max(spacing) / 2), cores[tuple(nearest)], 0)
    sizes = np.bincount(grown.ravel(), minlength=int(cores.max()) + 1)
    renamed = np.zeros(len(sizes), np.int32)
    renamed[free[np.argsort(-sizes[free], kind="stable")]] = np.arange(1, len(free) + 1)
    notes = {**image_notes(volume), "unit": "", "labels_of": f"nodules above {threshold_hu:g} HU"}
    return volume.copy(data=renamed[grown]).assign_attrs({ATTRS: notes})


def _at_border(labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the labels that touch a face of the volume."""
    import numpy as np

    faces = [labels[(slice(None),) * axis + (end,)] for axis in range(3) for end in (0, -1)]
    return np.unique(np.concatenate([face.ravel() for face in faces]))
