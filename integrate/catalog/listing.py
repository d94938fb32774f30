"""The listing of a catalog: one line per dataset, for people."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from integrate.errors import ParameterError, SourceNotFoundError

if TYPE_CHECKING:
    import pandas as pd

    from integrate.catalog.catalog import Catalog
    from integrate.catalog.entry import Entry

__all__ = ["list_datasets", "readable_size", "show_catalog"]

COLUMNS: tuple[str, ...] = (
    *("modality", "level", "items", "subjects", "bytes", "licence", "integrity", "reader", "description"),
)
MAX_LISTED = 40
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
    from integrate.model.html import badge, card, rows

    told = (f"{len(catalog)} datasets", str(catalog.metadata.get("licence", "licence not stated")), catalog.description)
    listing = list_datasets(catalog)
    body = [
        (
            *(name, row["modality"], row["level"], row["items"], row["subjects"], readable_size(row["bytes"])),
            *(row["licence"], badge(*INTEGRITY_BADGES[row["integrity"]]), row["description"]),
        )
        for name, row in listing.head(MAX_LISTED).iterrows()
    ]
    header = ("dataset", "modality", "level", "items", "subjects", "size", "licence", "integrity", "description")
    more = f"… and {len(listing) - MAX_LISTED} more datasets" if len(listing) > MAX_LISTED else ""
    return card(f"Catalog · {catalog.name}", rows(header, body), more, subtitle=" · ".join(told))


def _listed(entry: Entry, metadata: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return one row of the listing; what cannot be reached is missing."""
    from integrate.catalog.search import subjects_of
    from integrate.model.identity import parse_rules

    count = subjects = size = None
    with contextlib.suppress(SourceNotFoundError, ParameterError):
        count, size = entry.count(), entry.size
        if not entry.keys and entry.id_namespaces:
            rules = parse_rules((metadata.get("study") or {}).get("identifiers") or {})
            subjects = len(subjects_of(entry, rules).drop_null().unique())
    licence = str(entry.metadata.get("licence") or "")
    about = (entry.reader_name, entry.description)
    return (entry.modality, entry.level, count, subjects, size, licence, entry.integrity, *about)


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
