"""Volume outlines: regions of volumes drawn as balls, boxes or stacked contours, which may overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError
from integrate.features.blocks import Block, Look, Window
from integrate.features.outlines import Drawn, Outlines, pack_rings
from integrate.features.sections import Sections, make_sections
from integrate.model.provenance import hash_array, hash_settings

if TYPE_CHECKING:
    import geopandas as gpd
    import numpy as np

__all__ = ["VolumeOutlines", "make_volume_outlines"]


@dataclass(frozen=True, slots=True)
class VolumeOutlines(Drawn):
    """Regions as flat outlines, each of which fills some planes; those of one region come one after another.

    `begins` says where the outlines of each region begin, `planes` the first and one past the last plane of each
    outline, and `boxes` where each region lies, first and one past the last along ``z, y, x``. Like `Outlines`, a
    region is counted as a whole in the one block in which it starts.
    """

    shape: tuple[int, ...]
    names: np.ndarray[Any, Any]
    covered: np.ndarray[Any, Any]
    flat: Outlines
    begins: np.ndarray[Any, Any]
    planes: np.ndarray[Any, Any]
    boxes: np.ndarray[Any, Any]
    print: str

    def look(self, window: Window, fingerprint: Any) -> Look:
        """Return the voxels of regions in a window, and all voxels of those that start there."""
        import numpy as np

        first, last = np.array(window.bounds).T
        low, high = self.boxes[:, 0], self.boxes[:, 1]
        touching = np.flatnonzero(((low < last) & (high > first)).all(axis=1))
        starts = touching[(low[touching] >= first).all(axis=1)]
        planes, rows, columns = self.shape
        everywhere = Window(0, rows, 0, columns, 0, planes)
        return Look(self.gather(touching, window), self.gather(starts, everywhere), None, 0)

    def gather(self, ids: np.ndarray[Any, Any], window: Window) -> Block:
        """Return what lies of some regions in a window, region by region, plane by plane."""
        import numpy as np

        owner = np.repeat(ids, np.diff(self.begins)[ids])
        within = np.arange(len(owner)) - np.searchsorted(owner, owner)
        outlines = self.begins[owner] + within
        first, last = (np.clip(part, window.z0, window.z1) for part in self.planes[outlines].T)
        here = last > first
        owner, outlines, first, last = (part[here] for part in (owner, outlines, first, last))
        number, row, start, stop = self.flat.fill(outlines, (window.y0, window.y1, window.x0, window.x1)).T
        times = (last - first)[number]
        run = np.repeat(np.arange(len(number)), times)
        plane = np.arange(len(run)) - np.repeat(np.cumsum(times) - times, times) + first[number[run]]
        order = np.lexsort((plane, owner[number[run]]))  # stable: the rows of a plane stay in order
        run, plane = run[order], plane[order]
        row = (plane - window.z0) * (window.y1 - window.y0) + row[run] - window.y0
        found, region = np.unique(owner[number[run]], return_inverse=True)
        runs = [part.astype(np.int32) for part in (region, row, start[run] - window.x0, stop[run] - window.x0)]
        return Block(window, found, runs[0], runs[1], runs[2], runs[3], overlap=True, volume=True)


def make_volume_outlines(
    frame: gpd.GeoDataFrame, to_voxels: np.ndarray[Any, Any], shape: tuple[int, ...]
) -> VolumeOutlines:
    """Return the outlines of a table of shapes in a volume.

    Parameters
    ----------
    frame
        Balls: points with z and a column ``radius``. Boxes, or any prisms: polygons without z, with columns ``z0`` and
        ``z1``. Contours: polygons with z, each in one plane of voxels; all with one id are one region, and inside it
        one within another is a hole. The index names them.
    to_voxels
        Affine (4 x 4) from ``x, y, z`` of the shapes to voxels, whose first covers ``[0, 1)`` along every axis.
    shape
        Of the volume, ``(z, y, x)``.

    Raises
    ------
    IdentityError
        If an id is missing, or repeats other than in contours.
    DataError
        If shapes are of another kind, or cannot be filled.
    AlignmentError
        If none of them touches the volume, or contours lie between planes.
    """
    import numpy as np

    sections = make_sections(frame, to_voxels, shape)
    low, high = (np.clip(edge, 0, (shape[2], shape[1])) for edge in sections.bounds)
    flat_boxes = np.stack([np.floor(low[:, 1]), np.ceil(high[:, 1]), np.floor(low[:, 0]), np.ceil(high[:, 0])], axis=1)
    flat_boxes = flat_boxes.astype(np.int64)
    planes = np.clip(sections.planes, 0, shape[0])
    regions = len(sections.names)
    begins = np.searchsorted(sections.region, np.arange(regions + 1))
    boxes = np.zeros((regions, 2, 3), np.int64)
    boxes[:, 0] = shape
    filled = (
        (planes[:, 1] > planes[:, 0]) & (flat_boxes[:, 1] > flat_boxes[:, 0]) & (flat_boxes[:, 3] > flat_boxes[:, 2])
    )
    edges = np.stack([planes, flat_boxes[:, :2], flat_boxes[:, 2:]], axis=2)[filled]  # outline, first or last, axis
    np.minimum.at(boxes[:, 0], sections.region[filled], edges[:, 0])
    np.maximum.at(boxes[:, 1], sections.region[filled], edges[:, 1])
    if regions and not sections.covered.any():
        raise AlignmentError(
            f"none of {regions} shapes touches the volume of {shape} voxels (z, y, x); in its voxels the first lies "
            f"between x, y = {sections.bounds[0][0].round(1).tolist()} and {sections.bounds[1][0].round(1).tolist()} "
            f"in planes {sections.planes[0].tolist()}: is the unit right?"
        )
    return VolumeOutlines(
        shape, sections.names, sections.covered, _flat(sections, flat_boxes, shape[1:]), begins, planes, boxes,
        hash_settings([hash_array(part) for part in sections.drawn] + sections.names.tolist()),
    )  # fmt: skip


def _flat(sections: Sections, boxes: np.ndarray[Any, Any], shape: tuple[int, ...]) -> Outlines:
    import numpy as np
    import shapely

    circles = bool(len(sections.squares))
    rings, parts = pack_rings(sections.geometry, circles=circles)
    xy = np.ascontiguousarray(shapely.get_coordinates(sections.geometry))
    number = np.arange(len(sections.region))
    return Outlines(
        shape, number, np.ones(len(number)), xy, rings, parts, xy * sections.steps if circles else np.empty((0, 2)),
        sections.squares, np.diag([*sections.steps, 1.0])[:2], boxes, "",
    )  # fmt: skip
