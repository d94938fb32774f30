"""A written study opened again, with the catalog it was made from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from integrate.catalog.open import Catalog, open_catalog
from integrate.errors import warn
from integrate.model.provenance import hash_file
from integrate.model.stored import load_tables, read_stored
from integrate.model.study import Study

__all__ = ["read_study"]


def read_study(path: str | os.PathLike[str], *, catalog: Catalog | None = None) -> Study:
    """Return a study that `Study.write` wrote, without reading its sources again.

    Parameters
    ----------
    path
        The folder.
    catalog
        What opens the datasets; by default the catalog the study was made from, where it still lies.

    Returns
    -------
    An equal `Study`. Its tables are read when they are asked for, and `Study.sql` asks the files. A dataset that the
    catalog does not have, or whose catalog is gone, is known and cannot be opened.

    Raises
    ------
    SourceNotFoundError
        If there is no such folder.
    DataError
        Listing everything that is wrong with its files.

    Warns
    -----
    IntegrateWarning
        If the catalog has changed since, so that a dataset may open as something else than the tables say.

    Examples
    --------
    >>> ig.datasets.toy_study().write(tmp_path / "toy")
    >>> study = read_study(tmp_path / "toy")
    >>> study.load("fields", acquisition_id="f3").shape
    (2, 64, 64)
    """
    folder, document = load_tables(path)
    opened = _catalog_of(document["catalog"]) if catalog is None else catalog
    return read_stored(folder, document, {name: opened[name] for name in document["datasets"] if name in opened})


def _catalog_of(origin: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the catalog a study was made from; nothing where its file is gone."""
    if not origin or not Path(origin["path"]).is_file():
        return {}
    if hash_file(origin["path"]) != origin["sha256"]:
        warn(
            f"the catalog {origin['path']} has changed since the study was written; open the study again with "
            "open_study to see what the catalog says now"
        )
    return open_catalog(origin["path"], **origin["parameters"])
