"""The pull: for every pixel of an output grid, where in the source raster it comes from, and what stands there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.align.grid import Grid
from integrate.align.transform import Affine, Transform

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Pull", "Tile", "tiles_of"]

#: Edges of a tile of output: small enough for the cache and a thread, large enough to be worth a task.
TILE = {2: 1024, 3: 96}
#: A bent transform is computed at every n-th pixel, and between them interpolated as long as that errs by less.
LATTICE, LATTICE_ERROR = 16, 0.005
#: Pixel types whose interpolation by OpenCV is exact to float32; others it rounds to 1/32 of a pixel.
FAST = ("uint8", "uint16", "float32")


@dataclass(frozen=True, slots=True)
class Tile:
    """A box of output pixels: its first index and shape, ``(y, x)`` or ``(z, y, x)``."""

    start: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def slices(self) -> tuple[slice, ...]:
        """The box as an index."""
        return tuple(slice(a, a + n) for a, n in zip(self.start, self.shape, strict=True))


def tiles_of(shape: tuple[int, ...], *, lazy: bool) -> list[list[int]]:
    """Return the edges of tiles along every axis, as Dask writes chunks; a task of Dask must be worth its cost."""
    edge = TILE[len(shape)] * (2 if lazy and len(shape) == 3 else 1)
    return [[min(edge, n - a) for a in range(0, n, edge)] for n in shape]


@dataclass(frozen=True)
class Pull:
    """How output pixels come from source pixels.

    Parameters
    ----------
    way
        From output pixels to source pixels, order ``x, y[, z]``, corners.
    limit
        Shape of the source.
    labels
        Whether values are names, which are never mixed.
    fill
        What stands beyond the source.
    """

    way: Transform
    limit: tuple[int, ...]
    labels: bool
    fill: float

    @classmethod
    def between(cls, source: Grid, target: Grid, back: Transform, *, labels: bool, fill: float) -> Pull:
        """Return the pull for a transform from the space of `target` back to that of `source`."""
        way = target.affine.then(back).then(source.affine.inverse())
        return cls(way, source.shape, labels, fill)

    @property
    def shift(self) -> tuple[int, ...] | None:
        """Whole pixels by which the source is moved, ``(y, x)`` or ``(z, y, x)``; None if it is more than moved."""
        import numpy as np

        n = len(self.limit)
        if not isinstance(self.way, Affine) or np.abs(self.way.array[:n, :n] - np.eye(n)).max() > 1e-9:
            return None
        moved = self.way.array[:n, n][::-1]
        whole = np.round(moved)
        return tuple(int(one) for one in whole) if np.abs(moved - whole).max() < 1e-6 else None

    def places(self, tile: Tile) -> np.ndarray[Any, Any]:
        """Return where the centres of a tile's pixels lie in the source, ``(axes, [z,] y, x)``, axes in that order."""
        import numpy as np

        if isinstance(self.way, Affine):
            from integrate.align.sample_kernels import affine_places

            n = len(self.limit)
            matrix = np.eye(4)
            order = [*range(n - 1, -1, -1)]
            matrix[4 - n - 1 : 3, 4 - n - 1 : 3] = self.way.array[:n, :n][order][:, order]
            matrix[4 - n - 1 : 3, 3] = self.way.array[:n, n][order]
            lead = (1,) * (3 - n)
            found = np.empty((3, *lead, *tile.shape))
            affine_places(matrix[:3], np.array([*(0,) * (3 - n), *tile.start]), found)
            return found[3 - n :].reshape(n, *tile.shape)
        return self._bent_places(tile)

    def _bent_places(self, tile: Tile) -> np.ndarray[Any, Any]:
        """Compute the way on a lattice and interpolate, halving its step until that is exact enough."""
        import numpy as np
        from scipy.ndimage import map_coordinates

        step = LATTICE
        while True:
            nodes = [np.unique(np.r_[np.arange(0, n - 1, step), n - 1]) for n in tile.shape]
            if step == 1:
                return self._exact_places(tile, [np.arange(n) for n in tile.shape])
            coarse = self._exact_places(tile, nodes)
            between = [(one[:-1] + one[1:]) / 2 if len(one) > 1 else one.astype(float) for one in nodes]
            truth = self._exact_places(tile, between)
            guess = _interpolate(coarse, nodes, between, map_coordinates)
            if np.abs(guess - truth).max() < LATTICE_ERROR:
                return _interpolate(coarse, nodes, [np.arange(n, dtype=float) for n in tile.shape], map_coordinates)
            step //= 2

    def _exact_places(self, tile: Tile, index: list[Any]) -> np.ndarray[Any, Any]:
        import numpy as np

        centres = [first + one + 0.5 for first, one in zip(tile.start, index, strict=True)]
        mesh = np.stack(np.meshgrid(*centres, indexing="ij")[::-1], axis=-1)
        found = self.way.map_points(mesh.reshape(-1, len(centres)))
        return found.T[::-1].reshape(len(centres), *mesh.shape[:-1])

    def window(self, tile: Tile) -> Tile | None:
        """Return the box of the source that a tile needs; None when it needs nothing."""
        import numpy as np

        if isinstance(self.way, Affine):
            nodes, spare = [np.unique([0, n - 1]) for n in tile.shape], 1.0
        else:  # a bent way leaves the box of its lattice by little; beyond it the pixel at the edge is taken
            nodes, spare = [np.unique(np.linspace(0, n - 1, 33)) for n in tile.shape], 8.0
        found = self._exact_places(tile, nodes).reshape(len(self.limit), -1)
        limit = np.array(self.limit)
        low, high = found.min(axis=1) - spare, found.max(axis=1) + spare
        if (high < 0).any() or (low > limit).any():
            return None
        first = np.clip(np.floor(low).astype(int), 0, limit - 1)
        last = np.clip(np.ceil(high).astype(int), first + 1, limit)
        return Tile(tuple(first.tolist()), tuple((last - first).tolist()))

    def draw(self, part: np.ndarray[Any, Any], window: Tile, tile: Tile, out: np.ndarray[Any, Any]) -> None:
        """Write a tile ``(c, [z,] y, x)`` from the part of the source in a window, of the same dtype, into `out`."""
        if self.shift is not None:
            out[...] = self.fill
            _copy(part, window, tile, self.shift, out)
        elif len(self.limit) == 2 and not self.labels and part.dtype.name in FAST and part.dtype.isnative:
            self._fast(part, window, tile, out)
        else:
            self._exact(part, window, tile, out)

    def _fast(self, part: np.ndarray[Any, Any], window: Tile, tile: Tile, out: np.ndarray[Any, Any]) -> None:
        """Read from and write to the rasters themselves, whole rows of an affine or by OpenCV: a view costs no copy."""
        import cv2
        import numpy as np

        edge = cv2.BORDER_REPLICATE
        if isinstance(self.way, Affine):
            rows = self.way.array[:2].copy()
            rows[:, 2] += rows[:, :2] @ (np.array(tile.start[::-1]) + 0.5) - 0.5 - np.array(window.start[::-1])
            if part.dtype.kind == "u":
                from integrate.align.line_kernels import blend_affine

                offset, fill = np.array(window.start), np.asarray(self.fill).astype(out.dtype)[()]
                memory, pitch = _in_one_row(part)
                shape, limit = np.array(part.shape[1:]), np.array(self.limit)
                blend_affine(memory, pitch, shape, rows, offset, limit, fill, out)
                return
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            for plane, drawn in zip(part, out, strict=True):
                cv2.warpAffine(plane, rows, tile.shape[::-1], dst=drawn, flags=flags, borderMode=edge)
            if not self._covers(tile):
                self._fill_beyond(tile, out)
            return
        places = self.places(tile)
        y, x = (places - 0.5 - np.array(window.start)[:, None, None]).astype(np.float32)
        for plane, drawn in zip(part, out, strict=True):
            cv2.remap(plane, x, y, cv2.INTER_LINEAR, dst=drawn, borderMode=edge)
        limit = np.array(self.limit)[:, None, None]
        out[:, ((places < 0) | (places > limit)).any(axis=0)] = self.fill

    def _fill_beyond(self, tile: Tile, out: np.ndarray[Any, Any]) -> None:
        import numpy as np

        from integrate.align.sample_kernels import fill_beyond

        matrix = self.way.array[:2][::-1][:, [1, 0, 2]]  # type: ignore[attr-defined]
        fill = np.asarray(self.fill).astype(out.dtype)[()]
        fill_beyond(np.ascontiguousarray(matrix), np.array(tile.start), np.array(self.limit), fill, out)

    def _covers(self, tile: Tile) -> bool:
        """Whether every centre of a tile comes from within the source (an affine way: its corners tell)."""
        import numpy as np

        corner = [np.unique([0, n - 1]) for n in tile.shape]
        found = self._exact_places(tile, corner).reshape(2, -1)
        return bool((found >= 0).all() and (found <= np.array(self.limit)[:, None]).all())

    def _exact(self, part: np.ndarray[Any, Any], window: Tile, tile: Tile, out: np.ndarray[Any, Any]) -> None:
        import numpy as np

        from integrate.align import sample_kernels

        places, flat = self.places(tile), len(self.limit) == 2
        limit, offset = np.array(self.limit), np.array(window.start)
        target = out
        if flat:
            places = np.concatenate([np.full((1, *places.shape[1:]), 0.5), places])[:, None]
            part, target = part[:, None], out[:, None]
            limit, offset = np.r_[1, limit], np.r_[0, offset]
        native = np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("="))
        if self.labels:
            out[...] = self.fill
            sample_kernels.nearest(native, places, limit, offset, target)
            return
        values = np.empty(target.shape)
        sample_kernels.linear(native, places, limit, offset, self.fill, values)
        target[...] = np.rint(values) if out.dtype.kind in "iu" else values


def _in_one_row(part: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the memory of a raster ``(c, y, x)``, and the steps in it from channel to channel and from row to row."""
    import numpy as np

    steps = [n / part.itemsize for n in part.strides]
    if steps[2] != 1 or any(one < 0 or one % 1 for one in steps):
        part = np.ascontiguousarray(part)
    pitch = np.array(part.strides) // part.itemsize
    length = int(((np.array(part.shape) - 1) * pitch).sum()) + 1
    memory = np.lib.stride_tricks.as_strided(part, (length,), (part.itemsize,), writeable=False)
    return memory, pitch[:2]


def _interpolate(coarse: Any, nodes: list[Any], wanted: list[Any], sampler: Callable[..., Any]) -> np.ndarray[Any, Any]:
    """Return values on a lattice of uneven nodes at other indices, linearly."""
    import numpy as np

    index = np.stack(
        np.meshgrid(
            *[np.interp(w, one, np.arange(len(one))) for w, one in zip(wanted, nodes, strict=True)], indexing="ij"
        )
    )
    return np.stack([sampler(axis, index, order=1, mode="nearest") for axis in coarse])


def _copy(part: Any, window: Tile, tile: Tile, shift: tuple[int, ...], out: Any) -> None:
    """Copy pixels that only move by whole steps: not a bit of them changes."""
    here: list[slice] = [slice(None)]
    there: list[slice] = [slice(None)]
    for axis, moved in enumerate(shift):
        first = max(tile.start[axis], window.start[axis] - moved)
        last = min(tile.start[axis] + tile.shape[axis], window.start[axis] + window.shape[axis] - moved)
        if last <= first:
            return
        here.append(slice(first - tile.start[axis], last - tile.start[axis]))
        there.append(slice(first + moved - window.start[axis], last + moved - window.start[axis]))
    out[tuple(here)] = part[tuple(there)]
