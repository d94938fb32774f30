"""Outlines between tables of shapes, in pixels of an image, and the rings a viewer draws."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError
from integrate.keys import ATTRS

if TYPE_CHECKING:
    import geopandas as gpd
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["outline_buffers", "regions_of", "shapes_of"]


def outline_buffers(shapes: Any, *, aspect: float) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Return the corners of all rings one after another, and where each ring ends.

    Parameters
    ----------
    shapes
        GeoDataFrame or GeoSeries of polygons, in pixels.
    aspect
        Height of a pixel over its width; the viewer draws square.
    """
    import numpy as np
    import shapely

    rings = shapely.get_rings(np.asarray(shapes.geometry))
    places = shapely.get_coordinates(rings)
    ends = np.cumsum(shapely.get_num_coordinates(rings))
    return (places * [1.0, aspect]).astype(np.float32), ends.astype(np.uint32)


def regions_of(shapes: Any, *, aspect: float) -> list[dict[str, Any]]:
    """Return a table of polygons as the viewer's regions.

    Parameters
    ----------
    shapes
        GeoDataFrame in pixels, with or without ``id``, ``name``, ``classification`` and ``annotator``.
    aspect
        Height of a pixel over its width.

    Raises
    ------
    DataError
        If something is no polygon.
    """
    kinds = set(shapes.geometry.geom_type) - {"Polygon", "MultiPolygon"}
    if kinds:
        raise DataError(f"regions are polygons, found {sorted(map(str, kinds))}; give points and lines a width first")
    return [
        {
            "id": _text(row.get("id")) or str(uuid.uuid4()),
            "name": _text(row.get("name")) or _text(row.get("classification")) or f"region {number}",
            "classification": _text(row.get("classification")),
            "annotator": _text(row.get("annotator")),
            "rings": [[[float(x), float(y) * aspect] for x, y in ring] for ring in _rings(row["geometry"])],
        }
        for number, row in enumerate(shapes.to_dict("records"), 1)
    ]


def _rings(shape: Any) -> Iterable[Sequence[tuple[float, float]]]:
    for part in getattr(shape, "geoms", [shape]):
        for ring in (part.exterior, *part.interiors):
            yield list(ring.coords)[:-1]


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)


def shapes_of(regions: Iterable[Mapping[str, Any]], *, aspect: float, notes: Mapping[str, Any]) -> gpd.GeoDataFrame:
    """Return the viewer's regions as a table of shapes, in pixels of the image.

    Parameters
    ----------
    regions
        What the viewer holds.
    aspect
        Height of a pixel over its width.
    notes
        Kept in ``attrs["integrate"]``.

    Returns
    -------
    GeoDataFrame with ``geometry``, ``id``, ``name``, ``classification`` and ``annotator``; the last two are ``None``
    where nobody said. Rings of one region inside each other are holes; a ring that crosses itself encloses what the
    even-odd rule says.
    """
    import geopandas as gpd

    columns = ("geometry", "id", "name", "classification", "annotator")
    rows = [
        {
            **{key: region.get(key) or None for key in columns[1:]},
            "geometry": _even_odd([[(x, y / aspect) for x, y in ring] for ring in region["rings"]]),
        }
        for region in regions
    ]
    shapes = gpd.GeoDataFrame(rows, columns=list(columns), geometry="geometry", crs=None)
    shapes.attrs[ATTRS] = {"unit": "px", **notes}
    return shapes


def _even_odd(rings: Sequence[Sequence[tuple[float, float]]]) -> Any:
    import shapely

    whole: Any = shapely.Polygon()
    for ring in rings:
        if len(ring) > 2:
            whole = whole.symmetric_difference(shapely.make_valid(shapely.Polygon(ring)))
    polygons = [part for part in shapely.get_parts(shapely.get_parts(whole)) if part.geom_type == "Polygon"]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
