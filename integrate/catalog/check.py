"""The check of a catalog: every dataset described, every item there, every file what the catalog says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from integrate.catalog.open import Catalog
from integrate.errors import IntegrateError
from integrate.keys import LEVELS
from integrate.model.audit import Audit, Finding, named

if TYPE_CHECKING:
    from integrate.catalog.entry import Entry

__all__ = ["check_catalog"]

DESCRIBED: tuple[str, ...] = ("description", "modality", "level")


def check_catalog(catalog: Catalog, *, deep: bool = False) -> Audit:
    """Check every dataset of a catalog and return everything found at once.

    Parameters
    ----------
    catalog
        What `open_catalog` returns; it has passed the safety rules already.
    deep
        Also open every item: headers, channels, codebooks and checksums are compared with the catalog. Without it only
        the presence of each item is checked.

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
    return Audit(catalog.name, tuple(found), stops="the use of the catalog")


def _catalog_metadata(catalog: Catalog) -> Iterator[Finding]:
    for field in ("name", "description", "licence"):
        if not catalog.metadata.get(field):
            yield Finding("warning", "not described", "", f"the catalog has no {field}; add metadata.{field}")


def _entry_metadata(entry: Entry) -> Iterator[Finding]:
    missing = [field for field in DESCRIBED if not entry.metadata.get(field)]
    if missing:
        yield Finding("warning", "not described", entry.name, f"no {', '.join(missing)} in its metadata; add them")
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
    for item in items:
        try:
            if deep:
                entry.load_item(item)
            else:
                entry.locate_item(item)
        except IntegrateError as error:
            faults.setdefault(type(error), []).append((item or entry.name, str(error)))
    for told in faults.values():  # one finding for one kind of fault: a missing folder is not a thousand faults
        concerned = tuple(item for item, _ in told)
        message = (
            told[0][1] if len(items) == 1 else f"{len(told)} of {len(items)} items, {named(concerned)}: {told[0][1]}"
        )
        yield Finding("error", "cannot be opened", entry.name, message, concerned)
