"""Visits: planned days with a window, and which observation of a person belongs to which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrate.errors import CatalogError
from integrate.keys import DAY, SUBJECT_ID, VISIT

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OUTSIDE", "SUPERSEDED", "USED", "assign_visits", "visit_table"]

#: What becomes of an observation with a day.
USED = "used"
SUPERSEDED = "superseded"
OUTSIDE = "outside window"

FIELDS: tuple[str, ...] = (VISIT, DAY, "before", "after")


def visit_table(declared: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the visits of a catalog's ``study.visits``.

    Parameters
    ----------
    declared
        ``{visit: name, day: target, before: days, after: days}`` each; days count from the study's index event.

    Returns
    -------
    Index ``visit``; integer columns ``day, before, after``, in the declared order.

    Raises
    ------
    CatalogError
        Listing every visit that lacks a field, has a negative window or the name of another.

    Examples
    --------
    >>> visit_table([{"visit": "week12", "day": 84, "before": 14, "after": 14}]).loc["week12"].tolist()
    [84, 14, 14]
    """
    import pandas as pd

    problems, names = [], []
    for one in declared:
        given = dict(one) if isinstance(one, Mapping) else {}
        names.append(str(given.get(VISIT)))
        whole = all(type(given.get(field)) is int for field in FIELDS[1:])
        if set(given) != set(FIELDS) or not whole:
            problems.append(f"{one!r}: a visit is {{visit: name, day: n, before: n, after: n}} with whole days")
        elif given["before"] < 0 or given["after"] < 0:
            problems.append(f"{given[VISIT]!r}: before and after are numbers of days, 0 or more")
    problems += [f"{name!r} is declared twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if problems:
        raise CatalogError("study.visits: " + "; ".join(problems))
    table = pd.DataFrame([dict(one) for one in declared], columns=list(FIELDS))
    table[VISIT] = table[VISIT].astype(str).astype(object)
    return table.set_index(VISIT).astype("int64")


def assign_visits(sample_map: pd.DataFrame, visits: pd.DataFrame) -> pd.DataFrame:
    """Return which visit each observation with a day belongs to, and whether it is the one that is used.

    An observation belongs to the visit whose target day is nearest among those whose window holds its day, the earlier
    one of two equally near. Of the days on which a person was seen for one visit in one dataset the nearest to the
    target is used, the earlier one of two equally near; everything observed on that day is used together.

    Parameters
    ----------
    sample_map
        A study's sample map.
    visits
        What `visit_table` returns.

    Returns
    -------
    The rows with a subject and a day, index as in `sample_map`, with ``visit`` (missing outside every window),
    ``offset`` (days from the target), ``windows`` (how many hold the day) and ``status``: ``"used"``,
    ``"superseded"`` or ``"outside window"``.
    """
    import numpy as np
    import pandas as pd

    rows = sample_map.dropna(subset=[SUBJECT_ID, DAY]).copy()
    days = rows[DAY].to_numpy(dtype=np.int64)[:, None]
    target, before, after = (visits[c].to_numpy(dtype=np.int64)[None, :] for c in (DAY, "before", "after"))
    offset = days - target
    inside = (offset >= -before) & (offset <= after)
    rows["windows"] = inside.sum(axis=1)
    distance = np.where(inside, np.abs(offset).astype(float), np.inf)
    order = np.argsort(visits[DAY].to_numpy(), kind="stable")  # of two equally near visits the earlier one
    nearest = order[np.argmin(distance[:, order], axis=1)] if len(visits) else np.zeros(len(rows), dtype=int)
    belongs = inside.any(axis=1)
    names = np.array([*visits.index, None], dtype=object)
    rows[VISIT] = names[np.where(belongs, nearest, len(visits))]
    own = offset[np.arange(len(rows)), nearest] if len(visits) else np.zeros(len(rows), dtype=int)
    rows["offset"] = pd.array(np.where(belongs, own, 0), dtype="Int64")
    rows.loc[~belongs, "offset"] = pd.NA
    # distance first, then the earlier day: |offset| * 2, plus one for a day after the target
    rank = pd.Series(np.abs(own) * 2 + (own > 0), index=rows.index)
    best = rank[belongs].groupby([rows.loc[belongs, c] for c in ("assay", SUBJECT_ID, VISIT)]).transform("min")
    used = rank[belongs] == best
    rows["status"] = OUTSIDE
    rows.loc[belongs, "status"] = np.where(used, USED, SUPERSEDED)
    return rows
