"""A raster on another grid: resampled, cropped, or laid on the grid of another one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.align.grid import Grid, raster_on, read_grid, with_channels
from integrate.align.pull import FAST, Pull, Tile, tiles_of
from integrate.align.space import check_meets
from integrate.align.store import hash_transform
from integrate.align.transform import Affine, Transform, identity, jacobian
from integrate.errors import AlignmentError, DataError, ParameterError
from integrate.model.image import image_notes
from integrate.model.progress import follow

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["crop", "pick_level", "resample", "resample_like"]


def resample(
    image: Any,
    transform: Transform | None = None,
    *,
    like: Any = None,
    pixel_size: float | Sequence[float] | None = None,
    box: Mapping[str, tuple[float, float]] | None = None,
    space: str | None = None,
    labels: bool | None = None,
    fill: float | None = None,
) -> xr.DataArray:
    """Return an image, labels or a volume on another grid, half-pixel exact.

    Parameters
    ----------
    image
        Image ``(c, y, x)``, labels ``(y, x)``, volume ``(z, y, x)`` or SpatialData element, numpy or Dask; of a
        multi-scale element the level that fits the output is taken. The m/z of a mass-spectrometry image become
        channels.
    transform
        From the image's space to the wanted one; None stays in its space.
    like
        Image, labels, volume, element or `Grid` on whose pixels the result lies; it must be in the transform's target.
    pixel_size
        Edge of the output pixels in the unit of the target space: one number, or one per axis ``(y, x)`` or
        ``(z, y, x)``. The grid then covers the whole transformed image. By default the image's own.
    box
        Part of the target space to cover, e.g. ``{"x": (10.5, 90.5), "y": (0, 40)}``; with `pixel_size`.
    space
        The coordinate system to start from, where an element lies in several.
    labels
        Whether the values are names, which are never mixed. By default integers without channels are; an integer
        volume that states no unit could be either, and is asked for.
    fill
        What stands where the image has nothing; by default NaN, and 0 for labels and integers.

    Returns
    -------
    The same kind and dtype, Dask if the image is. Images are interpolated linearly, after averaging blocks of pixels
    when the output is coarser. ``attrs["integrate"]["resampled"]`` holds the transform's hash, `fill`, and ``covered``:
    about which part of the output comes from within the image.

    Raises
    ------
    AlignmentError
        If image, transform and `like` are not in the same spaces, or nothing of the image is in the output.
    ParameterError
        If it is not clear whether an integer volume holds labels.

    Notes
    -----
    Pixel ``i`` covers ``[i, i + 1)``. Places are computed in float64. A move by whole pixels copies them, bit by bit.

    Examples
    --------
    >>> image = next(iter(ig.datasets.toy_study().each("fields")))
    >>> resample(image, pixel_size=1.0).shape
    (2, 32, 32)
    """
    if hasattr(image, "children"):
        image = pick_level(image, transform, like=like, pixel_size=pixel_size, space=space)
    image = with_channels(image)
    dims = tuple(str(dim) for dim in getattr(image, "dims", ()))
    if "t" in dims:
        raise DataError(f"expected one time point, found dims {dims}; select one with isel(t=…)")
    if space is None and transform is not None and transform.source.name in image.attrs.get("transform", {}):
        space = transform.source.name
    source = read_grid(image, space=space)
    there = identity(source.space) if transform is None else transform
    check_meets(source.space, there.source, what="the image")
    target = _target_grid(source, there, like, pixel_size, box)
    named = _holds_labels(image, dims) if labels is None else labels
    kind = image.dtype.kind
    empty = fill if fill is not None else (float("nan") if kind == "f" and not named else 0.0)
    job = _job(source, target, there, image.dtype, labels=named, fill=empty)
    covered = job.covered(target.shape)
    if covered == 0:
        raise AlignmentError(
            f"nothing of the image lies in the output grid in {target.space.name!r}: it reaches from "
            f"{there.map_points(source.corners()).min(axis=0).round(2).tolist()} to "
            f"{there.map_points(source.corners()).max(axis=0).round(2).tolist()}; check the transform"
        )
    notes = {"transform": hash_transform(there), "from": source.space.name, "fill": empty, "covered": covered}
    framed = target.space.name != source.space.name and image_notes(image).get("frame_of_reference_uid")
    left = {"frame_of_reference_uid": ""} if framed else {}
    data = image.data if "c" in dims else image.data[None]
    made = _computed(data, job, target.shape)
    return raster_on(made if "c" in dims else made[0], target, image, resampled=notes, **left)


def resample_like(image: Any, like: Any, *, transform: Transform | None = None) -> xr.DataArray:
    """Return an image, labels or a volume on the pixels of another one.

    Parameters
    ----------
    image
        What to resample.
    like
        On whose grid; in the same space as the image, unless a transform leads there.
    transform
        From the image's space to that of `like`.

    Returns
    -------
    As of `resample`; an image that already lies on that grid comes back bit by bit.

    Raises
    ------
    AlignmentError
        If the two spaces are not one and no transform is given.

    Examples
    --------
    >>> image = next(iter(ig.datasets.toy_study().each("fields")))
    >>> bool((resample_like(image, image).values == image.values).all())
    True
    """
    return resample(image, transform, like=like)


def crop(image: Any, *, space: str | None = None, **box: tuple[float, float]) -> Any:
    """Return the pixels whose centre lies in a box, untouched, with their exact place.

    Parameters
    ----------
    image
        Image, labels, volume or SpatialData element with one scale.
    space
        The coordinate system of the box, where an element lies in several.
    box
        ``x=(low, high)``, ``y=…``, ``z=…`` in the unit of the image's space; an axis left out is whole. Of a raster
        that lies obliquely, the smallest block of pixels that holds them.

    Returns
    -------
    The same kind of object; lazy stays lazy. Pixels are not interpolated, so borders fall between pixels: coordinates
    or transformation say exactly where.

    Raises
    ------
    AlignmentError
        If the box holds no pixel.
    ParameterError
        If the space has no such axis.

    Examples
    --------
    >>> image = next(iter(ig.datasets.toy_study().each("fields")))
    >>> crop(image, x=(2.3, 10.3)).x.values[[0, -1]].tolist()
    [2.75, 10.25]
    """
    import itertools

    import numpy as np

    grid = read_grid(image, space=space)
    axes = grid.space.axes
    unknown = [axis for axis in box if axis not in axes]
    if unknown:
        raise ParameterError(f"space {grid.space.name!r} has no axis {unknown}; it has {list(axes)}")
    outer = grid.corners()
    ends = [box.get(axis, (outer[:, k].min(), outer[:, k].max())) for k, axis in enumerate(axes)]
    inside = grid.affine.inverse().map_points(np.array(list(itertools.product(*ends))))
    first = np.ceil(np.round(inside.min(axis=0) - 0.5, 6)).astype(int)[::-1]
    last = np.ceil(np.round(inside.max(axis=0) - 0.5, 6)).astype(int)[::-1]
    first, last = np.clip(first, 0, grid.shape), np.clip(last, 0, grid.shape)
    if (last <= first).any():
        raise AlignmentError(
            f"the box {dict(box)} holds no pixel of the image, which reaches from "
            f"{outer.min(axis=0).tolist()} to {outer.max(axis=0).tolist()} in {grid.space.name!r}"
        )
    part = image.isel({dim: slice(a, b) for dim, a, b in zip(axes[::-1], first, last, strict=True)})
    return _moved_element(part, first) if image.attrs.get("transform") else part


def _moved_element(part: Any, first: np.ndarray[Any, Any]) -> Any:
    """Return a part of an element with the place of its first pixel in its transformations, as SpatialData needs it."""
    import numpy as np
    from spatialdata.transformations import Sequence as Placed
    from spatialdata.transformations import Translation

    dims = [dim for dim in part.dims if dim != "c"]
    offset = Translation(first.tolist(), axes=tuple(dims))
    moved = part.assign_coords({dim: np.arange(part.sizes[dim]) + 0.5 for dim in dims if dim in part.coords})
    moved.attrs = {**part.attrs, "transform": {k: Placed([offset, v]) for k, v in part.attrs["transform"].items()}}
    return moved


def pick_level(
    pyramid: Any,
    transform: Transform | None = None,
    *,
    like: Any = None,
    pixel_size: float | Sequence[float] | None = None,
    space: str | None = None,
) -> xr.DataArray:
    """Return the coarsest level of a multi-scale element that is no coarser than the wanted pixels.

    Parameters
    ----------
    pyramid
        Multi-scale SpatialData image or labels.
    transform, like, pixel_size, space
        What is wanted, as of `resample`.

    Returns
    -------
    One level, placed by the true ratio of its shape to the first level's.
    """
    import numpy as np

    levels = [next(iter(child.data_vars.values())) for child in pyramid.children.values()]
    if space is None and transform is not None and transform.source.name in levels[0].attrs.get("transform", {}):
        space = transform.source.name
    grids = [read_grid(one, space=space) for one in levels]
    whole = np.array(grids[0].shape)
    true = [grids[0].rescaled(tuple((whole / one.shape).tolist()), one.shape) for one in grids]
    if like is None and pixel_size is None:
        return levels[0]
    there = identity(grids[0].space) if transform is None else transform
    target = _target_grid(true[0], there, like, pixel_size, None)
    chosen = 0
    for number, grid in enumerate(true):
        if (_shrinkage(grid, target, there) >= 1 - 1e-9).all():
            chosen = number
    return raster_on(levels[chosen].data, true[chosen], levels[chosen])


@dataclass(frozen=True)
class _Job:
    """What a tile needs to be computed anywhere: the pull, and by which factors the source is averaged first."""

    pull: Pull
    reduce: tuple[int, ...]
    limit: tuple[int, ...]
    dtype: Any

    def window(self, tile: Tile) -> tuple[Tile | None, tuple[slice, ...]]:
        """Return the window of the averaged source, and the pixels of the source that make it up."""
        window = self.pull.window(tile)
        if window is None:
            return None, tuple(slice(0, 0) for _ in self.limit)
        parts = zip(window.start, window.shape, self.reduce, self.limit, strict=True)
        return window, tuple(slice(a * k, min((a + n) * k, limit)) for a, n, k, limit in parts)

    def tile(self, part: np.ndarray[Any, Any], window: Tile | None, tile: Tile) -> np.ndarray[Any, Any]:
        """Return one tile of the output from the pixels it needs."""
        import numpy as np

        out = np.empty((part.shape[0], *tile.shape), self.dtype)
        self.draw(part, window, tile, out)
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


def _job(source: Grid, target: Grid, there: Transform, dtype: Any, *, labels: bool, fill: float) -> _Job:
    import numpy as np

    n = len(source.shape)
    shrink = np.ones(n) if labels else _shrinkage(source, target, there)
    factors = tuple(int(max(1, np.floor(one + 1e-6))) for one in shrink)
    averaged = source
    if max(factors) > 1:
        shape = tuple(-(-size // k) for size, k in zip(source.shape, factors, strict=True))
        averaged = source.rescaled(tuple(map(float, factors)), shape)
    pull = Pull.between(averaged, target, there.inverse(), labels=labels, fill=fill)
    return _Job(pull, factors, source.shape, np.dtype(dtype))


def _shrinkage(source: Grid, target: Grid, there: Transform) -> np.ndarray[Any, Any]:
    """Return how many source pixels an output pixel spans along ``(y, x)`` or ``(z, y, x)`` of the source."""
    import numpy as np

    way = target.affine.then(there.inverse()).then(source.affine.inverse())
    middle = np.array([target.shape[::-1]]) / 2
    if isinstance(way, Affine):
        n = len(source.shape)
        return np.asarray(np.linalg.norm(way.array[:n, :n], axis=1)[::-1])
    return np.asarray(np.linalg.norm(jacobian(way, middle, step=0.5)[0], axis=1)[::-1])


def _target_grid(
    source: Grid,
    there: Transform,
    like: Any,
    pixel_size: float | Sequence[float] | None,
    box: Mapping[str, tuple[float, float]] | None,
) -> Grid:
    import numpy as np

    if like is not None:
        if pixel_size is not None or box is not None:
            raise ParameterError("like= brings its own grid; leave pixel_size and box out")
        inside = there.target.name if there.target.name in getattr(like, "attrs", {}).get("transform", {}) else None
        grid = like if isinstance(like, Grid) else read_grid(like, space=inside)
        check_meets(there.target, grid.space, what="the image, after its transform,")
        return grid
    n = len(source.shape)
    if pixel_size is None and there.source.unit != there.target.unit:
        raise ParameterError(f"the transform ends in {there.target.unit!r}; give pixel_size in that unit, or like=")
    given = source.size if pixel_size is None else np.broadcast_to(np.asarray(pixel_size, float), n)
    size = tuple(float(one) for one in given)
    if not all(np.isfinite(size)) or min(size) <= 0:
        raise ParameterError(f"pixel_size={pixel_size!r}; expected lengths above 0")
    edge = there.map_points(_rim(source))
    low, high = edge.min(axis=0), edge.max(axis=0)
    for axis, ends in (box or {}).items():
        if axis not in there.target.axes or not ends[0] < ends[1]:
            raise ParameterError(f"box={dict(box or {})!r}; expected (low, high) along {list(there.target.axes)}")
        low[there.target.axes.index(axis)], high[there.target.axes.index(axis)] = ends
    shape = tuple(int(one) for one in np.ceil((high - low)[::-1] / size - 1e-6))
    pixels = type(source.space)(f"{there.target.name} pixels", "px", there.target.axes)
    return Grid(shape, Affine.scale(size[::-1], pixels, there.target, offset=low.tolist()))


def _rim(grid: Grid) -> np.ndarray[Any, Any]:
    """Return positions all over the outline of a raster, which bent transforms carry further out than its corners."""
    import numpy as np

    steps = np.meshgrid(*[np.linspace(0, n, 33) for n in grid.shape[::-1]], indexing="ij")
    return grid.affine.map_points(np.stack(steps, axis=-1).reshape(-1, len(grid.shape)))


def _holds_labels(image: Any, dims: tuple[str, ...]) -> bool:
    if "c" in dims or image.dtype.kind not in "iu":
        return False
    if len(dims) == 2 or image.attrs.get("transform"):
        return True
    notes = image_notes(image)
    if notes.get("unit") or notes.get("modality") in ("CT", "MR", "PT"):
        return False
    raise ParameterError("an integer volume without a unit may be an image or labels; pass labels=True or labels=False")


def _computed(data: Any, job: _Job, shape: tuple[int, ...]) -> Any:
    """Return the output ``(c, [z,] y, x)``: filled tile by tile, or as a Dask array of tiles."""
    import itertools

    import numpy as np

    edges = tiles_of(shape, lazy=hasattr(data, "dask"))
    starts = [np.cumsum([0, *one[:-1]]).tolist() for one in edges]
    tiles = [
        Tile(tuple(start), tuple(size))
        for start, size in zip(itertools.product(*starts), itertools.product(*edges), strict=True)
    ]
    if hasattr(data, "dask"):
        return _lazy(data, job, tiles, [len(one) for one in edges])
    out = np.empty((data.shape[0], *shape), job.dtype)

    def fill(tile: Tile) -> None:
        window, needed = job.window(tile)
        job.draw(np.asarray(data[(slice(None), *needed)]), window, tile, out[(slice(None), *tile.slices)])

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # at the border each worker holds a tile of coordinates
        list(follow(pool.map(fill, tiles), "resample", total=len(tiles), unit="tile"))
    return out


def _lazy(data: Any, job: _Job, tiles: list[Tile], counts: list[int]) -> Any:
    import dask.array as da
    import numpy as np
    from dask.delayed import delayed

    compute = delayed(job.tile, pure=True)
    blocks = np.empty(len(tiles), dtype=object)
    for number, tile in enumerate(tiles):
        window, needed = job.window(tile)
        part = data[(slice(None), *needed)]
        blocks[number] = da.from_delayed(
            compute(part, window, tile), shape=(data.shape[0], *tile.shape), dtype=job.dtype
        )
    return da.block(blocks.reshape(counts).tolist())


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
