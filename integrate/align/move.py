"""Points, outlines and circles taken from one space to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.align.grid import element_space
from integrate.align.space import Space, check_meets
from integrate.align.store import from_spatialdata
from integrate.align.transform import Affine, Transform, spread_at
from integrate.errors import DataError, ParameterError, UnitError
from integrate.keys import ATTRS
from integrate.model.image import image_notes

if TYPE_CHECKING:
    import numpy as np

__all__ = ["move", "move_outlines", "to_own_space"]


#: Times an outline's edges are halved at most.
_HALVINGS = 12


def move(elements: Any, transform: Transform, *, tolerance: float = 0.1) -> Any:
    """Return points or shapes at their places in the target space of a transform.

    Parameters
    ----------
    elements
        Positions ``(n, axes)`` in the transform's source; a table with columns ``x``, ``y`` (and ``z``), pandas or
        Dask; or a GeoDataFrame of polygons, points or circles (column ``radius``). SpatialData elements must be placed
        in the transform's source space.
    transform
        Where to. Images and labels go through `resample`.
    tolerance
        How far, in the unit of the target, the straight edges of an outline may lie from where a bent transform carries
        them: edges get new corners until they do not. Affine transforms keep edges straight and add none.

    Returns
    -------
    The same kind of object, other columns unchanged, Dask still lazy. SpatialData elements are placed in the target
    space; radii grow by the local mean scale of the transform.

    Raises
    ------
    AlignmentError
        If an element lies in another space than the transform's source.
    UnitError
        If shapes say another unit than the source space.
    ParameterError
        If the tolerance is not above 0, or a column is missing.

    Examples
    --------
    >>> slide, section = ig.Space("slide", "um"), ig.Space("section", "um")
    >>> move([[1.0, 2.0]], ig.Affine.scale([1, 1], slide, section, offset=[10, 0])).tolist()
    [[11.0, 2.0]]
    """
    import pandas as pd

    if hasattr(elements, "dims"):
        raise DataError("images and labels do not move without a new grid; use resample(image, transform, like=…)")
    if not tolerance > 0:
        raise ParameterError(f"tolerance={tolerance!r}; expected a length above 0")
    if hasattr(elements, "geom_type"):
        return _moved_shapes(elements, transform, tolerance)
    if hasattr(elements, "columns"):
        whole = to_own_space(elements, transform)
        if isinstance(elements, pd.DataFrame):
            return _moved_table(elements, whole)
        moved = elements.map_partitions(_moved_table, whole)
        moved.attrs.update(_placed_at(elements, transform.target))
        return moved
    return transform.map_points(elements)


def to_own_space(elements: Any, transform: Transform) -> Transform:
    """Return the transform from an element's own coordinates: of a SpatialData element those before its placement.

    Raises
    ------
    AlignmentError, UnitError
        As of `move`.
    """
    placed = getattr(elements, "attrs", {}).get("transform")
    notes = image_notes(elements)
    axes = transform.source.axes
    if placed:
        if transform.source.name not in placed:
            name = str(next(iter(placed)))
            check_meets(element_space(name, notes, axes), transform.source, what="the element")
        name = transform.source.name
        # A map of its own coordinates into the space; whatever unit they had, the space's holds after it.
        own = Space(f"{name} of its own", transform.source.unit, axes)
        return from_spatialdata(placed[name], own, transform.source).then(transform)
    unit = notes.get("unit")
    if unit is not None and transform.source.unit and unit != transform.source.unit:
        raise UnitError(
            f"the elements are in {unit!r}, space {transform.source.name!r} in {transform.source.unit!r}; convert them"
        )
    return transform


def _placed_at(elements: Any, target: Space) -> dict[str, Any]:
    """Return the attributes of moved elements: their numbers are now those of the target space."""
    from spatialdata.transformations import Identity

    attrs = dict(elements.attrs)
    if "transform" in attrs:
        attrs["transform"] = {target.name: Identity()}
    if ATTRS in attrs and "unit" in attrs[ATTRS]:
        attrs[ATTRS] = {**attrs[ATTRS], "unit": target.unit}
    return attrs


def _moved_table(table: Any, transform: Transform) -> Any:
    axes = list(transform.source.axes)
    absent = [axis for axis in axes if axis not in table]
    if absent:
        raise ParameterError(f"the points have no column {absent}; expected {axes}")
    moved = table.copy()
    moved[axes] = transform.map_points(table[axes].to_numpy(float))
    return moved


def _moved_shapes(shapes: Any, transform: Transform, tolerance: float) -> Any:
    import shapely

    whole = to_own_space(shapes, transform)
    flat = transform.source.ndim == 2
    moved = shapes.copy()
    moved[shapes.geometry.name] = move_outlines(shapes.geometry.to_numpy(), whole, tolerance=tolerance)
    if "radius" in shapes and set(shapes.geom_type) <= {"Point"}:
        centres = shapely.get_coordinates(shapes.geometry.to_numpy(), include_z=not flat)
        moved["radius"] = shapes["radius"].to_numpy(float) * spread_at(whole, centres)
    moved.attrs = _placed_at(shapes, transform.target)
    return moved


def move_outlines(
    outlines: np.ndarray[Any, Any], transform: Transform, *, tolerance: float = 0.1
) -> np.ndarray[Any, Any]:
    """Return geometries in the target of a transform; where it bends, edges get corners as `move` says."""
    import numpy as np
    import shapely

    flat = transform.source.ndim == 2
    bends = flat and not isinstance(transform, Affine)
    drawn = _split(outlines, transform, tolerance) if bends else outlines
    return np.asarray(shapely.transform(drawn, transform.map_points, include_z=not flat))


def _split(shapes: np.ndarray[Any, Any], transform: Transform, tolerance: float) -> np.ndarray[Any, Any]:
    """Return outlines whose edges are short enough for a bent transform to leave them straight."""
    import numpy as np
    import shapely

    made = np.array(shapes, dtype=object)
    left = np.arange(len(made))
    for _ in range(_HALVINGS):
        rings, of = shapely.get_parts(shapely.boundary(made[left]), return_index=True)
        corners, ring = shapely.get_coordinates(rings, return_index=True)
        same = ring[1:] == ring[:-1]
        first, last, of = corners[:-1][same], corners[1:][same], of[ring[1:][same]]
        ends = transform.map_points(first), transform.map_points(last)
        miss = np.zeros(len(first))
        for part in (0.25, 0.5, 0.75):
            straight = ends[0] + part * (ends[1] - ends[0])
            bent = transform.map_points(first + part * (last - first))
            miss = np.maximum(miss, np.linalg.norm(bent - straight, axis=1))
        longest = np.zeros(len(left))
        far = miss > tolerance
        np.maximum.at(longest, of[far], np.linalg.norm(last - first, axis=1)[far])
        left, longest = left[longest > 0], longest[longest > 0]
        if not len(left):
            break
        made[left] = shapely.segmentize(made[left], longest * 0.5001)
    return made
