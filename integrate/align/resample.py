"""A raster on another grid: that of given pixels, or of another raster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrate.align.grid import Grid, raster_on, read_grid, with_channels
from integrate.align.job import Job
from integrate.align.pull import Pull
from integrate.align.space import check_meets
from integrate.align.store import hash_transform
from integrate.align.transform import Affine, Transform, identity, jacobian
from integrate.errors import AlignmentError, DataError, ParameterError
from integrate.model.image import image_notes

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

__all__ = ["pick_level", "resample", "resample_like"]


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
    compute: bool = False,
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
    compute
        Whether a Dask image becomes an array at once, tile by tile on threads: half the memory that ``.compute()`` of
        the lazy result takes, as Dask joins its blocks at the end.

    Returns
    -------
    The same kind and dtype; Dask if the image is, unless computed. Images are interpolated linearly, after averaging
    blocks of pixels when the output is coarser. ``attrs["integrate"]["resampled"]`` holds the transform's hash, `fill`,
    and ``covered``: about which part of the output comes from within the image.

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
    made = job.run(data, target.shape, compute=compute)
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


def _job(source: Grid, target: Grid, there: Transform, dtype: Any, *, labels: bool, fill: float) -> Job:
    import numpy as np

    n = len(source.shape)
    shrink = np.ones(n) if labels else _shrinkage(source, target, there)
    factors = tuple(int(max(1, np.floor(one + 1e-6))) for one in shrink)
    averaged = source
    if max(factors) > 1:
        shape = tuple(-(-size // k) for size, k in zip(source.shape, factors, strict=True))
        averaged = source.rescaled(tuple(map(float, factors)), shape)
    pull = Pull.between(averaged, target, there.inverse(), labels=labels, fill=fill)
    return Job(pull, factors, source.shape, np.dtype(dtype))


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
