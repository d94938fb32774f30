"""One visit of a link: the rows nearest to its day, and those it leaves out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from integrate.errors import ParameterError, closest
from integrate.keys import ACQUISITION_ID, DAY, LEVELS, SPECIMEN_ID, SUBJECT_ID
from integrate.model.visits import SUPERSEDED, USED, assign_visits

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.rows import Rows
    from integrate.model.study import Study

__all__ = ["VisitRows", "check_visit", "rows_of_visit"]


@dataclass(frozen=True)
class VisitRows:
    """The rows of one visit, and the observations left out with the units they belong to."""

    rows: Rows
    superseded: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    superseded_units: frozenset[str] = frozenset()
    outside_units: frozenset[str] = frozenset()


def check_visit(study: Study, visit: str) -> None:
    """Raise unless the study declares the visit.

    Raises
    ------
    ParameterError
        Naming the closest visits.
    """
    if visit not in study.visits.index:
        known = closest(visit, study.visits.index) if len(study.visits) else "declare `visits` in the study section"
        raise ParameterError(f"the study has no visit {visit!r}; {known}")


def rows_of_visit(rows: Rows, study: Study, visit: str, *, unit: str) -> VisitRows:
    """Return the rows that stand for a visit.

    Rows take the day of their acquisition, else of their specimen, else of their row in the dataset. Where none of an
    assay's rows has a day, all are kept (a germline variant has no visit) and a note says so.

    Parameters
    ----------
    rows
        Identified rows, all with a subject.
    study
        Knows days and visits.
    visit
        A declared visit.
    unit
        Level of the cohort.
    """
    import pandas as pd

    days = _days(rows, study)
    if days.isna().all():
        note = f"no row has a day, so all are used for visit {visit!r}"
        return VisitRows(replace(rows, notes=(*rows.notes, note)) if len(days) else rows)
    names = _names(rows)
    observed = pd.DataFrame({"assay": rows.name, "obs_id": names, SUBJECT_ID: rows.ids[SUBJECT_ID], DAY: days})
    placed = assign_visits(observed, study.visits)
    here = placed[placed["visit"] == visit]
    keep = here.index[here["status"] == USED]
    late = here.index[here["status"] == SUPERSEDED]
    away = rows.ids.index.difference(keep.union(late))
    owner = rows.ids[LEVELS[unit]]
    undated = int(days.isna().sum())
    notes = (*rows.notes, f"{undated} rows without a day count as outside the window") if undated else rows.notes
    return VisitRows(
        replace(rows.take(keep.to_numpy()), notes=notes),
        superseded=tuple(dict.fromkeys(names[late])),
        outside=tuple(dict.fromkeys(names[away])),
        superseded_units=frozenset(owner[late].dropna()),
        outside_units=frozenset(owner[away].dropna()),
    )


def _days(rows: Rows, study: Study) -> pd.Series[Any]:
    """Return the day of each row, missing where nobody says."""
    import pandas as pd

    days = pd.Series(pd.NA, index=rows.ids.index, dtype="Int64")
    for column in (ACQUISITION_ID, SPECIMEN_ID):
        if column in rows.ids:
            pairs = study.sample_map[[column, DAY]].dropna().drop_duplicates()
            single = pairs[~pairs[column].duplicated(keep=False)].set_index(column)[DAY]
            days = days.fillna(rows.ids[column].map(single).astype("Int64"))
    known = study.sample_map[study.sample_map["assay"] == rows.source]
    if rows.origin is not None and len(known) and (known["item"].fillna("") == "").all():
        own = known[DAY].reset_index(drop=True).iloc[rows.origin].reset_index(drop=True)
        days = days.fillna(own.set_axis(days.index))
    if DAY in rows.columns:
        given = pd.to_numeric(rows.columns[DAY], errors="coerce").astype("Int64")
        days = days.fillna(given.set_axis(days.index))
    return days


def _names(rows: Rows) -> pd.Series[Any]:
    """Return what to call the observation of each row: its acquisition, specimen, else its label."""
    import pandas as pd

    names = pd.Series(list(rows.labels), index=rows.ids.index, dtype=object)
    for column in (SPECIMEN_ID, ACQUISITION_ID):
        if column in rows.ids:
            names = rows.ids[column].where(rows.ids[column].notna(), names)
    return names
