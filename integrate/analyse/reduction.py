"""The reduction of a cohort to coarser units: one row per subject of several specimens or acquisitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.analyse.unit import check_choice
from integrate.errors import DataError, UnitError, some, warn
from integrate.keys import ID_COLUMNS, LEVELS
from integrate.model.provenance import record

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["reduce_units"]

STATISTICS: tuple[str, ...] = ("mean", "median")


def reduce_units(cohort: Cohort, *, unit: str = "subject", how: str = "mean") -> Cohort:
    """Return the cohort with one row per coarser unit, for questions that need one.

    Parameters
    ----------
    cohort
        What `link` returned for specimens or acquisitions. What needs weights or shares is reduced in `link`.
    unit
        What a row shall be.
    how
        ``"mean"`` or ``"median"`` of the known values, of features and of numeric variables.

    Returns
    -------
    A cohort of the coarser units, in the order of their first rows; ``layers["n"]`` counts the source rows behind each
    value. A category is kept where it is the same in all rows of each unit; others are left out with a warning.

    Raises
    ------
    UnitError
        If the cohort's rows are not finer than the unit, or do not say whose they are.
    DataError
        If a row has no unit.

    Examples
    --------
    >>> import pandas as pd
    >>> from integrate.datasets.toy import toy_study
    >>> from integrate.join.link import link
    >>> fields = {"acquisition_id": ["f1", "f2", "f3", "f4"], "CD8": [4.0, 8.0, 12.0, 20.0]}
    >>> cohort = link(toy_study(), fields=pd.DataFrame(fields), unit="acquisition")
    >>> reduce_units(cohort).values("CD8").to_dict()
    {'P01': 4.0, 'P02': 10.0, 'P03': 20.0}
    """
    import pandas as pd

    from integrate.join.cohort import Cohort as Made

    check_choice("how", how, STATISTICS)
    check_choice("unit", unit, tuple(LEVELS))
    key, order = LEVELS[unit], list(LEVELS)
    if order.index(unit) >= order.index(cohort.unit) or key not in cohort.obs:
        raise UnitError(f"{cohort.unit}s cannot be reduced to {unit}s; their columns are {some(cohort.obs.columns)}")
    owner = cohort.obs[key]
    if owner.isna().any():
        raise DataError(f"{owner.isna().sum()} {cohort.unit}s have no {key}: {some(owner.index[owner.isna()])}")
    names = pd.Index(owner.unique(), name=key, dtype=object)
    codes = pd.Series(names.get_indexer(owner), index=cohort.obs.index)
    assays = {name: _reduced(adata, codes, names, how) for name, adata in cohort.assays.items()}
    # "" is less than any reason: a unit with one row that is there lacks nothing
    missing = cohort.missing_reason.astype(str).groupby(codes.to_numpy()).min()
    obs = _variables(cohort.obs, codes, names, how)
    record("reduce_units", study=cohort.name, unit=unit, of=cohort.unit, how=how, rows=len(codes), units=len(names))
    return Made(cohort.name, unit, obs, assays, cohort.report, missing.set_axis(names).astype(object))


def _reduced(adata: Any, codes: pd.Series[int], names: pd.Index[str], how: str) -> Any:
    """Return one assay with a row per unit that has any."""
    import anndata as ad
    import numpy as np
    import pandas as pd

    from integrate.join.grouped import grouped_mean, grouped_quantile

    places, present = pd.factorize(codes.reindex(adata.obs_names), sort=True)
    values, behind = np.asarray(adata.X, dtype=float), np.asarray(adata.layers["n"])
    mean, n = grouped_mean(values, places, len(present), n=behind)
    reduced = mean if how == "mean" else grouped_quantile(values, places, len(present), q=0.5)[0]
    index = pd.DataFrame(index=names[present.astype(int)])
    return ad.AnnData(reduced, obs=index, var=adata.var.copy(), layers={"n": n}, uns=dict(adata.uns))


def _variables(obs: pd.DataFrame, codes: pd.Series[int], names: pd.Index[str], how: str) -> pd.DataFrame:
    """Return the clinical variables of each unit."""
    import pandas as pd

    made, lost = {}, []
    for column in obs:
        groups = obs[column].groupby(codes.to_numpy())
        number = pd.api.types.is_numeric_dtype(obs[column]) and not pd.api.types.is_bool_dtype(obs[column])
        if column == names.name:
            continue
        if number and column not in ID_COLUMNS:
            made[column] = groups.agg(how).to_numpy(dtype=float)
        elif groups.nunique().le(1).all():
            made[column] = groups.first().array
        elif column not in ID_COLUMNS:
            lost.append(str(column))
    if lost:
        warn(f"categories that differ between rows of one {names.name} are left out: {some(lost)}")
    return pd.DataFrame(made, index=names)
