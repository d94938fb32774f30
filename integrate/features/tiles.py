"""Tiles: a grid of boxes that covers an image or a volume, as regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from integrate.errors import ParameterError, UnitError
from integrate.features.grid import check_image, image_grid, shapes_to_image
from integrate.features.outlines import as_frame, move_points
from integrate.features.volume_grid import as_channels, is_volume, volume_grid
from integrate.keys import ATTRS, INSTANCE_ID
from integrate.model.image import image_ids

if TYPE_CHECKING:
    import geopandas as gpd
    import numpy as np
    import xarray as xr

    from integrate.features.grid import Grid

__all__ = ["make_tiles"]


def make_tiles(
    image: xr.DataArray,
    *,
    size: float,
    unit: Literal["px", "um", "mm"] = "px",
    within: Any = None,
    least: float = 0.5,
) -> gpd.GeoDataFrame:
    """Return square tiles that cover an image, or cubes that fill a volume, ready for `measure`.

    Parameters
    ----------
    image
        Image, dims ``(c, y, x)``, or volume ``(c, z, y, x)`` or ``(z, y, x)``; its pixels are not read.
    size
        Edge of a tile.
    unit
        Of `size`: ``"px"``, or ``"um"`` or ``"mm"`` where the pixel size is known.
    within
        Shapes, e.g. from `find_tissue`; only tiles that lie on them are returned. Not of volumes.
    least
        Which part of a tile must lie `within`, above 0 to 1.

    Returns
    -------
    GeoDataFrame of boxes in pixels of the whole image, index ``instance_id`` from 1, row by row; columns ``row`` and
    ``column`` count tiles. Tiles of the last row and column are cut off at the edge of the image. Every pixel lies in
    exactly one tile. With `within`, a column of that name has the part of each tile that lies there, and tiles keep the
    ids they have without. Of a volume the boxes are cubes, plane by plane, with columns ``plane``, ``z0`` and ``z1``.

    Raises
    ------
    ParameterError
        If a tile is smaller than a pixel, `least` is no part, or `within` is given with a volume.
    UnitError
        If `unit` is a length and the pixel size is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from integrate.model.image import make_image
    >>> image = make_image(np.ones((1, 50, 100)), channels=["DNA"], pixel_size_um=None)
    >>> tiles = make_tiles(image, size=32)
    >>> len(tiles), int(tiles.geometry.area.sum())
    (8, 5000)
    """
    import geopandas as gpd
    import numpy as np
    import shapely

    volume = is_volume(image)
    if volume:
        grid = volume_grid(as_channels(image))
    else:
        check_image(image)
        grid = image_grid(image, None)
    cuts, first = _cuts(grid, size, unit)
    places = [part.ravel() for part in np.indices([len(cut) - 1 for cut in cuts])]
    low = [cut[place] for cut, place in zip(cuts, places, strict=True)]
    high = [cut[place + 1] for cut, place in zip(cuts, places, strict=True)]
    boxes = shapely.box(low[-1], low[-2], high[-1], high[-2])
    index = np.arange(1, len(boxes) + 1)
    names = ["plane", "row", "column"][-len(cuts) :]
    tiles = gpd.GeoDataFrame(dict(zip(names, places, strict=True)), geometry=boxes, index=index)
    tiles = tiles.rename_axis(INSTANCE_ID)
    if volume:
        tiles["z0"], tiles["z1"] = low[0], high[0]
    if within is not None:
        if volume:
            raise ParameterError("within is for images; measure the blocks of a volume and choose by what they hold")
        if not 0 < least <= 1:
            raise ParameterError(f"least is {least}; expected a part of a tile, above 0 to 1")
        frame = as_frame(within)
        to_pixels = shapes_to_image(image, frame, grid, None)
        tiles["within"] = _part_within(boxes, frame, to_pixels, first)
        tiles = tiles[tiles["within"] >= least]
    notes: dict[str, Any] = {"unit": "px", "ids": image_ids(image)}
    tiles.attrs[ATTRS] = notes
    return tiles


def _cuts(grid: Grid, size: float, unit: str) -> tuple[list[np.ndarray[Any, Any]], list[float]]:
    """Return where tiles begin and end along ``(z,) y, x`` in pixels of the whole image, and where this one begins."""
    import numpy as np

    if unit not in ("px", "um", "mm"):
        raise ParameterError(f"unit is {unit!r}; expected 'px', 'um' or 'mm'")
    if unit != "px" and grid.unit == "px":
        raise UnitError(f"tiles are asked for in {unit} and the pixel size of the image is unknown; give it one")
    length = size * {("um", "mm"): 1e-3, ("mm", "um"): 1e3}.get((unit, grid.unit), 1.0)
    steps = [float(size) if unit == "px" else length / edge for edge in grid.size]
    if not min(steps) >= 1:
        raise ParameterError(f"a tile of {size} {unit} is smaller than a pixel; expected at least one pixel")
    first = [round(corner / edge, 6) for corner, edge in zip(grid.origin, grid.size, strict=True)]
    cuts = [
        start + np.append(np.arange(0, number, step), number)
        for start, number, step in zip(first, grid.shape, steps, strict=True)
    ]
    return cuts, first


def _part_within(
    boxes: np.ndarray[Any, Any], frame: gpd.GeoDataFrame, to_pixels: np.ndarray[Any, Any], first: list[float]
) -> np.ndarray[Any, Any]:
    """Return which part of every tile the shapes cover; where shapes overlap it counts once."""
    import numpy as np
    import shapely

    shift = np.array([first[1], first[0]])
    union = shapely.union_all(np.asarray(frame.geometry.array, dtype=object))
    parts = shapely.get_parts(shapely.transform(union, lambda xy: move_points(xy, to_pixels) + shift))
    tile, part = shapely.STRtree(parts).query(boxes, predicate="intersects")
    shared = shapely.area(shapely.intersection(boxes[tile], parts[part]))
    return np.bincount(tile, weights=shared, minlength=len(boxes)) / shapely.area(boxes)
