"""Tiles of an image at every resolution, read one at a time and kept while they fit in a bounded memory."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from integrate.errors import DataError, SourceNotFoundError
from integrate.model.image import pixel_size_um

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Level", "Pyramid", "open_pyramid"]

#: Edge of a tile where the chunks of the image do not suggest one.
TILE: Final = 512
#: Bytes of decoded tiles and chunks that one image may keep.
BUDGET: Final = 256 * 2**20
#: A level larger than this gets coarser ones beside it, averaged from it when they are asked for.
LARGEST_SINGLE: Final = 2048


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution: its size in pixels, and how many pixels of the finest level one of its pixels is wide and high.

    Parameters
    ----------
    width, height
        Pixels of this level.
    scale_x, scale_y
        Pixels of the finest level along one pixel of this level.
    """

    width: int
    height: int
    scale_x: float
    scale_y: float


class Pyramid:
    """An image of channels at several resolutions, as tiles.

    Parameters
    ----------
    levels
        Arrays ``(c, y, x)`` from fine to coarse: numpy, Dask or Zarr. Missing coarse levels are made by averaging.
    channels
        Names, one per channel.
    pixel_size_um
        ``(y, x)`` edge of a pixel of the finest level, ``None`` when unknown.
    is_labels
        Whether the numbers are names: then coarse levels take one pixel of four, never a mean.
    """

    def __init__(
        self,
        levels: Sequence[Any],
        *,
        channels: Sequence[str],
        pixel_size_um: tuple[float, float] | None,
        is_labels: bool = False,
    ) -> None:
        self._arrays = list(levels)
        self.channels = [str(name) for name in channels]
        self.pixel_size_um = pixel_size_um
        self.is_labels = is_labels
        self.tile_size = _tile_size(self._arrays[0])
        self._kept = _Kept(BUDGET)
        sizes = [(int(a.shape[2]), int(a.shape[1])) for a in self._arrays]
        while max(sizes[-1]) > LARGEST_SINGLE:
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
        (width, height), native = sizes[0], len(self._arrays)
        self.levels = [Level(w, h, width / w, height / h) for w, h in sizes[:native]]
        for w, h in sizes[native:]:  # an odd edge is filled up, so these are exactly twice the one before
            before = self.levels[-1]
            self.levels.append(Level(w, h, before.scale_x * 2, before.scale_y * 2))

    @property
    def width(self) -> int:
        """Pixels of the finest level from left to right."""
        return self.levels[0].width

    @property
    def height(self) -> int:
        """Pixels of the finest level from top to bottom."""
        return self.levels[0].height

    def tile(self, level: int, channel: int, row: int, column: int) -> NDArray[Any]:
        """Return one tile ``(y, x)``; those at the right and lower edge are smaller.

        Raises
        ------
        DataError
            If there is no such tile.
        """
        place = self._window(level, channel, row, column)
        return self._kept.get(
            ("tile", level, channel, row, column), lambda: self._read(level, channel, row, column, place)
        )

    def window(self, channel: int, top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
        """Return part of one channel of the finest level."""
        return self._native(0, channel, (top, bottom, left, right))

    def overview(self, channel: int, *, side: int = 1024) -> NDArray[Any]:
        """Return one channel whole, at the finest level that is no longer than `side`, or thinned to it."""
        import numpy as np

        level = next((i for i, one in enumerate(self.levels) if max(one.width, one.height) <= side), -1)
        level %= len(self.levels)
        rows, columns = (-(-n // self.tile_size) for n in (self.levels[level].height, self.levels[level].width))
        tiles = [[self.tile(level, channel, j, i) for i in range(columns)] for j in range(rows)]
        whole = np.block(tiles)
        step = -(-max(whole.shape) // side)
        return whole[::step, ::step]

    def _window(self, level: int, channel: int, row: int, column: int) -> tuple[int, int, int, int]:
        if not (0 <= level < len(self.levels) and 0 <= channel < len(self.channels) and row >= 0 and column >= 0):
            raise DataError(f"no tile {level}/{channel}/{row}/{column}: {len(self.levels)} levels")
        here, size = self.levels[level], self.tile_size
        top, left = row * size, column * size
        bottom, right = min(top + size, here.height), min(left + size, here.width)
        if top >= bottom or left >= right:
            raise DataError(f"no tile {level}/{channel}/{row}/{column}: level {level} is {here.height} x {here.width}")
        return top, bottom, left, right

    def _read(self, level: int, channel: int, row: int, column: int, place: tuple[int, int, int, int]) -> NDArray[Any]:
        if level < len(self._arrays):
            return self._native(level, channel, place)
        import numpy as np

        finer = self.levels[level - 1]
        rows = [r for r in (2 * row, 2 * row + 1) if r * self.tile_size < finer.height]
        columns = [c for c in (2 * column, 2 * column + 1) if c * self.tile_size < finer.width]
        four = np.block([[self.tile(level - 1, channel, r, c) for c in columns] for r in rows])
        return four[::2, ::2] if self.is_labels else _halved(four)

    def _native(self, level: int, channel: int, place: tuple[int, int, int, int]) -> NDArray[Any]:
        """Read part of a stored level; chunks much larger than a tile are decoded once and kept."""
        import numpy as np

        array, (top, bottom, left, right) = self._arrays[level], place
        edges = _chunk_edges(array)
        if edges is None or (edges[0][1] == 1 and max(edges[1][1], edges[2][1]) <= 2 * self.tile_size):
            return np.asarray(array[channel, top:bottom, left:right])
        out = np.empty((bottom - top, right - left), dtype=array.dtype)
        [(c0, c1)] = _covering(edges[0], channel, channel + 1)
        for y0, y1 in _covering(edges[1], top, bottom):
            for x0, x1 in _covering(edges[2], left, right):
                read = partial(_read_block, array, (slice(c0, c1), slice(y0, y1), slice(x0, x1)))
                block = self._kept.get(("block", level, c0, y0, x0), read)
                ys, xs = slice(max(y0, top), min(y1, bottom)), slice(max(x0, left), min(x1, right))
                out[ys.start - top : ys.stop - top, xs.start - left : xs.stop - left] = block[
                    channel - c0, ys.start - y0 : ys.stop - y0, xs.start - x0 : xs.stop - x0
                ]
        return out


def _read_block(array: Any, place: tuple[slice, slice, slice]) -> NDArray[Any]:
    import numpy as np

    return np.asarray(array[place])


class _Kept:
    """What was read, the least recently used given up first; safe to ask from several threads."""

    def __init__(self, budget: int) -> None:
        self._budget, self._bytes = budget, 0
        self._items: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
                return self._items[key]
        value = read()  # not under the lock: two threads may read one tile twice, but never wait for each other
        with self._lock:
            if key not in self._items:
                self._items[key] = value
                self._bytes += value.nbytes
            while self._bytes > self._budget and len(self._items) > 1:
                self._bytes -= self._items.popitem(last=False)[1].nbytes
        return value


def open_pyramid(image: Any, *, pixel_size: tuple[float, float] | None = None, is_labels: bool = False) -> Pyramid:
    """Return any image we can show as tiles; no pixel is read.

    Parameters
    ----------
    image
        DataArray ``(c, y, x)`` or ``(y, x)``; a multiscale DataTree as SpatialData holds; a numpy, Dask or Zarr
        array of these shapes; a list of them from fine to coarse; an OME-Zarr group or its path.
    pixel_size
        ``(y, x)`` in micrometres; by default what the image says.
    is_labels
        Whether the numbers are names of objects.

    Raises
    ------
    DataError
        If it is none of these, or has more axes than channel, y and x.
    """
    if isinstance(image, Pyramid):
        return image
    found = _taken_apart(image)
    arrays = [_as_planes(array) for array in found.arrays]
    names = found.channels or [f"channel {i}" for i in range(int(arrays[0].shape[0]))]
    if len(names) != int(arrays[0].shape[0]):
        raise DataError(f"{len(names)} channel names for {arrays[0].shape[0]} channels")
    size = pixel_size if pixel_size is not None else found.pixel_size_um
    return Pyramid(arrays, channels=names, pixel_size_um=size, is_labels=is_labels)


@dataclass(slots=True)
class _Found:
    arrays: list[Any]
    channels: list[str] | None = None
    pixel_size_um: tuple[float, float] | None = None


def _taken_apart(image: Any) -> _Found:
    """Return the arrays from fine to coarse, and what the image says of itself."""
    import numpy as np

    if isinstance(image, (str, os.PathLike)):
        return _from_ome(_open_group(Path(image)))
    if hasattr(image, "subtree"):  # xarray.DataTree
        return _from_tree(image)
    if hasattr(image, "dims"):
        return _Found([_plane_order(image)], _names_of(image), pixel_size_um(image))
    if isinstance(image, (list, tuple)):
        parts = [_taken_apart(level) for level in image]
        if not parts:
            raise DataError("an empty list is no image; give arrays from fine to coarse")
        return _Found([part.arrays[0] for part in parts], parts[0].channels, parts[0].pixel_size_um)
    if hasattr(image, "attrs") and hasattr(image, "group_keys"):
        return _from_ome(image)
    if hasattr(image, "shape") and hasattr(image, "dtype"):
        return _Found([image])
    return _Found([np.asarray(image)])


def _from_tree(tree: Any) -> _Found:
    scales = [child for child in tree.children.values() if child.data_vars]
    if not scales:
        raise DataError(f"the DataTree {tree.name or ''!r} has no scales; expected children scale0, scale1 …")
    images = [next(iter(child.data_vars.values())) for child in scales]
    images.sort(key=lambda one: -one.sizes["x"])
    size = pixel_size_um(images[0]) or pixel_size_um(tree)
    return _Found([_plane_order(one) for one in images], _names_of(images[0]), size)


def _open_group(path: Path) -> Any:
    import zarr

    if not path.is_dir():
        raise SourceNotFoundError(f"no OME-Zarr folder at {str(path)!r}; open other files through a catalog")
    return zarr.open_group(path, mode="r")


def _from_ome(group: Any) -> _Found:
    """Read what OME-NGFF 0.4 and 0.5 say: levels, axes, channel names and the pixel size."""
    attrs = dict(group.attrs)
    said = attrs.get("ome", attrs)
    if not said.get("multiscales"):
        raise DataError(f"the Zarr group {group.name!r} is no OME-Zarr image: it names no multiscales")
    scales = said["multiscales"][0]
    axes = [str(axis["name"]) for axis in scales["axes"]]
    arrays = [_named_axes(group[level["path"]], axes) for level in scales["datasets"]]
    channels = [str(one.get("label", i)) for i, one in enumerate((said.get("omero") or {}).get("channels", []))]
    units = {str(axis["name"]): axis.get("unit") for axis in scales["axes"]}
    steps = [t["scale"] for t in scales["datasets"][0].get("coordinateTransformations", []) if t.get("type") == "scale"]
    size = None
    if steps and units.get("y") == units.get("x") == "micrometer":
        size = (float(steps[0][axes.index("y")]), float(steps[0][axes.index("x")]))
    return _Found(arrays, channels or None, size)


def _named_axes(array: Any, axes: Sequence[str]) -> Any:
    """Return a stored array as ``(c, y, x)`` or ``(y, x)``; axes of one step are dropped, longer ones refused."""
    extra = {a: int(n) for a, n in zip(axes, array.shape, strict=True) if a not in ("c", "y", "x")}
    if any(n > 1 for n in extra.values()):
        raise DataError(f"the image has axes {extra} beside channel, y and x; choose one step of each first")
    if not extra:
        return array
    import dask.array as da

    lazy = da.from_zarr(array)
    return lazy[tuple(0 if axis in extra else slice(None) for axis in axes)]


def _plane_order(image: Any) -> Any:
    """Return the data of a DataArray as ``(c, y, x)`` or ``(y, x)``."""
    wanted = [axis for axis in ("c", "y", "x") if axis in image.dims]
    if set(image.dims) != set(wanted) or wanted[-2:] != ["y", "x"]:
        raise DataError(f"an image has the axes c, y and x; found {tuple(image.dims)}")
    return image.transpose(*wanted).data


def _names_of(image: Any) -> list[str] | None:
    return [str(name) for name in image.coords["c"].values] if "c" in getattr(image, "coords", ()) else None


def _as_planes(array: Any) -> Any:
    if array.ndim == 3:
        return array
    if array.ndim == 2:
        import dask.array as da

        lazy = hasattr(array, "chunks") and not hasattr(array, "dask")
        return (da.from_zarr(array) if lazy else array)[None]
    raise DataError(f"an image has the axes c, y and x; found an array of shape {tuple(array.shape)}")


def _tile_size(array: Any) -> int:
    edges = _chunk_edges(array)
    if edges is None:
        return TILE
    height, width = edges[1][1], edges[2][1]
    return int(height) if height == width and 128 <= height <= 1024 else TILE


def _chunk_edges(array: Any) -> list[NDArray[np.int64]] | None:
    """Return where chunks start and end along each axis, ``None`` for an array in memory."""
    import numpy as np

    chunks = getattr(array, "chunks", None)
    if chunks is None:
        return None
    if isinstance(chunks[0], tuple):
        return [np.concatenate([[0], np.cumsum(sizes)]) for sizes in chunks]
    return [np.append(np.arange(0, n, size), n) for n, size in zip(array.shape, chunks, strict=True)]


def _covering(edges: NDArray[np.int64], start: int, stop: int) -> list[tuple[int, int]]:
    """Return the chunks along one axis that ``[start, stop)`` touches."""
    first, last = (int(i) for i in edges.searchsorted([start, stop], side="right") - 1)
    last -= int(edges[last] == stop)
    return [(int(edges[k]), int(edges[k + 1])) for k in range(first, last + 1)]


def _halved(plane: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of every two by two pixels; an odd edge counts its last pixels twice."""
    import numpy as np

    height, width = plane.shape
    if height % 2 or width % 2:
        plane = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    wide: NDArray[Any] = plane.astype(np.float32 if plane.dtype.itemsize <= 2 else np.float64)
    mean = (wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]) / 4
    return mean.round().astype(plane.dtype) if plane.dtype.kind in "iu" else mean.astype(plane.dtype)
