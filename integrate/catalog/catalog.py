"""The catalog: datasets by name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.catalog.assets import AssetEntry
from integrate.catalog.context import Context
from integrate.catalog.entry import Entry
from integrate.catalog.lock import manifest_path
from integrate.catalog.parameter import Parameter
from integrate.catalog.registry import ASSET_READER
from integrate.catalog.safety import is_remote
from integrate.errors import DatasetNotFoundError, ParameterError, closest, some

if TYPE_CHECKING:
    import pandas as pd

    from integrate.catalog.search import Hits
    from integrate.catalog.storage import Cache

__all__ = ["Catalog"]

ROOT_CLASS = "integrate.catalog.parameters:DataRoot"


class Catalog(Mapping[str, Entry]):
    """Datasets by name.

    ``catalog[name]`` gives an `Entry`, ``catalog.load(name, ...)`` opens it, ``catalog(subject="P01")`` sets a
    catalog-level parameter for all entries and returns a new catalog.

    Parameters
    ----------
    document
        The complete, checked catalog dictionary.
    path
        The YAML file it came from; of a remote catalog, the copy that was fetched.
    home
        The folder or url beside which its files lie, when that is not the folder of `path`.
    lock
        The manifest of the files at `home`; by default the one beside `path`.
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
        home: str | None = None,
        lock: Path | None = None,
        values: Mapping[str, str] | None = None,
        cache: Cache | None = None,
    ) -> None:
        self._document = document
        self._path = path
        self._home = home or str(path.parent)
        self._lock = lock
        self._values = dict(values or {})
        self._cache = cache
        self._asset_entries: dict[str, AssetEntry] = {}

    @property
    def name(self) -> str:
        """Name the catalog gives itself, or its file name."""
        return str(self.metadata.get("name") or self._path.stem)

    @property
    def path(self) -> Path:
        """The YAML file; of a remote catalog, the copy that was fetched."""
        return self._path

    @property
    def home(self) -> str:
        """The folder or url beside which its files lie: ``CATALOG_DIR``."""
        return self._home

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
        return {"CATALOG_DIR": self._home, **self.data_roots}

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
                    remote = is_remote(str(value))
                    roots[name] = str(value).rstrip("/") if remote else str(Path(value).expanduser().absolute())
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
        return self._with(values=values, cache=self._cache)

    def with_cache(self, cache: Cache) -> Catalog:
        """Return the same catalog with copies of remote files kept in another folder, or within another bound.

        Without this they are kept in ``INTEGRATE_CACHE`` or ``~/.cache/integrate/files``, up to 20 GB.
        """
        return self._with(values=self._values, cache=cache)

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
        from integrate.catalog.listing import list_datasets

        return list_datasets(self)

    def to_intake(self) -> Any:
        """Return the same catalog as a plain Intake catalog, with the parameters set."""
        import intake

        catalog = intake.open_catalog(f"{self._home}/{self._path.name}")
        return catalog(**self._values) if self._values else catalog

    @property
    def _context(self) -> Context:
        roots, home = self.data_roots, self._home
        values = {**self._values, **roots, "CATALOG_DIR": home, "CATALOG_PATH": f"{home}/{self._path.name}"}
        locks = {name: manifest_path(self._path, name) for name in self.roots}
        if self._lock is not None:
            locks["CATALOG_DIR"] = self._lock
        return Context(self.name, values, self.roots, self.parameters, self.metadata, locks, self._cache)

    def _with(self, *, values: Mapping[str, str], cache: Cache | None) -> Catalog:
        return Catalog(self._document, path=self._path, home=self._home, lock=self._lock, values=values, cache=cache)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        return f"<Catalog {self.name!r}: {len(self)} datasets: {some(self, limit=12)}>"

    def _repr_html_(self) -> str:
        from integrate.catalog.listing import show_catalog

        return show_catalog(self)


def _own_cache(default: object) -> str | None:
    """A catalog's own default root counts only inside our cache folder: a stranger's may not name any other."""
    if not default:
        return None
    root = Path(str(default)).expanduser().resolve()
    cache = (Path.home() / ".cache" / "integrate").resolve()
    return str(root) if root.is_relative_to(cache) else None
