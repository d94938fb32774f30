"""The job: what each tile of an output raster needs of the source, and how the tiles become one array."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.align.pull import FAST, Pull, Tile, tiles_of
from integrate.model.progress import follow

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Job"]


@dataclass(frozen=True)
class Job:
    """How the tiles of an output raster are made, anywhere.

    Parameters
    ----------
    pull
        How output pixels come from those of the averaged source.
    reduce
        By which factors the source is averaged first, ``(y, x)`` or ``(z, y, x)``.
    limit
        Shape of the source.
    dtype
        Type of the output.
    """

    pull: Pull
    reduce: tuple[int, ...]
    limit: tuple[int, ...]
    dtype: Any

    def window(self, tile: Tile) -> tuple[Tile | None, tuple[slice, ...]]:
        """Return the window of the averaged source that a tile needs, and the source's pixels that make it up."""
        window = self.pull.window(tile)
        if window is None:
            return None, tuple(slice(0, 0) for _ in self.limit)
        parts = zip(window.start, window.shape, self.reduce, self.limit, strict=True)
        return window, tuple(slice(a * k, min((a + n) * k, limit)) for a, n, k, limit in parts)

    def run(self, data: Any, shape: tuple[int, ...], *, compute: bool) -> Any:
        """Return the output ``(c, [z,] y, x)``: an array, or of a Dask array that is not to be computed a Dask array.

        Dask joins what it computes at the end, which takes the output twice; stored tile by tile it is there once.
        """
        import numpy as np

        if not hasattr(data, "dask"):
            return _filled(data, self, shape)
        lazy = _lazy(data, self, shape)
        if not compute:
            return lazy
        out = np.empty(lazy.shape, self.dtype)
        lazy.store(out, lock=False, scheduler="threads")
        return out

    def draw(self, part: np.ndarray[Any, Any], window: Tile | None, tile: Tile, out: np.ndarray[Any, Any]) -> None:
        """Write one tile of the output from the pixels it needs."""
        import numpy as np

        if window is None:
            out[...] = self.pull.fill
            return
        source = _averaged(part, self.reduce)
        if source.dtype.kind == "b" and not self.pull.labels:
            source = source.astype(np.float32)
        if source.dtype == self.dtype and source.dtype.isnative:
            self.pull.draw(source, window, tile, out)
            return
        native = source.astype(source.dtype.newbyteorder("="), copy=False)
        made = np.empty(out.shape, native.dtype)
        self.pull.draw(native, window, tile, made)
        if self.dtype.kind == "b":
            out[...] = made >= 0.5
        else:
            out[...] = np.rint(made) if self.dtype.kind in "iu" and made.dtype.kind == "f" else made

    def covered(self, shape: tuple[int, ...]) -> float:
        """Return about which part of the output comes from within the source, from a lattice of its pixels."""
        import numpy as np

        every = [np.unique(np.linspace(0, n - 1, 65 if len(shape) == 2 else 25).round()) for n in shape]
        mesh = np.stack(np.meshgrid(*[one + 0.5 for one in every], indexing="ij")[::-1], axis=-1)
        found = self.pull.way.map_points(mesh.reshape(-1, len(shape)))[:, ::-1]
        inside = ((found >= 0) & (found <= np.array(self.pull.limit))).all(axis=1)
        return round(float(inside.mean()), 4)


def _tiles(edges: list[list[int]]) -> Iterator[tuple[tuple[int, ...], Tile]]:
    """Yield the number along every axis, and the box, of every tile."""
    import numpy as np

    starts = [np.cumsum([0, *one[:-1]]).tolist() for one in edges]
    for index in itertools.product(*(range(len(one)) for one in edges)):
        start, size = ([one[k] for one, k in zip(axes, index, strict=True)] for axes in (starts, edges))
        yield index, Tile(tuple(start), tuple(size))


def _filled(data: Any, job: Job, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return the output, filled tile by tile on every core."""
    import numpy as np

    out = np.empty((data.shape[0], *shape), job.dtype)
    tiles = [tile for _, tile in _tiles(tiles_of(shape, lazy=False))]

    def fill(tile: Tile) -> None:
        window, needed = job.window(tile)
        job.draw(np.asarray(data[(slice(None), *needed)]), window, tile, out[(slice(None), *tile.slices)])

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # at the border each worker holds a tile of coordinates
        list(follow(pool.map(fill, tiles), "resample", total=len(tiles), unit="tile"))
    return out


def _lazy(data: Any, job: Job, shape: tuple[int, ...]) -> Any:
    """Return the output as a Dask array: a task per tile, which takes what it needs from the blocks of the source."""
    import dask.array as da
    import numpy as np
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    edges = tiles_of(shape, lazy=True)
    name = f"resample-{tokenize(data.name, job, shape)}"
    graph: dict[Any, Any] = {f"{name}-job": job}
    begins = [np.cumsum([0, *sizes]) for sizes in data.chunks]
    for index, tile in _tiles(edges):
        window, needed = job.window(tile)
        part = (slice(0, data.shape[0]), *needed)
        held = [_held(one, wanted) for one, wanted in zip(begins, part, strict=True)]
        blocks = [(data.name, *(k for k, _ in one)) for one in itertools.product(*held)]
        starts = [[first for _, first in one] for one in itertools.product(*held)]
        graph[name, 0, *index] = (_drawn, f"{name}-job", blocks, starts, part, window, tile)
    layers = HighLevelGraph.from_collections(name, graph, dependencies=[data])
    return da.Array(layers, name, ((data.shape[0],), *map(tuple, edges)), dtype=job.dtype)


def _held(begins: np.ndarray[Any, Any], wanted: slice) -> list[tuple[int, int]]:
    """Return the numbers of the blocks along an axis that hold some pixels, and where each begins."""
    first = int(begins.searchsorted(wanted.start, side="right")) - 1
    last = int(begins.searchsorted(wanted.stop, side="left"))
    return [(k, int(begins[k])) for k in range(first, last)]


def _drawn(
    job: Job, blocks: list[Any], starts: list[list[int]], part: tuple[slice, ...], window: Tile | None, tile: Tile
) -> np.ndarray[Any, Any]:
    """Return a tile from the blocks that hold the pixels it needs."""
    import numpy as np

    out = np.empty((part[0].stop, *tile.shape), job.dtype)
    job.draw(_joined(blocks, starts, part), window, tile, out)
    return out


def _joined(blocks: list[Any], starts: list[list[int]], part: tuple[slice, ...]) -> np.ndarray[Any, Any]:
    """Return a part of an array from its blocks: of a single one as a view."""
    import numpy as np

    if len(blocks) == 1:
        return np.asarray(blocks[0])[
            tuple(slice(p.start - a, p.stop - a) for p, a in zip(part, starts[0], strict=True))
        ]
    whole = np.empty([p.stop - p.start for p in part], blocks[0].dtype if blocks else np.uint8)
    for block, start in zip(blocks, starts, strict=True):
        ends = [(max(p.start, a), min(p.stop, a + n)) for p, a, n in zip(part, start, block.shape, strict=True)]
        here = tuple(slice(a - p.start, b - p.start) for (a, b), p in zip(ends, part, strict=True))
        there = tuple(slice(a - first, b - first) for (a, b), first in zip(ends, start, strict=True))
        whole[here] = block[there]
    return whole


def _averaged(part: np.ndarray[Any, Any], factors: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return the means of blocks of pixels, floats; blocks at the far edges may be smaller."""
    import cv2
    import numpy as np

    if max(factors) == 1:
        return part
    whole = all(n % k == 0 for n, k in zip(part.shape[1:], factors, strict=True))
    kind = np.float32 if part.dtype.name in FAST else np.float64
    if whole and len(factors) == 2 and kind is np.float32:
        size = (part.shape[2] // factors[1], part.shape[1] // factors[0])
        planes = [cv2.resize(one.astype(kind), size, interpolation=cv2.INTER_AREA) for one in part]
        return np.stack(planes)
    mean = part.astype(kind)
    for axis, k in enumerate(factors, start=1):
        if k > 1:
            first = np.arange(0, mean.shape[axis], k)
            counts = np.diff(np.r_[first, mean.shape[axis]]).reshape([-1 if a == axis else 1 for a in range(mean.ndim)])
            mean = np.add.reduceat(mean, first, axis=axis) / counts.astype(kind)
    return mean
