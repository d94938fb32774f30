"""Lazy pixels of a TIFF file: opened for its header now, decoded region by region when asked."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, some

if TYPE_CHECKING:
    import dask.array as da
    import numpy as np

__all__ = ["check_pixel_size", "lazy_level", "lazy_page", "open_tiff", "series_of"]

#: A chunk is at least this many pixels along y and x, in whole tiles of the file, so that no tile is decoded twice.
CHUNK = 1024


def open_tiff(path: Path) -> Any:
    """Return an open `tifffile.TiffFile`; close it, or use it in a ``with`` block.

    Raises
    ------
    DataError
        If the file is empty, truncated or not a TIFF.
    """
    import struct

    import tifffile

    try:
        tiff = tifffile.TiffFile(path)
        try:
            pages = len(tiff.pages)
        except BaseException:
            tiff.close()
            raise
    except (tifffile.TiffFileError, struct.error, ValueError, IndexError, KeyError, OSError) as error:
        if isinstance(error, PermissionError):
            raise
        raise DataError(f"{path.name} is not a readable TIFF ({error}); it may be truncated or another format") from error
    if not pages:
        tiff.close()
        raise DataError(f"{path.name} is a TIFF without images")
    return tiff


def series_of(tiff: Any, path: Path, *, series: int = 0, level: int = 0) -> Any:
    """Return one pyramid level of one series of an open TIFF.

    Raises
    ------
    DataError
        If the file has no such series or level, or its directory of pages is damaged.
    """
    import struct

    import tifffile

    try:
        found = list(tiff.series)
        counts = [len(one.levels) for one in found]
    except (tifffile.TiffFileError, struct.error, ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the pages of {path.name} do not make up an image ({error}); the file is damaged") from error
    if not 0 <= series < len(found):
        raise DataError(f"{path.name} has {len(found)} series, numbered from 0; there is no series {series}")
    if not 0 <= level < counts[series]:
        raise DataError(f"series {series} of {path.name} has {counts[series]} levels, from 0; there is no level {level}")
    return found[series].levels[level]


def lazy_page(path: Path) -> da.Array:
    """Return the only page of a single-channel TIFF as a lazy 2-D array of one chunk.

    Raises
    ------
    DataError
        If the file is not a TIFF, is truncated, or holds more than one 2-D page.
    """
    with open_tiff(path) as tiff:
        stage = series_of(tiff, path)
        if len(tiff.series) > 1 or len(stage.shape) != 2:
            shapes = " and ".join(str(one.shape) for one in tiff.series)
            raise DataError(f"{path.name} holds {shapes}; expected one 2-D channel")
        return _lazy(stage, path, stage.shape)


def lazy_level(path: Path, *, series: int = 0, level: int = 0) -> da.Array:
    """Return one pyramid level of a TIFF series as a lazy array in the series' axes.

    Chunks are whole tiles of the file, at least 1024 pixels along y and x where the image is that large, and one along
    channels and planes. Nothing stays open: a chunk opens the file, decodes its tiles and closes it.

    Raises
    ------
    DataError
        If the file is not a TIFF, is truncated, or has no such series or level.
    """
    with open_tiff(path) as tiff:
        stage = series_of(tiff, path, series=series, level=level)
        rows, columns = _tile_shape(stage.keyframe)
        steps = {"Y": rows * math.ceil(CHUNK / rows), "X": columns * math.ceil(CHUNK / columns)}
        steps["S"] = stage.shape[stage.axes.index("S")] if "S" in stage.axes else 1
        return _lazy(stage, path, tuple(min(n, steps.get(a, 1)) for a, n in zip(stage.axes, stage.shape, strict=True)))


def check_pixel_size(value: Sequence[float] | None) -> tuple[float, float] | None:
    """Return a catalog's ``pixel_size_um`` as ``(y, x)``, or ``None`` when it gives none.

    Raises
    ------
    ParameterError
        If it is not two positive numbers.
    """
    if value is None:
        return None
    numbers = [n for n in value if isinstance(n, (int, float))] if isinstance(value, Sequence) else []
    if len(numbers) != 2 or not all(0 < n < math.inf for n in numbers):
        raise ParameterError(f"pixel_size_um is {value!r}; give the y and x edge of a pixel, e.g. [0.5, 0.5]")
    return float(numbers[0]), float(numbers[1])


def _lazy(stage: Any, path: Path, chunks: Sequence[int]) -> da.Array:
    import dask.array as da
    import numpy as np
    from dask.base import tokenize

    _check_complete(stage, path)
    dtype = np.dtype(stage.dtype).newbyteorder("=")
    read = _region_reader(stage, path)
    return da.map_blocks(
        _decode_block,
        chunks=da.core.normalize_chunks(tuple(chunks), stage.shape),
        dtype=dtype,
        meta=np.empty((0,) * len(stage.shape), dtype),
        name="tiff-" + tokenize(path, path.stat().st_mtime_ns, stage.shape, stage.axes, chunks, read),
        path=path,
        axes=stage.axes,
        read=read,
    )


def _region_reader(stage: Any, path: Path) -> tuple[Any, ...]:
    """Return how to find pixels later, in plain values: the directory offset of each plane, or that of one long array."""
    page_axes = [axis for axis in stage.axes if axis in "YXS"]
    planes = math.prod(n for axis, n in zip(stage.axes, stage.shape, strict=True) if axis not in "YXS")
    leading = stage.axes[: len(stage.axes) - len(page_axes)]
    keyframe = stage.keyframe
    if len(stage.pages) == planes and not set(leading) & set("YXS") and keyframe.imagedepth == 1:
        return ("pages", tuple(int(page.offset) for page in stage.pages))
    if stage.dataoffset is not None:
        return ("contiguous", stage.dataoffset, stage.dtype.newbyteorder(keyframe.parent.byteorder).str, stage.shape)
    raise DataError(f"{path.name} stores {stage.axes} {stage.shape} in {len(stage.pages)} pages; that layout is not read")


def _decode_block(*, path: Path, axes: str, read: tuple[Any, ...], block_info: Any = None) -> np.ndarray[Any, Any]:
    import struct

    import numpy as np
    import tifffile

    location = block_info[None]["array-location"]
    try:
        if read[0] == "contiguous":
            _, offset, dtype, shape = read
            pixels = np.memmap(path, dtype, "r", offset, shape)[tuple(slice(*bounds) for bounds in location)]
            return np.array(pixels, dtype=pixels.dtype.newbyteorder("="))
        with tifffile.TiffFile(path) as tiff:
            return _decode_planes(tiff, axes, read[1], block_info[None]["shape"], location)
    except (tifffile.TiffFileError, struct.error, zlib.error, ValueError, IndexError, RuntimeError, OSError) as error:
        raise DataError(f"{path.name} cannot be decoded ({error}); the file is damaged or has changed") from error


def _decode_planes(
    tiff: Any, axes: str, pages: Sequence[int], shape: Sequence[int], location: Sequence[tuple[int, int]]
) -> np.ndarray[Any, Any]:
    import numpy as np

    leading = [i for i, axis in enumerate(axes) if axis not in "YXS"]
    bounds = {axis: slice(*location[i]) for i, axis in enumerate(axes) if axis in "YXS"}
    numbers = np.ravel_multi_index(
        np.meshgrid(*(range(*location[i]) for i in leading), indexing="ij"), [shape[i] for i in leading]
    ) if leading else np.zeros(1, int)
    planes = [_decode_region(_page_at(tiff, pages[n]), bounds["Y"], bounds["X"]) for n in np.ravel(numbers)]
    return np.stack(planes).reshape([stop - start for start, stop in location])


def _page_at(tiff: Any, offset: int) -> Any:
    """Return the page whose directory lies at a byte offset; walking the chain of a large file costs more than decoding."""
    import tifffile

    tiff.filehandle.seek(offset)
    return tifffile.TiffPage(tiff, index=0)


def _decode_region(page: Any, rows: slice, columns: slice) -> np.ndarray[Any, Any]:
    """Return part of a page as (separate samples, y, x, interleaved samples), decoding only the tiles it touches."""
    import numpy as np

    high, wide = _tile_shape(page)
    samples, _, length, width, interleaved = page.shaped
    per_row, per_sample = math.ceil(width / wide), math.ceil(width / wide) * math.ceil(length / high)
    touched = [
        s * per_sample + y * per_row + x
        for s in range(samples)
        for y in range(rows.start // high, math.ceil(rows.stop / high))
        for x in range(columns.start // wide, math.ceil(columns.stop / wide))
    ]
    region = np.full((samples, rows.stop - rows.start, columns.stop - columns.start, interleaved), page.nodata, page.dtype)
    decode = _decoder(page)
    offsets, counts = [page.dataoffsets[i] for i in touched], [page.databytecounts[i] for i in touched]
    for data, index in page.parent.filehandle.read_segments(offsets, counts, indices=touched):
        tile, (s, _, y, x, _), _ = decode(data, index)
        if tile is not None:
            top, left = max(y, rows.start), max(x, columns.start)
            bottom = min(y + tile.shape[1], rows.stop)
            right = min(x + tile.shape[2], columns.stop)
            part = tile[0, top - y : bottom - y, left - x : right - x]
            region[s, top - rows.start : bottom - rows.start, left - columns.start : right - columns.start] = part
    return region


def _decoder(page: Any) -> Callable[[Any, int], Any]:
    if page.jpegtables is None:
        return page.decode
    return lambda data, index: page.decode(data, index, jpegtables=page.jpegtables)


def _tile_shape(page: Any) -> tuple[int, int]:
    return (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)


def _check_complete(stage: Any, path: Path) -> None:
    """Refuse a file whose header promises pixels beyond its end; a decoder would give zeros or fail much later."""
    absent = sum(page is None for page in stage.pages)
    if absent:
        raise DataError(f"{path.name} refers to {absent} planes in other files that are not there; copy them beside it")
    elsewhere = {page.parent.filehandle.name for page in stage.pages} - {path.name}
    if elsewhere:
        raise DataError(f"{path.name} spreads its planes over other files ({some(elsewhere)}); save it as one file")
    size = path.stat().st_size
    for page in stage.pages:
        needed = max((o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)), default=0)
        if needed > size:
            raise DataError(
                f"{path.name} is truncated: its header promises {needed:,} bytes, the file has {size:,}; copy it again"
            )
