"""OME-TIFF: channel names and pixel size from its XML, pixels lazily from any pyramid level."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from integrate.errors import DataError, warn
from integrate.model.image import make_image
from integrate.readers.base import Reader
from integrate.readers.tiff import lazy_level, open_tiff

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["OmeTiff"]

#: Micrometres per unit that OME-XML may state.
MICROMETRES: dict[str, float] = {
    "µm": 1.0,
    "um": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "Å": 1e-4,
    "pm": 1e-6,
}


class OmeTiff(Reader):
    """Read one series of an OME-TIFF as a lazy image in micrometres.

    Returns
    -------
    DataArray ``(c, y, x)``, Dask-backed. Pixel size is that of the level read: the declared size times the true
    ratio of shapes. When the file does not declare a size in a length unit, it is unknown and coordinates are in
    pixels. A time or z axis of length 1 is dropped.

    Raises
    ------
    DataError
        If the file is truncated, not an OME-TIFF, has more than one z plane or time point, or its channels are not
        those the catalog names.

    Examples
    --------
    >>> import numpy as np, tifffile
    >>> told = {"axes": "CYX", "Channel": {"Name": ["DNA", "CD3"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    >>> tifffile.imwrite(tmp_path / "a.ome.tif", np.ones((2, 40, 50), "uint8"), metadata=told, ome=True)
    >>> image = OmeTiff(url=tmp_path / "a.ome.tif").read()
    >>> image["c"].values.tolist(), image["x"].attrs["units"], float(image["x"][0])
    (['DNA', 'CD3'], 'um', 0.25)
    """

    output_instance = "xarray:DataArray"

    def _open(self, path: Path, *, level: int = 0, series: int = 0) -> xr.DataArray:
        data = lazy_level(path, series=series, level=level)
        with open_tiff(path) as tiff:
            if not tiff.is_ome or not tiff.ome_metadata:
                raise DataError(f"{path.name} is a TIFF without OME-XML; name its reader, or convert it")
            xml, axes = tiff.ome_metadata, str(tiff.series[series].axes)
            levels = [tuple(stage.shape) for stage in tiff.series[series].levels]
            count = len(tiff.series)
        pixels = _pixels_element(xml, path, series, count)
        image = _as_cyx(data, axes, path)
        names = _channel_names(pixels, image.shape[0])
        self._check_channels(names)
        size = _pixel_size_um(pixels)
        if size is not None:
            rows, columns = axes.index("Y"), axes.index("X")
            full, read = levels[0], levels[level]
            size = (size[0] * full[rows] / read[rows], size[1] * full[columns] / read[columns])
        shapes = [list(shape) for shape in levels]
        return make_image(image, channels=names, pixel_size_um=size, levels=shapes, level=level)


def _pixels_element(xml: str, path: Path, series: int, count: int) -> Any:
    """Return the description of one series; the images of the XML and the series of the file are in the same order."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise DataError(f"the OME-XML of {path.name} is damaged: {error}") from error
    described = root.findall(".//{*}Image/{*}Pixels")
    if len(described) != count:
        raise DataError(
            f"the OME-XML of {path.name} describes {len(described)} images, the file has {count}; save it again"
        )
    return described[series]


def _as_cyx(data: Any, axes: str, path: Path) -> Any:
    """Return the array with axes c, y, x; singleton axes go, samples of an RGB image are channels."""
    keep = []
    for position, axis in enumerate(axes):
        if axis in "YXCS":
            keep.append(position)
        elif data.shape[position] != 1:
            raise DataError(f"{path.name} has {data.shape[position]} planes along {axis!r}; expected one 2-D image")
    index = tuple(slice(None) if i in keep else 0 for i in range(data.ndim))
    data, left = data[index], [axes[i] for i in keep]
    if "C" in left and "S" in left:
        raise DataError(f"{path.name} has both channels and colour samples; split it into one or the other")
    if "C" not in left and "S" not in left:
        return data[None] if left == ["Y", "X"] else data.T[None]
    return data.transpose([left.index("C" if "C" in left else "S"), left.index("Y"), left.index("X")])


def _channel_names(pixels: Any, count: int) -> list[str]:
    declared = pixels.findall("{*}Channel")
    names = [channel.get("Name") for channel in declared]
    samples = [int(channel.get("SamplesPerPixel", 1)) for channel in declared]
    if samples == [count] and count in (3, 4):
        return ["red", "green", "blue", "alpha"][:count]
    if len(names) == count and all(names) and len(set(names)) == count:
        return [str(name) for name in names]
    warn(f"{count} channels without usable names in the OME-XML (found {names}); they are called channel_0 …")
    return [f"channel_{i}" for i in range(count)]


def _pixel_size_um(pixels: Any) -> tuple[float, float] | None:
    sizes = []
    for axis in "YX":
        text, unit = pixels.get(f"PhysicalSize{axis}", ""), pixels.get(f"PhysicalSize{axis}Unit", "µm")
        try:
            value = float(text)
        except ValueError:
            return None
        if unit not in MICROMETRES or not 0 < value < math.inf:
            return None
        sizes.append(value * MICROMETRES[unit])
    return sizes[0], sizes[1]
