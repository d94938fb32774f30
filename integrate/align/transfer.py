"""Transfer by position: which region every cell, spot or point lies in, and what the cells of each region measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from integrate.align.grid import Grid, element_space, read_grid
from integrate.align.move import move_outlines
from integrate.align.space import Space, check_meets
from integrate.align.store import from_spatialdata, hash_transform
from integrate.align.transform import Transform
from integrate.errors import DataError, IdentityError, ParameterError, UnitError, some
from integrate.keys import ATTRS, INSTANCE_ID
from integrate.model.image import image_notes

if TYPE_CHECKING:
    import anndata as ad
    import numpy as np
    import pandas as pd

__all__ = ["aggregate_to", "assign"]


def assign(items: Any, regions: Any, *, transform: Transform | None = None) -> pd.DataFrame:
    """Return for every cell, spot, tile or point the region in which its centre lies.

    Parameters
    ----------
    items
        A table of measured cells (AnnData with ``obsm["spatial"]``), shapes, circles, or a table with ``x`` and ``y``.
    regions
        Spots (circles), tiles, lesions or cells as a GeoDataFrame or SpatialData shapes element; or an image whose
        pixels are the regions, as of mass spectrometry: their ids count row by row from 0.
    transform
        From the space of the items to that of the regions; None when they lie in one.

    Returns
    -------
    DataFrame, one row per item, index its id (``instance_id`` where there is one): ``to``, the id of the region,
    missing for none; ``covered``, which part of the item's own area lies in it (1 for points); ``candidates``, in how
    many regions its centre lies: of several the one whose centre is nearest is taken. ``attrs`` counts ``assigned``,
    ``unassigned``, ``ambiguous`` and ``empty_regions``.

    Raises
    ------
    AlignmentError
        If items and regions lie in different spaces and no transform leads from one to the other.
    UnitError
        If they are in different units.
    IdentityError
        If an id of the regions repeats.
    DataError
        If items have no positions, or regions no areas.

    Examples
    --------
    >>> import geopandas, pandas, shapely
    >>> spots = geopandas.GeoDataFrame({"radius": [5.0]}, geometry=[shapely.Point(10, 10)], index=["spot 1"])
    >>> found = assign(pandas.DataFrame({"x": [11.0, 30.0], "y": [9.0, 9.0]}, index=["a", "b"]), spots)
    >>> found.loc["a", "to"], found.attrs["unassigned"]
    ('spot 1', 1)
    """
    here, there = _pair(items, regions, transform)
    return _assigned(here, there)


def aggregate_to(
    table: ad.AnnData,
    regions: Any,
    *,
    transform: Transform | None = None,
    statistic: Literal["mean", "median", "sum"] = "mean",
    seen: Any = None,
) -> ad.AnnData:
    """Return one row per region with what its cells measure: cells to spots, tiles, MSI pixels or lesions.

    Parameters
    ----------
    table
        Measured cells, as of `measure`.
    regions, transform
        As of `assign`.
    statistic
        How the cells of a region become one number; NaN is left out and counted.
    seen
        The image in which the cells were found, or its `Grid`: ``obs["covered"]`` is then which part of each region it
        shows. A region that it shows only in part has too few cells.

    Returns
    -------
    AnnData, regions by features. ``obs``: ``instance_id``, ``n_cells`` and, with `seen`, ``covered``. ``layers["n"]``:
    how many cells gave the number. A region without cells has NaN and a count of 0 (also a sum: nothing was measured).
    ``uns["integrate"]["transfer"]``: cells assigned, unassigned and ambiguous, and the transform's hash. No cell is
    split between regions, and nothing is deconvolved.

    Raises
    ------
    AlignmentError, UnitError, IdentityError, DataError
        As of `assign`.
    ParameterError
        If the statistic is unknown.

    Examples
    --------
    >>> import geopandas, shapely
    >>> image = next(iter(ig.datasets.toy_study().each("fields")))
    >>> cells = ig.measure(image, ig.segment_nuclei(image, channels="DNA"))
    >>> halves = geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 16, 32), shapely.box(16, 0, 32, 32)])
    >>> int(aggregate_to(cells, halves).obs["n_cells"].sum()) == cells.n_obs
    True
    """
    import anndata as ad
    import pandas as pd

    if statistic not in ("mean", "median", "sum"):
        raise ParameterError(f"statistic={statistic!r}; expected 'mean', 'median' or 'sum'")
    here, there = _pair(table, regions, transform)
    found = _assigned(here, there)
    values = table.to_df()
    grouped = values.set_axis(found["to"].to_numpy(), axis=0).groupby(level=0)
    counts = grouped.count().reindex(there.ids).fillna(0)
    made = getattr(grouped, statistic)().reindex(there.ids).astype(float).where(counts > 0)
    names = pd.Index([str(one) for one in there.ids], dtype=object)
    cells = found["to"].value_counts().reindex(there.ids).fillna(0).astype(int)
    obs = pd.DataFrame({INSTANCE_ID: there.ids.to_numpy(), "n_cells": cells.to_numpy()}, index=names)
    if seen is not None:
        obs["covered"] = _seen(seen, there, transform)
    var = table.var.assign(level="region")
    if "statistic" in var:
        var["statistic"] = [f"{statistic} of {one}" if one else statistic for one in var["statistic"]]
    result = ad.AnnData(X=made.to_numpy(), obs=obs, var=var, layers={"n": counts.to_numpy()})
    result.obsm["spatial"] = _centres(there.geometry)
    way = None if transform is None else hash_transform(transform)
    result.uns[ATTRS] = {
        **image_notes(table),
        "transfer": {**found.attrs, "transform": way or "", "statistic": statistic},
    }
    return result


@dataclass(frozen=True)
class _Placed:
    """Geometries in the coordinates of one space, with their ids."""

    geometry: Any
    ids: pd.Index
    space: Space | None
    unit: str | None
    notes: Mapping[str, Any] = field(default_factory=dict)


def _pair(items: Any, regions: Any, transform: Transform | None) -> tuple[_Placed, _Placed]:
    """Return items and regions in the coordinates of one space."""
    import shapely

    here = _placed(items, None if transform is None else transform.source, "the items")
    there = _placed(regions, None if transform is None else transform.target, "the regions")
    if not (shapely.area(there.geometry) > 0).all():
        raise DataError("a region has no area; expected polygons, or points with a column 'radius'")
    if not there.ids.is_unique:
        raise IdentityError(f"ids of regions repeat: {some(there.ids[there.ids.duplicated()].unique())}")
    if transform is None and here.unit == "um" and there.unit == "px":
        there = _in_um(there, here.notes)
    elif transform is None and here.unit == "px" and there.unit == "um":
        here = _in_um(here, there.notes)
    if transform is None and here.space is not None and there.space is not None:
        check_meets(here.space, there.space, what="each of the items")
    if transform is None and here.unit and there.unit and here.unit != there.unit:
        raise UnitError(
            f"the items are in {here.unit!r} and the regions in {there.unit!r}; convert one, or give transform="
        )
    if transform is not None:
        here = _Placed(move_outlines(here.geometry, transform), here.ids, transform.target, transform.target.unit)
    return here, there


def _in_um(pixels: _Placed, notes: Mapping[str, Any]) -> _Placed:
    """Return what is in pixels in micrometres, if the other side is of the same image and knows its pixels."""
    import numpy as np
    import shapely

    ids, size = pixels.notes.get("ids"), notes.get("pixel_size_um")
    if pixels.space is not None or not ids or ids != notes.get("ids") or size is None:
        return pixels
    height, width = size
    made = shapely.transform(pixels.geometry, lambda xy: xy * [width, height])
    return _Placed(np.asarray(made), pixels.ids, None, "um", pixels.notes)


def _placed(elements: Any, expected: Space | None, what: str) -> _Placed:
    """Return an object's geometries in the coordinates of the expected space, or of the only one it has."""
    import numpy as np
    import pandas as pd
    import shapely

    if hasattr(elements, "dims"):
        return _pixels(read_grid(elements, space=expected.name if expected else None), expected, what)
    notes = image_notes(elements)
    unit = notes.get("unit")
    if hasattr(elements, "obsm"):
        if "spatial" not in elements.obsm:
            raise DataError("the table has no obsm['spatial']; measure gives it, or set the centroids x, y")
        ids = pd.Index(elements.obs.get(INSTANCE_ID, elements.obs_names))
        xy, unit = np.asarray(elements.obsm["spatial"], float), "px" if unit == "[pix]" else unit
        space = Space(notes["space"], unit or "") if notes.get("space") and expected is None else None
        return _Placed(shapely.points(xy[:, :2]), ids, space, unit, notes)
    if not hasattr(elements, "geom_type"):
        if not {"x", "y"} <= set(getattr(elements, "columns", ())):
            raise DataError(f"{what} have no positions; expected AnnData, shapes, or a table with columns x and y")
        frame = elements.compute() if hasattr(elements, "dask") else elements
        geometry = shapely.points(frame["x"].to_numpy(float), frame["y"].to_numpy(float))
        return _in_space(geometry, pd.Index(frame.index), elements, expected, what)
    key = INSTANCE_ID if INSTANCE_ID in elements and "transform" not in elements.attrs else None
    geometry = elements.geometry.to_numpy()
    if "radius" in elements:
        geometry = shapely.buffer(geometry, elements["radius"].to_numpy(float), quad_segs=32)
    return _in_space(geometry, pd.Index(elements[key] if key else elements.index), elements, expected, what)


def _pixels(grid: Grid, expected: Space | None, what: str) -> _Placed:
    """Return every pixel of an image as a box, row by row."""
    import numpy as np
    import pandas as pd
    import shapely

    if len(grid.shape) != 2:
        raise DataError(f"{what} are the voxels of a volume; expected an image (y, x)")
    if expected is not None:
        check_meets(grid.space, expected, what=what)
    row, column = (one.ravel() for one in np.indices(grid.shape))
    boxes = shapely.transform(shapely.box(column, row, column + 1, row + 1), grid.affine.map_points)
    return _Placed(np.asarray(boxes), pd.RangeIndex(len(boxes)), grid.space, grid.space.unit or None)


def _in_space(geometry: Any, ids: pd.Index, elements: Any, expected: Space | None, what: str) -> _Placed:
    import numpy as np
    import shapely

    notes, placed = image_notes(elements), dict(getattr(elements, "attrs", {}).get("transform") or {})
    if not placed:
        return _Placed(np.asarray(geometry), ids, None, notes.get("unit"), notes)
    name = expected.name if expected is not None and expected.name in placed else next(iter(placed))
    space = element_space(name, notes, ("x", "y"))
    if expected is not None:
        check_meets(space, expected, what=what)
    elif len(placed) > 1:
        raise ParameterError(f"{what} lie in {len(placed)} coordinate systems, {some(placed)}; give transform=")
    own = from_spatialdata(placed[name], Space(f"{name} of its own", space.unit), space)
    return _Placed(np.asarray(shapely.transform(geometry, own.map_points)), ids, space, space.unit or None)


def _assigned(here: _Placed, there: _Placed) -> pd.DataFrame:
    import numpy as np
    import pandas as pd
    import shapely

    centres = shapely.centroid(here.geometry)
    item, region = shapely.STRtree(there.geometry).query(centres, predicate="intersects")
    far = shapely.distance(centres[item], shapely.centroid(there.geometry[region]))
    order = np.lexsort((region, far, item))
    item, region = item[order], region[order]
    first = np.r_[True, item[1:] != item[:-1]][: len(item)]
    chosen = np.full(len(centres), -1)
    chosen[item[first]] = region[first]
    candidates = np.bincount(item, minlength=len(centres))
    inside = chosen >= 0
    covered = np.zeros(len(centres))
    areas = shapely.area(here.geometry)
    shared = shapely.area(shapely.intersection(here.geometry[inside], there.geometry[chosen[inside]]))
    covered[inside] = np.divide(shared, areas[inside], out=np.ones(len(shared)), where=areas[inside] > 0)
    to = pd.Series(np.asarray(there.ids, dtype=object)[chosen], index=here.ids, dtype=object).where(inside, None)
    found = pd.DataFrame({"to": to, "covered": covered, "candidates": candidates}, index=here.ids)
    found.attrs = {
        "assigned": int(inside.sum()),
        "unassigned": int((~inside).sum()),
        "ambiguous": int((candidates > 1).sum()),
        "empty_regions": int(len(there.ids) - len(np.unique(chosen[inside]))),
    }
    return found


def _seen(seen: Any, there: _Placed, transform: Transform | None) -> np.ndarray[Any, Any]:
    """Return which part of every region lies within the outline of an image."""
    import numpy as np
    import shapely

    grid = seen if isinstance(seen, Grid) else read_grid(seen)
    width, height = grid.shape[::-1]
    ring = shapely.segmentize(shapely.box(0, 0, width, height), max(width, height) / 64)
    outline = shapely.transform(ring, grid.affine.map_points)
    if transform is not None:
        outline = shapely.transform(outline, transform.map_points)
    areas = shapely.area(there.geometry)
    return np.asarray(shapely.area(shapely.intersection(there.geometry, outline)) / areas)


def _centres(geometry: Any) -> np.ndarray[Any, Any]:
    import shapely

    return shapely.get_coordinates(shapely.centroid(geometry))
