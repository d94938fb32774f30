"""Outlines drawn in Aperio ImageScope (XML), in pixels of the finest level."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from integrate.errors import DataError, warn
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.geojson import enclosed

if TYPE_CHECKING:
    import geopandas as gpd

__all__ = ["AperioXML"]

#: ImageScope's region types that enclose an area, and those that do not.
CLOSED = {"0": "freehand", "1": "rectangle", "2": "ellipse"}
LINES = {"3": "arrow", "4": "ruler"}


class AperioXML(Reader):
    """Read the regions of an Aperio ImageScope annotation file as a table of shapes.

    Returns
    -------
    GeoDataFrame without a coordinate reference system, in pixels of level 0 (corner of the first pixel at 0, 0), with
    the columns of `GeoJSON`: ``geometry``, ``id`` (``<layer>-<region>``), ``classification`` (name or description of
    the layer) and ``annotator`` (``None``: the format has none), then ``text`` and ``stated_area_px`` as the file has
    them. Outlines that cross themselves are replaced by the valid area they enclose; those of fewer than three points
    are left out; both are counted in a warning. Arrows and rulers are no regions: ``attrs["integrate"]["left_out"]``.
    The pixel size the file states is in ``attrs["integrate"]["pixel_size_um"]``.

    Raises
    ------
    DataError
        If the file is not Aperio XML, truncated, or a vertex is no number.

    Examples
    --------
    >>> corners = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ((0, 0), (4, 0), (4, 3)))
    >>> region = f'<Region Id="1" Type="0"><Vertices>{corners}</Vertices></Region>'
    >>> layer = f'<Annotation Id="1" Name="tumour"><Regions>{region}</Regions></Annotation>'
    >>> _ = (tmp_path / "a.xml").write_text(f'<Annotations MicronsPerPixel="0.25">{layer}</Annotations>')
    >>> shapes = AperioXML(url=tmp_path / "a.xml").read()
    >>> shapes["classification"][0], shapes.geometry[0].area
    ('tumour', 6.0)
    """

    output_instance = "geopandas:GeoDataFrame"

    def _open(self, path: Path) -> gpd.GeoDataFrame:
        import geopandas as gpd

        root = _root(path)
        rows, lines = [], 0
        for layer in root.findall("Annotation"):
            for region in layer.findall("Regions/Region"):
                if region.get("Type", "0") in LINES:
                    lines += 1
                    continue
                rows.append(_row(layer, region, path))
        kept = [row for row in rows if row["geometry"] is not None and not row["geometry"].is_empty]
        mended = sum(row.pop("mended") for row in rows)
        if mended or len(kept) < len(rows):
            warn(
                f"{path.name}: {mended} of {len(rows)} outlines crossed themselves and were made valid, "
                f"{len(rows) - len(kept)} without area were left out"
            )
        columns = ["geometry", "id", "classification", "annotator", "text", "stated_area_px"]
        shapes = gpd.GeoDataFrame(kept, columns=columns, geometry="geometry", crs=None)
        edge = float(root.get("MicronsPerPixel") or 0)
        shapes.attrs[ATTRS] = {
            "unit": "px",
            "pixel_size_um": [edge, edge] if edge > 0 else None,
            "coordinate_system": self.metadata.get("coordinate_system", {}),
            "made_valid": int(mended),
            "left_out": {"arrows and rulers": lines, "without area": len(rows) - len(kept)},
        }
        return shapes


def _root(path: Path) -> Any:
    text = path.read_bytes()
    if b"<!ENTITY" in text or b"<!DOCTYPE" in text:  # expansion of entities can fill the memory
        raise DataError(f"{path.name} declares a document type; Aperio files have none, it is not read")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"{path.name} is not readable XML ({error}); it may be truncated or another format") from error
    if root.tag != "Annotations":
        raise DataError(f"{path.name} is XML but no Aperio annotation: it begins with <{root.tag}>")
    return root


def _row(layer: Any, region: Any, path: Path) -> dict[str, Any]:
    import shapely

    name = f"{layer.get('Id', '')}-{region.get('Id', '')}"
    try:
        points = [(float(v.get("X")), float(v.get("Y"))) for v in region.findall("Vertices/Vertex")]
        area = float(region.get("Area") or "nan")
    except (TypeError, ValueError) as error:
        raise DataError(f"region {name} of {path.name} has a vertex that is no number ({error})") from error
    kind, geometry, mended = CLOSED.get(region.get("Type", "0"), "freehand"), None, 0
    if kind != "freehand" and len(points) == 2:  # opposite corners
        (x1, y1), (x2, y2) = points
        geometry = shapely.box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    elif len(points) >= 3:
        geometry = shapely.Polygon(points)
        if not geometry.is_valid:
            geometry, mended = enclosed(geometry), 1
    described = [one.get("Value") for one in layer.findall("Attributes/Attribute") if one.get("Name") == "Description"]
    return {
        "geometry": geometry,
        "id": name,
        "classification": layer.get("Name") or next((value for value in described if value), None),
        "annotator": None,
        "text": region.get("Text") or None,
        "stated_area_px": area,
        "mended": mended,
    }
