"""Planes: microscope pixels that may have time and depth, with true steps along every axis that has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, warn
from integrate.keys import ATTRS
from integrate.model.image import make_image

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["make_planes", "named_channels"]

#: Order of axes of every image that has them.
AXES = "tczyx"


def make_planes(
    data: Any,
    axes: str,
    *,
    channels: Sequence[str],
    pixel_size_um: tuple[float, float] | None,
    z_step_um: float | None = None,
    time_s: float | Sequence[float] | None = None,
    origin_um: Mapping[str, float] | None = None,
    **notes: Any,
) -> xr.DataArray:
    """Return an image with axes in the order t, c, z, y, x; a time or depth of length 1 is dropped.

    Parameters
    ----------
    data
        Array, numpy or Dask, with one axis per letter of `axes`; it is not computed.
    axes
        Letters of ``"tczyx"`` in any order; ``y`` and ``x`` must be there.
    channels
        One name per channel; one name where there is no axis ``c``.
    pixel_size_um
        ``(y, x)`` edge of a pixel, ``None`` when it is not known.
    z_step_um
        Distance of planes, ``None`` when it is not known.
    time_s
        Seconds between time points, or of each of them since the first; numbers are given when they are not known.
    origin_um
        Where the outer corner of the first pixel lies, by axis; at 0 by default.
    notes
        Kept in ``attrs["integrate"]``.

    Returns
    -------
    DataArray ``(t?, c, z?, y, x)``. Coordinates of ``z``, ``y`` and ``x`` are centres, with ``attrs["units"]``
    ``"um"`` or ``"px"``; those of ``t`` are seconds (``"s"``) or numbers (``"1"``).

    Raises
    ------
    DataError
        If axes are strange, repeated or do not fit the array.
    """
    import xarray as xr

    if set(axes) - set(AXES) or len(set(axes)) != len(axes) or not {"y", "x"} <= set(axes) or len(axes) != data.ndim:
        raise DataError(f"an array of shape {tuple(data.shape)} has axes {axes!r}; expected some of t, c, z, and y, x")
    if "c" not in axes:
        data, axes = data[None], "c" + axes
    order = [axis for axis in AXES if axis in axes]
    data = data.transpose([axes.index(axis) for axis in order])
    for axis in ("z", "t"):
        if axis in order and data.shape[order.index(axis)] == 1:
            data = data[tuple(0 if one == axis else slice(None) for one in order)]
            order.remove(axis)
    plane = make_image(_first_plane(data, order), channels=channels, pixel_size_um=pixel_size_um, **notes)
    sizes = dict(zip(order, data.shape, strict=True))
    coords: dict[Any, Any] = {**plane.coords, **_further(sizes, z_step_um, time_s)}
    for axis, corner in (origin_um or {}).items():
        if corner and axis in coords and coords[axis].attrs.get("units") == "um":
            coords[axis] = coords[axis] + corner
            coords[axis].attrs["units"] = "um"
    extra: dict[str, Any] = {"z_step_um": z_step_um} if "z" in sizes else {}
    if origin_um and any(origin_um.values()):
        extra["origin_um"] = dict(origin_um)
    image = xr.DataArray(data, dims=order, attrs={ATTRS: {**plane.attrs[ATTRS], **extra}})
    return image.assign_coords({name: coord for name, coord in coords.items() if name in order})


def named_channels(names: Sequence[str | None], count: int, *, where: str) -> list[str]:
    """Return the names of channels where a file gives one to each, and numbered names with a warning otherwise."""
    given = [str(name) for name in names if name]
    if len(given) == len(set(given)) == count:
        return given
    warn(f"{count} channels of {where} have no usable names (found {list(names)}); they are called channel_0 …")
    return [f"channel_{number}" for number in range(count)]


def _first_plane(data: Any, order: Sequence[str]) -> Any:
    return data[tuple(0 if axis in "tz" else slice(None) for axis in order)]


def _further(
    sizes: Mapping[str, int], z_step_um: float | None, time_s: float | Sequence[float] | None
) -> dict[str, Any]:
    """Return the coordinates of depth and time."""
    import numpy as np
    import xarray as xr

    made = {}
    if "z" in sizes:
        values, unit = (np.arange(sizes["z"]) + 0.5) * (z_step_um or 1.0), "um" if z_step_um else "px"
        made["z"] = xr.DataArray(values, dims="z", attrs={"units": unit})
    if "t" in sizes:
        numbers = np.arange(sizes["t"], dtype=float)
        step = 1.0 if time_s is None else time_s
        times = numbers * step if isinstance(step, (int, float)) else np.asarray(step, dtype=float)
        made["t"] = xr.DataArray(times, dims="t", attrs={"units": "1" if time_s is None else "s"})
    return made
