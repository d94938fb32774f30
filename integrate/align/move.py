"""Points, outlines and circles taken from one space to another."""

from __future__ import annotations

from typing import Any

from integrate.align.grid import element_space
from integrate.align.space import Space, check_meets
from integrate.align.store import from_spatialdata
from integrate.align.transform import Transform, spread_at
from integrate.errors import DataError, ParameterError, UnitError
from integrate.keys import ATTRS
from integrate.model.image import image_notes

__all__ = ["move", "to_own_space"]


def move(elements: Any, transform: Transform) -> Any:
    """Return points or shapes at their places in the target space of a transform.

    Parameters
    ----------
    elements
        Positions ``(n, axes)`` in the transform's source; a table with columns ``x``, ``y`` (and ``z``), pandas or
        Dask; or a GeoDataFrame of polygons, points or circles (column ``radius``). SpatialData elements must be placed
        in the transform's source space.
    transform
        Where to. Images and labels go through `resample`.

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

    Examples
    --------
    >>> slide, section = ig.Space("slide", "um"), ig.Space("section", "um")
    >>> move([[1.0, 2.0]], ig.Affine.scale([1, 1], slide, section, offset=[10, 0])).tolist()
    [[11.0, 2.0]]
    """
    import pandas as pd

    if hasattr(elements, "dims"):
        raise DataError("images and labels do not move without a new grid; use resample(image, transform, like=…)")
    if hasattr(elements, "geom_type"):
        return _moved_shapes(elements, transform)
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


def _moved_shapes(shapes: Any, transform: Transform) -> Any:
    import shapely

    whole = to_own_space(shapes, transform)
    flat = transform.source.ndim == 2
    moved = shapes.copy()
    moved[shapes.geometry.name] = shapely.transform(shapes.geometry.to_numpy(), whole.map_points, include_z=not flat)
    if "radius" in shapes and set(shapes.geom_type) <= {"Point"}:
        centres = shapely.get_coordinates(shapes.geometry.to_numpy(), include_z=not flat)
        moved["radius"] = shapes["radius"].to_numpy(float) * spread_at(whole, centres)
    moved.attrs = _placed_at(shapes, transform.target)
    return moved
