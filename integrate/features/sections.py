"""Sections: the flat outlines that shapes have in the planes of a volume."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from integrate.errors import AlignmentError, DataError, IdentityError, some
from integrate.features.outlines import check_geometry, check_names
from integrate.readers.rtstruct import OFF_PLANE

if TYPE_CHECKING:
    import geopandas as gpd
    import numpy as np

__all__ = ["Sections", "make_sections"]

#: Slices in which the part of a ball that lies in the volume is found.
_SLICES: Final = 64


class Sections(NamedTuple):
    """Flat outlines in voxels, ordered by the `region` each belongs to; each fills some planes.

    `geometry` are polygons, filled by the even-odd rule, or the centres of circles with radii whose squares are
    `squares`, in a unit of which a voxel has `steps` along x and y. `drawn` tells one table of shapes from another.
    """

    names: np.ndarray[Any, Any]
    covered: np.ndarray[Any, Any]
    region: np.ndarray[Any, Any]
    geometry: np.ndarray[Any, Any]
    bounds: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
    planes: np.ndarray[Any, Any]
    squares: np.ndarray[Any, Any]
    steps: tuple[float, float]
    drawn: tuple[np.ndarray[Any, Any], ...]


def make_sections(frame: gpd.GeoDataFrame, to_voxels: np.ndarray[Any, Any], shape: tuple[int, ...]) -> Sections:
    """Return the sections of balls, prisms or contours; see `make_volume_outlines`."""
    import numpy as np
    import shapely

    geometry = np.asarray(frame.geometry.array, dtype=object)
    kinds = shapely.get_type_id(geometry)
    if len(kinds) and (kinds == 0).all() and "radius" in frame and ("z" in frame or shapely.has_z(geometry).all()):
        return _cut_balls(frame, geometry, to_voxels, shape)
    if np.isin(kinds, (3, 6)).all() and {"z0", "z1"} <= set(frame.columns):
        return _cut_prisms(frame, geometry, to_voxels, shape)
    if np.isin(kinds, (3, 6)).all() and shapely.has_z(geometry).all():
        return _stack_contours(frame, geometry, to_voxels, shape)
    found = np.unique([one.geom_type for one in geometry if one is not None])
    raise DataError(
        f"expected shapes of a volume: points with z and a column 'radius', polygons with columns 'z0' and 'z1', or "
        f"contours with z; found {some(found)} with columns {some(frame.columns)}, "
        f"{int(shapely.has_z(geometry).sum())} of {len(geometry)} with z"
    )


def _move(points: np.ndarray[Any, Any], matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return points ``x, y, z`` through an affine; not with @, whose rounding may differ between equal points."""
    import numpy as np

    x, y, z = points.T
    return np.stack([x * row[0] + y * row[1] + z * row[2] + row[3] for row in matrix[:3]], axis=1)


def _cut_balls(
    frame: gpd.GeoDataFrame, geometry: np.ndarray[Any, Any], to_voxels: np.ndarray[Any, Any], shape: tuple[int, ...]
) -> Sections:
    import numpy as np
    import shapely

    names = check_names(frame)
    check_geometry(frame, geometry, names)
    points = shapely.get_coordinates(geometry, include_z=True)
    if "z" in frame:
        points[:, 2] = frame["z"]
    axes = np.linalg.inv(to_voxels)[:3, :3]  # a voxel's step along x, y and z
    steps = np.linalg.norm(axes, axis=0)
    if np.abs((axes / steps).T @ (axes / steps) - np.eye(3)).max() > 1e-4:
        raise DataError("the axes of the volume are not at right angles in the space of the balls; resample it first")
    radii, voxels = np.asarray(frame["radius"], np.float64), _move(points, to_voxels)
    if not np.isfinite(voxels).all():
        raise DataError(f"balls have no place: {some(names[~np.isfinite(voxels).all(axis=1)])}")
    reach = radii[:, None] / steps
    first = np.clip(np.floor(voxels[:, 2] - reach[:, 2] - 0.5), -1, shape[0]).astype(np.int64)
    last = np.clip(np.ceil(voxels[:, 2] + reach[:, 2] - 0.5) + 1, -1, shape[0]).astype(np.int64)
    times = np.maximum(last - first, 1)
    region = np.repeat(np.arange(len(names)), times)
    plane = np.arange(len(region)) - np.repeat(np.cumsum(times) - times, times) + first[region]
    squares = radii[region] ** 2 - ((plane + 0.5 - voxels[region, 2]) * steps[2]) ** 2
    bounds = (voxels - reach)[region, :2], (voxels + reach)[region, :2]
    covered = np.array([_covered_ball(*one, shape) for one in zip(voxels, reach, strict=True)])
    return Sections(
        names, covered, region, shapely.points(voxels[region, :2]), bounds, np.stack([plane, plane + 1], axis=1),
        squares, (float(steps[0]), float(steps[1])), (voxels, radii, steps),
    )  # fmt: skip


def _covered_ball(centre: np.ndarray[Any, Any], reach: np.ndarray[Any, Any], shape: tuple[int, ...]) -> float:
    """Return which part of a ball lies in the volume, in slices of which the area is known."""
    import numpy as np
    import shapely

    limit = np.array(shape[::-1], np.float64)
    if ((centre - reach >= 0) & (centre + reach <= limit)).all():
        return 1.0
    if not ((centre + reach > 0) & (centre - reach < limit)).all() or not reach.all():
        return float(not reach.any() and bool(((centre >= 0) & (centre < limit)).all()))
    height = (np.arange(_SLICES) + 0.5) * 2 / _SLICES - 1
    disc = shapely.get_coordinates(shapely.Point(0, 0).buffer(1, quad_segs=32))
    sizes = np.sqrt(1 - height**2)
    discs = shapely.polygons(disc * reach[:2] * sizes[:, None, None] + centre[:2])
    inside = shapely.area(shapely.clip_by_rect(discs, 0, 0, limit[0], limit[1]))
    within = np.abs(centre[2] + height * reach[2] - limit[2] / 2) <= limit[2] / 2
    return float((inside * within).sum() / shapely.area(discs).sum())


def _cut_prisms(
    frame: gpd.GeoDataFrame, geometry: np.ndarray[Any, Any], to_voxels: np.ndarray[Any, Any], shape: tuple[int, ...]
) -> Sections:
    import numpy as np
    import shapely

    names = check_names(frame)
    check_geometry(frame, geometry, names)
    if np.abs(to_voxels[2, :2]).max() > 1e-6 or np.abs(to_voxels[:2, 2]).max() > 1e-6:
        raise AlignmentError("the planes of the volume are oblique to z0 and z1; draw contours in its planes instead")
    ends = np.stack([np.asarray(frame[name], np.float64) for name in ("z0", "z1")], axis=1)
    if not (ends[:, 0] < ends[:, 1]).all():
        wrong = names[~(ends[:, 0] < ends[:, 1])]
        raise DataError(f"{len(wrong)} shapes do not have z0 below z1: {some(wrong)}")
    ends = np.sort(ends * to_voxels[2, 2] + to_voxels[2, 3], axis=1)
    flat = _flatten(geometry, to_voxels)
    planes = np.clip(np.ceil(ends - 0.5), -1, shape[0] + 1).astype(np.int64)
    whole, inside = _areas(flat, shape)
    depth = np.clip(ends, 0, shape[0])
    covered = inside / whole * (depth[:, 1] - depth[:, 0]) / (ends[:, 1] - ends[:, 0])
    drawn = (shapely.get_coordinates(flat), shapely.get_num_coordinates(flat), ends)
    return Sections(
        names, covered, np.arange(len(names)), flat, _bounds(flat), planes, np.empty(0), (1.0, 1.0), drawn
    )  # fmt: skip


def _stack_contours(
    frame: gpd.GeoDataFrame, geometry: np.ndarray[Any, Any], to_voxels: np.ndarray[Any, Any], shape: tuple[int, ...]
) -> Sections:
    import numpy as np
    import shapely

    if frame.index.hasnans:
        raise IdentityError(f"{int(frame.index.isna().sum())} of {len(frame)} contours have no id; name each")
    owner, names = frame.index.factorize()
    flat, part = shapely.get_parts(_flatten(geometry, to_voxels), return_index=True)
    points, contour = shapely.get_coordinates(geometry, include_z=True, return_index=True)
    if not np.isfinite(points).all():
        bad = names[np.unique(owner[contour[~np.isfinite(points).all(axis=1)]])]
        raise DataError(f"contours of {some(bad)} have points without x, y or z; expected all three")
    height = _move(points, to_voxels)[:, 2]
    mean = np.bincount(contour, height) / np.bincount(contour)
    plane = np.rint(mean - 0.5).astype(np.int64)
    away = np.bincount(contour, np.abs(height - 0.5 - plane[contour]) > OFF_PLANE) > 0
    if away.any():
        heights = some([f"{one:.2f}" for one in (mean - 0.5)[away]])
        raise AlignmentError(
            f"{int(away.sum())} contours of {some(names[np.unique(owner[away])])} lie between the planes of the "
            f"volume, at {heights}; expected each in one plane of voxels"
        )
    owner, plane = owner[part], plane[part]
    order = np.lexsort((plane, owner))
    flat, owner, plane = flat[order], owner[order], plane[order]
    fresh = (np.diff(owner, prepend=-1) != 0) | (np.diff(plane, prepend=plane[:1] - 1) != 0)
    stacked = shapely.multipolygons(flat, indices=np.cumsum(fresh) - 1)
    region, plane = owner[fresh], plane[fresh]
    whole, inside = _areas(stacked, shape)
    inside[(plane < 0) | (plane >= shape[0])] = 0
    covered = np.bincount(region, inside) / np.bincount(region, whole)
    drawn = (shapely.get_coordinates(flat), shapely.get_num_coordinates(flat), owner, plane)
    planes = np.stack([plane, plane + 1], axis=1)
    labels = np.asarray(names) if names.dtype.kind in "iu" else np.asarray(names.astype(str), object)
    return Sections(labels, covered, region, stacked, _bounds(stacked), planes, np.empty(0), (1.0, 1.0), drawn)


def _flatten(geometry: np.ndarray[Any, Any], to_voxels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return polygons in voxels, without z."""
    import numpy as np
    import shapely

    points = np.nan_to_num(shapely.get_coordinates(geometry, include_z=True))
    return shapely.set_coordinates(shapely.force_2d(geometry), _move(points, to_voxels)[:, :2])


def _bounds(flat: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    import numpy as np
    import shapely

    low, high = np.split(np.nan_to_num(shapely.bounds(flat)), 2, axis=1)
    return low, high


def _areas(flat: np.ndarray[Any, Any], shape: tuple[int, ...]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the area of each outline, and that of its part on the volume; contours one in another are holes."""
    import numpy as np
    import shapely

    whole, (low, high) = shapely.area(flat), _bounds(flat)
    inside = whole.copy()
    partly = ((low < 0) | (high > np.array(shape[:0:-1]))).any(axis=1)
    for k in np.flatnonzero(partly | (shapely.get_num_geometries(flat) > 1)):
        one = reduce(shapely.symmetric_difference, shapely.make_valid(shapely.get_parts(flat[k])))
        whole[k], inside[k] = one.area, shapely.clip_by_rect(one, 0, 0, shape[2], shape[1]).area
    return np.maximum(whole, np.finfo(float).tiny), inside
