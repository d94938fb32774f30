"""Blocks: windows of an image and its regions that are read, measured and forgotten one by one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from integrate.errors import DataError
from integrate.features.stored import StoredArray

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
    "read_channels",
    "read_labels",
    "windows_between",
]

#: Edge below which chunks are read together, and with which arrays in memory are cut.
_EDGE = 512

#: Number of pixels below which channels are read together: a request to Dask takes milliseconds, whatever it reads.
_REQUEST = 1 << 22


@dataclass(frozen=True, slots=True)
class Window:
    """Rows ``y0 <= y < y1`` and columns ``x0 <= x < x1`` of the grid."""

    y0: int
    y1: int
    x0: int
    x1: int


@dataclass(frozen=True, slots=True)
class Block:
    """The regions of one window as runs: run ``k`` is ``region[k]``, an index into the ascending `ids`.

    Runs are int32, counted from the corner of the window: every channel goes through all of them, and half the bytes
    stay in the cache.
    Runs come row by row; where regions may `overlap`, region by region. `split` says which regions have pixels in other
    blocks too; None where nobody asked.
    """

    window: Window
    ids: np.ndarray[Any, Any]
    region: np.ndarray[Any, Any]
    row: np.ndarray[Any, Any]
    start: np.ndarray[Any, Any]
    stop: np.ndarray[Any, Any]
    overlap: bool = False
    split: np.ndarray[Any, Any] | None = None

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


def cut_grid(image: Any, regions: Any) -> tuple[list[int], list[int]]:
    """Return the rows and columns at which to cut, ends included: along chunks, so that none is decoded twice."""
    chunks = _chunks(image)[1:] if _chunks(image) else _chunks(regions) or (None, None)
    rows, columns = (_cuts(sizes, length) for sizes, length in zip(chunks, image.shape[1:], strict=True))
    return rows, columns


def windows_between(rows: Sequence[int], columns: Sequence[int]) -> list[Window]:
    """Return the windows between the cuts, row by row."""
    return [Window(y0, y1, x0, x1) for y0, y1 in itertools.pairwise(rows) for x0, x1 in itertools.pairwise(columns)]


def _chunks(array: Any) -> Any:
    return array.chunks if hasattr(array, "dask") or isinstance(array, StoredArray) else ()


def _cuts(sizes: Sequence[int] | None, length: int) -> list[int]:
    ends = itertools.accumulate(sizes) if sizes else range(_EDGE, length + _EDGE, _EDGE)
    cuts = [0]
    for end in ends:
        if end - cuts[-1] >= _EDGE or end >= length:
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
    ids, region = np.unique(found, return_inverse=True)
    if ids.size and ids[0] < 0:  # above 2^63 an unsigned label wraps around to below zero
        label = ids[:1].astype(labels.dtype)[0]
        raise DataError(f"label {label} is not an id; expected 0 for background and 1 to 2^63 - 1 for regions")
    return Block(window, ids, region.astype(np.int32), row, start, stop)


def read_labels(regions: Any, window: Window) -> np.ndarray[Any, Any]:
    """Return the labels in a window."""
    if isinstance(regions, StoredArray):
        return _in_one_form(regions.read((window.y0, window.y1), (window.x0, window.x1)))
    return _read(regions[window.y0 : window.y1, window.x0 : window.x1])


def read_channels(image: Any, window: Window) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the pixels of one channel after another in a window; a few channels, or one chunk, are in memory.

    A raster is valid until the next is asked for: memory is used again.
    """
    if isinstance(image, StoredArray):
        yield from _stored_channels(image, window)
        return
    for first, last in itertools.pairwise(_channel_cuts(image, window)):
        yield from _read(image[first:last, window.y0 : window.y1, window.x0 : window.x1])


def _stored_channels(image: StoredArray, window: Window) -> Iterator[np.ndarray[Any, Any]]:
    part = None
    for first, last in itertools.pairwise([0, *itertools.accumulate(image.chunks[0])]):
        part = image.read((first, last), (window.y0, window.y1), (window.x0, window.x1), into=part)
        yield from _in_one_form(part)


def _channel_cuts(image: Any, window: Window) -> list[int]:
    """Return the channels at which to cut, ends included: along chunks, each part small but worth a request."""
    if not _chunks(image):
        return list(range(image.shape[0] + 1))
    area = (window.y1 - window.y0) * (window.x1 - window.x0)
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
