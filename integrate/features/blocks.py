"""Blocks: windows of an image and its regions that are read, measured and forgotten one by one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from integrate.errors import DataError
from integrate.features.stored import StoredArray
from integrate.features.stored_tiles import StoredTiles

if TYPE_CHECKING:
    import numpy as np

    from integrate.features.seams import Edges

__all__ = [
    "Block",
    "Look",
    "Window",
    "blank_channels",
    "cut_grid",
    "find_block",
    "group_runs",
    "read_channels",
    "read_image",
    "read_labels",
    "windows_between",
]

#: Edge below which chunks are read together, and with which arrays in memory are cut.
_EDGE = 512
_EDGE_OF_VOLUME = 64

#: Number of pixels below which channels are read together: a request to Dask takes milliseconds, whatever it reads.
_REQUEST = 1 << 22


@dataclass(frozen=True, slots=True)
class Window:
    """Rows ``y0 <= y < y1`` and columns ``x0 <= x < x1`` of the grid, and of a volume planes ``z0 <= z < z1``.

    A part of a volume is looked at as one tall raster, plane under plane.
    """

    y0: int
    y1: int
    x0: int
    x1: int
    z0: int = 0
    z1: int = 1

    @property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """First and one past the last along ``z, y, x``."""
        return (self.z0, self.z1), (self.y0, self.y1), (self.x0, self.x1)


@dataclass(frozen=True, slots=True)
class Block:
    """The regions of one window as runs: run ``k`` is ``region[k]``, an index into the ascending `ids`.

    Runs are int32, counted from the corner of the window: every channel goes through all of them, and half the bytes
    stay in the cache.
    Runs come row by row; where regions may `overlap`, region by region. `split` says which regions have pixels in other
    blocks too; None where nobody asked. Of a `volume` rows count through all planes of the window; where its regions
    are labels, `around` holds them with one voxel around the window.
    """

    window: Window
    ids: np.ndarray[Any, Any]
    region: np.ndarray[Any, Any]
    row: np.ndarray[Any, Any]
    start: np.ndarray[Any, Any]
    stop: np.ndarray[Any, Any]
    overlap: bool = False
    split: np.ndarray[Any, Any] | None = None
    around: np.ndarray[Any, Any] | None = None
    volume: bool = False

    @property
    def runs(self) -> tuple[np.ndarray[Any, Any], ...]:
        """Region, row, start and stop of every run, as the kernels take them."""
        return self.region, self.row, self.start, self.stop


class Look(NamedTuple):
    """What lies in one window: the pixels of its regions, and the regions to be counted with it.

    The second differs from the first where regions are known as a whole; then no `edges` have to be joined.
    """

    block: Block
    whole: Block
    edges: Edges | None
    print: int


def cut_grid(image: Any, regions: Any) -> list[list[int]]:
    """Return where to cut along ``(z,) y, x``, ends included: along chunks, so that none is decoded twice."""
    shape = image.shape[1:]
    chunks = _chunks(image)[1:] if _chunks(image) else _chunks(regions) or (None,) * len(shape)
    edges = (_EDGE,) * 2 if len(shape) == 2 else (_EDGE_OF_VOLUME,) * 3
    return [_cuts(sizes, length, edge) for sizes, length, edge in zip(chunks, shape, edges, strict=True)]


def windows_between(cuts: Sequence[Sequence[int]]) -> list[Window]:
    """Return the windows between the cuts, plane by plane and row by row."""
    planes, rows, columns = [[0, 1]] * (3 - len(cuts)) + [list(one) for one in cuts]
    return [
        Window(y0, y1, x0, x1, z0, z1)
        for z0, z1 in itertools.pairwise(planes)
        for y0, y1 in itertools.pairwise(rows)
        for x0, x1 in itertools.pairwise(columns)
    ]


def _chunks(array: Any) -> Any:
    return array.chunks if hasattr(array, "dask") or isinstance(array, StoredArray) else ()


def _cuts(sizes: Sequence[int] | None, length: int, edge: int) -> list[int]:
    ends = itertools.accumulate(sizes) if sizes else range(edge, length + edge, edge)
    cuts = [0]
    for end in ends:
        if end - cuts[-1] >= edge or end >= length:
            cuts.append(min(end, length))
    return cuts


def find_block(labels: np.ndarray[Any, Any], window: Window) -> Block:
    """Return the regions in a window of the label image.

    Raises
    ------
    DataError
        If a label is negative or does not fit in int64.
    """
    import numpy as np

    from integrate.features import kernels

    found, row, start, stop = kernels.find_runs(labels)
    ids, region = _numbered(found)
    if ids.size and ids[0] < 0:  # above 2^63 an unsigned label wraps around to below zero
        label = ids[:1].astype(labels.dtype)[0]
        raise DataError(f"label {label} is not an id; expected 0 for background and 1 to 2^63 - 1 for regions")
    return Block(window, ids, region.astype(np.int32), row, start, stop)


def group_runs(block: Block) -> Block:
    """Return a block with its runs region by region, which pixels are added up in; in a region their order stays."""
    from integrate.features import kernels

    if block.overlap:
        return block
    order = kernels.group_runs(len(block.ids), block.region)
    region, row, start, stop = (part[order] for part in block.runs)
    return replace(block, region=region, row=row, start=start, stop=stop, overlap=True)


def _numbered(found: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the ids that were found, ascending, and which of them each is; without sorting where a table will do."""
    import numpy as np

    low, high = (int(found.min()), int(found.max())) if found.size else (0, 0)
    if found.size == 0 or high - low > 8 * found.size:
        return np.unique(found, return_inverse=True)
    place = found - low
    present = np.zeros(high - low + 1, bool)
    present[place] = True
    return np.flatnonzero(present) + low, (np.cumsum(present) - 1)[place]


def read_labels(regions: Any, window: Window) -> np.ndarray[Any, Any]:
    """Return the labels in a window."""
    bounds = window.bounds[3 - len(regions.shape) :]
    if isinstance(regions, StoredArray):
        return _in_one_form(regions.read(*bounds))
    return _read(regions[tuple(slice(*pair) for pair in bounds)])


def read_channels(image: Any, window: Window) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the pixels of one channel after another in a window; a few channels, or one chunk, are in memory.

    A raster is valid until the next is asked for: memory is used again.
    """
    if isinstance(image, StoredArray | StoredTiles):
        yield from _stored_channels(image, window)
        return
    place = tuple(slice(*pair) for pair in window.bounds[4 - len(image.shape) :])
    for first, last in itertools.pairwise(_channel_cuts(image, window)):
        yield from _as_rasters(_read(image[(slice(first, last), *place)]))


def read_image(image: Any, window: Window) -> np.ndarray[Any, Any]:
    """Return all channels in a window, ``(c, y, x)``; colours of a slide lie side by side in memory, as stored."""
    import numpy as np

    if isinstance(image, StoredTiles):
        return image.read((0, image.shape[0]), *window.bounds[1:])
    whole = np.empty((image.shape[0], window.y1 - window.y0, window.x1 - window.x0), _native(image.dtype))
    for number, pixels in enumerate(read_channels(image, window)):
        whole[number] = pixels
    return whole


def _stored_channels(image: StoredArray | StoredTiles, window: Window) -> Iterator[np.ndarray[Any, Any]]:
    part = None
    for first, last in itertools.pairwise([0, *itertools.accumulate(image.chunks[0])]):
        part = image.read((first, last), *window.bounds[4 - len(image.shape) :], into=part)
        yield from _as_rasters(_in_one_form(part))


def _as_rasters(channels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return ``(c, y, x)``, the planes of volumes one under the other."""
    return channels.reshape(channels.shape[0], -1, channels.shape[-1])


def _channel_cuts(image: Any, window: Window) -> list[int]:
    """Return the channels at which to cut, ends included: along chunks, each part small but worth a request."""
    if not _chunks(image):
        return list(range(image.shape[0] + 1))
    area = math.prod(last - first for first, last in window.bounds)
    cuts = [0]
    for end in itertools.accumulate(_chunks(image)[0]):
        if (end - cuts[-1]) * area >= _REQUEST or end == image.shape[0]:
            cuts.append(end)
    return cuts


def blank_channels(image: Any) -> Iterator[np.ndarray[Any, Any]]:
    """Yield for every channel a raster without pixels: nothing is read where no region is, yet the dtype is known."""
    import numpy as np

    return itertools.repeat(np.empty((0, 0), _native(image.dtype)), image.shape[0])


def _read(array: Any) -> np.ndarray[Any, Any]:
    """Return values in memory, in the form of the kernels."""
    import numpy as np

    if hasattr(array, "dask"):  # in this thread: the blocks already run in several
        array = array.compute(scheduler="synchronous")
    return _in_one_form(np.asarray(array))


def _in_one_form(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return values in the machine's byte order and row by row: one form for the kernels."""
    import numpy as np

    return np.require(values, dtype=_native(values.dtype), requirements=["C_CONTIGUOUS", "WRITEABLE"])


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in the machine's byte order, with floats of the two sizes the kernels know."""
    import numpy as np

    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
    return dtype.newbyteorder("=")
