"""The context of a dataset: what its catalog lends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.catalog.lock import open_manifest
from integrate.catalog.safety import below

if TYPE_CHECKING:
    from integrate.catalog.parameter import Parameter
    from integrate.catalog.storage import Cache

__all__ = ["Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """What an entry takes from its catalog.

    Parameters
    ----------
    catalog
        Name of the catalog, for messages and provenance.
    values
        Values of ``CATALOG_DIR``, data roots and catalog-level parameters set so far.
    roots
        Folders that local files must lie in.
    parameters
        Catalog-level parameters by name, without data roots.
    metadata
        Catalog metadata that entries inherit (licence, access, terms).
    locks
        Root to the manifest of its files, which need not be there.
    cache
        Where copies of remote files are kept.
    """

    catalog: str
    values: Mapping[str, Any]
    roots: Mapping[str, str]
    parameters: Mapping[str, Parameter]
    metadata: Mapping[str, Any]
    locks: Mapping[str, Path]
    cache: Cache | None = None

    def locked_hash(self, url: str) -> str | None:
        """Return the hash that the catalog's lock gives for a location, ``None`` when it is not locked."""
        for name, lock in self.locks.items():
            relative = below(url, self.roots[name])
            manifest = None if relative is None else open_manifest(lock)
            expected = None if manifest is None or relative is None else manifest.expected(relative)
            if expected is not None:
                return expected
        return None

    @property
    def is_locked(self) -> bool:
        """Whether there is a lock beside the catalog."""
        return any(lock.is_file() for lock in self.locks.values())
