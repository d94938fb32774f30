"""Tiles: a grid of boxes that covers an image, as regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from integrate.errors import ParameterError, UnitError
from integrate.features.grid import check_image, image_grid, shapes_to_image
from integrate.features.outlines import as_frame, move_points
from integrate.keys import ATTRS, INSTANCE_ID
from integrate.model.image import image_ids

if TYPE_CHECKING:
    import geopandas as gpd
    import numpy as np
    import xarray as xr

__all__ = ["make_tiles"]


def make_tiles(
    image: xr.DataArray,
    *,
    size: float,
    unit: Literal["px", "um"] = "px",
    within: Any = None,
    least: float = 0.5,
) -> gpd.GeoDataFrame:
    """Return square tiles that cover an image, ready for `measure`.

    Parameters
    ----------
    image
        Image, dims ``(c, y, x)``; its pixels are not read.
    size
        Edge of a tile.
    unit
        Of `size`: ``"px"``, or ``"um"`` for images whose pixel size is known.
    within
        Shapes, e.g. from `find_tissue`; only tiles that lie on them are returned.
    least
        Which part of a tile must lie `within`, above 0 to 1.

    Returns
    -------
    GeoDataFrame of boxes in pixels of the whole image, index ``instance_id`` from 1, row by row; columns ``row`` and
    ``column`` count tiles. Tiles of the last row and column are cut off at the edge of the image. Every pixel lies in
    exactly one tile. With `within`, a column of that name has the part of each tile that lies there, and tiles keep the
    ids they have without.

    Raises
    ------
    ParameterError
        If a tile is smaller than a pixel, or `least` is no part.
    UnitError
        If `unit` is ``"um"`` and the pixel size is unknown.

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

    check_image(image)
    grid = image_grid(image, None)
    if unit not in ("px", "um"):
        raise ParameterError(f"unit is {unit!r}; expected 'px' or 'um'")
    if unit == "um" and grid.unit == "px":
        raise UnitError("tiles are asked for in micrometres and the pixel size of the image is unknown; give it one")
    steps = [size / edge if unit == "um" else float(size) for edge in grid.size]
    if not min(steps) >= 1:
        raise ParameterError(f"a tile of {size} {unit} is smaller than a pixel; expected at least one pixel")
    first = [round(corner / edge, 6) for corner, edge in zip(grid.origin, grid.size, strict=True)]
    cuts = [
        start + np.append(np.arange(0, length, step), length)
        for start, length, step in zip(first, grid.shape, steps, strict=True)
    ]
    row, column = (part.ravel() for part in np.indices([len(cut) - 1 for cut in cuts]))
    boxes = shapely.box(cuts[1][column], cuts[0][row], cuts[1][column + 1], cuts[0][row + 1])
    index = np.arange(1, len(boxes) + 1)
    tiles = gpd.GeoDataFrame({"row": row, "column": column}, geometry=boxes, index=index).rename_axis(INSTANCE_ID)
    if within is not None:
        if not 0 < least <= 1:
            raise ParameterError(f"least is {least}; expected a part of a tile, above 0 to 1")
        frame = as_frame(within)
        to_pixels = shapes_to_image(image, frame, grid, None)
        tiles["within"] = _part_within(boxes, frame, to_pixels, first)
        tiles = tiles[tiles["within"] >= least]
    notes: dict[str, Any] = {"unit": "px", "ids": image_ids(image)}
    tiles.attrs[ATTRS] = notes
    return tiles


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
