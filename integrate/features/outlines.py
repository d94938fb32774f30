"""Outlines: regions drawn as polygons or circles, which may overlap, looked at block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, DataError, IdentityError, some
from integrate.features.blocks import Block, Look, Window
from integrate.keys import INSTANCE_ID
from integrate.model.provenance import hash_array, hash_settings

if TYPE_CHECKING:
    import geopandas as gpd
    import numpy as np

__all__ = [
    "Drawn",
    "Outlines",
    "as_frame",
    "check_geometry",
    "check_names",
    "is_outlines",
    "make_outlines",
    "move_points",
    "pack_rings",
]


def is_outlines(regions: Any) -> bool:
    """Return whether regions are shapes: a GeoDataFrame, a GeoSeries, a shapely geometry or a list of them."""
    import shapely

    if isinstance(regions, (list, tuple)):
        return bool(regions) and all(isinstance(one, shapely.Geometry) for one in regions)
    return isinstance(regions, shapely.Geometry) or hasattr(regions, "geom_type")


def as_frame(regions: Any) -> gpd.GeoDataFrame:
    """Return shapes as a GeoDataFrame whose index holds the ids; its ``attrs`` are kept."""
    import geopandas as gpd
    import shapely

    if isinstance(regions, shapely.Geometry):
        regions = [regions]
    if not isinstance(regions, gpd.GeoDataFrame):
        frame = gpd.GeoDataFrame(geometry=gpd.GeoSeries(regions))
        frame.attrs = dict(getattr(regions, "attrs", {}))
        return frame
    key = next((name for name in (INSTANCE_ID, "id") if name in regions and "transform" not in regions.attrs), None)
    return regions if key is None else regions.set_index(key)


class Drawn:
    """Regions that are drawn, on an image or in a volume, and so need no raster of labels."""

    __slots__ = ()

    names: np.ndarray[Any, Any]
    print: str

    @property
    def raster(self) -> None:
        """No raster whose chunks the blocks should follow."""
        return

    def every_id(self) -> np.ndarray[Any, Any]:
        """Return the ids of all regions, also of those without a pixel."""
        import numpy as np

        return np.arange(len(self.names), dtype=np.int64)

    def name(self, prints: int) -> str:
        """Return a text that changes with the regions; outlines do not need the fingerprints of the blocks."""
        return self.print


@dataclass(frozen=True, slots=True)
class Outlines(Drawn):
    """Packed outlines in pixels of the image, ready to be filled; region ``i`` is row ``i`` of the table they are from.

    A region is counted as a whole, for its place and shape, in the one block in which it starts.
    """

    shape: tuple[int, ...]
    names: np.ndarray[Any, Any]
    covered: np.ndarray[Any, Any]
    xy: np.ndarray[Any, Any]
    rings: np.ndarray[Any, Any]
    parts: np.ndarray[Any, Any]
    centres: np.ndarray[Any, Any]
    squares: np.ndarray[Any, Any]
    to_world: np.ndarray[Any, Any]
    boxes: np.ndarray[Any, Any]
    print: str

    def look(self, window: Window, fingerprint: Any) -> Look:
        """Return the pixels of regions in a window, and all pixels of those that start there."""
        import numpy as np

        here = (window.y0, window.y1, window.x0, window.x1)
        top, bottom, left, right = self.boxes.T
        touching = np.flatnonzero((top < window.y1) & (bottom > window.y0) & (left < window.x1) & (right > window.x0))
        starts = touching[(top[touching] >= window.y0) & (left[touching] >= window.x0)]
        block = self._block(touching, here, window)
        everywhere = (0, self.shape[0], 0, self.shape[1])
        return Look(block, self._block(starts, everywhere, Window(*everywhere)), None, 0)

    def gather(self, ids: np.ndarray[Any, Any], window: Window) -> Block:
        """Return what lies of some regions in a window, region by region."""
        return self._block(ids, (window.y0, window.y1, window.x0, window.x1), window)

    def fill(self, chosen: np.ndarray[Any, Any], bounds: tuple[int, int, int, int]) -> np.ndarray[Any, Any]:
        """Return runs ``number in chosen, row, start, stop`` of outlines within bounds ``y0, y1, x0, x1``."""
        from integrate.features import outline_kernels as kernels

        rows = self.boxes[:, :2]
        if len(self.squares):
            return kernels.fill_circles(chosen, self.centres, self.squares, self.to_world, rows, bounds)
        return kernels.fill_polygons(chosen, self.xy, self.rings, self.parts, rows, bounds)

    def _block(self, chosen: np.ndarray[Any, Any], bounds: tuple[int, int, int, int], window: Window) -> Block:
        import numpy as np

        runs = self.fill(chosen, bounds)
        number, row, start, stop = (runs - (0, window.y0, window.x0, window.x0)).T.astype(np.int32, order="C")
        first = np.diff(number, prepend=-1) > 0  # numbers ascend
        region = np.cumsum(first, dtype=np.int32) - np.int32(1)
        return Block(window, chosen[number[first]], region, row, start, stop, True)


def make_outlines(frame: gpd.GeoDataFrame, to_pixels: np.ndarray[Any, Any], shape: tuple[int, ...]) -> Outlines:
    """Return the outlines of a table of shapes on an image.

    Parameters
    ----------
    frame
        Polygons and MultiPolygons, or points with a column ``radius``; the index names them.
    to_pixels
        Affine (3 x 3) from ``x, y`` of the shapes to pixels of the image, whose first covers ``[0, 1)``.
    shape
        Of the image, ``(y, x)``.

    Raises
    ------
    IdentityError
        If an id repeats or is missing.
    DataError
        If a geometry is missing, invalid or of another kind.
    AlignmentError
        If none of them touches the image.
    """
    import numpy as np
    import shapely

    names = check_names(frame)
    geometry = np.asarray(frame.geometry.array, dtype=object)
    circles = check_geometry(frame, geometry, names)
    xy = move_points(shapely.get_coordinates(geometry), to_pixels)
    radii = np.asarray(frame["radius"], np.float64) if circles else np.empty(0)
    to_world = np.linalg.inv(to_pixels)[:2]
    rings, parts = pack_rings(geometry, circles=circles)
    reach = np.hypot(to_pixels[:2, 0], to_pixels[:2, 1])  # of the unit circle along x and y of the pixels
    if circles:
        low, high = xy - radii[:, None] * reach, xy + radii[:, None] * reach
    else:
        low, high = np.split(shapely.bounds(shapely.set_coordinates(geometry.copy(), xy)), 2, axis=1)
    limit = np.array([shape[1], shape[0]], np.float64)
    partly = ~((low >= 0) & (high <= limit)).all(axis=1)
    covered = np.ones(len(geometry))
    cut = shapely.buffer(geometry[partly], radii[partly], quad_segs=32) if circles else geometry[partly]
    covered[partly] = _covered(shapely.transform(cut, lambda p: move_points(p, to_pixels)), shape)
    if len(covered) and not covered.any():
        raise AlignmentError(
            f"none of {len(covered)} outlines touches the image of {shape[0]} x {shape[1]} pixels (y, x); "
            f"in its pixels the first lies between x, y = {low[0].round(1).tolist()} and {high[0].round(1).tolist()}: "
            "is the unit right?"
        )
    low, high = (np.nan_to_num(np.clip(edge, 0, limit)) for edge in (low, high))
    boxes = np.stack([np.floor(low[:, 1]), np.ceil(high[:, 1]), np.floor(low[:, 0]), np.ceil(high[:, 0])], axis=1)
    label = hash_settings([hash_array(xy), hash_array(rings), hash_array(parts), hash_array(radii), names.tolist()])
    centres = shapely.get_coordinates(geometry) if circles else np.empty((0, 2))
    return Outlines(
        shape, names, covered, np.ascontiguousarray(xy), rings, parts, centres, radii**2, to_world,
        boxes.astype(np.int64), label,
    )  # fmt: skip


def move_points(points: np.ndarray[Any, Any], matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return points through an affine; not with @, whose rounding may differ between equal points."""
    import numpy as np

    x, y = points.T
    return np.stack([x * row[0] + y * row[1] + row[2] for row in matrix[:2]], axis=1)


def check_names(frame: gpd.GeoDataFrame) -> np.ndarray[Any, Any]:
    """Return the ids of shapes.

    Raises
    ------
    IdentityError
        If one repeats or is missing.
    """
    import numpy as np

    if frame.index.hasnans:
        raise IdentityError(f"{int(frame.index.isna().sum())} of {len(frame)} outlines have no id; name each")
    repeated = frame.index[frame.index.duplicated()].unique()
    if len(repeated):
        raise IdentityError(f"{len(repeated)} ids repeat: {some(repeated)}; every region needs its own")
    return np.asarray(frame.index) if frame.index.dtype.kind in "iu" else np.asarray(frame.index.astype(str), object)


def check_geometry(frame: gpd.GeoDataFrame, geometry: np.ndarray[Any, Any], names: np.ndarray[Any, Any]) -> bool:
    """Raise unless all are polygons that can be filled, or circles; return whether they are circles.

    Raises
    ------
    DataError
        If not.
    """
    import numpy as np
    import shapely

    kinds = shapely.get_type_id(geometry)
    circles = bool(len(kinds)) and bool((kinds == 0).all()) and "radius" in frame
    if circles:
        radii = np.asarray(frame["radius"], np.float64)
        bad, fault = ~(np.isfinite(radii) & (radii >= 0)) | shapely.is_empty(geometry), "have no radius or place"
    elif not np.isin(kinds, (3, 6)).all():
        bad, fault = ~np.isin(kinds, (3, 6)), "are neither polygons nor points with a column 'radius'"
    else:
        bad, fault = ~shapely.is_valid(geometry), "cross themselves (mend them with shapely.make_valid)"
    if bad.any():
        raise DataError(f"{int(bad.sum())} of {len(geometry)} outlines {fault}: {some(names[bad])}")
    return circles


def pack_rings(geometry: np.ndarray[Any, Any], *, circles: bool) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return where the rings begin in the coordinates, and where the outlines begin in the rings."""
    import numpy as np
    import shapely

    if circles:
        return np.zeros(1, np.int64), np.zeros(len(geometry) + 1, np.int64)
    parts, owner = shapely.get_parts(geometry, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    sizes = shapely.get_num_coordinates(rings)
    per_outline = np.bincount(owner[part], minlength=len(geometry)) if len(part) else np.zeros(len(geometry), int)
    return (
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.concatenate([[0], np.cumsum(per_outline)]).astype(np.int64),
    )


def _covered(outline: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return which part of each outline's area lies on the image, 0 to 1."""
    import numpy as np
    import shapely

    area = shapely.area(outline)
    inside = shapely.area(shapely.clip_by_rect(outline, 0, 0, shape[1], shape[0]))
    return np.divide(inside, area, out=np.zeros_like(area), where=area > 0)
