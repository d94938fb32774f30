"""Exclusions: units taken out of a cohort by a recorded log, none without a reason."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from integrate.errors import ParameterError, some
from integrate.keys import ID_COLUMNS, LEVELS
from integrate.model.identity import id_text
from integrate.model.provenance import record

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.cohort import Cohort

__all__ = ["exclude_units"]


def exclude_units(cohort: Cohort, log: pd.DataFrame) -> Cohort:
    """Return the cohort without the units of a log; see `Cohort.exclude`."""
    key = LEVELS[cohort.unit]
    known = {key: cohort.obs.index.to_series(), **{c: cohort.obs[c] for c in ID_COLUMNS if c in cohort.obs}}
    named = [column for column in log if column in known]
    if "reason" not in log or len(named) != 1:
        raise ParameterError(
            f"an exclusion log has a column 'reason' and one of {some(known)}; found {some(log.columns)}"
        )
    column = named[0]
    blank = log["reason"].isna() | (log["reason"].astype(str).str.strip() == "") | log[column].isna()
    if blank.any():
        raise ParameterError(f"{int(blank.sum())} rows of the exclusion log have no reason or no {column}; give both")
    ids = log[column].map(id_text)
    strangers = [one for one in dict.fromkeys(ids) if one not in set(known[column].dropna())]
    if strangers:
        raise ParameterError(f"{len(strangers)} {column} of the exclusion log are not in the cohort: {some(strangers)}")
    steps = []
    left = cohort.obs.index
    for reason in dict.fromkeys(log["reason"].astype(str)):
        mine = known[column].isin(ids[log["reason"].astype(str) == reason])
        out = left[left.isin(cohort.obs.index[mine.to_numpy()])]
        steps.append((reason, tuple(map(str, out))))
        left = left[~left.isin(out)]
    record("exclude", study=cohort.name, unit=cohort.unit, steps={reason: len(out) for reason, out in steps})
    return replace(
        cohort,
        obs=cohort.obs.loc[left],
        assays={name: adata[adata.obs_names.isin(left)].copy() for name, adata in cohort.assays.items()},
        missing_reason=cohort.missing_reason.loc[left],
        report=replace(cohort.report, exclusions=(*cohort.report.exclusions, *steps)),
    )
