"""Bio-Formats: one image of any file that it reads, lazily, where Java is present."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, MissingDependencyError, ParameterError, some, warn
from integrate.readers.base import Reader
from integrate.readers.planes import make_planes, named_channels
from integrate.readers.tiff_directories import last_byte

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["BioFormats", "describe_file"]

#: Environment variable with the place of ``bioformats_package.jar``: a catalog may not name code to run.
JAR = "INTEGRATE_BIOFORMATS_JAR"
NEEDED = (
    'reading by Bio-Formats needs Java 8 or later, JPype (pip install "integrate[bioformats]") and the environment '
    f"variable {JAR} with the place of bioformats_package.jar"
)
#: Pixels along y and x that one block decodes.
BLOCK = 2048
TYPES = {name: name for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32")}
TYPES |= {"float": "float32", "double": "float64"}


class BioFormats(Reader):
    """Read one image of a file lazily by Bio-Formats; for formats that no other reader here opens.

    Parameters
    ----------
    series
        Number of the image from 0; needed when the file has several.
    level
        Level of its pyramid, 0 being the largest.

    Returns
    -------
    DataArray ``(t?, c, z?, y, x)``, Dask-backed, in blocks of 2048 pixels; a time or depth of length 1 is dropped.
    Channels are named as the file names them, those of a colour image ``red``, ``green``, ``blue``. Coordinates are
    micrometres (seconds) where the file states a step in a unit of length (time), else pixels (numbers).
    ``attrs["integrate"]`` has the ``format`` and the version of Bio-Formats.

    Raises
    ------
    MissingDependencyError
        If Java, JPype or the library of Bio-Formats is not there; the environment variable
        ``INTEGRATE_BIOFORMATS_JAR`` says where ``bioformats_package.jar`` is.
    DataError
        If Bio-Formats cannot read the file, or its channels are not those the catalog names.
    ParameterError
        If there is no such image or level, or there are several images and none is named.

    Notes
    -----
    Bio-Formats runs inside this process, once started until its end. The library is not part of this package: it is
    the user's choice, under the GPL (all formats) or the BSD licence (open formats). Of a file that is cut off it gives
    0 for what is missing. TIFF files of any kind are looked through for it here; of others, those smaller than their
    pixels are compressed or cut off: a warning says so, unless the catalog promises their size (``verify``).

    Examples
    --------
    >>> from integrate.readers.bioformats import BioFormats
    >>> BioFormats(url="old.lsm", series=0).option_names()
    ('series', 'level')
    """

    output_instance = "xarray:DataArray"

    def _open(self, path: Path, *, series: int | None = None, level: int = 0) -> xr.DataArray:
        import dask.array as da
        import numpy as np

        told = _header(path, series, level)
        _check_whole(told["files"], told["bytes"], is_promised=bool((self.kwargs.get("verify") or {}).get("bytes")))
        blocks = ((1,) * told["shape"][0], (1,) * told["shape"][1], (1,) * told["shape"][2])
        pixels = da.map_blocks(
            _read_block,
            chunks=(*blocks, *da.core.normalize_chunks((BLOCK, BLOCK), told["shape"][3:])),
            dtype=told["dtype"],
            meta=np.empty((0,) * 5, told["dtype"]),
            path=path,
            series=told["series"],
            level=level,
            stored=told["stored"],
            changed_ns=path.stat().st_mtime_ns,
        )
        colours = ["red", "green", "blue"]
        count = told["shape"][1]
        channels = colours if told["is_colour"] else named_channels(told["names"], count, where=path.name)
        self._check_channels(channels)
        steps = told["steps"]
        return make_planes(
            pixels,
            "tczyx",
            channels=channels,
            pixel_size_um=(steps["y"], steps["x"]) if {"y", "x"} <= set(steps) else None,
            z_step_um=steps.get("z"),
            time_s=steps.get("t"),
            format=told["format"],
            software=f"Bio-Formats {told['version']}",
        )


def _java() -> Any:
    """Return JPype with Bio-Formats in a running Java machine."""
    try:
        import jpype
    except ImportError as error:
        raise MissingDependencyError(NEEDED) from error
    if not jpype.isJVMStarted():
        jar = os.environ.get(JAR, "")
        if not Path(jar).is_file():
            raise MissingDependencyError(f"{NEEDED}; it is {jar!r} now")
        try:
            jpype.startJVM("-Djava.awt.headless=true", classpath=[jar], convertStrings=True)
        except (jpype.JVMNotFoundException, OSError) as error:
            raise MissingDependencyError(f"{NEEDED}; no Java was found ({error})") from error
        jpype.JClass("loci.common.DebugTools").setRootLevel("OFF")
    return jpype


class _Opened:
    """A file opened by Bio-Formats at one image and level; closed at the end of a block.

    Colours are split here: Bio-Formats' own `ChannelSeparator` (6.11) gives 0 for an image that follows a colour one.
    """

    def __init__(self, path: Path, series: int = 0, level: int = 0) -> None:
        self.java = _java()
        java = self.java.JClass
        service = java("loci.common.services.ServiceFactory")().getInstance(
            java("loci.formats.services.OMEXMLService").class_
        )
        self.reader = java("loci.formats.ImageReader")()
        self.reader.setFlattenedResolutions(False)
        self.metadata = service.createOMEXMLMetadata()
        self.reader.setMetadataStore(self.metadata)
        self.path, self.series, self.level = path, series, level

    def __enter__(self) -> _Opened:
        try:
            self.reader.setId(str(self.path))
        except self.java.JException as error:
            self.reader.close()
            raise DataError(f"{self.path.name} is not readable by Bio-Formats ({error}); is it whole?") from error
        count = self.reader.getSeriesCount()
        self.reader.setSeries(self.series if self.series < count else 0)
        if self.level < self.reader.getResolutionCount():
            self.reader.setResolution(self.level)
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()


def describe_file(path: Path) -> str:
    """Return what a file says of itself, as OME-XML.

    Raises
    ------
    DataError
        If Bio-Formats cannot read it.
    """
    with _Opened(path) as file:
        return str(file.metadata.dumpXML())


def _header(path: Path, series: int | None, level: int) -> dict[str, Any]:
    import numpy as np

    with _Opened(path, series or 0) as file:
        reader, java = file.reader, file.java.JClass
        count = int(reader.getSeriesCount())
        if series is None and count > 1:
            names = [str(file.metadata.getImageName(number)) for number in range(count)]
            raise ParameterError(f"{path.name} has {count} images: {some(names)}; name one with series=0 …")
        if series is not None and not 0 <= series < count:
            raise ParameterError(f"{path.name} has {count} images, from 0; there is no image {series}")
        if not 0 <= level < reader.getResolutionCount():
            raise ParameterError(f"{path.name} has {reader.getResolutionCount()} levels, from 0; there is no {level}")
        full = (int(reader.getSizeY()), int(reader.getSizeX()))
        reader.setResolution(level)
        size = (int(reader.getSizeY()), int(reader.getSizeX()))
        kind = str(java("loci.formats.FormatTools").getPixelTypeString(reader.getPixelType()))
        if kind not in TYPES:
            raise DataError(f"{path.name} holds pixels of type {kind!r}; expected one of {some(TYPES)}")
        channels = int(reader.getSizeC())
        return {
            "series": series or 0,
            "shape": (int(reader.getSizeT()), channels, int(reader.getSizeZ()), *size),
            "stored": np.dtype(TYPES[kind]).newbyteorder("<" if reader.isLittleEndian() else ">").str,
            "dtype": TYPES[kind],
            "is_colour": channels == 3 and int(reader.getRGBChannelCount()) == 3,
            "names": _names(file.metadata, series or 0),
            "steps": _steps(file, series or 0, (full[0] / size[0], full[1] / size[1])),
            "format": str(reader.getFormat()),
            "version": str(java("loci.formats.FormatTools").VERSION),
            "files": sorted(Path(str(one)) for one in reader.getUsedFiles()),
            "bytes": sum(_bytes(reader, number) for number in range(count)),
        }


def _bytes(reader: Any, series: int) -> int:
    """Return how many bytes the pixels of an image are when they are not compressed."""
    reader.setSeries(series)
    depth = int(reader.getBitsPerPixel() + 7) // 8
    planes = int(reader.getImageCount()) * int(reader.getRGBChannelCount())
    return planes * int(reader.getSizeX()) * int(reader.getSizeY()) * depth


def _check_whole(files: list[Path], needed: int, *, is_promised: bool) -> None:
    """Refuse a TIFF that is cut off, and warn of other files that are too small for their pixels."""
    held, followed = 0, True
    for file in files:
        size, end = file.stat().st_size, last_byte(file)
        held, followed = held + size, followed and end is not None
        if end is not None and end > size:
            raise DataError(f"{file.name} needs {end:,} bytes and has {size:,}; it is truncated, copy it again")
    if held < needed and not followed and not is_promised:
        warn(
            f"{files[0].name} has {held:,} bytes for {needed:,} bytes of pixels: it is compressed, or cut off, and "
            "then Bio-Formats gives 0 for what is missing; a catalog that promises its size (verify: bytes) can tell"
        )


def _names(metadata: Any, series: int) -> list[str | None]:
    found = [metadata.getChannelName(series, number) for number in range(metadata.getChannelCount(series))]
    return [None if name is None else str(name) for name in found]


def _steps(file: _Opened, series: int, scale: tuple[float, float]) -> dict[str, float]:
    """Return micrometres (seconds) from one pixel to the next, by axis; of this level, as `scale` (y, x) says."""
    units = file.java.JClass("ome.units.UNITS")
    metadata = file.metadata
    found = {
        "y": (metadata.getPixelsPhysicalSizeY(series), units.MICROMETER, scale[0]),
        "x": (metadata.getPixelsPhysicalSizeX(series), units.MICROMETER, scale[1]),
        "z": (metadata.getPixelsPhysicalSizeZ(series), units.MICROMETER, 1.0),
        "t": (metadata.getPixelsTimeIncrement(series), units.SECOND, 1.0),
    }
    steps = {}
    for axis, (stated, unit, factor) in found.items():
        value = None if stated is None else stated.value(unit)  # null when the stated unit is none of length or time
        if value is not None and 0 < float(value.doubleValue()) < float("inf"):
            steps[axis] = float(value.doubleValue()) * factor
    return steps


def _read_block(
    *, path: Path, series: int, level: int, stored: str, changed_ns: int, block_info: Any = None
) -> np.ndarray[Any, Any]:
    """Return one block; `changed_ns` is there for its token, so that a rewritten file is read again."""
    import numpy as np

    (t, _), (c, _), (z, _), (top, bottom), (left, right) = block_info[None]["array-location"]
    with _Opened(path, series, level) as file:
        try:
            samples = int(file.reader.getRGBChannelCount())
            index = file.reader.getIndex(z, c // samples, t)
            held = bytes(file.reader.openBytes(index, left, top, right - left, bottom - top))
            last = bool(file.reader.isInterleaved())
        except file.java.JException as error:
            raise DataError(f"a plane of {path.name} cannot be decoded ({error}); the file is damaged") from error
    height, width = bottom - top, right - left
    planes = np.frombuffer(held, stored).reshape((height, width, samples) if last else (samples, height, width))
    pixels = (planes[..., c % samples] if last else planes[c % samples]).reshape(1, 1, 1, height, width)
    return pixels.astype(pixels.dtype.newbyteorder("="))
