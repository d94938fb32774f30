"""Points in regions: transcripts, or anything else with a place, counted per region and kind."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, DatasetNotFoundError, ParameterError, UnitError, closest, warn
from integrate.features.grid import shared_ids, shared_space
from integrate.features.outlines import as_frame, check_geometry, check_names, is_outlines, pack_rings
from integrate.keys import ACQUISITION_ID, ATTRS, INSTANCE_ID, REGION_ID
from integrate.model.feature import Feature, feature_table
from integrate.model.image import image_notes
from integrate.model.provenance import hash_array, hash_settings, record
from integrate.model.trace import TRACE, note_trace, trace_of

if TYPE_CHECKING:
    import anndata as ad
    import geopandas as gpd
    import numpy as np

__all__ = ["count_points"]


def count_points(
    points: Any,
    regions: Any,
    *,
    by: str | None = None,
    region: str | None = None,
    threads: int | None = None,
) -> ad.AnnData:
    """Return how many points of each kind lie in each region: transcripts per gene per cell.

    Parameters
    ----------
    points
        Table with columns ``x`` and ``y``: pandas, Dask (read partition by partition) or a SpatialData points element.
    regions
        Shapes, which may overlap and have holes: a GeoDataFrame, a SpatialData shapes element, a shapely geometry or a
        list of them; circles are points with a column ``radius``. In the same coordinates as the points, or both
        SpatialData elements with a shared coordinate system. Ids are the index, or the column ``instance_id`` or
        ``id`` where there is one.
    by
        Column with the kind of a point, e.g. the gene. By default that of the SpatialData element, else all points are
        of one kind, ``"points"``.
    region
        Name of the shapes: the SpatialData element that the rows belong to. By default the ``region_id``, else the
        ``acquisition_id`` they carry, else ``"regions"``.
    threads
        How many partitions are read at a time; by default one per processor.

    Returns
    -------
    AnnData, regions in the order of `regions` by kinds in alphabetical order; a valid SpatialData table. ``X`` is a
    sparse matrix of integer counts, and here 0 means that no such point was found.

    - ``obs``: ``instance_id``, ``region``, ``n_points``, ``area`` in squared units of the shapes, and ``density``,
      points per unit of area, NaN where the area is 0.
    - ``var``: unit, definition and inputs of every column, ``n_total`` and ``n_unassigned``: how many points of the
      kind there are, and how many of them lie in no region.
    - ``obsm["spatial"]``: centroids ``x, y`` of the shapes, in their coordinates.
    - ``uns["integrate"]``: number of points ``n_points``, of those ``n_unassigned``, ``n_in_several`` regions (each of
      them counts them), and ``n_left_out`` because they have no kind or place.

    Raises
    ------
    DatasetNotFoundError
        If a column does not exist.
    DataError
        If a shape cannot be filled.
    IdentityError
        If an id repeats, or points and regions carry different ids.
    AlignmentError
        If both are SpatialData elements without a shared coordinate system.
    UnitError
        If points and shapes say that they are in different units.

    Notes
    -----
    Exact: a point belongs to a polygon by the crossing rule, so that of two polygons that share an edge each point
    belongs to one. A grid over the shapes gives each point its few candidates.

    Examples
    --------
    >>> import pandas, shapely
    >>> points = pandas.DataFrame({"x": [1, 2, 8, 30], "y": [1, 1, 9, 30], "gene": ["ACTB", "CD8A", "ACTB", "ACTB"]})
    >>> cells = count_points(points, [shapely.box(0, 0, 5, 5), shapely.box(5, 5, 10, 10)], by="gene")
    >>> cells.to_df().values.tolist()
    [[1, 1], [1, 0]]
    >>> cells.var["n_unassigned"].tolist()
    [1, 0]
    """
    from integrate import __version__

    if threads is not None and threads < 1:
        raise ParameterError(f"threads is {threads}; expected 1 or more, or None for one per processor")
    if not is_outlines(regions):
        raise DataError(f"expected regions as shapes, found {type(regions).__name__}; e.g. a GeoDataFrame of polygons")
    frame, ids = as_frame(regions), shared_ids(points, regions)
    notes = getattr(points, "attrs", {})  # a plain Dask table has none
    by = by or notes.get("spatialdata_attrs", {}).get("feature_key")
    _check_columns(points, by)
    matrix = _to_shapes(points, frame)
    packed = _pack(frame)
    found = _merge(_run(partial(_count, packed, matrix, by), _parts(points), threads), len(frame))
    if found.left_out:
        warn(f"{found.left_out} of {found.left_out + int(found.total.sum())} points have no place or no {by}: left out")
    name = region or ids.get(REGION_ID) or ids.get(ACQUISITION_ID) or "regions"
    settings = {"by": by, "to_shapes": matrix.tolist()}
    made = {
        "tool": f"integrate {__version__}",
        "settings": json.dumps(settings),
        "settings_hash": hash_settings(settings),
        "input_hash": hash_settings({"shapes": packed.print, "points": f"{found.print:016x}"}),
    }
    counts = {
        "n_points": int(found.total.sum()),
        "n_unassigned": int(found.nowhere.sum()),
        "n_in_several": found.several,
        "n_left_out": found.left_out,
    }
    record("count_points", region=name, ids=ids, instances=len(frame), features=len(found.names), **counts, **made)
    return _table(
        found,
        frame,
        region=name,
        ids=ids,
        notes={"ids": ids, **counts, **made, TRACE: note_trace(trace_of(points, regions))},
    )


@dataclass(frozen=True, slots=True)
class _Packed:
    """Outlines and the grid of candidates over them, as the kernels take them."""

    outlines: tuple[Any, ...]
    slabs: tuple[Any, ...]
    grid: tuple[Any, ...]
    print: str


@dataclass(frozen=True, slots=True)
class _Counts:
    """What one partition, or all of them, hold; columns in the order of `names`."""

    names: list[str]
    counts: Any
    nowhere: np.ndarray[Any, Any]
    total: np.ndarray[Any, Any]
    several: int
    left_out: int
    print: int


def _check_columns(points: Any, by: str | None) -> None:
    columns = [str(column) for column in getattr(points, "columns", ())]
    for name in ("x", "y", *([by] if by else [])):
        if name not in columns:
            raise DatasetNotFoundError(f"the points have no column {name!r}; {closest(name, columns)}")


def _to_shapes(points: Any, frame: gpd.GeoDataFrame) -> np.ndarray[Any, Any]:
    """Return the affine (3 x 3) from points to shapes."""
    import numpy as np

    units = [image_notes(one).get("unit") for one in (points, frame)]
    placed = shared_space(getattr(points, "attrs", {}).get("transform"), frame.attrs.get("transform"))
    if placed is None and None not in units and units[0] != units[1]:
        raise UnitError(f"the points are in {units[0]!r} and the shapes in {units[1]!r}; convert one of them")
    return np.eye(3) if placed is None else placed


def _pack(frame: gpd.GeoDataFrame) -> _Packed:
    import numpy as np
    import shapely

    from integrate.features import point_kernels as kernels

    geometry, names = np.asarray(frame.geometry.array, dtype=object), check_names(frame)
    circles = check_geometry(frame, geometry, names)
    xy = shapely.get_coordinates(geometry)
    rings, parts = pack_rings(geometry, circles=circles)
    radii = np.asarray(frame["radius"], np.float64) if circles else np.empty(0)
    boxes = np.hstack([xy - radii[:, None], xy + radii[:, None]]) if circles else shapely.bounds(geometry)
    outlines = (xy, boxes, xy if circles else np.empty((0, 2)), radii)
    drawn = boxes[~np.isnan(boxes[:, 0])]
    if len(drawn) == 0:
        drawn = np.zeros((1, 4))
    (left, top), (right, bottom) = drawn[:, :2].min(axis=0), drawn[:, 2:].max(axis=0)
    width, height = max(right - left, 1e-9), max(bottom - top, 1e-9)
    typical = float(np.median(np.maximum(drawn[:, 2] - drawn[:, 0], drawn[:, 3] - drawn[:, 1]))) / 2
    edge = max(typical, float(np.sqrt(width * height / (4 * len(drawn) + 1024))), max(width, height) / 2**20)
    shape = (int(width / edge) + 1, int(height / edge) + 1)
    lattice = ((float(left), float(top)), edge, shape)
    label = hash_settings([*map(hash_array, (xy, rings, parts, radii)), names.tolist()])
    grid = (*lattice, *kernels.bin_boxes(boxes, *lattice))
    return _Packed(outlines, kernels.bin_edges(xy, rings, parts, boxes), grid, label)


def _parts(points: Any) -> list[Any]:
    """Return the partitions, unread, or the table itself in parts."""
    if hasattr(points, "dask"):
        return list(points.to_delayed())
    step = 1 << 20
    return [points.iloc[first : first + step] for first in range(0, max(len(points), 1), step)]


def _run(work: Any, parts: Sequence[Any], threads: int | None) -> Iterator[_Counts]:
    workers = min(threads or os.cpu_count() or 1, len(parts))
    if workers == 1:
        yield from map(work, parts)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="points") as executor:
        yield from executor.map(work, parts)


def _count(packed: _Packed, matrix: np.ndarray[Any, Any], by: str | None, part: Any) -> _Counts:
    """Return the counts of one partition."""
    import numpy as np
    import pandas as pd
    from scipy import sparse

    from integrate.features import point_kernels as kernels

    if hasattr(part, "dask"):  # in this thread: the partitions already run in several
        part = part.compute(scheduler="synchronous")
    x, y = (np.asarray(part[axis], np.float64) for axis in ("x", "y"))
    kinds = pd.Categorical(part[by] if by else np.full(len(part), "points", dtype=object))
    code = np.asarray(kinds.codes, np.int64)
    whole = np.isfinite(x) & np.isfinite(y) & (code >= 0)
    if not whole.all():
        x, y, code = x[whole], y[whole], code[whole]
    names = [str(name) for name in kinds.categories]
    numbers = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") for name in names]
    mixed = kernels.hash_points(x.view(np.uint64), y.view(np.uint64), np.array(numbers, np.uint64), code)
    if not np.array_equal(matrix, np.eye(3)):
        x, y = (x * row[0] + y * row[1] + row[2] for row in matrix[:2])
    order = kernels.order_points(x, y, *packed.grid[:3])
    near = (x[order], y[order], code[order])
    regions, kinds_or_one = len(packed.outlines[1]), max(len(names), 1)
    keys, nowhere, several = kernels.find_points(*near, kinds_or_one, packed.outlines, packed.slabs, packed.grid)
    pointers, indices, data = kernels.count_pairs_of_keys(keys, regions, kinds_or_one)
    counts = sparse.csr_matrix((data, indices, pointers), shape=(regions, kinds_or_one))[:, : len(names)]
    total = np.bincount(code, minlength=len(names))
    return _Counts(names, counts, nowhere[: len(names)], total, int(several), int((~whole).sum()), int(mixed))


def _merge(parts: Iterator[_Counts], regions: int) -> _Counts:
    """Return the sum of all partitions, whose kinds may differ; each is added as it comes and then forgotten."""
    import numpy as np
    from scipy import sparse

    column: dict[str, int] = {}
    counts = sparse.csr_matrix((regions, 0), dtype=np.int64)
    nowhere, total = np.zeros(0, np.int64), np.zeros(0, np.int64)
    several = left_out = mixed = 0
    for part in parts:
        place = np.array([column.setdefault(name, len(column)) for name in part.names], np.int64)
        new = len(column) - len(total)
        nowhere, total = np.pad(nowhere, (0, new)), np.pad(total, (0, new))
        nowhere[place] += part.nowhere
        total[place] += part.total
        move = sparse.csr_matrix(
            (np.ones(len(place), np.int64), place, np.arange(len(place) + 1)), (len(place), len(column))
        )
        counts.resize(regions, len(column))
        counts = counts + part.counts @ move
        several, left_out, mixed = several + part.several, left_out + part.left_out, mixed + part.print
    names = sorted(name for name, number in column.items() if total[number])
    order = np.array([column[name] for name in names], np.int64)
    counts = counts[:, order]
    counts.sort_indices()
    return _Counts(names, counts, nowhere[order], total[order], several, left_out, mixed % 2**64)


def _table(
    found: _Counts, frame: gpd.GeoDataFrame, *, region: str, ids: dict[str, str], notes: dict[str, Any]
) -> ad.AnnData:
    import anndata as ad
    import numpy as np
    import pandas as pd
    import shapely

    names, geometry = check_names(frame), np.asarray(frame.geometry.array, dtype=object)
    radius = np.asarray(frame["radius"], np.float64) if "radius" in frame else np.full(len(frame), np.nan)
    is_circle = shapely.get_type_id(geometry) == 0
    number = np.asarray(found.counts.sum(axis=1)).ravel()
    area = np.where(is_circle, np.pi * radius**2, shapely.area(geometry))
    obs = pd.DataFrame(
        {
            INSTANCE_ID: names,
            "region": pd.Categorical([region] * len(names), categories=[region]),
            **{key: pd.Categorical([value] * len(names), categories=[value]) for key, value in ids.items()},
            "n_points": number,
            "area": area,
            "density": np.divide(number, area, out=np.full(len(names), np.nan), where=area > 0),
        },
        index=pd.Index([f"{region}:{name}" for name in names.tolist()], dtype=object),
    )
    origin = {key: notes[key] for key in ("tool", "settings_hash", "input_hash")}
    features = [
        Feature(name, "{counts}", "instance", "integrate.features.points:count_points", statistic="count", **origin)
        for name in found.names
    ]
    var = feature_table(features).assign(n_total=found.total, n_unassigned=found.nowhere)
    place = np.full((len(geometry), 2), np.nan)
    place[~shapely.is_empty(geometry)] = shapely.get_coordinates(shapely.centroid(geometry))
    table = ad.AnnData(X=found.counts, obs=obs, var=var, obsm={"spatial": place})
    table.uns[ATTRS] = notes
    annotated = region if table.n_obs else []
    table.uns["spatialdata_attrs"] = {"region": annotated, "region_key": "region", "instance_key": INSTANCE_ID}
    return table
