"""What is true of an image: named axes, a pixel size that may be unknown, and the ids of who and what it shows.

Convention (decided once): pixel ``i`` covers ``[i, i + 1)``, so its centre lies at ``(i + 0.5)`` pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, DatasetNotFoundError, closest
from integrate.keys import ATTRS

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["channel_names", "image_ids", "image_notes", "make_image", "make_labels", "pixel_size_um", "select_channel"]


def make_image(
    data: Any,
    *,
    channels: Sequence[str],
    pixel_size_um: tuple[float, float] | None,
    ids: Mapping[str, str] | None = None,
    **notes: Any,
) -> xr.DataArray:
    """Return an image with named axes, channel names and pixel-centre coordinates.

    Parameters
    ----------
    data
        Array ``(c, y, x)``, numpy or Dask; it is not computed.
    channels
        One name per channel, all different.
    pixel_size_um
        ``(y, x)`` edge of a pixel in micrometres; ``None`` when it is not known, and then coordinates are in pixels.
    ids
        Who and what the image shows, e.g. ``{"subject_id": "P01", "acquisition_id": "2206"}``.
    notes
        Anything else worth keeping; stored with ids and pixel size in ``attrs["integrate"]``.

    Returns
    -------
    DataArray, dims ``(c, y, x)``. Coordinates ``y`` and ``x`` are pixel centres, with ``attrs["units"]``
    ``"um"`` or ``"px"``.

    Raises
    ------
    DataError
        If the number of channel names is not the number of channels, or a name repeats.
    """
    import xarray as xr

    names = [str(name) for name in channels]
    if data.ndim != 3 or len(names) != data.shape[0]:
        raise DataError(f"{len(names)} channel names for an array of shape {tuple(data.shape)}; expected (c, y, x)")
    if len(set(names)) < len(names):
        raise DataError(f"channel names repeat: {sorted({n for n in names if names.count(n) > 1})}; name each once")
    coords = {"c": names, **_centres(data.shape[1:], pixel_size_um)}
    return xr.DataArray(data, dims=("c", "y", "x"), coords=coords, attrs=_attrs(pixel_size_um, ids, notes))


def make_labels(
    data: Any, *, pixel_size_um: tuple[float, float] | None, ids: Mapping[str, str] | None = None, **notes: Any
) -> xr.DataArray:
    """Return an integer label image, dims ``(y, x)``; 0 is background, any other value names one instance.

    Raises
    ------
    DataError
        If `data` is not a 2-D integer array.
    """
    import xarray as xr

    if data.ndim != 2 or data.dtype.kind not in "iu":
        raise DataError(f"labels must be a 2-D integer array, found shape {tuple(data.shape)} of {data.dtype}")
    coords = _centres(data.shape, pixel_size_um)
    return xr.DataArray(data, dims=("y", "x"), coords=coords, attrs=_attrs(pixel_size_um, ids, notes))


def image_notes(image: Any) -> dict[str, Any]:
    """Return a copy of what we noted on an image or table (``attrs["integrate"]`` or ``uns["integrate"]``)."""
    for place in ("attrs", "uns"):
        notes = getattr(image, place, {}).get(ATTRS)
        if notes is not None:
            return dict(notes)
    return {}


def image_ids(image: Any) -> dict[str, str]:
    """Return the ids an image or table carries, e.g. ``{"subject_id": "P01"}``; empty when it carries none."""
    return dict(image_notes(image).get("ids", {}))


def pixel_size_um(image: Any) -> tuple[float, float] | None:
    """Return the ``(y, x)`` edge of a pixel in micrometres, or ``None`` when the source did not say."""
    size = image_notes(image).get("pixel_size_um")
    return None if size is None else (float(size[0]), float(size[1]))


def channel_names(image: xr.DataArray) -> list[str]:
    """Return the channel names in order."""
    return [str(name) for name in image.coords["c"].values]


def select_channel(image: xr.DataArray, name: str) -> xr.DataArray:
    """Return one channel by name, dims ``(y, x)``.

    Raises
    ------
    DatasetNotFoundError
        If no channel has that name; the closest names are given.
    """
    names = channel_names(image)
    if name not in names:
        raise DatasetNotFoundError(f"no channel named {name!r}; {closest(name, names)}")
    return image.isel(c=names.index(name))


def _centres(shape: Sequence[int], pixel_size: tuple[float, float] | None) -> dict[str, Any]:
    import numpy as np

    unit, steps = ("px", (1.0, 1.0)) if pixel_size is None else ("um", pixel_size)
    return {
        axis: (axis, (np.arange(n) + 0.5) * step, {"units": unit})
        for axis, n, step in zip(("y", "x"), shape, steps, strict=True)
    }


def _attrs(
    pixel_size: tuple[float, float] | None, ids: Mapping[str, str] | None, notes: Mapping[str, Any]
) -> dict[str, Any]:
    size = None if pixel_size is None else [float(pixel_size[0]), float(pixel_size[1])]
    return {ATTRS: {"pixel_size_um": size, "ids": dict(ids or {}), **notes}}
