"""Neighbourhoods: which cells lie beside which, within each region only."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from integrate.errors import DataError, DatasetNotFoundError, ParameterError, UnitError, closest
from integrate.keys import ATTRS, ID_COLUMNS
from integrate.model.feature import Feature, feature_table
from integrate.model.image import image_notes
from integrate.model.provenance import hash_array, hash_settings, record

if TYPE_CHECKING:
    import anndata as ad
    import numpy as np
    import pandas as pd

__all__ = ["Nearest", "Radius", "Triangulation", "cell_regions", "cell_types", "measure_contacts", "measure_neighbours"]

_DEFINITION = "integrate.features.neighbours"


def _check_length(name: str, length: float) -> None:
    if not (math.isfinite(length) and length > 0):
        raise ParameterError(f"{name} is {length}; expected a positive length")


@dataclass(frozen=True, slots=True)
class Radius:
    """Cells are neighbours when their centroids are at most `radius` apart.

    Parameters
    ----------
    radius
        In `unit`.
    unit
        ``"um"``, or ``"px"`` for cells of images whose pixel size is unknown.

    Examples
    --------
    >>> Radius(30)
    Radius(radius=30, unit='um')
    """

    radius: float
    unit: Literal["um", "px"] = "um"

    def __post_init__(self) -> None:
        """Refuse what is no length."""
        _check_length("radius", self.radius)

    def edges(self, places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the pairs of neighbours, each once."""
        from scipy.spatial import cKDTree

        return cKDTree(places).query_pairs(self.radius, output_type="ndarray")


@dataclass(frozen=True, slots=True)
class Nearest:
    """Cells are neighbours when one is among the `number` nearest of the other.

    Parameters
    ----------
    number
        Of nearest cells.

    Examples
    --------
    >>> Nearest(6)
    Nearest(number=6)
    """

    number: int = 6

    def __post_init__(self) -> None:
        """Refuse a number below 1."""
        if self.number < 1:
            raise ParameterError(f"number is {self.number}; expected at least 1")

    def edges(self, places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the pairs of neighbours, each once."""
        import numpy as np
        from scipy.spatial import cKDTree

        _, others = cKDTree(places).query(places, k=min(self.number + 1, len(places)))
        others = others.reshape(len(places), -1)
        own = np.repeat(np.arange(len(places)), others.shape[1]).reshape(others.shape)
        # A cell is its own nearest, unless others share its place; then the last one found is left out instead.
        is_self = others == own
        is_self[~is_self.any(axis=1), -1] = True
        pairs = np.sort(np.stack([own[~is_self], others[~is_self]], axis=1), axis=1)
        return np.unique(pairs, axis=0)


@dataclass(frozen=True, slots=True)
class Triangulation:
    """Cells are neighbours when Delaunay's triangulation joins them, by an edge of at most `longest`.

    Parameters
    ----------
    longest
        Longest edge kept, in `unit`; the triangulation also joins cells across holes and along the border.
    unit
        ``"um"``, or ``"px"`` for cells of images whose pixel size is unknown.

    Examples
    --------
    >>> Triangulation(longest=50)
    Triangulation(longest=50, unit='um')
    """

    longest: float
    unit: Literal["um", "px"] = "um"

    def __post_init__(self) -> None:
        """Refuse what is no length."""
        _check_length("longest", self.longest)

    def edges(self, places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the pairs of neighbours, each once."""
        import numpy as np
        from scipy.spatial import Delaunay

        centred = places - places.mean(axis=0)
        if np.linalg.matrix_rank(centred) < 2:  # on a line, neighbours follow each other
            order = np.argsort(centred @ np.linalg.svd(centred)[2][0], kind="stable")
            pairs = np.stack([order[:-1], order[1:]], axis=1)
        else:
            corners = Delaunay(places).simplices
            pairs = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]])
        pairs = np.unique(np.sort(pairs, axis=1), axis=0)
        length = np.linalg.norm(places[pairs[:, 0]] - places[pairs[:, 1]], axis=1)
        return pairs[length <= self.longest]


Graph = Radius | Nearest | Triangulation


def measure_neighbours(cells: ad.AnnData, *, by: str, graph: Graph, within: str = "region") -> ad.AnnData:
    """Return for every cell how many neighbours of each type it has, and how far the nearest of each type is.

    Parameters
    ----------
    cells
        Cells with places in ``obsm["spatial"]``, e.g. from `measure` or `stack_cells`; those of many images at once.
    by
        Column of ``obs`` with the type of a cell: categories, texts or true/false.
    graph
        Who is a neighbour: `Radius`, `Nearest` or `Triangulation`.
    within
        Column of ``obs``; cells of different regions are never neighbours.

    Returns
    -------
    AnnData, the same rows and ``obs``. Columns ``neighbours`` (all, also those without a type), ``{type}_neighbours``,
    and ``{type}_distance_um`` or ``_px`` from centroid to centroid of the nearest other cell of that type, NaN where
    the region has none.

    Raises
    ------
    DatasetNotFoundError
        If `by` or `within` is no column of ``obs``.
    DataError
        If a cell has no place or no region.
    UnitError
        If the graph has another unit than the cells.

    Notes
    -----
    Cells near the border of an image have neighbours that were not imaged: their numbers are too small and distances
    too large. Shares of neighbours suffer less than numbers.

    Examples
    --------
    >>> import anndata, numpy, pandas
    >>> obs = pandas.DataFrame({"region": "A", "type": ["T", "B", "T"]}, index=list("abc"))
    >>> cells = anndata.AnnData(obs=obs, obsm={"spatial": numpy.array([[0.0, 0], [3, 4], [0, 8]])})
    >>> measure_neighbours(cells, by="type", graph=Radius(6, unit="px")).to_df()["T_neighbours"].tolist()
    [0.0, 2.0, 0.0]
    """
    import numpy as np
    from scipy import sparse
    from scipy.spatial import cKDTree

    types, code = cell_types(cells, by)
    unit = _check_unit(cells, graph)
    neighbours = np.zeros((cells.n_obs, 1 + len(types)))
    distance = np.full((cells.n_obs, len(types)), np.nan)
    for _, rows in cell_regions(cells, within):
        places, here = np.asarray(cells.obsm["spatial"])[rows, :2], code[rows]
        is_type = (here[:, None] == np.arange(len(types))).astype(np.float64)
        pairs = _edges(graph, places)
        ones = np.ones(2 * len(pairs))
        both = (np.concatenate([pairs[:, 0], pairs[:, 1]]), np.concatenate([pairs[:, 1], pairs[:, 0]]))
        joined = sparse.csr_matrix((ones, both), shape=(len(rows), len(rows)))
        neighbours[rows] = np.column_stack([np.asarray(joined.sum(axis=1)), joined @ is_type])
        for number in range(len(types)):
            own = np.flatnonzero(here == number)
            if len(own) == 0:
                continue
            found, _ = cKDTree(places[own]).query(places, k=min(2, len(own)))
            found = found.reshape(len(rows), -1)
            nearest = found[:, 0].copy()
            nearest[own] = found[own, 1] if len(own) > 1 else np.nan  # not itself
            distance[rows, number] = nearest
    names = ["neighbours", *(f"{name}_neighbours" for name in types), *(f"{name}_distance_{unit}" for name in types)]
    units = ["{cells}"] * (1 + len(types)) + ["um" if unit == "um" else "[pix]"] * len(types)
    statistics = ["neighbours"] * (1 + len(types)) + ["distance"] * len(types)
    return _table(
        cells, np.hstack([neighbours, distance]), cells.obs.copy(), [names, units, statistics],
        level="instance", by=by, graph=graph, within=within, code=code, keep_places=True,
    )  # fmt: skip


def measure_contacts(cells: ad.AnnData, *, by: str, graph: Graph, within: str = "region") -> ad.AnnData:
    """Return for every region how much more often cells of two types are neighbours than by chance.

    Parameters
    ----------
    cells, by, graph, within
        As in `measure_neighbours`.

    Returns
    -------
    AnnData, one row per region with the ids that all of its cells share and ``n_cells``; for every pair of types,
    sorted by name: ``{A}|{B}_contacts``, the number of neighbouring pairs, ``{A}|{B}_expected``, that number when types
    are shuffled among the cells of the region, and ``{A}|{B}_z``, their difference in standard deviations. ``z`` is NaN
    where shuffling changes nothing: a type is absent, or all cells are of one type.

    Raises
    ------
    DatasetNotFoundError
        If `by` or `within` is no column of ``obs``.
    DataError
        If a cell has no place or no region.
    UnitError
        If the graph has another unit than the cells.

    Notes
    -----
    Mean and standard deviation over all shuffles are computed, not sampled: join-count statistics (Cliff and Ord
    1981). The graph stays as it is, so that the border of the image needs no correction. Regions are what varies
    between subjects: test subjects, never the cells of one region.

    Examples
    --------
    >>> import anndata, numpy, pandas
    >>> obs = pandas.DataFrame({"region": "A", "type": ["T", "T", "B", "B"]}, index=list("abcd"))
    >>> cells = anndata.AnnData(obs=obs, obsm={"spatial": numpy.array([[0.0, 0], [1, 0], [2, 0], [3, 0]])})
    >>> contacts = measure_contacts(cells, by="type", graph=Radius(1, unit="px")).to_df()
    >>> contacts[["B|T_contacts", "B|T_expected"]].values.tolist()
    [[1.0, 2.0]]
    """
    import numpy as np
    import pandas as pd

    types, code = cell_types(cells, by)
    _check_unit(cells, graph)
    couples = [(a, b) for a in range(len(types)) for b in range(a, len(types))]
    values, rows_of, regions = [], [], []
    for region, rows in cell_regions(cells, within):
        pairs = _edges(graph, np.asarray(cells.obsm["spatial"])[rows, :2])
        values.append(_contacts(pairs, code[rows], couples, len(types)))
        rows_of.append(rows)
        regions.append(region)
    shared = [key for key in (*ID_COLUMNS, within) if key in cells.obs]
    obs = pd.DataFrame({"n_cells": [len(rows) for rows in rows_of]}, index=pd.Index(regions, dtype=object))
    for key in dict.fromkeys(shared):
        known = [cells.obs[key].iloc[rows] for rows in rows_of]
        if all(one.nunique(dropna=False) == 1 for one in known):
            obs[key] = [one.iloc[0] for one in known]
    names = [f"{types[a]}|{types[b]}_{what}" for a, b in couples for what in ("contacts", "expected", "z")]
    units = ["{pairs}", "{pairs}", "1"] * len(couples)
    x = np.array(values).reshape(len(regions), len(names))
    return _table(
        cells, x, obs, [names, units, ["contacts", "expected", "z"] * len(couples)],
        level="region", by=by, graph=graph, within=within, code=code, keep_places=False,
    )  # fmt: skip


def _contacts(
    pairs: np.ndarray[Any, Any], code: np.ndarray[Any, Any], couples: Sequence[tuple[int, int]], types: int
) -> list[float]:
    """Return observed and expected number of contacts and z of every couple of types, one after another.

    Two of the `m` edges are one edge, share a cell (`paths`) or are apart: the second moment sums how likely both ends
    have the types in each case, drawn without replacement.
    """
    import numpy as np

    n, m = len(code), len(pairs)
    degree = np.bincount(pairs.ravel(), minlength=n).astype(np.float64)
    paths = float((degree * (degree - 1)).sum())  # ordered pairs of edges that share a cell
    number = np.bincount(code[code >= 0], minlength=types).astype(np.float64)
    low, high = np.sort(code[pairs], axis=1).T if m else (np.empty(0, int), np.empty(0, int))
    draws = [math.prod(n - k for k in range(count)) for count in range(5)]
    found: list[float] = []
    for a, b in couples:
        p, q = number[a], number[b]
        if a == b:
            likely = [p * (p - 1), p * (p - 1) * (p - 2), p * (p - 1) * (p - 2) * (p - 3)]
        else:
            likely = [2 * p * q, p * q * (p + q - 2), 4 * p * (p - 1) * q * (q - 1)]
        one, path, apart = (chance / draws[k] if draws[k] else 0.0 for k, chance in enumerate(likely, start=2))
        observed = float(((low == a) & (high == b)).sum())
        expected = m * one
        variance = expected + paths * path + (m * (m - 1) - paths) * apart - expected**2
        spread = math.sqrt(variance) if variance > 1e-9 * max(expected, 1) ** 2 else math.nan
        found += [observed, expected, (observed - expected) / spread]
    return found


def cell_types(cells: ad.AnnData, by: str) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Return the names of the types, sorted, and the number of each cell's, -1 where it has none."""
    import numpy as np
    import pandas as pd

    if by not in cells.obs:
        raise DatasetNotFoundError(f"the cells have no column {by!r} in obs; {closest(by, cells.obs.columns)}")
    texts = cells.obs[by].astype(object).map(str, na_action="ignore")
    kinds = pd.Categorical(texts, categories=sorted(texts.dropna().unique()))
    return list(kinds.categories), np.asarray(kinds.codes, np.int64)


def _check_unit(cells: ad.AnnData, graph: Graph) -> str:
    """Return the unit of the cells' places."""
    unit = str(image_notes(cells).get("unit", "px"))
    asked = getattr(graph, "unit", unit)
    if asked != unit:
        raise UnitError(f"the graph is in {asked!r} and the places of the cells in {unit!r}; give it unit={unit!r}")
    return unit


def cell_regions(cells: ad.AnnData, within: str) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Yield the name and the rows of every region, in order of appearance."""
    import numpy as np
    import pandas as pd

    if within not in cells.obs:
        raise DatasetNotFoundError(f"the cells have no column {within!r} in obs; {closest(within, cells.obs.columns)}")
    if "spatial" not in cells.obsm:
        raise DataError("the cells have no places; expected x, y in obsm['spatial'], as measure() gives them")
    lost = ~np.isfinite(np.asarray(cells.obsm["spatial"], np.float64)[:, :2]).all(axis=1)
    code, names = pd.factorize(cells.obs[within].astype(object))
    if lost.any() or (code < 0).any():
        raise DataError(
            f"{int(lost.sum())} cells have no place and {int((code < 0).sum())} no {within}; leave them out first"
        )
    order = np.argsort(code, kind="stable")
    for name, rows in zip(names, np.split(order, np.cumsum(np.bincount(code, minlength=len(names)))[:-1]), strict=True):
        yield str(name), rows


def _edges(graph: Graph, places: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    return graph.edges(places) if len(places) > 1 else np.empty((0, 2), np.int64)


def _table(
    cells: ad.AnnData,
    x: np.ndarray[Any, Any],
    obs: pd.DataFrame,
    columns: list[list[str]],
    *,
    level: str,
    by: str,
    graph: Graph,
    within: str,
    code: np.ndarray[Any, Any],
    keep_places: bool,
) -> ad.AnnData:
    import anndata as ad
    import numpy as np

    from integrate import __version__

    settings = {"by": by, "within": within, "graph": type(graph).__name__, **asdict(graph)}
    regions = cells.obs[within].astype(str).tolist()
    inputs = [hash_array(np.asarray(cells.obsm["spatial"], np.float64)), hash_array(code), hash_settings(regions)]
    made = {
        "tool": f"integrate {__version__}",
        "settings": json.dumps(settings),
        "settings_hash": hash_settings(settings),
        "input_hash": hash_settings(inputs),
    }
    origin = {key: made[key] for key in ("tool", "settings_hash", "input_hash")}
    features = [
        Feature(name, unit, level, f"{_DEFINITION}:{statistic}", statistic=statistic, **origin)
        for name, unit, statistic in zip(*columns, strict=True)
    ]
    places = {"spatial": np.asarray(cells.obsm["spatial"]).copy()} if keep_places else None
    table = ad.AnnData(X=x, obs=obs, var=feature_table(features), obsm=places)
    table.uns[ATTRS] = {**image_notes(cells), **made}
    if keep_places and "spatialdata_attrs" in cells.uns:
        table.uns["spatialdata_attrs"] = dict(cells.uns["spatialdata_attrs"])
    record(f"measure_{'neighbours' if keep_places else 'contacts'}", cells=cells.n_obs, **made)
    return table
