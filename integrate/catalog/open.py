"""The door: a catalog opened strictly and safely, from a path, a name or a url."""

from __future__ import annotations

import os
from pathlib import Path

from integrate.catalog.catalog import Catalog as Catalog
from integrate.catalog.document import MAX_BYTES, parse_document
from integrate.catalog.lock import manifest_path
from integrate.catalog.safety import CACHING, PROTOCOLS, check_safe, is_remote
from integrate.catalog.storage import Cache, fetch, told_location
from integrate.errors import CatalogError, SourceNotFoundError, UnsafeCatalogError, closest, some

__all__ = ["Catalog", "open_catalog", "open_fetched", "shipped_catalogs"]


def open_catalog(source: str | os.PathLike[str], *, cache: Cache | None = None, **parameters: str | None) -> Catalog:
    """Return the catalog at a path or url, or a shipped one by name, checked before anything in it is used.

    Parameters
    ----------
    source
        Path of a YAML file, its url (``s3://``, ``gs://``, ``az://``, ``https://``), or the name of a catalog that
        comes with the package (``"demo"``, ``"dcis"``). Of a remote catalog ``CATALOG_DIR`` is the url it lies beside:
        its files are fetched when they are loaded, checked by the lock beside it, and it may not read any local file.
    cache
        Where copies of remote files are kept, and how much of them; by default ``INTEGRATE_CACHE`` or
        ``~/.cache/integrate/files``, up to 20 GB.
    parameters
        Values of catalog-level parameters, e.g. ``data_root="../data"``. A data root given here is a folder that the
        catalog may read from; without one it may read only from its own folder. ``None`` is the same as not given.

    Returns
    -------
    A `Catalog`. Nothing but the YAML has been read.

    Raises
    ------
    SourceNotFoundError
        If there is no such file; shipped names close to it are given.
    CatalogError
        If the file is not a valid Intake 2 catalog.
    DataError
        If a remote one may not be read, or cannot be reached.
    UnsafeCatalogError
        If it asks for something a stranger's catalog may not do; all reasons at once.
    ParameterError
        If a parameter is unknown or not allowed.

    Examples
    --------
    >>> catalog = open_catalog("demo")
    >>> "clinical" in catalog
    True
    """
    given = {name: value for name, value in parameters.items() if value is not None}
    if is_remote(str(source)):
        opened = _open_remote(str(source), cache)
    else:
        path = _find(source)
        opened = open_fetched(path, home=str(path.parent))
    return (opened if cache is None else opened.with_cache(cache))(**given)


def open_fetched(path: Path, *, home: str, lock: Path | None = None) -> Catalog:
    """Return the catalog in a local file whose data lies at `home`, checked before anything in it is used.

    Parameters
    ----------
    path
        The YAML file.
    home
        Folder or url that its relative locations start from.
    lock
        Manifest of the files there; by default the one beside `path`.

    Raises
    ------
    CatalogError, UnsafeCatalogError
        If it is no valid or no safe catalog.
    """
    document = parse_document(_read_text(path), where=path.name)
    check_safe(document, where=path.name)
    return Catalog(document, path=path, home=home, lock=lock)


def shipped_catalogs() -> dict[str, Path]:
    """Return the catalogs that come with the package.

    Returns
    -------
    Name to path of the YAML file.

    Examples
    --------
    >>> sorted(shipped_catalogs())
    ['dcis', 'demo', 'examples', 'lgg', 'miniacc', 'mouse_visium', 'sts']
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "catalogs", package.parent / "catalogs"):  # a wheel; a checkout
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def _find(source: str | os.PathLike[str]) -> Path:
    path = Path(source).expanduser()
    if path.is_file():
        return path.resolve()
    shipped = shipped_catalogs()
    if str(source) in shipped:
        return shipped[str(source)]
    if path.is_dir():
        raise CatalogError(f"{path} is a folder; give the YAML file inside it")
    raise SourceNotFoundError(f"no catalog at {str(source)!r}; {closest(source, shipped)} come with the package")


def _read_text(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise UnsafeCatalogError(f"{path.name} is larger than {MAX_BYTES:,} bytes; put rows in an asset table")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CatalogError(f"{path.name} is not a YAML file: it is not text") from error


def _open_remote(url: str, cache: Cache | None) -> Catalog:
    """Return the catalog at a url, with the lock that lies beside it."""
    protocol, _, rest = url.partition("://")
    if protocol not in PROTOCOLS - {"file"}:
        known = some(sorted(PROTOCOLS - {"file"} - set(CACHING)), limit=20)
        raise UnsafeCatalogError(f"a catalog is not opened through {protocol!r}; use one of {known}, or a path")
    if "@" in rest.partition("/")[0]:
        raise UnsafeCatalogError(
            f"{told_location(url)}: no password in a location; credentials come from the environment or fsspec's "
            "configuration"
        )
    path = fetch(url, is_folder=False, cache=cache, limit_bytes=MAX_BYTES)
    home = url.partition("?")[0].rpartition("/")[0]
    try:
        lock = fetch(f"{home}/{manifest_path(path, 'CATALOG_DIR').name}", is_folder=False, cache=cache)
    except SourceNotFoundError:
        lock = None
    return open_fetched(path, home=home, lock=lock)
