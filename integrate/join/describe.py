"""The clinical description of each unit: variables of coarser levels repeated, of finer ones only where they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integrate.errors import DatasetNotFoundError, UnitError
from integrate.join.climb import climb
from integrate.join.reduce import Step
from integrate.keys import ATTRS, ID_COLUMNS, LEVELS

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.rows import Rows
    from integrate.model.study import Study

__all__ = ["Description", "clinical_table", "describe_units"]


@dataclass(frozen=True)
class Description:
    """Variables of the units, index as asked, and where a variable had several values."""

    frame: pd.DataFrame
    varying: Mapping[str, tuple[str, ...]]


def clinical_table(study: Study, dataset: str) -> pd.DataFrame:
    """Return a clinical table without its ids and the columns they came from.

    Raises
    ------
    DatasetNotFoundError
        If the dataset is not a table of the study, or has no ids.
    """
    table = study.table(dataset)
    sources = table.attrs.get(ATTRS, {}).get("keys", {})
    if not any(column in ID_COLUMNS for column in table):
        raise DatasetNotFoundError(f"{dataset!r} has no ids; declare its keys in the catalog")
    return table.drop(columns=[column for column in table if column in ID_COLUMNS or column in sources])


def describe_units(
    table: pd.DataFrame, rows: Rows, units: pd.DataFrame, *, unit: str, level: str, steps: Sequence[Step] = ()
) -> Description:
    """Return every clinical variable at the level of the unit.

    Parameters
    ----------
    table
        The variables, one row per row of `rows`, with the codebook in ``attrs``.
    rows
        Ids and numeric variables of those rows, all with an owner of `level`.
    units
        Ids of the cohort's units (index) and of their parents (columns).
    unit
        Their level.
    level
        Level at which `rows` were identified: the unit's, or a coarser one.
    steps
        How numeric variables that vary within a unit are reduced; none leaves them missing there.

    Returns
    -------
    `Description`. A variable of the unit's level or coarser is the same for all units of one parent. A variable of a
    finer level is taken where it has one different value; where it has several it is missing and listed. Dtypes are
    kept; whole numbers and true/false become the nullable ones.
    """
    import pandas as pd

    codebook = table.attrs.get(ATTRS, {}).get("columns", {})
    columns: dict[str, Any] = {}
    varying: dict[str, tuple[str, ...]] = {}
    for owner, names in _by_owner(table, codebook, rows, units, level).items():
        key = LEVELS[owner]
        owner_of_unit = units.index if owner == unit else units[key]
        single, several = _single_values(table[names], rows.ids[key])
        for name in names:
            if steps and several[name] and owner == unit and name in rows.var.index:
                columns[name] = _reduced(rows.feature(str(name)), steps, units.index, unit)
                continue
            columns[name] = single[name].reindex(owner_of_unit).set_axis(units.index)
            if several[name]:
                varying[str(name)] = tuple(sorted(map(str, several[name])))
    frame = pd.DataFrame({str(name): columns[name] for name in table.columns}, index=units.index)
    frame.attrs[ATTRS] = {"columns": {str(c): dict(spec) for c, spec in codebook.items() if c in frame}}
    return Description(frame, varying)


def _by_owner(
    table: pd.DataFrame, codebook: Mapping[Any, Any], rows: Rows, units: pd.DataFrame, level: str
) -> dict[str, list[Any]]:
    """Return the variables by the level at which they should have one value: `level`, or a declared coarser one."""
    order = list(LEVELS)
    grouped: dict[str, list[Any]] = {}
    for name in table.columns:
        own = str(codebook.get(name, {}).get("level", level))
        if own not in order:
            raise UnitError(f"the level of {name!r} is {own!r}; expected one of {', '.join(order)}")
        key = LEVELS[own]
        coarser = order.index(own) < order.index(level) and key in rows.ids and key in units
        grouped.setdefault(own if coarser else level, []).append(name)
    return grouped


def _single_values(table: pd.DataFrame, owner: pd.Series[Any]) -> tuple[pd.DataFrame, dict[Any, list[Any]]]:
    """Return each owner's only value per column, missing where there are several, and the owners that have several."""
    import pandas as pd

    grouped = table.reset_index(drop=True).groupby(owner.to_numpy(dtype=object), sort=False)
    first, different = grouped.first(), grouped.nunique()
    several = {name: different.index[different[name] > 1].tolist() for name in table.columns}
    values = {}
    for name in table.columns:
        values[name] = _nullable(first[name])
        values[name].loc[several[name]] = None
    return pd.DataFrame(values, index=first.index), several


def _nullable(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return whole numbers and true/false in the dtype that can be missing; a copy."""
    if values.dtype.kind in "iu":
        return values.astype("Int64")
    return values.astype("boolean") if values.dtype.kind == "b" else values.copy()


def _reduced(rows: Rows, steps: Sequence[Step], units: pd.Index[Any], unit: str) -> pd.Series[Any]:
    """Return one numeric variable reduced to the unit."""
    import pandas as pd

    if not all(reduction.columnwise for step in steps for reduction in step.reductions):
        raise UnitError("clinical variables keep their names; reduce them by 'mean', 'median' or Quantile")
    reduced = climb(rows, steps, units, unit=unit)
    return pd.Series(reduced.values[:, 0], index=reduced.ids[LEVELS[unit]].to_numpy()).reindex(units)
