"""Lineage: which specimen was cut or drawn from which, and the subject they therefore share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from integrate.errors import CatalogError, closest, some
from integrate.keys import SPECIMEN_ID, SUBJECT_ID
from integrate.model.audit import Finding, listed
from integrate.model.identity import IdRule, id_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PARENT_ID", "inherit_subjects", "no_lineage", "read_lineage", "with_parents"]

PARENT_ID = "parent_specimen_id"
FIELDS = ("entry", "column", "namespace")


def no_lineage() -> pd.DataFrame:
    """Return the lineage of a study that says nothing of it."""
    import pandas as pd

    return pd.DataFrame(columns=[SPECIMEN_ID, PARENT_ID], dtype=object)


def read_lineage(
    declared: Any, tables: Mapping[str, pd.DataFrame], rules: Mapping[str, IdRule]
) -> tuple[pd.DataFrame, list[Finding]]:
    """Return the parent of each specimen, as ``study.parents`` of the catalog declares it.

    Parameters
    ----------
    declared
        ``{entry: table, column: the parent's id, namespace: how it is spelled}`` each; the rows' own specimen is in the
        table's keys.
    tables
        Tables of the study, with our ids.
    rules
        Identifier rules by namespace.

    Returns
    -------
    Columns ``specimen_id, parent_specimen_id``, a row per specimen that has a parent, and what is wrong: parents that
    cannot be read, two parents of one specimen, specimens that descend from themselves. Those have no parent.

    Raises
    ------
    CatalogError
        If an entry, column or namespace is not there.
    """
    import pandas as pd

    pairs: list[tuple[str, str]] = []
    findings: list[Finding] = []
    for one in declared or []:
        name, column, rule = _checked(one, tables, rules)
        table = tables[name].dropna(subset=[SPECIMEN_ID, column])
        read = {spelled: (rule.resolve(id_text(spelled)) or {}).get(SPECIMEN_ID) for spelled in table[column].unique()}
        unread = [str(spelled) for spelled, own in read.items() if own is None]
        if unread:
            text = f"{len(unread)} parents do not match rule {rule.namespace!r}: {some(unread)}; correct one of both"
            findings.append(Finding("error", "unreadable id", name, text, listed(unread)))
        rows = zip(table[SPECIMEN_ID], table[column].map(read), strict=True)
        pairs += [(child, parent) for child, parent in rows if parent is not None]
    lineage = pd.DataFrame(list(dict.fromkeys(pairs)), columns=[SPECIMEN_ID, PARENT_ID], dtype=object)
    wrong = {
        "have two parents": set(lineage[SPECIMEN_ID][lineage[SPECIMEN_ID].duplicated()]),
        "descend from themselves": _circular(dict(pairs)),
    }
    for what, ids in wrong.items():
        if ids:
            text = f"{len(ids)} specimens {what}: {some(listed(ids))}; correct the source"
            findings.append(Finding("error", "contradictory ids", "study.parents", text, listed(ids)))
    return lineage[~lineage[SPECIMEN_ID].isin(set().union(*wrong.values()))].reset_index(drop=True), findings


def inherit_subjects(sample_map: pd.DataFrame, lineage: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """Return the sample map with each specimen's subject on its ancestors and descendants too, and contradictions."""
    known = sample_map[[SPECIMEN_ID, SUBJECT_ID]].dropna().drop_duplicates()
    owner = _owners(dict(zip(known[SPECIMEN_ID], known[SUBJECT_ID], strict=True)), lineage)
    pairs = lineage.itertuples(index=False, name=None)
    wrong = sorted({child for child, parent in pairs if owner.get(child) != owner.get(parent)})
    told = f"{len(wrong)} specimens have another subject than their parent: {some(wrong)}; correct the source"
    findings = [Finding("error", "contradictory ids", "study.parents", told, listed(wrong))] if wrong else []
    subject = sample_map[SUBJECT_ID]
    filled = subject.where(subject.notna(), sample_map[SPECIMEN_ID].map(owner))
    return sample_map.assign(**{SUBJECT_ID: filled}), findings


def with_parents(specimens: pd.DataFrame, lineage: pd.DataFrame | None) -> pd.DataFrame:
    """Return the table of specimens with a column ``parent_specimen_id``, and rows for parents that nothing shows."""
    import pandas as pd

    if lineage is None or lineage.empty:
        return specimens.assign(**{PARENT_ID: None})
    parent = lineage.set_index(SPECIMEN_ID)[PARENT_ID]
    index = pd.Index(sorted({*specimens.index, *parent.index, *parent}), dtype=object, name=SPECIMEN_ID)
    owner = _owners(specimens[SUBJECT_ID].dropna().to_dict(), lineage)
    table = specimens.reindex(index).assign(**{PARENT_ID: parent.reindex(index)})
    table[SUBJECT_ID] = [owner.get(one) for one in index]
    return table


def _owners(known: Mapping[Any, Any], lineage: pd.DataFrame) -> dict[Any, Any]:
    """Return the subject of every specimen, taken from ancestors and descendants where it is not known."""
    owner = dict(known)
    waiting = list(lineage[[SPECIMEN_ID, PARENT_ID]].itertuples(index=False, name=None))
    while True:
        found = {one: owner[other] for pair in waiting for one, other in (pair, pair[::-1]) if other in owner}
        new = {one: subject for one, subject in found.items() if one not in owner}
        if not new:
            return owner
        owner |= new


def _checked(one: Any, tables: Mapping[str, pd.DataFrame], rules: Mapping[str, IdRule]) -> tuple[str, str, IdRule]:
    given = dict(one) if isinstance(one, Mapping) else {}
    if set(given) != set(FIELDS):
        raise CatalogError(f"study.parents: {one!r}; write {{entry: table, column: name, namespace: name}}")
    name, column, namespace = (str(given[field]) for field in FIELDS)
    if name not in tables or SPECIMEN_ID not in tables[name]:
        raise CatalogError(f"study.parents: {name!r} is no table with specimens; {closest(name, tables)}")
    if column not in tables[name]:
        raise CatalogError(f"study.parents: no column {column!r} in {name!r}; {closest(column, tables[name].columns)}")
    if namespace not in rules:
        raise CatalogError(f"study.parents: no rule for namespace {namespace!r}; {closest(namespace, rules)}")
    return name, column, rules[namespace]


def _circular(parents: Mapping[str, str]) -> set[str]:
    """Return the specimens that are their own ancestor."""
    found = set()
    for start in parents:
        seen, one = {start}, parents[start]
        while one in parents and one not in seen:
            seen.add(one)
            one = parents[one]
        if one == start:
            found.add(start)
    return found
