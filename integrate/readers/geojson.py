"""Outlines drawn in QuPath, as GeoJSON in pixels of the picture they were drawn on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, some, warn
from integrate.keys import ATTRS
from integrate.readers.base import Reader

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["GeoJSON", "enclosed"]

#: Properties that become columns of their own; other plain values follow under their own names.
COLUMNS = ("geometry", "id", "classification", "annotator")


class GeoJSON(Reader):
    """Read outlines as a table of shapes, with class and annotator.

    Returns
    -------
    GeoDataFrame without a coordinate reference system: the numbers are pixels (corner of the first pixel at 0, 0), not
    degrees. Columns ``geometry``, ``id`` (text; the row number where the file has none), ``classification`` (name of
    the class) and ``annotator`` (both ``None`` where the file does not say), then every plain property and measurement
    under its own name; nested properties are named in ``attrs["integrate"]["left_out"]``.

    Polygons that cross themselves are replaced by the valid area they enclose; features without any area or
    geometry are left out; both are counted in a warning.

    Raises
    ------
    DataError
        If the file is not GeoJSON, a geometry is malformed, or ids repeat.

    Examples
    --------
    >>> outline = {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 3], [0, 0]]]}
    >>> cell = {"type": "Feature", "id": "1", "geometry": outline, "properties": {"classification": {"name": "tumour"}}}
    >>> _ = (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [cell]}))
    >>> shapes = GeoJSON(url=tmp_path / "a.geojson").read()
    >>> shapes["classification"][0], shapes.geometry[0].area
    ('tumour', 6.0)
    """

    output_instance = "geopandas:GeoDataFrame"

    def _open(self, path: Path) -> gpd.GeoDataFrame:
        import geopandas as gpd

        features = _features(path)
        rows = [_row(feature, f"feature {number} of {path.name}") for number, feature in enumerate(features)]
        left_out = sorted({name for row in rows for name in row.pop("", ())})
        for number, row in enumerate(rows):
            row["id"] = str(number) if row["id"] is None else str(row["id"])
        repeated = [one for one, count in Counter(row["id"] for row in rows).items() if count > 1]
        if repeated:
            raise DataError(f"{len(repeated)} ids repeat in {path.name}: {some(repeated)}; every outline needs its own")
        kept, mended, empty = _valid(rows)
        if mended or empty:
            warn(
                f"{path.name}: {mended} of {len(rows)} outlines crossed themselves and were made valid, "
                f"{len(empty)} without area or geometry were left out {empty[:5] if empty else ''}".rstrip()
            )
        columns = dict.fromkeys([*COLUMNS, *(name for row in kept for name in row)])
        shapes = gpd.GeoDataFrame(kept, columns=list(columns), geometry="geometry", crs=None)
        shapes.attrs[ATTRS] = {
            "unit": "px",
            "coordinate_system": self.metadata.get("coordinate_system", {}),
            "made_valid": mended,
            "empty": empty,
            "left_out": left_out,
        }
        return shapes


def _features(path: Path) -> list[Any]:
    """Return the features of a collection, a bare list (older QuPath) or a single feature."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(
            f"{path.name} is not readable GeoJSON ({error}); it may be truncated or another format"
        ) from error
    if isinstance(content, Mapping) and content.get("type") == "FeatureCollection":
        content = content.get("features")
    elif isinstance(content, Mapping) and content.get("type") == "Feature":
        content = [content]
    if not isinstance(content, list):
        raise DataError(f"{path.name} is JSON but no GeoJSON; expected a FeatureCollection")
    return content


def _row(feature: Any, where: str) -> dict[str, Any]:
    """Return one feature as a row; what finds no column is named under ``""``."""
    if not isinstance(feature, Mapping) or not isinstance(feature.get("properties") or {}, Mapping):
        raise DataError(f"{where} is no GeoJSON feature; expected an object with geometry and properties")
    properties = dict(feature.get("properties") or {})
    named = properties.pop("classification", None)
    nested = named if isinstance(named, Mapping) else {}
    extra = properties.get("metadata")
    annotators = [properties.pop("annotator", None), nested.get("annotator")]
    if isinstance(extra, Mapping):  # the key-value pairs of newer QuPath
        annotators.append(extra.get("annotator"))
    plain = {name: value for name, value in properties.items() if not isinstance(value, (Mapping, list))}
    left_out = set(properties) - set(plain) - {"measurements"}
    if "nucleusGeometry" in feature:
        left_out.add("nucleusGeometry")
    return {
        **plain,
        **_measurements(properties.get("measurements")),
        "geometry": _geometry(feature.get("geometry"), where),
        "id": feature.get("id", properties.get("id")),
        "classification": _class_name(named),
        "annotator": next((str(one) for one in annotators if one is not None), None),
        "": left_out,
    }


def _class_name(named: Any) -> str | None:
    if isinstance(named, Mapping):
        named = named.get("name") or ": ".join(str(part) for part in named.get("names") or ())
    return str(named) if named else None


def _measurements(values: Any) -> dict[str, Any]:
    """Return measurements by name; older QuPath writes a list of pairs, newer an object."""
    if isinstance(values, list):
        values = {one.get("name"): one.get("value") for one in values if isinstance(one, Mapping)}
    return {str(name): value for name, value in values.items()} if isinstance(values, Mapping) else {}


def _geometry(geometry: Any, where: str) -> Any:
    import numpy as np
    import shapely

    if geometry is None:
        return None
    try:
        with np.errstate(invalid="ignore"):  # looked at below
            shape = shapely.geometry.shape(geometry)
        finite = bool(np.isfinite(shapely.get_coordinates(shape)).all())
    except (shapely.errors.ShapelyError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise DataError(f"{where} has a malformed geometry ({error})") from error
    if not finite:
        raise DataError(f"{where} has coordinates that are not numbers")
    return shape


def _valid(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int, list[str]]:
    """Return the rows with valid geometries, how many were made so, and the ids of those that had none."""
    kept, mended, empty = [], 0, []
    for row in rows:
        shape = row["geometry"]
        if shape is not None and not shape.is_valid:
            shape = enclosed(shape)
            mended += not shape.is_empty
        if shape is None or shape.is_empty:
            empty.append(row["id"])
        else:
            kept.append({**row, "geometry": shape})
    return kept, mended, empty


def enclosed(outline: Any) -> Any:
    """Return the area that an outline which crosses itself encloses, empty when it encloses none.

    Where the end of a stroke overlaps its beginning, the overlap is inside (counting crossings would make it a hole);
    both halves of a figure of eight are. Stray lines are left out.
    """
    import shapely

    mended = shapely.make_valid(outline, method="structure", keep_collapsed=False)
    polygons = [part for part in shapely.get_parts(shapely.get_parts(mended)) if part.geom_type == "Polygon"]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
