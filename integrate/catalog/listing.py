"""The listing of a catalog: one line per dataset, for people."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from integrate.errors import ParameterError, SourceNotFoundError
from integrate.model.html import Html, badge, card, escape, rows

if TYPE_CHECKING:
    import pandas as pd

    from integrate.catalog.catalog import Catalog
    from integrate.catalog.entry import Entry

__all__ = ["list_datasets", "readable_size", "show_catalog", "show_entry"]

COLUMNS: tuple[str, ...] = (
    *("modality", "level", "items", "subjects", "bytes", "licence", "integrity", "reader", "description"),
)
MAX_LISTED = 40
#: Metadata that has a place of its own in the picture of a dataset.
SHOWN_APART: frozenset[str] = frozenset({"description", "modality", "level", "licence", "access", "x-undecided"})
INTEGRITY_BADGES: dict[str, tuple[str, str]] = {
    "sha256": ("sha256", "ok"), "bytes": ("size only", "warn"), "lock": ("locked", "ok"), "": ("unlocked", "plain"),
}  # fmt: skip


def list_datasets(catalog: Catalog) -> pd.DataFrame:
    """Return one row per dataset; see `Catalog.table`."""
    import pandas as pd

    frame = pd.DataFrame(
        [_listed(entry, catalog.metadata) for entry in catalog.values()],
        index=pd.Index(list(catalog), name="dataset"),
        columns=list(COLUMNS),
    )
    return frame.astype({"items": "Int64", "subjects": "Int64", "bytes": "Int64"})


def show_catalog(catalog: Catalog) -> str:
    """Return the picture of a catalog in a notebook."""
    told = (f"{len(catalog)} datasets", str(catalog.metadata.get("licence", "licence not stated")), catalog.description)
    listing = list_datasets(catalog)
    body = [
        (
            *(_unbroken(row["dataset"]), _unbroken(row["modality"]), _unbroken(row["level"])),
            *(row["items"], row["subjects"], _unbroken(readable_size(row["bytes"])), _unbroken(row["licence"])),
            *(badge(*INTEGRITY_BADGES[row["integrity"]]), row["description"]),
        )
        for _, row in listing.head(MAX_LISTED).reset_index().iterrows()
    ]
    header = ("dataset", "modality", "level", "items", "subjects", "size", "licence", "integrity", "description")
    more = f"… and {len(listing) - MAX_LISTED} more datasets" if len(listing) > MAX_LISTED else ""
    return card(f"Catalog · {catalog.name}", rows(header, body), more, subtitle=" · ".join(told))


def show_entry(entry: Entry, *, catalog: str, study: Mapping[str, Any]) -> str:
    """Return the picture of one dataset in a notebook: what it is, how it is opened, what its columns mean."""
    count, subjects, size = _numbers(entry, study)
    licence, access = entry.metadata.get("licence"), entry.metadata.get("access")
    marks = [
        badge(entry.modality or "modality not stated"),
        badge(entry.level or "level not stated"),
        badge(licence or "licence not stated", "plain" if licence else "warn"),
        badge(*INTEGRITY_BADGES[entry.integrity]),
        *([badge(access)] if access else []),
        *([badge(f"{len(entry.questions)} to be decided", "bad")] if entry.questions else []),
    ]
    facts = [
        ("opens with", entry.usage),
        ("reader", entry.reader_name),
        ("items", None if count is None else f"{count:,}"),
        ("subjects", None if subjects is None else f"{subjects:,}"),
        ("size", readable_size(size)),
        *((str(name), _told(value)) for name, value in entry.metadata.items() if name not in SHOWN_APART),
        *(("to be decided", question) for question in entry.questions),
    ]
    book = [
        (_unbroken(name), *(_told(spec.get(field)) for field in ("dtype", "unit", "levels", "level", "description")))
        for name, spec in entry.columns.items()
    ]
    header = ("column", "type", "unit", "levels", "level", "meaning")
    line = Html("".join(f"{escape(mark)} " for mark in marks))
    known = [(name, value) for name, value in facts if value is not None and value != ""]
    return card(
        f"Dataset · {entry.name}",
        line,
        entry.description,
        rows(("", ""), known),
        rows(header, book, caption="Codebook") if book else "",
        subtitle=f"catalog {catalog}",
    )


def _unbroken(text: str | None) -> Html | None:
    """Return a word or two that a narrow column may not break."""
    return Html(f'<span style="white-space:nowrap">{escape(text)}</span>') if text else None


def _told(value: Any) -> str | None:
    """Return a value of the metadata as one line for people."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_told(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(str(one.get("name")) if isinstance(one, Mapping) else str(one) for one in value)
    return str(value)


def _listed(entry: Entry, metadata: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return one row of the listing."""
    licence = str(entry.metadata.get("licence") or "")
    about = (entry.reader_name, entry.description)
    return (entry.modality, entry.level, *_numbers(entry, metadata), licence, entry.integrity, *about)


def _numbers(entry: Entry, metadata: Mapping[str, Any]) -> tuple[int | None, int | None, int | None]:
    """Return how many items and subjects there are, and bytes; what cannot be reached is missing."""
    from integrate.catalog.search import subjects_of
    from integrate.model.identity import parse_rules

    count = subjects = size = None
    with contextlib.suppress(SourceNotFoundError, ParameterError):
        count, size = entry.count(), entry.size
        if not entry.keys and entry.id_namespaces:
            rules = parse_rules((metadata.get("study") or {}).get("identifiers") or {})
            subjects = len(subjects_of(entry, rules).drop_null().unique())
    return count, subjects, size


def readable_size(size: Any) -> str | None:
    """Return bytes for people, ``None`` when unknown."""
    import pandas as pd

    if pd.isna(size):
        return None
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return None
