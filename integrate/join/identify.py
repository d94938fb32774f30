"""Whose row is whose: the ids of an assay's rows read as the study spells them, and every row that has no owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from integrate.errors import AlignmentError, IdentityError, UnitError, closest, some
from integrate.keys import ID_COLUMNS, LEVELS, SUBJECT_ID
from integrate.model.audit import Audit, Finding
from integrate.model.identity import IdRule, id_text, parse_rules
from integrate.model.mask import shown_id
from integrate.model.spelling import note_found

if TYPE_CHECKING:
    import pandas as pd

    from integrate.join.rows import Rows
    from integrate.model.study import Study

__all__ = ["Identified", "Registry", "Unmatched", "identify_rows"]


class Unmatched(NamedTuple):
    """Rows that belong to no unit of the study, by the id they carry."""

    id: str
    rows: int
    reason: str


@dataclass(frozen=True)
class Identified:
    """The rows of one assay that belong to a unit, and what happened to the others.

    Parameters
    ----------
    rows
        Rows whose ids are ours and whose unit is one of the study.
    unmatched
        Rows left out, by id and reason.
    dropped_subjects
        Subjects of the rows left out, where they are known.
    converted
        Spellings that were read as one of our ids: source spelling to id.
    """

    rows: Rows
    unmatched: tuple[Unmatched, ...]
    dropped_subjects: frozenset[str]
    converted: Mapping[str, str]


class Registry:
    """The ids a study knows: every id of each kind, its parents, and its other spellings."""

    def __init__(self, study: Study) -> None:
        self.study = study

    @cached_property
    def rules(self) -> dict[str, IdRule]:
        """The study's id rules by namespace."""
        return parse_rules(self.study.declared.get("identifiers") or {})

    @cached_property
    def known(self) -> dict[str, set[str]]:
        """Every id of each id column."""
        ids = {column: set(self.study.sample_map[column].dropna()) for column in ID_COLUMNS}
        ids[SUBJECT_ID] |= set(self.study.subjects.index)
        return ids

    @cached_property
    def spellings(self) -> dict[str, dict[str, set[str]]]:
        """For each id column, which ids a source spelling stands for."""
        found: dict[str, dict[str, set[str]]] = {column: {} for column in ID_COLUMNS}
        traced = self.study.identifiers.dropna(subset=["entity_id"])
        for column, spelling, own in zip(traced["entity"], traced["source_id"], traced["entity_id"], strict=True):
            found[column].setdefault(spelling, set()).add(own)
        for column, ids in self.known.items():
            for own in ids:  # letter case and blanks around an id never tell two people apart; see `candidates`
                found[column].setdefault(_folded(own), set()).add(own)
        return found

    @cached_property
    def parents(self) -> dict[str, dict[str, dict[str, str]]]:
        """``parents[child column][parent column][child id]``, without children that have two parents."""
        table: dict[str, dict[str, dict[str, str]]] = {}
        for position, child in enumerate(ID_COLUMNS):
            table[child] = {}
            for parent in ID_COLUMNS[:position]:
                pairs = self.study.sample_map[[child, parent]].dropna().drop_duplicates()
                single = pairs[~pairs[child].duplicated(keep=False)]
                table[child][parent] = dict(zip(single[child], single[parent], strict=True))
        return table

    def candidates(self, column: str, text: str) -> set[str]:
        """Return the ids of the study that a spelling can stand for; itself when it is one."""
        known = self.known[column]
        if text in known:
            return {text}
        spelled = self.spellings[column]
        ruled = [rule.resolve(text) for rule in self.rules.values()]
        found = spelled.get(text, set()) | {ids[column] for ids in ruled if ids and column in ids}
        return (found & known) or spelled.get(_folded(text), set())


def identify_rows(rows: Rows, registry: Registry, *, units: pd.Index[Any], unit: str) -> Identified:
    """Return the rows whose unit the study knows, with ids in the study's spelling and missing parents filled in.

    Parameters
    ----------
    rows
        As read.
    registry
        The study's ids.
    units
        Ids of the units of the cohort.
    unit
        Their level.

    Raises
    ------
    AlignmentError
        If the rows carry no id at all.
    UnitError
        If they are coarser than the unit.
    IdentityError
        If ids contradict each other or the study, or two spellings become one id.
    """
    if not len(rows.ids.columns) and len(rows.labels):
        raise AlignmentError(
            f"{rows.name!r} has none of the id columns {some(ID_COLUMNS)}, so its rows belong to nobody; name its ids, "
            f"e.g. table[{SUBJECT_ID!r}] = table.index"
        )
    rows, converted = (rows, {}) if rows.canonical else _canonical(rows, registry)
    rows = replace(rows, ids=_with_parents(rows, registry))
    _check_single_parents(rows)
    _check_study_contradictions(rows, registry.study)
    reasons = _reasons(rows, registry, units, unit)
    out = reasons.notna()
    kept = rows.take(_positions(~out)) if out.any() else replace(rows, origin=_positions(~out))
    kept = replace(kept, notes=(*kept.notes, *_strangers(kept, registry)))
    dropped = rows.ids.loc[out, SUBJECT_ID].dropna() if SUBJECT_ID in rows.ids else ()
    return Identified(kept, _listed(rows, reasons, LEVELS[unit]), frozenset(dropped), converted)


def _listed(rows: Rows, reasons: pd.Series[Any], key: str) -> tuple[Unmatched, ...]:
    """Return the rows that have a reason to be left out, by id and reason."""
    out = reasons.notna()
    if not out.any():
        return ()
    named = _named(rows, key)[out].astype(str).to_frame().assign(reason=reasons[out], rows=1)
    listed = named.groupby(["id", "reason"], as_index=False).sum()
    return tuple(Unmatched(*group) for group in zip(listed["id"], listed["rows"], listed["reason"], strict=True))


def _strangers(rows: Rows, registry: Registry) -> list[str]:
    """Return a note for ids below the unit that the study does not know; their rows still have an owner."""
    notes = []
    for column in ("specimen_id", "acquisition_id"):
        if column in rows.ids:
            unknown = sorted({str(v) for v in rows.ids[column].dropna().unique()} - registry.known[column])
            if unknown:
                notes.append(f"{len(unknown)} {column} are not in the study; linked by their parents: {some(unknown)}")
    return notes


def _canonical(rows: Rows, registry: Registry) -> tuple[Rows, dict[str, str]]:
    import pandas as pd

    ids, converted = pd.DataFrame(index=rows.ids.index), {}
    for column in rows.ids:
        different = rows.ids[column].dropna().unique()
        note_found(registry.study.declared, different)
        if all(type(value) is str for value in different) and registry.known[str(column)].issuperset(different):
            ids[column] = rows.ids[column]
            continue
        found: dict[object, str | None] = {}
        owners: dict[str, str] = {}
        for value in different:
            text = id_text(value)
            candidates = registry.candidates(str(column), text)
            own = next(iter(candidates)) if len(candidates) == 1 else text
            if owners.setdefault(own, text) != text:
                raise IdentityError(
                    f"{shown_id(owners[own])!r} and {shown_id(text)!r} in {column} of {rows.name!r} would both become "
                    f"{own!r}; "
                    "correct the source, or declare a rule that keeps them apart"
                )
            if own != value and own in registry.known[str(column)]:
                converted[text if own != text else f"{text} ({type(value).__name__})"] = own
            found[value] = own
        ids[column] = rows.ids[column].map(found).astype(object)
    return replace(rows, ids=ids, canonical=True), converted


def _with_parents(rows: Rows, registry: Registry) -> pd.DataFrame:
    """Fill the parents that rows do not name; a parent they name must be the study's."""
    ids = rows.ids.copy()
    for child in reversed(ID_COLUMNS):
        if child not in ids:
            continue
        for parent, known in registry.parents[child].items():
            studied = ids[child].map(known).astype(object)
            if parent not in ids:
                if studied.notna().any():
                    ids[parent] = studied
                continue
            differ = ids[parent].notna() & studied.notna() & (ids[parent] != studied)
            if differ.any():
                told = dict.fromkeys(
                    f"{c}: {found!r}, the study says {right!r}"
                    for c, found, right in zip(ids[child][differ], ids[parent][differ], studied[differ], strict=True)
                )
                raise IdentityError(
                    f"{int(differ.sum())} rows of {rows.name!r} name another {parent} than the study for their "
                    f"{child}: {some(told)}; correct the one that is wrong"
                )
            ids[parent] = ids[parent].where(ids[parent].notna(), studied)
    return ids[[column for column in ID_COLUMNS if column in ids]]


def _check_single_parents(rows: Rows) -> None:
    for position, child in enumerate(ID_COLUMNS):
        for parent in ID_COLUMNS[:position]:
            if child not in rows.ids or parent not in rows.ids:
                continue
            pairs = rows.ids[[child, parent]].dropna().drop_duplicates()
            several = pairs[child][pairs[child].duplicated()].unique()
            if len(several):
                raise IdentityError(
                    f"{len(several)} {child} of {rows.name!r} lie in more than one {parent}: {some(several)}; "
                    f"make them unique, e.g. by writing the {parent} before them"
                )


def _check_study_contradictions(rows: Rows, study: Study) -> None:
    """Raise what the audit says against the ids in use; it would put rows with the wrong subject."""
    used = {value for column in rows.ids for value in rows.ids[column].dropna().unique()}
    concerning = tuple(
        finding
        for finding in study.audit.errors
        if finding.check in ("duplicated id", "contradictory ids")
        and (rows.source in (finding.source, *finding.source.split()) or _concerns(finding, used))
    )
    Audit(study.name, concerning).raise_errors()


def _concerns(finding: Finding, ids: set[str]) -> bool:
    return finding.check == "contradictory ids" and bool(ids & set(finding.ids))


def _reasons(rows: Rows, registry: Registry, units: pd.Index[Any], unit: str) -> pd.Series[Any]:
    """Return why each row belongs to no unit; missing for a row that does."""
    import pandas as pd

    key = LEVELS[unit]
    reasons = pd.Series(None, index=rows.ids.index, dtype=object)
    if not len(reasons):
        return reasons
    if key not in rows.ids or rows.ids[key].isna().all():
        if key != SUBJECT_ID and SUBJECT_ID in rows.ids and rows.ids[SUBJECT_ID].notna().any():
            raise UnitError(
                f"{rows.name!r} has no {key}: its rows are coarser than the unit {unit!r}. Repeating them for every "
                f"{unit} would count subjects several times; link with unit='subject' and reduce the others"
            )
        return reasons.fillna(f"no {key} can be found for it")
    owner = rows.ids[key]
    known = owner.isin(units)
    if known.all():
        return reasons
    reasons[owner.isna()] = f"no {key} can be found for it"
    stranger = owner.notna() & ~known
    reasons[stranger] = f"its {key} is not in the study"
    ambiguous = [o for o in owner[stranger].unique() if len(registry.candidates(key, str(o))) > 1]
    reasons[stranger & owner.isin(ambiguous)] = f"its {key} can be read as several of the study's"
    return reasons


def _named(rows: Rows, key: str) -> pd.Series[Any]:
    """Return what to call each row in a list of unmatched ones: its unit's id, else its finest id, else its label."""
    import pandas as pd

    names = pd.Series(list(rows.labels), index=rows.ids.index, dtype=object)
    for column in (*(c for c in ID_COLUMNS if c in rows.ids), *((key,) if key in rows.ids else ())):
        names = rows.ids[column].where(rows.ids[column].notna(), names)
    return names.rename("id")


def describe_unmatched(name: str, identified: Identified, registry: Registry, *, unit: str, total: int) -> str:
    """Return the sentence about one assay's unmatched rows: what was found, and a likely cause."""
    key = LEVELS[unit]
    rows = sum(group.rows for group in identified.unmatched)
    told = [f"{shown_id(group.id)} ({group.rows} rows: {group.reason})" for group in identified.unmatched]
    known = sorted(registry.known[key])
    hint = f"; {key} in the study look like {some(known, limit=2)}" if known else ""
    padded = {own.lstrip("0"): own for own in known if own.startswith("0")}
    unpadded = next((group.id for group in identified.unmatched if group.id in padded), None)
    if unpadded is not None:
        hint += f"; was {unpadded!r} read as a number and is it {padded[unpadded]!r}? Read ids as text"
    elif len(identified.unmatched) == 1 and known:
        hint += f"; {closest(identified.unmatched[0].id, known)}"
    listed = ", ".join(told[:5]) + (f" and {len(told) - 5} more" if len(told) > 5 else "")
    return f"{rows} of {total} rows of {name!r} belong to no {unit} of the study: {listed}{hint}"


def _folded(text: str) -> str:
    return text.strip().casefold()


def _positions(mask: Any) -> Any:
    import numpy as np

    return np.flatnonzero(mask.to_numpy(dtype=bool))
