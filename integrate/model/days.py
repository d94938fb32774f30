"""The study day: whole days since the index event of each subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from integrate.errors import CatalogError, closest
from integrate.keys import DAY, SUBJECT_ID
from integrate.model.audit import Finding, listed, named
from integrate.model.identity import id_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["count_days", "event_name", "index_dates", "read_dates", "whole_days"]

#: No study lasts 270 years: a larger number is a date written as one, such as 20200131.
MOST_DAYS = 100_000
FORMATS: tuple[str, ...] = ("%Y-%m-%d", "%Y%m%d")
#: As Excel and Parquet have dates; days are those of the calendar.
TIME_OF_DAY = r"[ T]\d\d:\d\d(:\d\d(\.\d+)?)?$"


def event_name(declared: Mapping[str, Any]) -> str:
    """Return what the day 0 of a study is.

    Examples
    --------
    >>> event_name({"index_event": {"name": "diagnosis", "entry": "clinical", "column": "seen"}})
    'diagnosis'
    """
    event = declared.get("index_event") or "the index event"
    return str(event.get("name") or event.get("column") or "the index event" if isinstance(event, Mapping) else event)


def whole_days(given: pd.Series[Any]) -> pd.Series[Any]:
    """Return study days as numbers, missing where a value is no whole number or one that is a date."""
    import pandas as pd

    days = pd.to_numeric(given, errors="coerce").astype("float64")
    return days.where((days % 1 == 0) & (days.abs() < MOST_DAYS))


def read_dates(given: pd.Series[Any]) -> pd.Series[Any]:
    """Return dates written as 2020-01-31 or 20200131, without a time of day, missing where a value is none.

    Examples
    --------
    >>> import pandas as pd
    >>> read_dates(pd.Series(["2020-01-31", 20200131, "31.1.2020", None])).isna().tolist()
    [False, False, True, True]
    """
    import pandas as pd

    texts = given.astype(object).map(id_text, na_action="ignore").astype("string").str.strip()
    texts = texts.str.replace(TIME_OF_DAY, "", regex=True)
    iso, plain = (pd.to_datetime(texts, format=one, errors="coerce") for one in FORMATS)
    return iso.fillna(plain)


def index_dates(
    declared: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]
) -> tuple[pd.Series[Any] | None, list[Finding]]:
    """Return the date of each subject's index event, ``None`` when the study section names no column of them.

    Parameters
    ----------
    declared
        The study section; ``index_event: {name: …, entry: table, column: its dates}``.
    tables
        Tables of the study, with our ids.

    Returns
    -------
    Date by ``subject_id``, and what is wrong: dates that cannot be read, subjects with several; those have none.

    Raises
    ------
    CatalogError
        If there is no such table or column.
    """
    event = declared.get("index_event")
    if not isinstance(event, Mapping) or not event.get("entry"):
        return None, []
    name, column = str(event["entry"]), str(event.get("column"))
    if name not in tables or SUBJECT_ID not in tables[name]:
        raise CatalogError(f"study.index_event: {name!r} is no table with subjects; {closest(name, tables)}")
    if column not in tables[name]:
        known = closest(column, tables[name].columns)
        raise CatalogError(f"study.index_event: no column {column!r} in {name!r}; {known}")
    table = tables[name].dropna(subset=[SUBJECT_ID, column])
    dates = read_dates(table[column])
    unread = table.loc[dates.isna(), column].map(str).unique()
    single = table[[SUBJECT_ID]].assign(date=dates).dropna().drop_duplicates()
    several = single[SUBJECT_ID][single[SUBJECT_ID].duplicated()].unique()
    findings = [
        Finding("error", "index event", name, f"{len(found)} {told}: {named(found)}; correct {column!r}", listed(found))
        for found, told in ((unread, "are no dates as 2020-01-31"), (several, "subjects have several dates"))
        if len(found)
    ]
    return single[~single[SUBJECT_ID].isin(several)].set_index(SUBJECT_ID)["date"], findings


def count_days(
    sample_map: pd.DataFrame, dates: pd.Series[Any], index: pd.Series[Any] | None, *, event: str
) -> tuple[pd.DataFrame, list[Finding]]:
    """Return the sample map with days counted from each subject's index event where observations have a date.

    Parameters
    ----------
    sample_map
        Days that are given stay.
    dates
        Date of each row, missing where it has a day, or nothing.
    index
        Date of the index event by subject.
    event
        Its name, for messages.

    Returns
    -------
    The sample map, and a finding for every dataset with dates of people whose index event has none.
    """
    if index is None or not dates.notna().any():
        return sample_map, []
    days = (dates - sample_map[SUBJECT_ID].map(index)).dt.days.astype("Int64")
    lost = sample_map[dates.notna() & days.isna()]
    findings = [
        Finding("warning", "no index date", str(name), f"{len(rows)} dates of people without a date of {event}: "
                f"{named(rows['obs_id'])}; their day is missing", listed(rows["obs_id"]))
        for name, rows in lost.groupby("assay", sort=False)
    ]  # fmt: skip
    return sample_map.assign(**{DAY: sample_map[DAY].fillna(days)}), findings
