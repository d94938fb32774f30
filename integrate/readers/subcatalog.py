"""A catalog inside a catalog, opened by the same strict and safe door."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from integrate.catalog.safety import is_remote, without_caching
from integrate.errors import CatalogError, closest
from integrate.readers.base import Reader

if TYPE_CHECKING:
    from integrate.catalog.open import Catalog

__all__ = ["SubCatalog"]


class SubCatalog(Reader):
    """Open a catalog that another one lists; it is checked like any other.

    Parameters
    ----------
    roots
        Values of its data roots; the outer catalog may pass on only folders it was itself given.
    parameters
        Values of its other catalog-level parameters.

    Returns
    -------
    A `Catalog`.

    Raises
    ------
    CatalogError
        If it is no valid catalog, or ``roots`` names a parameter that is no data root.
    UnsafeCatalogError
        If it asks for something a stranger's catalog may not do.

    Examples
    --------
    >>> inner = ig.datasets.toy_catalog(tmp_path / "inner")
    >>> sorted(SubCatalog(url=tmp_path / "inner" / "catalog.yaml").read()) == sorted(inner)
    True
    """

    output_instance = "integrate.catalog.open:Catalog"

    def _open(
        self, path: Path, *, roots: Mapping[str, str] | None = None, parameters: Mapping[str, str] | None = None
    ) -> Catalog:
        from integrate.catalog.open import open_fetched

        served = without_caching(self._served)
        home = served.partition("?")[0].rpartition("/")[0] if is_remote(served) else str(path.parent)
        opened = open_fetched(path, home=home)
        opened = opened if self.cache is None else opened.with_cache(self.cache)
        for name in roots or {}:
            if name not in opened.root_names:
                raise CatalogError(f"{path.name} has no data root {name!r}; {closest(name, opened.root_names)}")
        for name in parameters or {}:
            if name in opened.root_names:
                raise CatalogError(f"{name!r} is a data root of {path.name}; pass it under `roots`")
        return opened(**(roots or {}), **(parameters or {}))
