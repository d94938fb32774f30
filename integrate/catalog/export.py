"""The export of a catalog: what it holds, said in a standard that other tools read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from integrate.catalog.crate import CRATE_NAME, crate_text
from integrate.catalog.holdings import list_holdings
from integrate.catalog.lock import check_local
from integrate.catalog.package import PACKAGE_NAME, package_text
from integrate.catalog.write import write_text_whole
from integrate.errors import CatalogError, ParameterError, closest

if TYPE_CHECKING:
    from integrate.catalog.catalog import Catalog

__all__ = ["Export", "export_catalog"]

NAMES: dict[str, str] = {"ro-crate": CRATE_NAME, "frictionless": PACKAGE_NAME}


@dataclass(frozen=True)
class Export:
    """What an export wrote.

    Parameters
    ----------
    path
        The file.
    datasets, files
        How many are described in it.
    notes
        Dataset to what was left out of it.
    """

    path: Path
    datasets: int
    files: int
    notes: dict[str, str]


def export_catalog(
    catalog: Catalog,
    *,
    to: Literal["ro-crate", "frictionless"],
    folder: str | os.PathLike[str] | None = None,
    date: str | None = None,
    overwrite: bool = False,
) -> Export:
    """Describe everything a catalog holds in a file beside the data; the data stays where it is.

    Parameters
    ----------
    catalog
        What `open_catalog` returns, with its data roots.
    to
        ``"ro-crate"`` writes ``ro-crate-metadata.json`` (RO-Crate 1.1), ``"frictionless"`` writes ``datapackage.json``
        (Data Package 2).
    folder
        Where to write; every local file must lie in it. By default the catalog's own folder.
    date
        Day of publication for the crate, ISO 8601; by default today.
    overwrite
        Replace a file that is there.

    Returns
    -------
    An `Export`. The file holds licences, DOIs, ontology terms, codebooks, sizes and hashes; paths are relative and no
    location carries a credential.

    Raises
    ------
    ParameterError
        If the standard is unknown.
    SourceNotFoundError
        If files are missing.
    CatalogError
        If files lie outside of the folder, or there is such a file already.

    Examples
    --------
    >>> export_catalog(ig.datasets.toy_catalog(tmp_path / "study"), to="frictionless").path.name
    'datapackage.json'
    """
    if to not in NAMES:
        raise ParameterError(f"no export to {to!r}; {closest(to, NAMES)}")
    if folder is None:
        check_local(catalog, "give folder=, or export it")
    target = Path(folder or catalog.path.parent) / NAMES[to]
    if target.exists() and not overwrite:
        raise CatalogError(f"{target.name} is in {target.parent.resolve().name!r} already; move it, or give overwrite")
    holdings = list_holdings(catalog, target.parent)
    if to == "ro-crate":
        day = date or datetime.now(UTC).date().isoformat()
        text = crate_text(catalog.metadata, holdings, name=catalog.name, date=day)
    else:
        text = package_text(catalog.metadata, holdings, name=catalog.name)
    write_text_whole(target, text)
    notes = {one.entry.name: one.note for one in holdings if one.note}
    return Export(target, len(holdings), len({file.path for one in holdings for file in one.files}), notes)
