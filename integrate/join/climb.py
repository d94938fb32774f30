"""The climb from an assay's rows to one row per unit, in the declared steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from integrate.errors import AlignmentError, UnitError, some
from integrate.keys import LEVELS

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.reduce import Step
    from integrate.join.rows import Rows

__all__ = ["climb"]


def climb(rows: Rows, steps: Sequence[Step], units: pd.Index[Any], *, unit: str) -> Rows:
    """Return one row per unit that has any, in the order of `units`.

    Parameters
    ----------
    rows
        Identified rows, each with a unit.
    steps
        Declared reductions, finest level first; none when every unit has one row.
    units
        Ids of the units.
    unit
        Their level.

    Returns
    -------
    Rows of the unit's level with dense values; ``n`` counts the source rows behind each value, 0 where it is missing,
    and ``counts["n_<level>"]`` the rows of each middle step.

    Raises
    ------
    UnitError
        If a row does not say to which group of a step it belongs.
    """
    for step in steps[:-1]:
        key = LEVELS[step.level]
        middle = sorted(rows.ids[key].dropna().unique()) if key in rows.ids else []
        rows = _apply(rows, step, _index(middle))
    present = units[units.isin(rows.ids[LEVELS[unit]])] if len(rows.labels) else units[:0]
    return _apply(rows, steps[-1], present) if steps else _ordered(rows, present, unit)


def _ordered(rows: Rows, present: pd.Index[Any], unit: str) -> Rows:
    import numpy as np
    import pandas as pd

    places = pd.Index(rows.ids[LEVELS[unit]]).get_indexer(present) if len(rows.labels) else np.empty(0, dtype=int)
    taken = rows.take(places)
    values = _dense(taken.values)
    var = taken.var.assign(level=unit)
    if "reduction" not in var:
        var["reduction"] = ""
    behind = (~np.isnan(values)).astype(np.int64) if taken.n is None else taken.n
    return replace(taken, values=values, n=behind, var=var)


def _apply(rows: Rows, step: Step, groups: pd.Index[Any]) -> Rows:
    """Return rows of the step's level, one per group, in the order of `groups`."""
    import numpy as np

    from integrate.join.grouped import grouped_count

    key = LEVELS[step.level]
    codes = groups.get_indexer(_index(rows.ids[key])) if key in rows.ids else np.full(len(rows.labels), -1)
    if (codes < 0).any():
        raise UnitError(
            f"{int((codes < 0).sum())} of {len(codes)} rows of {rows.name!r} have no {key}, so they cannot be reduced "
            f"by {step.level}; give that id, or leave the step out"
        )
    parts = [reduction.apply(rows, codes, len(groups)) for reduction in step.reductions]
    values, n = (np.hstack([part[i] for part in parts]) for i in (0, 1))
    counts = {}
    if rows.n is not None:  # a second step: how many rows of the middle level stand behind each value
        middle = grouped_count(rows.values, codes, len(groups))
        kinds = zip(step.reductions, parts, strict=True)
        counts = {f"n_{rows.level}": np.hstack([middle if kind.columnwise else part[1] for kind, part in kinds])}
    first = np.full(len(groups), len(codes))
    np.minimum.at(first, codes, np.arange(len(codes)))
    coarser = [column for level, column in LEVELS.items() if _reaches(level, step.level) and column in rows.ids]
    ids = rows.ids.iloc[first][coarser].reset_index(drop=True)
    features = _joined_features([part[2] for part in parts], step, rows)
    return rows.reduced(values=values, n=n, counts=counts, var=features, ids=ids, level=step.level)


def _joined_features(described: Sequence[pd.DataFrame], step: Step, rows: Rows) -> pd.DataFrame:
    import pandas as pd

    several = sum(reduction.columnwise for reduction in step.reductions) > 1
    made = []
    for reduction, features in zip(step.reductions, described, strict=True):
        var = features.copy()
        done = f"{reduction.label} over {rows.level or 'row'}s"
        before = var["reduction"].fillna("") if "reduction" in var else pd.Series("", index=var.index)
        var["reduction"] = [f"{b}, then {done}" if b else done for b in before]
        var["level"] = step.level
        if several and reduction.columnwise:
            var.index = pd.Index([f"{name}:{reduction.label}" for name in var.index], dtype=object)
        made.append(var)
    joined = pd.concat(made) if len(made) > 1 else made[0]
    if not joined.index.is_unique:
        repeated = joined.index[joined.index.duplicated()].unique()
        raise AlignmentError(f"reduce of {rows.name!r} makes the same feature twice: {some(repeated)}; ask for it once")
    return joined


def _reaches(level: str, limit: str) -> bool:
    order = list(LEVELS)
    return order.index(level) <= order.index(limit)


def _index(values: Any) -> pd.Index[Any]:
    import pandas as pd

    return pd.Index(values, dtype=object)


def _dense(values: Any) -> Any:
    import numpy as np

    return values.toarray() if hasattr(values, "toarray") else np.asarray(values)
