"""The catalog: datasets by name, opened strictly and safely."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.catalog.assets import AssetEntry
from integrate.catalog.document import MAX_BYTES, parse_document
from integrate.catalog.entry import Context, Entry, Parameter
from integrate.catalog.safety import check_safe
from integrate.errors import (
    CatalogError,
    DatasetNotFoundError,
    ParameterError,
    SourceNotFoundError,
    UnsafeCatalogError,
    closest,
    some,
)

if TYPE_CHECKING:
    import pandas as pd

    from integrate.catalog.search import Hits
    from integrate.catalog.storage import Cache

__all__ = ["Catalog", "open_catalog", "shipped_catalogs"]

ASSET_READER = "integrate.readers.assets:AssetTable"
ROOT_CLASS = "integrate.catalog.parameters:DataRoot"
LISTING: tuple[str, ...] = (
    *("modality", "level", "items", "subjects", "bytes", "licence", "integrity", "reader", "description"),
)

MAX_LISTED = 40
INTEGRITY_BADGES: dict[str, tuple[str, str]] = {
    "sha256": ("sha256", "ok"), "bytes": ("size only", "warn"), "lock": ("locked", "ok"), "": ("unlocked", "plain"),
}  # fmt: skip


def open_catalog(source: str | os.PathLike[str], **parameters: str | None) -> Catalog:
    """Return the catalog at a path, or a shipped one by name, checked before anything in it is used.

    Parameters
    ----------
    source
        Path of a YAML file, or the name of a catalog that comes with the package (``"demo"``, ``"dcis"``).
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
    path = _find(source)
    text = _read_text(path)
    document = parse_document(text, where=path.name)
    check_safe(document, where=path.name)
    given = {name: value for name, value in parameters.items() if value is not None}
    return Catalog(document, path=path)(**given)


def shipped_catalogs() -> dict[str, Path]:
    """Return the catalogs that come with the package.

    Returns
    -------
    Name to path of the YAML file.

    Examples
    --------
    >>> sorted(shipped_catalogs())
    ['dcis', 'demo', 'examples', 'lgg', 'miniacc']
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "catalogs", package.parent / "catalogs"):  # a wheel; a checkout
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


class Catalog(Mapping[str, Entry]):
    """Datasets by name.

    ``catalog[name]`` gives an `Entry`, ``catalog.load(name, ...)`` opens it, ``catalog(subject="P01")`` sets a
    catalog-level parameter for all entries and returns a new catalog.

    Parameters
    ----------
    document
        The complete, checked catalog dictionary.
    path
        The YAML file it came from.
    values
        Catalog-level parameters set so far.
    cache
        Where copies of remote files are kept.

    Returns
    -------
    A mapping from dataset name to `Entry`.

    Raises
    ------
    DatasetNotFoundError
        On ``catalog[name]`` for an unknown name; the closest names are given.

    Examples
    --------
    >>> catalog = ig.datasets.toy_catalog()
    >>> catalog.load("fields", field="f4_P03").shape
    (2, 64, 64)
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        *,
        path: Path,
        values: Mapping[str, str] | None = None,
        cache: Cache | None = None,
    ) -> None:
        self._document = document
        self._path = path
        self._values = dict(values or {})
        self._cache = cache
        self._asset_entries: dict[str, AssetEntry] = {}

    @property
    def name(self) -> str:
        """Name the catalog gives itself, or its file name."""
        return str(self.metadata.get("name") or self._path.stem)

    @property
    def path(self) -> Path:
        """The YAML file."""
        return self._path

    @property
    def metadata(self) -> dict[str, Any]:
        """The catalog's metadata."""
        return dict(self._document["metadata"])

    @property
    def description(self) -> str:
        """One sentence from the catalog."""
        return str(self.metadata.get("description", ""))

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Catalog-level parameters, without data roots."""
        declared = self._document["user_parameters"].items()
        return {name: Parameter.from_spec(name, spec) for name, spec in declared if spec["cls"] != ROOT_CLASS}

    @property
    def roots(self) -> dict[str, str]:
        """Folders the catalog may read from: its own as ``CATALOG_DIR``, and the data roots that are given."""
        return {"CATALOG_DIR": str(self._path.parent), **self.data_roots}

    @property
    def root_names(self) -> tuple[str, ...]:
        """Names of the catalog's data roots, given or not."""
        declared = self._document["user_parameters"].items()
        return tuple(name for name, spec in declared if spec["cls"] == ROOT_CLASS)

    @property
    def given(self) -> dict[str, str]:
        """Parameters and data roots the catalog was opened with."""
        return dict(self._values)

    @property
    def data_roots(self) -> dict[str, str]:
        """Folders outside the catalog's own that it may read from: given by the caller, or by ``INTEGRATE_*``."""
        roots = {}
        for name, spec in self._document["user_parameters"].items():
            if spec["cls"] == ROOT_CLASS:
                value = (
                    self._values.get(name) or os.environ.get(str(spec.get("env"))) or _own_cache(spec.get("default"))
                )
                if value:
                    roots[name] = str(Path(value).expanduser().absolute())
        return roots

    def __call__(self, **parameters: str) -> Catalog:
        """Return the same catalog with catalog-level parameters set.

        Raises
        ------
        ParameterError
            If a name or value is not allowed; the closest are given.
        """
        known = self._document["user_parameters"]
        for name, value in parameters.items():
            if name not in known:
                raise ParameterError(f"catalog {self.name!r} has no parameter {name!r}; {closest(name, known)}")
            if name in self.parameters:
                self.parameters[name].check(value, where=self.name)
        values = {**self._values, **{name: os.fspath(value) for name, value in parameters.items()}}
        return Catalog(self._document, path=self._path, values=values, cache=self._cache)

    def with_cache(self, cache: Cache) -> Catalog:
        """Return the same catalog with copies of remote files kept in another folder, or within another bound.

        Without this they are kept in ``INTEGRATE_CACHE`` or ``~/.cache/integrate/files``, up to 20 GB.
        """
        return Catalog(self._document, path=self._path, values=self._values, cache=cache)

    def __getitem__(self, name: str) -> Entry:
        entries, aliases = self._document["entries"], self._document["aliases"]
        key = aliases.get(name, name)
        outer, slash, inner = str(name).partition("/")
        if slash and key not in entries and outer in entries and self[outer].is_catalog:
            nested: Entry = self[outer].load()[inner]
            return nested
        if key not in entries:
            raise DatasetNotFoundError(f"no dataset named {name!r} in catalog {self.name!r}; {closest(name, entries)}")
        if entries[key]["reader"] != ASSET_READER:
            return Entry(str(key), entries[key], self._context)
        kept, context = self._asset_entries.get(key), self._context
        if kept is None or not kept.belongs_to(context):  # a data root may have changed
            kept = self._asset_entries[key] = AssetEntry(str(key), entries[key], context)
        return kept

    def __iter__(self) -> Iterator[str]:
        return iter(self._document["entries"])

    def __len__(self) -> int:
        return len(self._document["entries"])

    def load(self, name: str, **parameters: str) -> Any:
        """Open one item of a dataset; see `Entry.load`."""
        return self[name].load(**parameters)

    def entry(self, name: str) -> Entry:
        """Return one dataset, the same as ``catalog[name]``; its ``describe()`` tells all the catalog says of it."""
        return self[name]

    def search(
        self,
        text: str | None = None,
        *,
        modality: str | Iterable[str] | None = None,
        level: str | Iterable[str] | None = None,
        subject: str | Iterable[str] | None = None,
        licence: str | Iterable[str] | None = None,
        has: Iterable[str] | None = None,
    ) -> Hits:
        """Return the datasets and items that answer every condition, ready to be opened.

        Parameters
        ----------
        text
            Looked for, in any case, in names, all metadata, codebooks and the cells of asset tables.
        modality, level, licence
            One value or several, any of which will do. What an entry does not say, its asset table's column of that
            name may.
        subject
            Our id of a person, or several. Items are found by the ids the catalog gives them; a table that holds the
            person is found whole, which needs reading it.
        has
            Modalities that a person must have all of; what all such people have is found.

        Returns
        -------
        `Hits`: dataset name to the entry narrowed to the items found. Datasets that could not be asked are listed in
        its ``unreachable``.

        Examples
        --------
        >>> hits = ig.datasets.toy_catalog().search("fields of view", subject="P02")
        >>> hits["fields"].items()["item"].tolist()
        ['field=f2_P02', 'field=f3_P02']
        """
        from integrate.catalog.search import search_catalog

        return search_catalog(self, text, modality=modality, level=level, subject=subject, licence=licence, has=has)

    def table(self) -> pd.DataFrame:
        """Return one row per dataset.

        Returns
        -------
        Columns ``modality, level, items, subjects, bytes, licence, integrity, reader, description``. Numbers are
        missing where the data cannot be reached, where the catalog does not say, and ``subjects`` for tables, which
        are not read for this.
        """
        import pandas as pd

        frame = pd.DataFrame(
            [_listed(entry, self.metadata) for entry in self.values()],
            index=pd.Index(list(self), name="dataset"),
            columns=list(LISTING),
        )
        return frame.astype({"items": "Int64", "subjects": "Int64", "bytes": "Int64"})

    def to_intake(self) -> Any:
        """Return the same catalog as a plain Intake catalog, with the parameters set."""
        import intake

        catalog = intake.open_catalog(str(self._path))
        return catalog(**self._values) if self._values else catalog

    @property
    def _context(self) -> Context:
        folder = str(self._path.parent)
        roots = self.data_roots
        values = {**self._values, **roots, "CATALOG_DIR": folder, "CATALOG_PATH": str(self._path)}
        return Context(self.name, values, self.roots, self.parameters, self.metadata, self._path, self._cache)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        return f"<Catalog {self.name!r}: {len(self)} datasets: {some(self, limit=12)}>"

    def _repr_html_(self) -> str:
        from integrate.model.html import badge, card, rows

        subtitle = f"{len(self)} datasets · {self.metadata.get('licence', 'licence not stated')} · {self.description}"
        listing = self.table()
        body = [
            (
                *(name, row["modality"], row["level"], row["items"], row["subjects"], _readable_size(row["bytes"])),
                *(row["licence"], badge(*INTEGRITY_BADGES[row["integrity"]]), row["description"]),
            )
            for name, row in listing.head(MAX_LISTED).iterrows()
        ]
        header = ("dataset", "modality", "level", "items", "subjects", "size", "licence", "integrity", "description")
        more = f"… and {len(listing) - MAX_LISTED} more datasets" if len(listing) > MAX_LISTED else ""
        return card(f"Catalog · {self.name}", rows(header, body), more, subtitle=subtitle)


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


def _own_cache(default: object) -> str | None:
    """A catalog's own default root counts only inside our cache folder: a stranger's may not name any other."""
    if not default:
        return None
    root = Path(str(default)).expanduser().resolve()
    cache = (Path.home() / ".cache" / "integrate").resolve()
    return str(root) if root.is_relative_to(cache) else None


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


def _readable_size(size: Any) -> str | None:
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
