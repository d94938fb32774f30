"""Lazy pixels of a TIFF file: opened for its header now, decoded region by region when asked."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, some
from integrate.readers.tiff_directories import check_directories

if TYPE_CHECKING:
    import dask.array as da
    import numpy as np

__all__ = [
    "check_pixel_size",
    "lazy_first_page",
    "lazy_level",
    "lazy_page",
    "open_page",
    "open_tiff",
    "page_behind",
    "series_of",
]

#: What tifffile and its decoders raise on damaged bytes (`tifffile.TiffFileError` and decoder errors are among these).
DAMAGE = (
    ValueError,
    struct.error,
    zlib.error,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    EOFError,
)
#: A chunk is at least this many pixels along y and x, in whole tiles of the file, so that no tile is decoded twice.
CHUNK = 1024

#: What the lazy arrays made in this process decode, by their names: file, reader of regions and chunks.
_MADE: dict[str, tuple[Path, tuple[Any, ...], tuple[tuple[int, ...], ...]]] = {}


def open_tiff(path: Path) -> Any:
    """Return an open `tifffile.TiffFile`; close it, or use it in a ``with`` block.

    Raises
    ------
    DataError
        If the file is empty, truncated or not a TIFF.
    """
    import tifffile

    tiff = None
    check_directories(path)
    try:
        tiff = tifffile.TiffFile(path)
        pages = len(tiff.pages)
    except DAMAGE as error:
        if tiff is not None:
            tiff.close()
        raise DataError(f"{path.name} is not a readable TIFF ({error}); it is truncated or another format") from error
    if not pages:
        tiff.close()
        raise DataError(f"{path.name} is a TIFF without images; it is truncated, or was never finished")
    return tiff


def series_of(tiff: Any, path: Path, *, series: int = 0, level: int = 0) -> Any:
    """Return one pyramid level of one series of an open TIFF.

    Raises
    ------
    DataError
        If the file has no such series or level, or its directory of pages is damaged.
    """
    try:
        found = list(tiff.series)
        levels = len(found[series].levels) if 0 <= series < len(found) else 0
    except DAMAGE as error:
        raise DataError(f"the pages of {path.name} do not make up an image ({error}); the file is damaged") from error
    if not levels:
        raise DataError(f"{path.name} has {len(found)} series, numbered from 0; there is no series {series}")
    if not 0 <= level < levels:
        raise DataError(f"series {series} of {path.name} has {levels} levels, from 0; there is no level {level}")
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


def lazy_first_page(path: Path) -> da.Array:
    """Return the first page of a TIFF as a lazy 2-D array, whatever else the file or its companions hold.

    One file of a set that its OME-XML calls a single image is read for itself.

    Raises
    ------
    DataError
        If the file is not a TIFF, is truncated, or its first page is not one grey plane.
    """
    import tifffile

    with open_tiff(path):
        pass  # said better there when it is no TIFF
    with tifffile.TiffFile(path, is_ome=False) as tiff:
        stage = series_of(tiff, path)
        page = stage.keyframe
        if page.samplesperpixel != 1 or len(page.shape) != 2:
            raise DataError(f"{path.name} begins with {page.axes} {page.shape}; expected one grey plane")
        rows, columns = _tile_shape(page)
        first = tifffile.TiffPageSeries([page], shape=page.shape, dtype=page.dtype, axes="YX")
        steps = (rows * math.ceil(CHUNK / rows), columns * math.ceil(CHUNK / columns))
        return _lazy(first, path, tuple(min(n, step) for n, step in zip(page.shape, steps, strict=True)))


def lazy_level(path: Path, *, series: int = 0, level: int = 0, least: int = CHUNK) -> da.Array:
    """Return one pyramid level of a TIFF series as a lazy array in the series' axes.

    Chunks are whole tiles of the file, at least `least` pixels along y and x where the image is that large, and one
    along channels and planes. Nothing stays open: a chunk opens the file, decodes its tiles and closes it.

    Raises
    ------
    DataError
        If the file is not a TIFF, is truncated, or has no such series or level.
    """
    with open_tiff(path) as tiff:
        stage = series_of(tiff, path, series=series, level=level)
        rows, columns = _tile_shape(stage.keyframe)
        steps = {"Y": rows * math.ceil(least / rows), "X": columns * math.ceil(least / columns), "-": 1}
        axes = _page_axes(stage)
        return _lazy(stage, path, tuple(min(n, steps.get(a, n)) for a, n in zip(axes, stage.shape, strict=True)))


def page_behind(array: da.Array) -> tuple[Path, int] | None:
    """Return file and byte offset of the page that a lazy array ``(c, y, x)`` of colours is.

    None where it is no single page of interleaved colours that `lazy_level` opened in this process, or anything was
    done to it but bringing the colours to the front.
    """
    import dask.array as da

    for name in array.dask.layers:
        path, read, chunks = _MADE.get(name, (None, ("",), ()))
        if path is None or read[0] != "pages" or len(read[1]) != 1 or len(chunks) != 3:
            continue
        stored = da.Array(array.dask, name, chunks=chunks, dtype=array.dtype)
        if stored.transpose((2, 0, 1)).name == array.name:
            return path, read[1][0]
    return None


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
    name = "tiff-" + tokenize(path, path.stat().st_mtime_ns, stage.shape, stage.axes, chunks, read)
    whole = da.core.normalize_chunks(tuple(chunks), stage.shape)
    _MADE[name] = (path, read, whole)
    return da.map_blocks(
        _decode_block,
        chunks=whole,
        dtype=dtype,
        meta=np.empty((0,) * len(stage.shape), dtype),
        name=name,
        path=path,
        axes=_page_axes(stage),
        read=read,
    )


def _page_axes(stage: Any) -> str:
    """Return the axes of a page (``Y``, ``X``, ``S`` for samples) after a ``-`` for each axis that counts pages.

    The series' own letters do not do: a planar colour page may go by the name of three channels.
    """
    axes = str(stage.keyframe.axes)
    return "-" * (len(stage.shape) - len(axes)) + axes


def _region_reader(stage: Any, path: Path) -> tuple[Any, ...]:
    """Return how to find pixels later, in plain values: where each plane's directory lies, or one long array."""
    keyframe = stage.keyframe
    planes = stage.shape[: len(stage.shape) - len(keyframe.shape)]
    whole = tuple(stage.shape) == (*planes, *keyframe.shape) and len(stage.pages) == math.prod(planes)
    if whole and keyframe.imagedepth == 1 and {"Y", "X"} <= set(keyframe.axes) <= {"Y", "X", "S"}:
        return ("pages", tuple(int(page.offset) for page in stage.pages))
    if stage.dataoffset is not None:
        return ("contiguous", stage.dataoffset, stage.dtype.newbyteorder(keyframe.parent.byteorder).str, stage.shape)
    layout = f"{stage.axes} {stage.shape} in {len(stage.pages)} pages"
    raise DataError(f"{path.name} stores {layout}; that layout is not read, save it as OME-TIFF")


def _decode_block(*, path: Path, axes: str, read: tuple[Any, ...], block_info: Any = None) -> np.ndarray[Any, Any]:
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
    except (*DAMAGE, OSError) as error:
        raise DataError(f"{path.name} cannot be decoded ({error}); the file is damaged or has changed") from error


def _decode_planes(
    tiff: Any, axes: str, pages: Sequence[int], shape: Sequence[int], location: Sequence[tuple[int, int]]
) -> np.ndarray[Any, Any]:
    import numpy as np

    counting = axes.count("-")
    bounds = {axis: slice(*location[i]) for i, axis in enumerate(axes)}
    wanted = np.array(pages).reshape(shape[:counting])[tuple(slice(*bounds) for bounds in location[:counting])]
    planes = [_decode_region(_page_at(tiff, offset), bounds["Y"], bounds["X"]) for offset in wanted.ravel().tolist()]
    return np.stack(planes).reshape([stop - start for start, stop in location])


@contextmanager
def open_page(path: Path, offset: int) -> Iterator[Any]:
    """Give the `tifffile.TiffPage` whose directory lies at a byte offset, while its file is open."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        yield _page_at(tiff, offset)


def _page_at(tiff: Any, offset: int) -> Any:
    """Return the page whose directory lies at a byte offset; walking a long chain would cost more than decoding."""
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
    size = (samples, rows.stop - rows.start, columns.stop - columns.start, interleaved)
    region = np.full(size, page.nodata, page.dtype)
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
    try:
        absent = sum(page is None for page in stage.pages)
    except DAMAGE as error:
        raise DataError(f"the pages of {path.name} cannot all be found ({error}); the file is truncated") from error
    if absent:
        raise DataError(f"{path.name} refers to {absent} planes in other files that are not there; copy them beside it")
    elsewhere = {page.parent.filehandle.name for page in stage.pages} - {path.name, path.resolve().name}  # a link
    if elsewhere:
        raise DataError(f"{path.name} spreads its planes over other files ({some(elsewhere)}); save it as one file")
    if any(not 0 < len(page.dataoffsets) == len(page.databytecounts) for page in stage.pages):
        raise DataError(f"the header of {path.name} does not say where its pixels are; it is truncated or damaged")
    needed = [o + n for page in stage.pages for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if stage.dataoffset is not None:
        needed.append(stage.dataoffset + stage.nbytes)
    size, promised = path.stat().st_size, max(needed, default=0)
    if promised > size:
        raise DataError(
            f"{path.name} is truncated: its header promises {promised:,} bytes, the file has {size:,}; copy it again"
        )
