"""GeoJSON of outlines as QuPath reads and writes it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from integrate.errors import DataError

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["write_geojson"]

#: Columns with a place of their own in the format; plain numbers become measurements, other plain values properties.
OWN: Final = ("geometry", "id", "name", "classification", "annotator")


def write_geojson(outlines: gpd.GeoDataFrame, path: str | os.PathLike[str]) -> Path:
    """Write outlines so that QuPath (File, Import objects) and the GeoJSON reader open them.

    Parameters
    ----------
    outlines
        Geometries in pixels of the picture at full resolution, with or without ``id``, ``name``, ``classification`` and
        ``annotator``; other columns of plain values are kept.
    path
        Where to write; an existing file is replaced whole.

    Returns
    -------
    The path.

    Raises
    ------
    DataError
        If the outlines have a coordinate reference system: QuPath counts pixels, not degrees.

    Examples
    --------
    >>> import geopandas, shapely
    >>> outlines = geopandas.GeoDataFrame({"classification": ["Tumor"]}, geometry=[shapely.box(0, 0, 9, 9)])
    >>> written = write_geojson(outlines, tmp_path / "tumour.geojson")
    >>> from integrate.readers.geojson import GeoJSON
    >>> GeoJSON(url=str(written)).read()["classification"].tolist()
    ['Tumor']
    """
    if outlines.crs is not None:
        raise DataError(f"the outlines are in {outlines.crs}; QuPath counts pixels, bring them to pixels first")
    features = [_feature(number, row) for number, row in enumerate(outlines.to_dict("records"), 1)]
    target = Path(path)
    part = target.with_name(f".{target.name}.part")
    part.write_text(json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False), encoding="utf-8")
    part.replace(target)
    return target


def _feature(number: int, row: dict[str, Any]) -> dict[str, Any]:
    import shapely

    known = {key: value for key, value in row.items() if value is not None and value == value}
    properties: dict[str, Any] = {"objectType": "annotation"}
    if "name" in known:
        properties["name"] = str(known["name"])
    if "classification" in known:
        properties["classification"] = {"name": str(known["classification"])}
    if "annotator" in known:  # where QuPath keeps key-value pairs, and where our reader looks
        properties["metadata"] = {"annotator": str(known["annotator"])}
    others = {str(key): _plain(value) for key, value in known.items() if key not in OWN}
    measured = {key: v for key, v in others.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    properties |= {key: value for key, value in others.items() if key not in measured}
    if measured:
        properties["measurements"] = measured
    geometry = json.loads(shapely.to_geojson(row["geometry"]))
    return {"type": "Feature", "id": str(known.get("id", number)), "geometry": geometry, "properties": properties}


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, (str, int, float, bool)) else str(value)
