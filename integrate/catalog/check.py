"""The check of a catalog: every dataset described, every item there, every file what the catalog says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from integrate.catalog.catalog import Catalog
from integrate.catalog.meaning import Doubt, doubts_about
from integrate.catalog.search import ids_of, subjects_of
from integrate.catalog.terms import UNSTATED, check_codebook, check_terms
from integrate.errors import IntegrateError, closest
from integrate.keys import LEVELS
from integrate.model.audit import Audit, Finding, listed, named
from integrate.model.identity import IdRule, parse_rules

if TYPE_CHECKING:
    from integrate.catalog.entry import Entry

__all__ = ["check_catalog"]

#: Readers whose files state a PatientID.
PATIENT_READERS: frozenset[str] = frozenset({"DicomSeries", "DicomImage", "DicomSeg", "RtStruct"})
DESCRIBED: tuple[str, ...] = ("description", "modality", "level")


def check_catalog(catalog: Catalog, *, deep: bool = False, hashes: bool = False) -> Audit:
    """Check every dataset of a catalog and return everything found at once.

    Parameters
    ----------
    catalog
        What `open_catalog` returns; it has passed the safety rules already.
    deep
        Also open every item: headers, patients, channels, pixel sizes, codebooks and checksums are compared with the
        catalog and its asset tables, and the people named with its spine. Without it only the presence of each item
        is checked.
    hashes
        Hash every file in parallel and compare it with the lock and the checksums given, without opening it.

    Returns
    -------
    An `Audit`; ``.ok`` when nothing stops the use of the catalog.

    Examples
    --------
    >>> check_catalog(ig.datasets.toy_catalog(), deep=True).ok
    True
    """
    found = list(_catalog_metadata(catalog))
    for entry in catalog.values():
        found += _entry_metadata(entry)
        found += _items(entry, deep=deep)
        if hashes:
            found += _checksums(entry)
    if deep:
        found += _people(catalog)
    return Audit(catalog.name, tuple(found), stops="the use of the catalog")


def _catalog_metadata(catalog: Catalog) -> Iterator[Finding]:
    for field, fault in check_terms(catalog.metadata):
        yield Finding("warning", "not well formed", "", f"{field}: {fault}")
    for field in ("name", "description", "licence"):
        if not catalog.metadata.get(field):
            yield Finding("warning", "not described", "", f"the catalog has no {field}; add metadata.{field}")
    if catalog.metadata.get("licence") == UNSTATED:
        yield Finding("note", "not described", "", "nobody has stated the licence; ask before you share the data")
    if catalog.metadata.get("access") == "controlled" and not catalog.metadata.get("consent"):
        told = "access is controlled and no consent says for what; add metadata.consent with DUO codes"
        yield Finding("warning", "not described", "", told)


def _entry_metadata(entry: Entry) -> Iterator[Finding]:
    missing = [field for field in DESCRIBED if not entry.metadata.get(field)]
    if missing:
        yield Finding("warning", "not described", entry.name, f"no {', '.join(missing)} in its metadata; add them")
    for field, fault in check_terms(entry.own_metadata):
        yield Finding("warning", "not well formed", entry.name, f"{field}: {fault}")
    for field, fault in check_codebook(entry.columns):
        yield Finding("warning", "not well formed", entry.name, f"{field}: {fault}")
    for question in entry.questions:
        told = f"{question}; say it in the entry and remove it from x-undecided"
        yield Finding("warning", "undecided", entry.name, told)
    if entry.reader_name in PATIENT_READERS and not entry.names_patient:
        told = "PatientID is compared with nothing; give ids and patient_namespace, whose id the files must state"
        yield Finding("warning", "patient not checked", entry.name, told)
    if entry.level and entry.level not in (*LEVELS, "study"):
        known = ", ".join((*LEVELS, "study"))
        yield Finding("error", "unknown level", entry.name, f"level {entry.level!r} is not one of {known}")


def _items(entry: Entry, *, deep: bool) -> Iterator[Finding]:
    try:
        items = [str(item) for item in entry.items()["item"]]
    except IntegrateError as error:
        yield Finding("error", "not listed", entry.name, str(error))
        return
    if not items:
        yield Finding("warning", "no items", entry.name, "nothing to open: its parameters have no options")
    faults: dict[type[IntegrateError], list[tuple[str, str]]] = {}
    doubts: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for item in items:
        try:
            for doubt in _opened(entry, item) if deep else _found(entry, item):
                doubts.setdefault((doubt.severity, doubt.check), []).append((item or entry.name, doubt.message))
        except IntegrateError as error:
            faults.setdefault(type(error), []).append((item or entry.name, str(error)))
    for told in faults.values():  # one finding for one kind of fault: a missing folder is not a thousand faults
        yield _finding("error", "cannot be opened", entry, told, len(items))
    for (severity, check), told in doubts.items():
        yield _finding(severity, check, entry, told, len(items))


def _found(entry: Entry, item: str) -> Iterator[Doubt]:
    """Find an item without opening it."""
    entry.locate_item(item)
    yield from ()


def _opened(entry: Entry, item: str) -> Iterator[Doubt]:
    """Open an item, compare its bytes with what is promised, and yield what it says otherwise than the catalog."""
    reader = entry.item_reader(item)
    opened = reader.read()
    if reader.promised_hash is not None:
        reader.check_bytes()
    yield from doubts_about(entry, item, opened)


def _finding(severity: str, check: str, entry: Entry, told: list[tuple[str, str]], items: int) -> Finding:
    """Return one finding for all items with the same doubt, in the words of the first."""
    concerned = tuple(item for item, _ in told)
    message = told[0][1] if items == 1 else f"{len(told)} of {items} items, {named(concerned)}: {told[0][1]}"
    return Finding(severity, check, entry.name, message, concerned)


def _checksums(entry: Entry) -> Iterator[Finding]:
    """Compare every file with what the lock or the entry says of its bytes."""
    wrong: list[tuple[str, str]] = []
    unknown: list[str] = []
    try:
        readers = [(str(item), entry.item_reader(str(item))) for item in entry.items()["item"]]
    except IntegrateError as error:
        yield Finding("error", "not listed", entry.name, str(error))
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (item, _), fault in zip(readers, pool.map(lambda pair: _byte_fault(pair[1]), readers), strict=True):
            if fault is None:
                unknown.append(item or entry.name)
            elif fault:
                wrong.append((item or entry.name, fault))
    if wrong:
        concerned = tuple(item for item, _ in wrong)
        yield Finding("error", "changed", entry.name, f"{named(concerned)}: {wrong[0][1]}", concerned)
    if unknown:
        told = f"{len(unknown)} of {len(readers)} items have no checksum; run `integrate catalog lock`"
        yield Finding("note", "not locked", entry.name, told, tuple(unknown))


def _byte_fault(reader: Any) -> str | None:
    """Return what is wrong with the bytes, ``""`` when nothing is, ``None`` when nothing is known of them."""
    try:
        if reader.promised_hash is None and not (reader.kwargs.get("verify") or {}).get("bytes"):
            return None
        reader.check_bytes()
    except IntegrateError as error:
        return str(error)
    return ""


def _people(catalog: Catalog) -> Iterator[Finding]:
    """Compare the people each dataset names with those of the spine."""
    study = catalog.metadata.get("study") or {}
    spine = (study.get("spine") or {}).get("entry")
    if spine is None:
        return
    if spine not in catalog:
        yield Finding("error", "no spine", "", f"study.spine names {spine!r}; {closest(spine, catalog)}")
        return
    try:
        rules = parse_rules(study.get("identifiers") or {})
        known = set(subjects_of(catalog[spine], rules).drop_null().to_pylist())
    except IntegrateError as error:
        yield Finding("error", "no spine", spine, str(error))
        return
    for entry in catalog.values():
        if entry.is_catalog:
            continue
        try:
            found = subjects_of(entry, rules).drop_null().unique().to_pylist()
            yield from _spellings(entry, rules)
        except IntegrateError:
            continue  # said already: its items cannot be listed or opened
        strangers = listed(set(found) - known)
        if strangers:
            told = f"{named(strangers)} of {len(found)} people are not in the spine {spine!r}; correct ids or rules"
            yield Finding("error", "unknown subject", entry.name, told, strangers)


def _spellings(entry: Entry, rules: Mapping[str, IdRule]) -> Iterator[Finding]:
    """Find ids that no rule turns into ours; they would silently belong to nobody."""
    for namespace, ids in ids_of(entry):
        known = ids.drop_null().unique().to_pylist()
        if namespace not in rules:
            told = f"no rule in study.identifiers turns {namespace!r} into our ids; add one"
            yield Finding("warning", "no rule", entry.name, told, listed(known))
            continue
        unread = listed(one for one in known if rules[namespace].resolve(one) is None)
        if unread:
            told = f"{len(unread)} of {len(known)} ids of {namespace!r} do not match its rule: {named(unread)}"
            yield Finding("warning", "unread id", entry.name, told, unread)
