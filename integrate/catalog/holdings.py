"""The holdings of a catalog: every file it names, with size and hash, as another standard would list them."""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.catalog.identity import files_below, identify
from integrate.catalog.lock import hash_files
from integrate.catalog.safety import is_remote
from integrate.catalog.storage import told_location
from integrate.errors import CatalogError, IntegrateError, SourceNotFoundError, some

if TYPE_CHECKING:
    from integrate.catalog.catalog import Catalog
    from integrate.catalog.entry import Entry

__all__ = ["HeldFile", "Holding", "list_holdings", "listed", "slug"]

#: Python's own list of media types: the same on every machine.
KINDS = mimetypes.MimeTypes()
#: Of a dataset with more items than this only the asset table is listed.
MOST_ITEMS = 10_000


@dataclass(frozen=True)
class HeldFile:
    """One file of a dataset.

    Parameters
    ----------
    path
        Relative to the folder of the export, with forward slashes; a url for a remote file.
    item
        The item of the dataset it belongs to.
    bytes, sha256
        ``None`` for a remote file of which the catalog says nothing.
    location
        Where it lies here; ``None`` for a remote file.
    """

    path: str
    item: str
    bytes: int | None
    sha256: str | None
    location: Path | None

    @property
    def media_type(self) -> str | None:
        """What its name says of its format, e.g. ``"text/csv"``."""
        return KINDS.guess_type(self.path)[0]


@dataclass(frozen=True)
class Holding:
    """One dataset, its files, and what was left out of the list."""

    entry: Entry
    files: tuple[HeldFile, ...]
    note: str = ""


def list_holdings(catalog: Catalog, folder: Path) -> list[Holding]:
    """Return every dataset of a catalog with its files; each local one is hashed unless it was since it changed.

    Parameters
    ----------
    catalog
        An open catalog, with its data roots.
    folder
        What paths are relative to.

    Raises
    ------
    SourceNotFoundError
        If files are missing; all datasets concerned are named.
    CatalogError
        If files lie outside of the folder, so that their paths would be those of one machine.
    """
    folder, missing, found = folder.resolve(), [], []
    for entry in catalog.values():
        try:
            found.append((entry, *_located(entry)))
        except IntegrateError as error:
            missing.append(f"{entry.name}: {error}")
    if missing:
        raise SourceNotFoundError(f"not exported, {len(missing)} datasets are not whole:\n  " + "\n  ".join(missing))
    local = sorted({path for _, located, _ in found for path, _, _ in located if isinstance(path, Path)})
    outside = [path.name for path in local if not path.is_relative_to(folder)]
    if outside:
        raise CatalogError(
            f"{len(outside)} files lie outside of {folder.name!r}, where the export is written: {some(outside)}; write "
            "it into the folder that holds them all"
        )
    hashes = _hashes(local)
    return [
        Holding(entry, tuple(_held(path, item, promised, folder, hashes) for path, item, promised in located), note)
        for entry, located, note in found
    ]


def listed(value: Any) -> list[str]:
    """Return what may be one text, several or none as a list."""
    return [] if value is None else [str(one) for one in (value if isinstance(value, list) else [value])]


def slug(*texts: str) -> str:
    """Return a name of small letters, digits, dots, dashes and underscores, as data packages need.

    Examples
    --------
    >>> slug("CT scans", "field=Ä 1")
    'ct-scans-field-1'
    """
    return re.sub(r"[^a-z0-9._]+", "-", "-".join(text for text in texts if text).lower()).strip("-._") or "data"


def _located(entry: Entry) -> tuple[list[tuple[Path | str, str, dict[str, Any]]], str]:
    """Return the place of every file of a dataset, its item, and what the catalog says of its bytes."""
    located: list[tuple[Path | str, str, dict[str, Any]]] = []
    table = getattr(entry, "table_location", None)
    if table is not None:
        located.append((table if is_remote(str(table)) else Path(table), "", {}))
    if entry.count() > MOST_ITEMS:
        return located, f"its {entry.count():,} items are listed in the asset table only"
    for item in map(str, entry.items()["item"]):
        reader = entry.item_reader(item)
        url, promised = str(reader.kwargs["url"]), dict(reader.kwargs.get("verify") or {})
        if is_remote(url):
            located.append((told_location(url), item, promised))
            continue
        path = reader.local_path().resolve()
        below = sorted(Path(one.path) for one in files_below(path)) if path.is_dir() else [path]
        located += [(one, item, {}) for one in below]
    return located, "" if located else "nothing to list: its parameters have no options"


def _hashes(paths: list[Path]) -> dict[Path, str]:
    known = {path: identify(path).known_hash() for path in paths}
    return {**{p: h for p, h in known.items() if h}, **hash_files(p for p, h in known.items() if h is None)}


def _held(path: Path | str, item: str, promised: dict[str, Any], folder: Path, hashes: dict[Path, str]) -> HeldFile:
    if isinstance(path, str):
        digest, size = promised.get("hash"), promised.get("bytes")
        told = None if digest is None else str(digest).removeprefix("sha256:")
        return HeldFile(path, item, None if size is None else int(size), told, None)
    return HeldFile(path.relative_to(folder).as_posix(), item, path.stat().st_size, hashes[path], path)
