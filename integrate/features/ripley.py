"""Ripley's functions: how many more cells lie within a distance than if they lay anywhere, corrected for edges."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from integrate.errors import DataError, DatasetNotFoundError, ParameterError, UnitError, some
from integrate.features.neighbours import cell_regions, cell_types
from integrate.keys import ATTRS, ID_COLUMNS
from integrate.model.feature import Feature, feature_table
from integrate.model.image import image_notes
from integrate.model.provenance import hash_array, hash_settings, record

if TYPE_CHECKING:
    import anndata as ad
    import numpy as np

__all__ = ["measure_ripley"]


def measure_ripley(
    cells: ad.AnnData,
    *,
    radii: Sequence[float],
    by: str | None = None,
    unit: Literal["um", "px"] = "um",
    within: str = "region",
    windows: Mapping[str, tuple[float, float, float, float]] | None = None,
) -> ad.AnnData:
    """Return Ripley's K and L of every region, for all cells and for every couple of types.

    Parameters
    ----------
    cells
        Cells with places in ``obsm["spatial"]``, of many images at once.
    radii
        Distances at which to look, in `unit`.
    by
        Column of ``obs`` with the type of a cell; None for all cells alike.
    unit
        ``"um"``, or ``"px"`` for cells of images whose pixel size is unknown.
    within
        Column of ``obs``; cells of different regions are never neighbours.
    windows
        What was imaged of each region, ``x0, y0, x1, y1`` in `unit`. By default the box around its cells, widened by
        ``(n + 1) / (n - 1)``, which is right on average where cells lie anywhere (Ripley and Rasson 1977).

    Returns
    -------
    AnnData, one row per region with the ids that all of its cells share and ``n_cells``. Columns ``all_K_{radius}`` (an
    area) and ``all_L_{radius}`` (``sqrt(K / pi)``, a length: the radius itself where cells lie anywhere, more where
    they cluster), and with `by` the same for ``{type}|{other}``: others around cells of a type. NaN with fewer than two
    cells, and where a radius is so large that no pair could be seen.

    Raises
    ------
    DatasetNotFoundError
        If a column or the window of a region is missing.
    DataError
        If a cell has no place, or lies outside its window.
    UnitError
        If the cells have another unit.
    ParameterError
        If a radius is not positive.

    Notes
    -----
    ``K(r) = |W| / (n (n - 1)) * sum of w_ij over ordered pairs at most r apart``, with the translation correction
    ``w_ij = |W| / |W moved by x_j - x_i, within W|`` (Ohser 1983; Baddeley, Rubak and Turner 2015, 7.4.4), and ``n_a
    n_b`` for two types: unbiased for a rectangular window. Compare a couple with ``all``: that is its value if types
    were shuffled among the places.

    Examples
    --------
    >>> import anndata, numpy, pandas
    >>> obs = pandas.DataFrame({"region": ["A"] * 2}, index=list("ab"))
    >>> cells = anndata.AnnData(obs=obs, obsm={"spatial": numpy.array([[4.0, 5], [6, 5]])})
    >>> found = measure_ripley(cells, radii=[1, 2], unit="px", windows={"A": (0, 0, 10, 10)})
    >>> found.to_df()[["all_K_1", "all_K_2"]].values.tolist()
    [[0.0, 125.0]]
    """
    import numpy as np
    import pandas as pd

    steps = np.array([float(radius) for radius in radii])
    if not len(steps) or not (np.isfinite(steps) & (steps > 0)).all():
        raise ParameterError(f"radii are {list(radii)}; expected positive distances")
    found_unit = str(image_notes(cells).get("unit", "px"))
    if found_unit != unit:
        raise UnitError(
            f"the radii are in {unit!r}, the places of the cells in {found_unit!r}; give unit={found_unit!r}"
        )
    types, code = cell_types(cells, by) if by is not None else ([], np.full(cells.n_obs, -1))
    values, rows_of, regions = [], [], []
    for region, rows in cell_regions(cells, within):
        places = np.asarray(cells.obsm["spatial"], np.float64)[rows, :2]
        window = _window(places, region, windows)
        values.append(_ripley(places, code[rows], len(types), window, steps))
        rows_of.append(rows)
        regions.append(region)
    obs = pd.DataFrame({"n_cells": [len(rows) for rows in rows_of]}, index=pd.Index(regions, dtype=object))
    for key in dict.fromkeys(key for key in (*ID_COLUMNS, within) if key in cells.obs):
        known = [cells.obs[key].iloc[rows] for rows in rows_of]
        if all(one.nunique(dropna=False) == 1 for one in known):
            obs[key] = [one.iloc[0] for one in known]
    boxes = {name: list(corners) for name, corners in (windows or {}).items()}
    settings = {"radii": steps.tolist(), "by": by, "within": within, "windows": boxes}
    inputs = [hash_array(np.asarray(cells.obsm["spatial"], np.float64)), hash_array(code), hash_settings(regions)]
    return _table(np.array(values), obs, _names(types), steps, unit, settings, hash_settings(inputs), cells)


def _names(types: Sequence[str]) -> list[str]:
    return ["all", *(f"{one}|{other}" for one in types for other in types)]


def _window(
    places: np.ndarray[Any, Any], region: str, windows: Mapping[str, tuple[float, float, float, float]] | None
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the two corners of what was imaged of a region."""
    import numpy as np

    low, high = places.min(axis=0), places.max(axis=0)
    if windows is None:
        n = len(places)
        wider = (high - low) / (n - 1) if n > 1 else np.zeros(2)
        return low - wider, high + wider
    if region not in windows:
        raise DatasetNotFoundError(f"no window for region {region!r}; there are windows for {some(windows)}")
    corners = np.array(windows[region], np.float64)
    outside = int(((places < corners[:2]) | (places > corners[2:])).any(axis=1).sum())
    if outside:
        raise DataError(f"{outside} of {len(places)} cells of {region!r} lie outside its window {tuple(corners)}")
    return corners[:2], corners[2:]


def _ripley(
    places: np.ndarray[Any, Any], code: np.ndarray[Any, Any], types: int, window: tuple[Any, Any],
    radii: np.ndarray[Any, Any],
) -> np.ndarray[Any, Any]:  # fmt: skip
    """Return K for all cells and every ordered couple of types, by radius."""
    import numpy as np
    from scipy.spatial import cKDTree

    edges = window[1] - window[0]
    area, n = float(np.prod(edges)), len(places)
    pairs = cKDTree(places).query_pairs(float(radii.max()), output_type="ndarray")
    apart = np.abs(places[pairs[:, 0]] - places[pairs[:, 1]])
    step = np.searchsorted(np.sort(radii), np.sqrt((apart**2).sum(axis=1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = area / np.prod(edges - apart, axis=1)
    own = np.concatenate([code[pairs[:, 0]], code[pairs[:, 1]]])
    other = np.concatenate([code[pairs[:, 1]], code[pairs[:, 0]]])
    both, step = np.tile(weight, 2), np.tile(step, 2)
    number = np.bincount(code[code >= 0], minlength=types)
    found = np.full((1 + types * types, len(radii)), np.nan)
    order = np.argsort(np.argsort(radii, kind="stable"), kind="stable")
    for k in range(len(found)):
        a, b = divmod(k - 1, types) if k else (-1, -1)
        chosen = slice(None) if k == 0 else (own == a) & (other == b)
        possible = n * (n - 1) if k == 0 else number[a] * (number[b] - (a == b))
        if possible > 0 and area > 0:
            sums = np.bincount(step[chosen], weights=both[chosen], minlength=len(radii))[: len(radii)].cumsum()
            found[k] = (area / possible * sums)[order]
    found[:, radii >= edges.min()] = np.nan
    return found


def _table(
    values: np.ndarray[Any, Any], obs: Any, names: Sequence[str], radii: np.ndarray[Any, Any], unit: str,
    settings: dict[str, Any], input_hash: str, cells: ad.AnnData,
) -> ad.AnnData:  # fmt: skip
    import anndata as ad
    import numpy as np

    from integrate import __version__

    origin = {"tool": f"integrate {__version__}", "settings_hash": hash_settings(settings), "input_hash": input_hash}
    ucum = "um" if unit == "um" else "[pix]"
    features, columns = [], []
    for k, name in enumerate(names):
        for r, radius in enumerate(radii):
            area = values[:, k, r] if len(values) else np.empty(0)
            for what, column, power in (("K", area, "2"), ("L", np.sqrt(area / math.pi), "")):
                definition = f"integrate.features.ripley:{what}"
                label = f"{name}_{what}_{radius:g}"
                features.append(Feature(label, ucum + power, "region", definition, statistic=what, **origin))
                columns.append(column)
    table = ad.AnnData(X=np.column_stack(columns), obs=obs, var=feature_table(features))
    table.uns[ATTRS] = {**image_notes(cells), **origin, "settings": json.dumps(settings)}
    record("measure_ripley", cells=cells.n_obs, **origin)
    return table
