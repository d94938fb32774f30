"""Leica LIF: one image of the file lazily, with channels, planes and time points, in micrometres."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from integrate.errors import DataError, MissingDependencyError, ParameterError, some
from integrate.readers.base import Reader
from integrate.readers.planes import make_planes, named_channels

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["Lif", "describe_image"]

Found = TypeVar("Found")

#: What the library raises on damaged bytes; its own error is a ValueError.
DAMAGE = (ValueError, KeyError, TypeError, IndexError, OSError, AttributeError, struct.error, SyntaxError)


class Lif(Reader):
    """Read one image of a LIF file lazily.

    Parameters
    ----------
    image
        Path of the image in the file, as ``"Project/Series001"``, or its number from 0; needed when it has several.
    tile
        Number of the tile from 0; needed when the image is a mosaic, which the vendor stores as tiles.

    Returns
    -------
    DataArray ``(t?, c, z?, y, x)``, Dask-backed, a block per plane; a time or depth of length 1 is dropped. Channels
    have the names of their dyes, else of their look-up tables (``attrs["integrate"]["names_from"]``); those of a colour
    camera are ``red``, ``green``, ``blue``. Coordinates are micrometres where the file states metres, else pixels;
    those of ``t`` are seconds.

    Raises
    ------
    DataError
        If the file is damaged or no LIF, the image has other axes than time, channel, depth, y and x, its channels
        differ in type, or they are not those the catalog names.
    ParameterError
        If there is no such image or tile, or there are several and none is named.

    Notes
    -----
    The format is that of Leica's *Image File Formats* 3.2; steps are ``Length / (NumberOfElements - 1)``.

    Examples
    --------
    >>> from integrate.readers.lif import Lif
    >>> Lif(url="slides.lif", image="Project/Series001").option_names()
    ('image', 'tile')
    """

    output_instance = "xarray:DataArray"

    def _open(self, path: Path, *, image: str | int | None = None, tile: int | None = None) -> xr.DataArray:
        import dask.array as da
        import numpy as np

        told = _header(path, image, tile)
        sizes = told["sizes"]
        shape = tuple(sizes.get(axis, 1) for axis in "TCZYXS")
        pixels = da.map_blocks(
            _read_plane,
            chunks=(*((1,) * n for n in shape[:3]), *((n,) for n in shape[3:])),
            dtype=told["dtype"],
            meta=np.empty((0,) * 6, told["dtype"]),
            path=path,
            image=told["image"],
            tile=tile,
            changed_ns=path.stat().st_mtime_ns,
        )
        if "S" in sizes:
            pixels, axes, channels = pixels[:, 0], "tzyxc", ["red", "green", "blue"]
        else:
            pixels, axes = pixels[..., 0], "tczyx"
            channels = named_channels(told["names"], shape[1], where=path.name)
        self._check_channels(channels)
        steps = told["steps"]
        return make_planes(
            pixels,
            axes,
            channels=channels,
            pixel_size_um=(steps["Y"], steps["X"]) if {"Y", "X"} <= set(steps) else None,
            z_step_um=steps.get("Z"),
            time_s=steps.get("T"),
            image=told["image"],
            names_from=told["names_from"],
            tile=tile,
        )


def _library() -> Any:
    try:
        import liffile
    except ImportError as error:
        raise MissingDependencyError('reading .lif files needs liffile: pip install "integrate[microscopy]"') from error
    logging.getLogger("liffile").setLevel(logging.ERROR)  # what it logs of a file is checked here
    return liffile


def _header(path: Path, wanted: str | int | None, tile: int | None) -> dict[str, Any]:
    return _of_image(path, wanted, lambda image, name: _told(image, name, tile, path))


def describe_image(path: Path, wanted: str | int | None) -> tuple[Any, str]:
    """Return the XML of an image, and the day of its first plane, ``""`` when the file does not keep it.

    Raises
    ------
    DataError, ParameterError
        As `Lif` does.
    """
    return _of_image(path, wanted, lambda image, _: (image.xml_element, _first_day(image.timestamps)))


def _first_day(stamps: Any) -> str:
    return "" if stamps is None or not len(stamps) else str(stamps[0])[:10]


def _of_image(path: Path, wanted: str | int | None, look: Callable[[Any, str], Found]) -> Found:
    """Return what is seen of one image of a file."""
    try:
        with _library().LifFile(path, squeeze=False) as file:
            if file.type.name != "LIF":
                raise DataError(
                    f"{path.name} is a Leica {file.type.name}; expected a LIF, that holds its pixels itself"
                )
            images = {image.path: image for image in file.images}
            name = _chosen(list(images), wanted, path)
            return look(images[name], name)
    except DAMAGE as error:
        if isinstance(error, (DataError, ParameterError)):
            raise
        raise DataError(f"{path.name} is not a readable LIF file ({error}); it may be truncated") from error


def _chosen(names: list[str], wanted: str | int | None, path: Path) -> str:
    if not names:
        raise DataError(f"{path.name} is a LIF without images; it was never finished, or is cut off")
    if wanted is None and len(names) > 1:
        raise ParameterError(f"{path.name} has images {some(names)}; name one with image=")
    if wanted is None:
        return names[0]
    if isinstance(wanted, int) and 0 <= wanted < len(names):
        return names[wanted]
    if wanted not in names:
        raise ParameterError(f"{path.name} has no image {wanted!r}; it has {some(names)}")
    return str(wanted)


def _told(image: Any, name: str, tile: int | None, path: Path) -> dict[str, Any]:
    sizes = {axis: n for axis, n in image.sizes.items() if n > 1 or axis in "YX"}
    strange = sorted(set(sizes) - set("MTCZYXS"))
    if strange or not {"Y", "X"} <= set(sizes) or sizes.get("S", 3) != 3 or {"S", "C"} <= set(sizes):
        raise DataError(f"image {name!r} of {path.name} has axes {sizes}; expected time, channel, depth, y and x")
    if set(image.frames.frame_sizes) - {"S"} != {"Y", "X"}:
        raise DataError(
            f"image {name!r} of {path.name} is stored by {image.frames.frame_dims}, not by planes of y and x"
        )
    count = sizes.pop("M", 1)
    if count > 1 and tile is None:
        raise ParameterError(f"image {name!r} of {path.name} is a mosaic of {count} tiles; name one with tile=0 …")
    if tile is not None and not 0 <= tile < count:
        raise ParameterError(f"image {name!r} of {path.name} has {count} tiles, from 0; there is no tile {tile}")
    _check_whole(image, name, path)
    names, source = _channel_names(image.xml_element)
    return {
        **{"sizes": sizes, "dtype": image.dtype.str, "image": name, "names": names, "names_from": source},
        "steps": _steps(image.xml_element),
    }


def _check_whole(image: Any, name: str, path: Path) -> None:
    """Refuse an image whose memory block ends behind the file: the library would give what comes before."""
    end, size = image.memory_block.offset + image.nbytes, path.stat().st_size
    if end > size or image.memory_block.size < image.nbytes:
        raise DataError(
            f"image {name!r} of {path.name} needs {end:,} bytes, the file has {size:,}; it is truncated, copy it again"
        )


def _steps(element: Any) -> dict[str, float]:
    """Return micrometres (seconds) from one pixel to the next, where the file states metres (seconds)."""
    steps, place = {}, "./Data/Image/ImageDescription/Dimensions/DimensionDescription"
    for one in element.findall(place):
        axis = {"1": "X", "2": "Y", "3": "Z", "4": "T"}.get(one.get("DimID", ""))
        count, length = int(one.get("NumberOfElements", 1)), abs(float(one.get("Length") or 0))
        factor = {("m", True): 1e6, ("s", False): 1.0}.get((one.get("Unit", ""), axis != "T"))
        if axis and factor and count > 1 and 0 < length < float("inf"):
            steps[axis] = length * factor / (count - 1)
    return steps


def _channel_names(element: Any) -> tuple[list[str | None], str]:
    """Return the names of dyes where every channel has one of its own, else those of look-up tables."""
    channels = element.findall("./Data/Image/ImageDescription/Channels/ChannelDescription")
    channels = sorted(channels, key=lambda one: int(one.get("BytesInc", 0)))
    dyes = [
        next((p.findtext("Value") for p in one.findall("ChannelProperty") if p.findtext("Key") == "DyeName"), None)
        for one in channels
    ]
    if all(dyes) and len(set(dyes)) == len(dyes):
        return dyes, "dye"
    return [one.get("LUTName") for one in channels], "look-up table"


def _read_plane(
    *, path: Path, image: str, tile: int | None, changed_ns: int, block_info: Any = None
) -> np.ndarray[Any, Any]:
    """Return one plane as (1, 1, 1, y, x, s); `changed_ns` is for its token, so that a rewritten file is read again."""
    location = block_info[None]["array-location"]
    at = {axis: start for axis, (start, _) in zip("TCZ", location, strict=False)} | {"M": tile or 0}
    try:
        with _library().LifFile(path, squeeze=False) as file:
            found = file.images[image]
            frame = found.frame(**{axis: index for axis, index in at.items() if axis in found.sizes})
    except DAMAGE as error:
        raise DataError(f"a plane of {path.name} cannot be decoded ({error}); the file is damaged") from error
    return frame.reshape([stop - start for start, stop in location])
