"""A raw spelling: how a source names somebody, noted inside a report run so that its page can name them otherwise.

Outside a report run nothing is noted: the scientist has the data.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from integrate.keys import ATTRS, ID_COLUMNS, SUBJECT_ID
from integrate.model.identity import IdRule, id_text, parse_rules

if TYPE_CHECKING:
    import pandas as pd

    from integrate.model.study import Study

__all__ = [
    "SPELLINGS_VARIABLE",
    "note_found",
    "note_header",
    "note_ids",
    "note_names",
    "note_study",
    "note_table",
    "read_notes",
]

#: Names the temporary file to which a report run has its kernel write the spellings; see `integrate.model.mask`.
SPELLINGS_VARIABLE: Final = "INTEGRATE_SPELLINGS"
#: Elements of a DICOM header, beside the names of people, that tell who somebody is.
IDENTIFYING: Final = (
    "AccessionNumber", "MedicalRecordLocator", "OtherPatientIDs", "PatientAddress", "PatientBirthDate", "PatientID",
    "PatientTelephoneNumbers",
)  # fmt: skip
#: What stands in a PatientName when nobody is named.
NOBODY: Final = frozenset(
    (
        *(
            "anon",
            "anonymous",
            "anonymised",
            "anonymized",
            "deidentified",
            "dummy",
            "name",
            "noname",
            "none",
            "patient",
        ),
        *("phantom", "removed", "subject", "test", "unknown", "unnamed", "volunteer"),
    )
)
_NAME_PARTS = re.compile(r"[\^=\s,]+")

_seen: set[tuple[str, str]] = set()


def _note(notes: Iterable[Mapping[str, Any]]) -> None:
    """Append what this process has not noted yet."""
    path = os.environ[SPELLINGS_VARIABLE]
    lines = dict.fromkeys(json.dumps(note, sort_keys=True) for note in notes)
    new = [line for line in lines if (path, line) not in _seen]
    if not new:
        return
    _seen.update((path, line) for line in new)
    where = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(where, "".join(f"{line}\n" for line in new).encode())
    finally:
        os.close(where)


def _is_noting() -> bool:
    return bool(os.environ.get(SPELLINGS_VARIABLE))


def read_notes(path: Path) -> list[dict[str, Any]]:
    """Return what was noted, in the order it was first met; nothing when there is no such file."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def note_ids(declared: Mapping[str, Any] | None, spelled: Mapping[str, Iterable[object]]) -> None:
    """Note how a source spells ids.

    Parameters
    ----------
    declared
        The ``study`` section of the catalog; its rules say whose spelling it is, and whether it may be shown.
    spelled
        Namespace to source ids.
    """
    if _is_noting():
        rules = parse_rules((declared or {}).get("identifiers") or {})
        _note(_public_ids(declared))
        for namespace, values in spelled.items():
            texts = dict.fromkeys(id_text(value) for value in values if value is not None and value == value)
            rule = rules.get(namespace)
            _note(note for text in texts for note in _spelling(namespace, text, rule))


def note_names(declared: Mapping[str, Any] | None, namespace: str, pairs: Iterable[tuple[object, object]]) -> None:
    """Note source ids, and what holds one in its name, such as a folder ``DOE_4711``, as that person's, too.

    Parameters
    ----------
    declared
        The ``study`` section of the catalog.
    namespace
        Of the source ids.
    pairs
        Name of a file, folder or item, and the source id that the catalog gives it.
    """
    if not _is_noting():
        return
    known = [(str(name), id_text(one)) for name, one in pairs if one is not None and one == one]
    rule = parse_rules((declared or {}).get("identifiers") or {}).get(namespace)
    note_ids(declared, {namespace: [one for _, one in known]})
    for name, one in known:
        if len(one) > 2 and one in name and name != one:
            ids = (rule.resolve(one) if rule is not None else None) or {}
            finest = ids[max(ids, key=ID_COLUMNS.index)] if ids else None
            public = rule is not None and (rule.public or one in ids.values())
            _note([_raw("item", name, finest, ids.get(SUBJECT_ID), public=public)])


def note_found(declared: Mapping[str, Any], ids: Iterable[object]) -> None:
    """Note which of some ids, of a table that no catalog lists, are spellings that a rule of the study reads."""
    if _is_noting():
        texts = [id_text(one) for one in ids]
        for name, rule in parse_rules(declared.get("identifiers") or {}).items():
            if name not in ID_COLUMNS:
                _note(note for text in texts if rule.resolve(text) for note in _spelling(name, text, rule))


def note_table(table: Any, *, keys: Mapping[str, str], declared: Mapping[str, Any] | None) -> None:
    """Note the ids in a table as it was loaded, and every value of a column that its source calls identifying.

    Parameters
    ----------
    table
        A DataFrame, or an AnnData with ids in ``obs``; anything else holds none.
    keys
        Column, or ``"obs_names"``, to the namespace of its ids.
    declared
        The ``study`` section of the catalog.
    """
    if not _is_noting():
        return
    frame = getattr(table, "obs", table)
    if not hasattr(frame, "columns") or not hasattr(frame, "index"):
        return
    held = {name: frame.index if name == "obs_names" else frame[name] for name in keys if _holds(frame, name)}
    _note({"kind": "column", "name": name} for name in held)
    note_ids(declared, {keys[name]: held[name].tolist() for name in held})
    _note_marked(frame)


def _holds(frame: Any, name: str) -> bool:
    return name == "obs_names" or name in frame.columns


def _note_marked(frame: pd.DataFrame) -> None:
    """Note the columns that a table's own source calls identifying, such as REDCap's."""
    marked = (frame.attrs.get(ATTRS) or {}).get("identifiers") or ()
    for name in (name for name in marked if name in frame.columns):
        _note_column(frame, str(name))


def _note_column(frame: pd.DataFrame, name: str) -> None:
    owners = frame[SUBJECT_ID] if SUBJECT_ID in frame.columns else [None] * len(frame)
    pairs = dict.fromkeys(
        (id_text(value), owner if isinstance(owner, str) else None)
        for value, owner in zip(frame[name], owners, strict=True)
        if value is not None and value == value
    )
    _note([{"kind": "column", "name": name}])
    _note(_raw(name, text, owner, owner) for text, owner in pairs if text.strip())


def note_study(study: Study) -> None:
    """Note every spelling a study has traced, its own ids, and the columns in which such ids stand."""
    if not _is_noting():
        return
    _note(_public_ids(study.declared))
    _note({"kind": "id", "column": column, "own": own} for column, own in _own_ids(study))
    rules = parse_rules(study.declared.get("identifiers") or {})
    for namespace, rows in study.identifiers.groupby("namespace", sort=False):
        rule = rules.get(str(namespace))
        texts = dict.fromkeys(rows["source_id"].astype(str))
        _note(note for text in texts for note in _spelling(str(namespace), text, rule))
    keys = {column for entry in study.datasets.values() for column in getattr(entry, "keys", {}) if column}
    _note({"kind": "column", "name": name} for name in ("source_id", *ID_COLUMNS, *sorted(keys - {"obs_names"})))
    for check in study.declared.get("crosscheck") or ():
        table = study.tables.get(str(check.get("entry")))
        if "with" in check or check.get("public") is True:
            continue
        if table is not None and check.get("column") in table.columns:
            _note_column(table, str(check["column"]))  # another id of the same people
    if study.folder is None:
        for table in study.tables.values():
            _note_marked(table)


def _own_ids(study: Study) -> Iterator[tuple[str, str]]:
    for column in ID_COLUMNS:
        own = set(study.sample_map[column].dropna().astype(str))
        own |= set(study.subjects.index.astype(str)) if column == SUBJECT_ID else set()
        yield from ((column, one) for one in sorted(own))


def _public_ids(declared: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    told = (declared or {}).get("public_ids")
    return [] if told is None else [{"kind": "public_ids", "value": bool(told)}]


def _spelling(namespace: str, text: str, rule: IdRule | None) -> Iterator[dict[str, Any]]:
    """Yield whose spelling it is, by our finest id that the rule reads from it; a spelling that is our id is none."""
    ids = None if rule is None else rule.resolve(text)
    for column, own in (ids or {}).items():
        yield {"kind": "id", "column": column, "own": own}
    if ids and text in ids.values():
        return
    finest = ids[max(ids, key=ID_COLUMNS.index)] if ids else None
    yield _raw(namespace, text, finest, (ids or {}).get(SUBJECT_ID), public=rule is not None and rule.public)


def _raw(namespace: str, text: str, own: str | None, subject: str | None, *, public: bool = False) -> dict[str, Any]:
    return {"kind": "raw", "namespace": namespace, "raw": text, "own": own, "subject": subject, "public": public}


def note_header(header: Any) -> None:
    """Note what a DICOM header says of who somebody is, unless it says that this was removed.

    Parameters
    ----------
    header
        As pydicom reads it. ``PatientIdentityRemoved`` is ``YES`` in a file that is marked as de-identified.
    """
    if not _is_noting() or str(header.get("PatientIdentityRemoved", "")).strip().upper() == "YES":
        return
    elements = [*header, *(inner for other in header.get("OtherPatientIDsSequence") or () for inner in other)]
    told = [pair for element in elements if element.value for pair in _told(element)]
    if told:
        patient = str(header.get("PatientID", "")).strip()
        _note([{"kind": "header", "patient": patient, "told": told}])


def _told(element: Any) -> Iterator[tuple[str, list[str]]]:
    """Yield the keyword of an identifying element with the ways in which each of its values may be written."""
    if element.VR != "PN" and element.keyword not in IDENTIFYING:
        return
    many = isinstance(element.value, Sequence) and not isinstance(element.value, str)
    for value in element.value if many else [element.value]:
        text = str(value).strip()
        written = written_names(text) if element.VR == "PN" else written_days(text) if element.VR == "DA" else [text]
        if text and written:
            yield element.keyword, written


def written_names(name: str) -> list[str]:
    """Return the ways a DICOM name may be written: family and given name in either order, and each by itself.

    Examples
    --------
    >>> written_names("Doe^Jane")[:3], written_names("ANONYMOUS")
    (['Doe^Jane', 'Doe', 'Jane'], [])
    """
    parts = [part for part in _NAME_PARTS.split(name) if part]
    if all(part.casefold() in NOBODY or part.isdigit() for part in parts):
        return []
    single = [part for part in parts if len(part) > 2 and part.isalpha() and part.casefold() not in NOBODY]
    pairs = [] if len(parts) < 2 else [(parts[0], parts[1]), (parts[1], parts[0])]
    return [name, *single, *(mark.join(pair) for pair in pairs for mark in (" ", "_", "-", ".", "^", ", ", ","))]


def written_days(day: str) -> list[str]:
    """Return the ways a DICOM date may be written.

    Examples
    --------
    >>> written_days("19500131")
    ['19500131', '1950-01-31', '31.01.1950', '31/01/1950', '01/31/1950']
    """
    if len(day) != 8 or not day.isdigit():
        return [day]
    year, month, date = day[:4], day[4:6], day[6:]
    return [day, f"{year}-{month}-{date}", f"{date}.{month}.{year}", f"{date}/{month}/{year}", f"{month}/{date}/{year}"]
