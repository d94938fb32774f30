"""The checks of the audit, each a function from a study to what it found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from integrate.errors import CatalogError, closest, some
from integrate.keys import DAY, ID_COLUMNS, LEVELS, SUBJECT_ID
from integrate.model.audit import Audit, Finding, listed, named
from integrate.model.mask import shown_id
from integrate.model.study import Study
from integrate.model.suggest import suggest_ids
from integrate.model.visits import OUTSIDE, SUPERSEDED, USED

__all__ = ["audit_study"]


def audit_study(study: Study) -> Audit:
    """Return every doubt about identity and missing data of a study."""
    checks = (
        _unknown_subjects,
        _unread_ids,
        _duplicated_ids,
        _several_per_subject,
        _absent_subjects,
        _visited,
        _crosschecked,
        _missing_by_group,
        _unknown_pixel_size,
    )
    found = [*study.findings, *(finding for check in checks for finding in check(study))]
    return Audit(study.name, tuple(found))


def _unknown_subjects(study: Study) -> Iterator[Finding]:
    for name, rows in study.sample_map.groupby("assay", sort=False):
        known = rows[SUBJECT_ID].dropna()
        unknown = sorted(set(known) - set(study.subjects.index))
        if unknown:
            yield Finding(
                "error",
                "unknown subject",
                str(name),
                f"{len(unknown)} subjects are not in the study's subject table: {named(unknown)}; "
                'add them there, correct the ids, or link with unmatched="drop"',
                listed(unknown),
            )
            for suggestion in suggest_ids(unknown, study.subjects.index):
                yield Finding(
                    "note", "suggested rule", str(name), f"not applied: {suggestion}", listed(suggestion.pairs)
                )


def _unread_ids(study: Study) -> Iterator[Finding]:
    """Suggest how ids that no rule reads may be meant."""
    unread = study.identifiers[study.identifiers["entity_id"].isna()]
    if unread.empty:
        return
    for (name, column), rows in unread.groupby(["source", "entity"], sort=False):
        known = study.subjects.index if column == SUBJECT_ID else study.sample_map[column].dropna().unique()
        for suggestion in suggest_ids(rows["source_id"], known, column=str(column)):
            ids = listed(map(shown_id, suggestion.pairs))
            yield Finding("note", "suggested rule", str(name), f"not applied: {suggestion}", ids)


def _duplicated_ids(study: Study) -> Iterator[Finding]:
    for name, entry in study.datasets.items():
        rows = study.sample_map[study.sample_map["assay"] == name]
        key = LEVELS.get(entry.level, "")
        if key not in rows or (rows["item"].fillna("") != "").any():  # several items may show one acquisition
            continue
        values = rows[key].dropna()
        repeated = values[values.duplicated()].unique()
        if len(repeated):
            yield Finding(
                "error",
                "duplicated id",
                name,
                f"{len(repeated)} {key} appear in more than one row: {named(repeated)}; this table has one row per "
                f"{entry.level}",
                listed(repeated),
            )


def _several_per_subject(study: Study) -> Iterator[Finding]:
    counts = study.availability()
    for name in map(str, counts):
        several = counts.index[counts[name] > 1]
        if len(several):
            most = int(counts[name].max())
            yield Finding(
                "note",
                "several per subject",
                str(name),
                f"{len(several)} of {int((counts[name] > 0).sum())} subjects have more than one "
                f"{study.dataset(name).level} "
                f"(up to {most}): {named(several)}; reduce them, or model the subject",
                listed(several),
            )


def _absent_subjects(study: Study) -> Iterator[Finding]:
    counts = study.availability()
    for name in map(str, counts):
        absent = counts.index[counts[name] == 0]
        if len(absent):
            yield Finding(
                "note",
                "not available",
                str(name),
                f"{len(absent)} of {len(counts)} subjects have none: {named(absent)}",
                listed(absent),
            )


def _visited(study: Study) -> Iterator[Finding]:
    """What the visit windows leave out, and who is absent at a visit; nothing when no visits are declared."""
    if not len(study.visits):
        return
    for name, rows in study.schedule.groupby("assay", sort=False):
        told = {
            OUTSIDE: "lie outside the window of every visit; they take part in no link of a visit",
            SUPERSEDED: "are superseded by one nearer to the day of their visit",
        }
        for status, text in told.items():
            found = rows[rows["status"] == status]
            if len(found):
                days = [f"{o} (day {d})" for o, d in zip(found["obs_id"], found[DAY], strict=True)]
                ids = listed(found["obs_id"])
                yield Finding("note", status, str(name), f"{len(found)} of {len(rows)} {text}: {some(days)}", ids)
        several = rows[rows["windows"] > 1]
        if len(several):
            text = f"{len(several)} lie in the windows of two visits and go to the nearer: {named(several['obs_id'])}"
            yield Finding("note", "in two windows", str(name), text, listed(several["obs_id"]))
        for visit in study.visits.index:
            seen = set(rows.loc[(rows["visit"] == visit) & (rows["status"] == USED), SUBJECT_ID])
            absent = [subject for subject in study.subjects.index if subject not in seen]
            if absent:
                text = f"{len(absent)} of {len(study.subjects)} subjects have none at {visit!r}: {named(absent)}"
                yield Finding("note", "absent at visit", str(name), text, listed(absent))
    for name, entry in study.datasets.items():
        rows = study.sample_map[study.sample_map["assay"] == name]
        undated = rows[rows[DAY].isna()]
        if 0 < len(undated) < len(rows):
            text = f"{len(undated)} of {len(rows)} have no day, so no visit can be told: {named(undated['obs_id'])}"
            yield Finding(
                "warning", "no day", name, f"{text}; give the day of every {entry.level}", listed(undated["obs_id"])
            )


def _crosschecked(study: Study) -> Iterator[Finding]:
    """Another column that names the same people must agree with our subject ids one to one."""
    for check in study.declared.get("crosscheck") or []:
        if "with" in check:
            yield from _same_values(study, check)
            continue
        table, column = study.table(str(check["entry"])), str(check["column"])
        _require(column, table, check)
        pairs = table.dropna(subset=[SUBJECT_ID, column])[[SUBJECT_ID, column]].astype(str).drop_duplicates()
        shared = pairs[pairs[column].duplicated(keep=False)]
        split = pairs[pairs[SUBJECT_ID].duplicated(keep=False)]
        told = [
            f"{column} {shown_id(str(value))} = subjects {' and '.join(g[SUBJECT_ID])}"
            for value, g in shared.groupby(column)
        ]
        told += [
            f"subject {value} = {column} {' and '.join(map(shown_id, g[column]))}"
            for value, g in split.groupby(SUBJECT_ID)
        ]
        if told:
            yield Finding(
                "warning",
                "cross-check",
                str(check["entry"]),
                f"{some(told)}; {len(pairs) - len(shared) - len(split)} others agree one to one",
                listed({*shared[SUBJECT_ID], *split[SUBJECT_ID]}),
            )
        else:
            yield Finding(
                "note", "cross-check", str(check["entry"]), f"{column!r} agrees one to one with {len(pairs)} subjects"
            )


def _same_values(study: Study, check: Mapping[str, Any]) -> Iterator[Finding]:
    """A variable that two tables record of the same people, such as age, must agree: it verifies how ids were read."""
    entry, column, other = str(check["entry"]), str(check["column"]), dict(check["with"])
    table, beside = study.table(entry), study.table(str(other["entry"]))
    _require(column, table, check)
    _require(str(other["column"]), beside, other)
    codes = {str(k): str(v) for k, v in (check.get("codes") or {}).items()}
    first = table.dropna(subset=[SUBJECT_ID, column])[[SUBJECT_ID, column]].drop_duplicates()
    second = beside.dropna(subset=[SUBJECT_ID, other["column"]])[[SUBJECT_ID, other["column"]]].drop_duplicates()
    pairs = first.set_axis([SUBJECT_ID, "a"], axis=1).merge(second.set_axis([SUBJECT_ID, "b"], axis=1), on=SUBJECT_ID)
    agree = _agree(pairs["a"], pairs["b"], float(check.get("tolerance", 0)), codes)
    wrong = pairs[~agree]
    people, doubtful = set(pairs[SUBJECT_ID]), set(wrong[SUBJECT_ID])
    what = (
        f"{column!r} and {other['column']!r} of {other['entry']!r} agree in {len(people - doubtful)} of {len(people)}"
    )
    what += " subjects that have both"
    if not len(pairs):
        text = f"no subject has both {column!r} and {other['column']!r} of {other['entry']!r}: the link is not verified"
        yield Finding("warning", "cross-check", entry, text)
    elif len(wrong):
        told = [f"{subject}: {a} / {b}" for subject, a, b in wrong.itertuples(index=False)]
        severity = "warning" if len(doubtful) * 2 < len(people) else "error"
        advice = "correct the ids" if severity == "error" else "look at these people"
        yield Finding(severity, "cross-check", entry, f"{what}; not in {some(told)}; {advice}", listed(doubtful))
    else:
        yield Finding("note", "cross-check", entry, what)


def _agree(first: Any, second: Any, tolerance: float, codes: Mapping[str, str]) -> Any:
    """Return where two columns agree: as numbers within the tolerance, else as text in any letter case."""
    import pandas as pd

    numbers = [pd.to_numeric(column.astype(object), errors="coerce") for column in (first, second)]
    if not codes and all(column.notna().all() for column in numbers):
        return (numbers[0] - numbers[1]).abs() <= tolerance
    read = first.astype(str).map(lambda value: codes.get(value, value))
    return read.str.strip().str.casefold() == second.astype(str).str.strip().str.casefold()


def _missing_by_group(study: Study) -> Iterator[Finding]:
    """Variables that a whole group of rows does not have: their absence is not at random."""
    for check in study.declared.get("missing_by") or []:
        table, column = study.table(str(check["entry"])), str(check["column"])
        _require(column, table, check)
        entry: Any = study.dataset(str(check["entry"]))
        variables = [c for c in entry.columns if c in table and c != column]
        for group, rows in table.groupby(column, observed=True):
            absent = [c for c in variables if rows[c].isna().all() and table[c].notna().any()]
            if absent:
                yield Finding(
                    "note",
                    "missing for a group",
                    str(check["entry"]),
                    f"{len(absent)} variables are missing for all {len(rows)} rows with {column} = {group}: "
                    f"{some(absent, limit=12)}",
                    tuple(absent),
                )


def _unknown_pixel_size(study: Study) -> Iterator[Finding]:
    for name, entry in study.datasets.items():
        space = dict(entry.metadata.get("coordinate_system") or {})
        if dict(entry.metadata.get("units") or {}).get("length") == "[pix]" and "pixel_size_um" not in space:
            yield Finding(
                "note",
                "pixel size unknown",
                name,
                "the files do not carry a pixel size; lengths and areas are measured in pixels, never in micrometres",
            )


def _require(column: str, table: Any, check: Mapping[str, Any]) -> None:
    known = [c for c in table.columns if c not in ID_COLUMNS]
    if column not in known:
        raise CatalogError(f"study section refers to column {column!r} of {check['entry']!r}; {closest(column, known)}")
