"""The units of a cohort: every subject, specimen, acquisition or region of a study, with its parents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integrate.keys import ID_COLUMNS, LEVELS, SUBJECT_ID

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.rows import Rows
    from integrate.model.study import Study

__all__ = ["UNITS", "own_level", "study_units"]

#: Levels a cohort may have.
UNITS: tuple[str, ...] = ("subject", "specimen", "acquisition", "region")


def study_units(study: Study, unit: str) -> pd.DataFrame:
    """Return every unit of the study, in its order: index its id, columns its parents' ids."""
    import pandas as pd

    key = LEVELS[unit]
    if unit == "subject":
        return pd.DataFrame(index=study.subjects.index.rename(key))
    table = {"specimen": study.specimens, "acquisition": study.acquisitions, "region": study.regions}[unit]
    known = table[table[SUBJECT_ID].isin(study.subjects.index)]
    columns = [column for column in ID_COLUMNS if column in known and known[column].notna().any()]
    return known[columns].rename_axis(key)


def own_level(rows: Rows, unit: str) -> str:
    """Return the level at which rows describe units: the unit's, or the finest coarser one whose ids they carry."""
    order = list(LEVELS)[: list(LEVELS).index(unit) + 1]
    carried = [level for level in order if LEVELS[level] in rows.ids and rows.ids[LEVELS[level]].notna().any()]
    return carried[-1] if carried else unit
