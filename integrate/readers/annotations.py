"""Outlines drawn in other programs: ImageJ regions, COCO annotations and napari shapes."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, closest, some, warn
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.coco_rle import shape_of_runs
from integrate.readers.geojson import enclosed

if TYPE_CHECKING:
    import geopandas as gpd
    import numpy as np

__all__ = ["Coco", "ImageJRoi", "NapariShapes"]

#: Kinds of ImageJ regions that enclose an area, by their number.
POLYGON, RECTANGLE, OVAL, FREEHAND, TRACED = 0, 1, 2, 7, 8
#: Kinds that enclose none.
NO_AREA = {3: "line", 4: "freeline", 5: "polyline", 6: "none", 9: "angle", 10: "point"}
SUB_PIXEL = 128
#: Numbers that follow each kind of part of a composite region's path: move, line, quadratic and cubic curve, close.
SEGMENTS: dict[int, int] = {0: 2, 1: 2, 2: 4, 3: 6, 4: 0}
#: Corners of an ellipse.
ARC = 64


class ImageJRoi(Reader):
    """Read ImageJ or Fiji regions: a ``.roi`` file, or a zip of them from the ROI manager.

    Returns
    -------
    GeoDataFrame in pixels (the corner of the first pixel at 0, 0), without a coordinate reference system:
    ``geometry``, ``id`` (name in the zip), ``name``, ``classification`` and ``annotator`` (both ``None``: ImageJ keeps
    none), ``channel``, ``slice`` and ``frame`` (0: all). Ovals become polygons of 64 corners; composite regions one
    polygon or several, with their holes. Lines and points enclose no area: they are left out and counted in a warning.

    Raises
    ------
    DataError
        If a file is damaged or no ImageJ region.

    Examples
    --------
    >>> box = struct.pack(">hBx4h", 227, 1, 10, 20, 14, 30)  # version, kind, top, left, bottom, right
    >>> _ = (tmp_path / "a.roi").write_bytes((b"Iout" + box).ljust(128, bytes(1)))
    >>> ImageJRoi(url=tmp_path / "a.roi").read().geometry[0].bounds
    (20.0, 10.0, 30.0, 14.0)
    """

    output_instance = "geopandas:GeoDataFrame"

    def _open(self, path: Path) -> gpd.GeoDataFrame:
        parts = _roi_files(path)
        rows, left = [], []
        for name, content in parts.items():
            row = _roi(name, content, path)
            if row is None:
                left.append(name)
            else:
                rows.append(row)
        if left:
            told = f"{len(left)} of {len(parts)} regions enclose no area and are left out: {some(left)}"
            warn(f"{path.name}: {told}")
        return _shapes(rows, ("name", "channel", "slice", "frame"), left_out=left)


class Coco(Reader):
    """Read the outlines of one image of a COCO annotation file.

    Parameters
    ----------
    image
        ``file_name`` of the image; needed when the file describes several.

    Returns
    -------
    GeoDataFrame in pixels (corner of the first pixel at 0, 0): ``geometry``, ``id``, ``classification`` (its
    category), ``annotator`` (``None``), ``iscrowd``. Run-length masks, compressed or not, become the exact outline of
    their pixels; those without a pixel are left out and counted in a warning.

    Raises
    ------
    DataError
        If the file is no COCO, an annotation is malformed, or of a category that is not described.
    ParameterError
        If there is no such image, or there are several and none is named.

    Examples
    --------
    >>> one = {"id": 7, "image_id": 1, "category_id": 5, "segmentation": {"size": [3, 4], "counts": [3, 6, 3]}}
    >>> told = {"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 5, "name": "nucleus"}]}
    >>> _ = (tmp_path / "a.json").write_text(json.dumps({**told, "annotations": [one]}))
    >>> shapes = Coco(url=tmp_path / "a.json").read()
    >>> shapes["classification"][0], shapes.geometry[0].bounds
    ('nucleus', (1.0, 0.0, 3.0, 3.0))
    """

    output_instance = "geopandas:GeoDataFrame"

    def _open(self, path: Path, *, image: str | None = None) -> gpd.GeoDataFrame:
        content = _json(path)
        absent = [name for name in ("images", "annotations", "categories") if not isinstance(content.get(name), list)]
        if absent:
            raise DataError(f"{path.name} is JSON but no COCO; it has no list {some(absent)}")
        try:
            images = {str(one["file_name"]): one["id"] for one in content["images"]}
            kinds = {one["id"]: str(one["name"]) for one in content["categories"]}
        except (KeyError, TypeError) as error:
            raise DataError(f"an image or category of {path.name} is malformed ({error})") from error
        if image is None and len(images) != 1:
            raise ParameterError(f"{path.name} describes {len(images)} images; name one with image=: {some(images)}")
        if image is not None and image not in images:
            raise ParameterError(f"{path.name} describes no image {image!r}; {closest(image, images)}")
        wanted = images[image] if image is not None else next(iter(images.values()))
        rows, left = [], []
        for one in content["annotations"]:
            if not isinstance(one, Mapping) or one.get("image_id") != wanted:
                continue
            row = _coco_row(one, kinds, path)
            if row["geometry"].is_empty:
                left.append(row["id"])
            else:
                rows.append(row)
        if left:
            warn(f"{path.name}: {len(left)} masks have no pixel and are left out: {some(left)}")
        return _shapes(rows, ("iscrowd",), left_out=left)


class NapariShapes(Reader):
    r"""Read the shapes that napari saved as CSV.

    Returns
    -------
    GeoDataFrame in pixels (corner of the first pixel at 0, 0; napari counts from centres): ``geometry``, ``id``,
    ``classification`` and ``annotator`` (both ``None``), ``kind``. Lines and paths are left out and counted in a
    warning.

    Raises
    ------
    DataError
        If the file is no such table, is damaged, or a shape is not two-dimensional.

    Examples
    --------
    >>> lines = ["index,shape-type,vertex-index,axis-0,axis-1"]
    >>> lines += [f"0,polygon,{i},{y},{x}" for i, (y, x) in enumerate([(0, 0), (0, 4), (2, 4), (2, 0)])]
    >>> _ = (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    >>> NapariShapes(url=tmp_path / "a.csv").read().geometry[0].bounds
    (0.5, 0.5, 4.5, 2.5)
    """

    output_instance = "geopandas:GeoDataFrame"

    def _open(self, path: Path) -> gpd.GeoDataFrame:
        import numpy as np

        from integrate.readers.cell_parts import read_text

        columns = ("index", "shape-type", "vertex-index", "axis-0", "axis-1")
        table = read_text(path, columns, **{"shape-type": str})
        if "axis-2" in table:
            raise DataError(f"the shapes of {path.name} have three axes; save those of one plane")
        rows, left = [], []
        for index, held in table.groupby("index", sort=True):
            kind, corners = str(held["shape-type"].iloc[0]), held[["axis-1", "axis-0"]].to_numpy(float) + 0.5
            if kind in ("line", "path") or len(corners) < 3:
                left.append(str(index))
                continue
            if kind == "ellipse":
                corners = _ellipse(corners.min(axis=0), np.ptp(corners, axis=0))
            rows.append(
                {"id": str(index), "kind": kind, "geometry": _polygon(corners, f"shape {index} of {path.name}")}
            )
        if left:
            warn(f"{path.name}: {len(left)} shapes are lines and are left out: {some(left)}")
        return _shapes(rows, ("kind",), left_out=left)


def _shapes(rows: list[dict[str, Any]], extra: tuple[str, ...], *, left_out: list[str]) -> gpd.GeoDataFrame:
    import geopandas as gpd

    columns = ["geometry", "id", "classification", "annotator", *extra]
    kept = [{"classification": None, "annotator": None, **row} for row in rows]
    shapes = gpd.GeoDataFrame(kept, columns=columns, geometry="geometry", crs=None)
    shapes.attrs[ATTRS] = {"unit": "px", "left_out": left_out}
    return shapes


def _polygon(corners: Any, where: str) -> Any:
    import numpy as np
    import shapely

    corners = np.asarray(corners, float)
    if corners.ndim != 2 or len(corners) < 3 or not np.isfinite(corners).all():
        raise DataError(
            f"{where} has {len(corners)} corners, or some that are no numbers; an outline has three or more"
        )
    shape = shapely.Polygon(corners)
    return shape if shape.is_valid else enclosed(shape)


def _ellipse(corner: Any, size: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    angle = np.linspace(0, 2 * np.pi, ARC, endpoint=False)
    radius = np.asarray(size, float) / 2
    return np.asarray(corner, float) + radius + radius * np.column_stack([np.cos(angle), np.sin(angle)])


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path.name} is not readable JSON ({error}); it may be truncated") from error
    return content if isinstance(content, dict) else {}


def _coco_row(one: Mapping[str, Any], kinds: Mapping[Any, str], path: Path) -> dict[str, Any]:
    import numpy as np
    import shapely

    where = f"annotation {one.get('id')} of {path.name}"
    if one.get("category_id") not in kinds:
        raise DataError(f"{where} is of category {one.get('category_id')}, which is not described")
    named = {"id": str(one.get("id")), "classification": kinds[one["category_id"]], "iscrowd": bool(one.get("iscrowd"))}
    if isinstance(one.get("segmentation"), Mapping):
        return {**named, "geometry": shape_of_runs(one["segmentation"], where)}
    try:
        parts = [_polygon(np.asarray(ring, float).reshape(-1, 2), where) for ring in one["segmentation"]]
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where} has a malformed outline ({error})") from error
    return {**named, "geometry": parts[0] if len(parts) == 1 else shapely.union_all(parts)}


def _roi_files(path: Path) -> dict[str, bytes]:
    with path.open("rb") as stream:
        start = stream.read(4)
    if start == b"Iout":
        return {path.stem: path.read_bytes()}
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                name.removesuffix(".roi"): archive.read(name) for name in archive.namelist() if name.endswith(".roi")
            }
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise DataError(f"{path.name} is no ImageJ region and no zip of them ({error}); it may be truncated") from error


def _roi(name: str, content: bytes, path: Path) -> dict[str, Any] | None:
    """Return one region; ``None`` when it encloses no single area. The layout is that of ij.io.RoiDecoder."""
    import numpy as np

    where = f"region {name!r} of {path.name}"
    try:
        if content[:4] != b"Iout":
            raise DataError(f"{where} is no ImageJ region")
        kind, top, left, bottom, right, count = struct.unpack(">Bx4hH", content[6:18])
        options, position, second = struct.unpack(">h4xii", content[50:64])
        composite = struct.unpack(">i", content[36:40])[0]
        fields = {"channel": 0, "slice": position, "frame": 0}
        if second and len(content) >= second + 16:
            channel, depth, frame = struct.unpack(">3i", content[second + 4 : second + 16])
            fields = {"channel": channel, "slice": depth or position, "frame": frame}
        told = {"id": name, "name": name.rpartition("/")[2], **fields}
        if composite:
            return {**told, "geometry": _composite(content, composite)}
        if kind in NO_AREA:
            return None
        if kind == RECTANGLE:
            corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
        elif kind == OVAL:
            corners = _ellipse((left, top), (right - left, bottom - top))
        elif kind in (POLYGON, FREEHAND, TRACED):
            corners = _corners(content, count, (left, top), is_fine=bool(options & SUB_PIXEL))
        else:
            raise DataError(f"{where} is of an unknown kind {kind}")
    except struct.error as error:
        raise DataError(f"{where} is cut off ({error})") from error
    return {**told, "geometry": _polygon(corners, where)}


def _composite(content: bytes, count: int) -> Any:
    """Return the area of a path of several parts, of which one within another is a hole (the even-odd rule)."""
    import numpy as np
    import shapely

    numbers = list(struct.unpack(f">{count}f", content[64 : 64 + 4 * count]))
    rings: list[list[Any]] = []
    while numbers:
        kind = int(numbers.pop(0))
        if kind not in SEGMENTS or len(numbers) < SEGMENTS[kind] or (kind and not rings):
            raise struct.error(f"its path has a part of kind {kind}")
        points = np.array([numbers.pop(0) for _ in range(SEGMENTS[kind])], float).reshape(-1, 2)
        if kind == 0:
            rings.append([points[0]])
        elif len(points):
            rings[-1] += list(_curve(np.vstack([rings[-1][-1], points])))
    areas = [shapely.make_valid(shapely.Polygon(ring)) for ring in rings if len(ring) >= 3]
    whole = shapely.Polygon()
    for area in areas:
        whole = whole.symmetric_difference(area)
    return whole


def _curve(control: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return points on a line or a Bézier curve after its beginning."""
    import numpy as np

    if len(control) == 2:
        return control[1:]
    steps = np.linspace(0, 1, ARC // 4 + 1)[1:, None]
    while len(control) > 1:  # de Casteljau, for all steps at once
        ends = control if control.ndim == 3 else np.broadcast_to(control[:, None], (len(control), len(steps), 2))
        control = ends[:-1] * (1 - steps) + ends[1:] * steps
    return control[0]


def _corners(content: bytes, count: int, corner: tuple[int, int], *, is_fine: bool) -> np.ndarray[Any, Any]:
    import numpy as np

    if is_fine:
        start = 64 + 4 * count
        values = np.array(struct.unpack(f">{2 * count}f", content[start : start + 8 * count]), float)
        return values.reshape(2, count).T
    whole = np.array(struct.unpack(f">{2 * count}h", content[64 : 64 + 4 * count]), float)
    return whole.reshape(2, count).T + np.array(corner, float)
