"""The crop: a block of a raster's own pixels, with their exact place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.align.grid import read_grid
from integrate.errors import AlignmentError, ParameterError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["crop"]


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
