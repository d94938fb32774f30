"""Plain TIFF and ImageJ hyperstacks: planes by axis, channel names from the catalog, the file, or numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError
from integrate.keys import ATTRS
from integrate.model.image import make_image
from integrate.readers.base import Reader
from integrate.readers.tiff import check_pixel_size, lazy_level, open_tiff, series_of

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Tiff", "stated_pixel_size"]

#: Axes in the order they are returned; S holds the samples of a colour image and becomes c.
ORDER = ("t", "z", "c", "y", "x")
#: Letters of tifffile for an axis of unknown meaning.
UNKNOWN = "IQO-"
#: Micrometres per unit ImageJ writes.
UNITS = {"µm": 1.0, "\\u00B5m": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4}


class Tiff(Reader):
    """Read a TIFF that is no OME-TIFF as a lazy image: one plane, colour, or a stack.

    Parameters
    ----------
    axes
        Meaning of the stored axes, e.g. ``"CYX"``; needed where the file does not say what its planes are.
    channels
        Names of the channels; otherwise the catalog's, ImageJ's labels, colour names, or numbers.
    pixel_size_um
        ``(y, x)`` edge of a pixel. By default what ImageJ wrote with a unit; the resolution of a plain TIFF is a print
        setting (72 per inch and its like) and is not used.

    Returns
    -------
    DataArray ``(c, y, x)``, Dask-backed; before these ``t`` and ``z`` where the file has several. With
    ``pixel_size_um`` coordinates are in micrometres, otherwise in pixels. ``t`` is in seconds where ImageJ states a
    frame interval.

    Raises
    ------
    DataError
        If the file is truncated, not a TIFF, or its planes have no stated meaning; if channels are not those the
        catalog names.
    ParameterError
        If ``axes`` or ``channels`` do not fit the file.

    Examples
    --------
    >>> import numpy as np, tifffile
    >>> tifffile.imwrite(tmp_path / "a.tif", np.ones((2, 4, 5), "uint16"), photometric="minisblack")
    >>> image = Tiff(url=tmp_path / "a.tif", axes="CYX", channels=["DNA", "CD3"], pixel_size_um=[0.5, 0.5]).read()
    >>> image.dims, image["c"].values.tolist()
    (('c', 'y', 'x'), ['DNA', 'CD3'])
    """

    output_instance = "xarray:DataArray"

    def _open(
        self,
        path: Path,
        *,
        axes: str | None = None,
        channels: Sequence[str] | None = None,
        pixel_size_um: Sequence[float] | None = None,
    ) -> xr.DataArray:
        size = check_pixel_size(pixel_size_um)
        with open_tiff(path) as tiff:
            stage = series_of(tiff, path)
            if len(tiff.series) > 1:
                shapes = " and ".join(str(one.shape) for one in tiff.series)
                raise DataError(f"{path.name} holds {shapes}; expected one image, name another reader")
            imagej = dict(tiff.imagej_metadata or {})
            stored = str(stage.axes)
            size = size or stated_pixel_size(tiff.pages[0], imagej)
        data = lazy_level(path)
        declared = list(channels or [str(one["name"]) for one in self.metadata.get("channels") or []])
        meaning = _meaning(stored, axes, data.shape, declared, path)
        data, dims = _ordered(data, meaning)
        names = _names(declared, data.shape[dims.index("c")], "S" in meaning, imagej, path)
        frame = make_image(data[(0,) * (data.ndim - 3)], channels=names, pixel_size_um=size)
        notes = {**frame.attrs[ATTRS], "software": "ImageJ " + str(imagej["ImageJ"]) if imagej.get("ImageJ") else None}
        coords: dict[str, Any] = {str(axis): frame.coords[axis] for axis in ("c", "y", "x")} | _leading(
            dims, data.shape, imagej
        )
        import xarray as xr

        return xr.DataArray(data, dims=dims, coords=coords, attrs={ATTRS: notes})


def stated_pixel_size(page: Any, imagej: dict[str, Any]) -> tuple[float, float] | None:
    """Return the ``(y, x)`` edge of a pixel in micrometres that ImageJ states, or ``None`` when nothing credible is."""
    scale = UNITS.get(str(imagej.get("unit", "")))
    sizes = []
    for tag in ("YResolution", "XResolution"):
        value = page.tags[tag].value if tag in page.tags else (0, 1)
        per_unit = value[0] / value[1] if value[1] else 0.0
        if scale is None or not 0 < per_unit < math.inf:
            return None
        sizes.append(scale / per_unit)
    return sizes[0], sizes[1]


def _meaning(stored: str, axes: str | None, shape: tuple[int, ...], declared: Sequence[str], path: Path) -> str:
    """Return a letter per axis, all of T, Z, C, Y, X, S."""
    if axes is not None:
        meaning = axes.upper()
        if len(meaning) != len(set(meaning)) or not {"Y", "X"} <= set(meaning) <= set("TZCYXS"):
            raise ParameterError(f"axes={axes!r}; use letters of TZCYXS, each once, among them Y and X")
        if len(meaning) != len(shape):
            raise ParameterError(f"axes={axes!r} for {path.name} of shape {shape} ({stored}); give one letter each")
        return meaning
    unknown = [i for i, axis in enumerate(stored) if axis in UNKNOWN and shape[i] > 1]
    if len(unknown) == 1 and len(declared) == shape[unknown[0]]:
        stored = "".join("C" if i == unknown[0] else axis for i, axis in enumerate(stored))
    elif unknown:
        raise DataError(
            f"{path.name} has {shape[unknown[0]]} planes and does not say of what (axes {stored}); give axes=, e.g. "
            f"{''.join('C' if i == unknown[0] else a for i, a in enumerate(stored))!r}, or name the channels"
        )
    return "".join("-" if axis in UNKNOWN else axis for axis in stored)


def _ordered(data: Any, meaning: str) -> tuple[Any, tuple[str, ...]]:
    """Return the array with axes in our order, always a c, single t and z dropped."""
    keep = [i for i, axis in enumerate(meaning) if axis in "CYXS" or (axis in "TZ" and data.shape[i] > 1)]
    data = data[tuple(slice(None) if i in keep else 0 for i in range(data.ndim))]
    left = [meaning[i] for i in keep]
    if "S" in left and "C" in left:
        c = left.index("C")
        if data.shape[c] != 1:
            raise DataError("the image has both channels and colour samples; split it into one or the other")
        data = data[(slice(None),) * c + (0,)]
        left.pop(c)
    dims = ["c" if axis == "S" else axis.lower() for axis in left]
    if "c" not in dims:
        data, dims = data[None], ["c", *dims]
    order = [dims.index(axis) for axis in ORDER if axis in dims]
    return data.transpose(order), tuple(axis for axis in ORDER if axis in dims)


def _names(declared: Sequence[str], count: int, colour: bool, imagej: dict[str, Any], path: Path) -> list[str]:  # noqa: FBT001
    if declared:
        if len(declared) != count:
            raise DataError(f"{path.name} has {count} channels, the catalog names {len(declared)}: {list(declared)}")
        return [str(name) for name in declared]
    if colour and count in (3, 4):
        return ["red", "green", "blue", "alpha"][:count]
    labels = [str(label) for label in imagej.get("Labels") or ()][:count]
    if len(labels) == count and len(set(labels)) == count and all(labels):
        return labels
    return [f"channel_{i}" for i in range(count)] if count > 1 else ["value"]


def _leading(dims: tuple[str, ...], shape: tuple[int, ...], imagej: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    coords: dict[str, Any] = {}
    if "t" in dims:
        count, step = shape[dims.index("t")], float(imagej.get("finterval") or 0)
        coords["t"] = ("t", np.arange(count) * (step or 1), {"units": "s" if step else "1"})
    if "z" in dims:
        count, scale = shape[dims.index("z")], UNITS.get(str(imagej.get("unit", "")))
        step = abs(float(imagej.get("spacing") or 0)) * (scale or 0)
        coords["z"] = ("z", (np.arange(count) + 0.5) * (step or 1), {"units": "um" if step else "px"})
    return coords
