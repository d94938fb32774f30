"""One dataset of a catalog: what it is, which items it has, and how each is opened."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

from integrate.catalog.context import Context
from integrate.catalog.parameter import Parameter
from integrate.catalog.registry import known_readers, qualified_reader, short_name
from integrate.catalog.safety import confine, confine_arguments, is_url_key
from integrate.catalog.templates import PLAIN_KEYS, fill_row, fill_template, template_names
from integrate.errors import ParameterError, UnsafeCatalogError, closest
from integrate.model.acquisition import MADE
from integrate.model.spelling import note_names, note_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Entry", "stated_integrity"]


class Entry:
    """One dataset, described and openable; nothing is read until `load`.

    Parameters
    ----------
    name
        Name in the catalog.
    spec
        The complete entry dictionary.
    context
        What it takes from its catalog.
    """

    #: The items left by a search; ``None`` when all are there.
    _only: frozenset[str] | None = None

    def __init__(self, name: str, spec: Mapping[str, Any], context: Context) -> None:
        self.name = name
        self._spec = spec
        self._context = context

    @property
    def metadata(self) -> dict[str, Any]:
        """The entry's metadata, with licence, access and terms of the catalog where it has none of its own."""
        inherited = {k: v for k, v in self._context.metadata.items() if k in ("licence", "access", "terms")}
        return {**inherited, **self._spec["metadata"]}

    @property
    def description(self) -> str:
        """One sentence from the catalog."""
        return str(self.metadata.get("description", ""))

    @property
    def modality(self) -> str:
        """Modality code, ``""`` when the catalog does not say."""
        return str(self.metadata.get("modality", ""))

    @property
    def level(self) -> str:
        """What one item (or one row of a table) is, ``""`` when the catalog does not say."""
        return str(self.metadata.get("level", ""))

    @property
    def reader_name(self) -> str:
        """Short name of the reader."""
        return short_name(str(self._spec["reader"]))

    @property
    def keys(self) -> dict[str, str]:
        """For tables: column to id namespace; empty for everything else."""
        return dict(self._spec["kwargs"].get("keys") or {})

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        """For tables: the codebook, column to its declared dtype, unit, levels and level."""
        declared = self._spec["kwargs"].get("columns")
        if not isinstance(declared, Mapping):  # names of the columns to read
            return {}
        return {str(name): dict(spec) if isinstance(spec, Mapping) else {} for name, spec in declared.items()}

    @property
    def options(self) -> dict[str, Any]:
        """What the catalog tells the reader beside the location, as written."""
        return {name: value for name, value in self._spec["kwargs"].items() if not is_url_key(name)}

    @property
    def own_metadata(self) -> dict[str, Any]:
        """The entry's metadata without what it inherits."""
        return dict(self._spec["metadata"])

    @property
    def questions(self) -> list[str]:
        """What a scan left for a person to decide."""
        asked = self.own_metadata.get("x-undecided")
        return [str(one) for one in asked] if isinstance(asked, list) else []

    @property
    def usage(self) -> str:
        """How one item is loaded, e.g. ``catalog.load('ct', subject=…)``."""
        return f"catalog.load({', '.join([repr(self.name), *(f'{name}=…' for name in self._asked)])})"

    @property
    def names_patient(self) -> bool:
        """Whether the ids include the one that a DICOM file's PatientID must be."""
        return self._spec["kwargs"].get("patient_namespace", "dicom_patient") in self.id_namespaces

    @property
    def is_catalog(self) -> bool:
        """Whether this is a catalog inside the catalog; `load` opens it."""
        return self.reader_name == "SubCatalog"

    @property
    def id_namespaces(self) -> tuple[str, ...]:
        """Namespaces of the ids that the catalog gives every item."""
        return tuple(self._ids)

    def id_column(self, namespace: str) -> Any:
        """Return the ids of one namespace as an Arrow array, one per item."""
        import pyarrow as pa

        return pa.array(self.items()[f"id:{namespace}"], pa.string())

    def narrow(self, keep: Any) -> Entry:
        """Return the same dataset with only the items at which an Arrow array of booleans is true."""
        left = copy.copy(self)
        left._only = frozenset(itertools.compress(self.items()["item"], keep.to_pylist()))
        return left

    @property
    def integrity(self) -> str:
        """What is known of the bytes: ``"sha256"`` or ``"bytes"`` by the entry, ``"lock"`` by the lock, or ``""``."""
        return stated_integrity(self._spec["kwargs"].get("verify")) or ("lock" if self._context.is_locked else "")

    @property
    def size(self) -> int | None:
        """Bytes of all items as the catalog says, ``None`` when it does not."""
        stated = (self._spec["kwargs"].get("verify") or {}).get("bytes")
        return stated if isinstance(stated, int) else None

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The parameters this entry asks for, by name."""
        own = {name: Parameter.from_spec(name, spec) for name, spec in self._spec["user_parameters"].items()}
        used = set(_names_in(self._spec["kwargs"], self.name))
        shared = {name: p for name, p in self._context.parameters.items() if name in used}
        return {**shared, **own}

    def items(self) -> pd.DataFrame:
        """Return what can be opened: one row per combination of parameter options.

        Returns
        -------
        Columns ``item`` (what `load_item` takes), one per parameter, and ``id:<namespace>`` for every id the catalog
        declares. One row for an entry without parameters; no rows when a parameter has a pattern and no options.
        """
        import pandas as pd

        parameters = self.parameters
        choices = [self._options(p) for p in parameters.values()]
        rows = [self._item_row(dict(zip(parameters, chosen, strict=True))) for chosen in itertools.product(*choices)]
        rows = rows if self._only is None else [row for row in rows if row["item"] in self._only]
        columns = ["item", *parameters, *(f"id:{namespace}" for namespace in self._ids)]
        return self._noted(pd.DataFrame(rows, columns=columns, dtype=object))

    def _noted(self, items: pd.DataFrame) -> pd.DataFrame:
        """Return a list of items; a report run knows from now on how they spell ids."""
        for column in (str(name) for name in items if str(name).startswith("id:")):
            for named in (name for name in items if not str(name).startswith("id:")):
                pairs = zip(items[named], items[column], strict=True)
                note_names(self._context.metadata.get("study"), column.removeprefix("id:"), pairs)
        return items

    def count(self) -> int:
        """Return how many items there are, without listing them."""
        if self._only is not None:
            return len(self._only)
        return math.prod(len(self._options(parameter)) for parameter in self.parameters.values())

    def reader(self, **parameters: str) -> Any:
        """Return the reader of one item; nothing is read yet.

        Raises
        ------
        ParameterError
            If a parameter is unknown, missing or not allowed.
        UnsafeCatalogError
            If the location leads outside the allowed folders.
        """
        values = self._values(parameters)
        item = urlencode({name: values[name] for name in self.parameters}, quote_via=quote)
        if self._only is not None and item not in self._only:
            raise ParameterError(f"{self.name}: {item!r} is not among the items found; {closest(item, self._only)}")
        kwargs = fill_template(self._spec["kwargs"], values, where=f"{self._context.catalog}/{self.name}")
        return self._make(str(self._spec["reader"]), kwargs, parameters)

    def load(self, **parameters: str) -> Any:
        """Open one item and return what its reader gives (xarray, SpatialData, AnnData, DataFrame …).

        Parameters
        ----------
        parameters
            One value for each of `parameters`; there is no default item.

        Raises
        ------
        ParameterError
            If a parameter is unknown, missing or not allowed; the closest names are given.
        SourceNotFoundError, DataError
            If the file is absent or does not hold what the catalog promises.
        """
        return self._read(self.reader(**parameters))

    def load_item(self, item: str) -> Any:
        """Open one row of `items` by its ``item`` text."""
        return self._read(self.reader(**self._item_parameters(item)))

    def _read(self, reader: Any) -> Any:
        opened = reader.read()
        note_table(opened, keys=self.keys, declared=self._context.metadata.get("study"))
        return opened

    def item_reader(self, item: str) -> Any:
        """Return the reader of one row of `items`."""
        return self.reader(**self._item_parameters(item))

    def locate_item(self, item: str) -> Any:
        """Return the local path of one row of `items`, without reading it.

        Raises
        ------
        SourceNotFoundError
            If it is not there; the closest names are given.
        """
        return self.reader(**self._item_parameters(item)).local_path()

    def sources(self) -> Iterator[Path]:
        """Yield the local path of everything this dataset reads.

        Raises
        ------
        SourceNotFoundError
            If something is not there.
        """
        for item in self.items()["item"]:
            yield self.locate_item(item)

    def find_file(self, name: str, ids: Mapping[str, str]) -> Path:
        """Return the local path of a file that the metadata name, e.g. ``{CATALOG_DIR}/ways/<acquisition_id>.csv``.

        Raises
        ------
        UnsafeCatalogError
            If it leads outside the allowed folders.
        """
        where = f"{self._context.catalog}/{self.name}.metadata"
        filled = fill_row(fill_template(name, self._context.values, where=where), ids, where=where)
        return Path(confine(filled, self._context.roots, where=where))

    def stated_records(self) -> pd.DataFrame | None:
        """Return what the catalog says of how each item was made: ``assay, item`` and columns of `MADE`, if any.

        An entry's metadata says it of all its items: ``device``, ``software``, ``batch``, ``stain``, ``body_part``.
        """
        said = self._stated()
        return self.items()[["item"]].assign(assay=self.name, **said) if said else None

    def _stated(self) -> dict[str, Any]:
        return {name: str(self.metadata[name]) for name in MADE if isinstance(self.metadata.get(name), str)}

    def describe(self) -> dict[str, Any]:
        """Return everything the catalog says of this dataset, as one flat dictionary."""
        parameters = {n: p.pattern or f"{len(p.options)} options" for n, p in self.parameters.items()}
        return {
            "name": self.name,
            "reader": self.reader_name,
            "parameters": parameters,
            **self._facts(),
            **self.metadata,
        }

    def _facts(self) -> dict[str, Any]:
        facts = {"bytes": self.size, "integrity": self.integrity or "no checksum; run `integrate catalog lock`"}
        return {name: value for name, value in facts.items() if value is not None}

    @property
    def _asked(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(self.parameters)

    def _item_parameters(self, item: str) -> dict[str, str]:
        return dict(parse_qsl(item, keep_blank_values=True))

    @property
    def _ids(self) -> dict[str, str]:
        return {str(k): str(v) for k, v in (self._spec["kwargs"].get("ids") or {}).items()}

    def _options(self, parameter: Parameter) -> Sequence[str]:
        value = self._context.values.get(parameter.name)
        return parameter.options if value is None else (str(value),)

    def _item_row(self, chosen: Mapping[str, str]) -> dict[str, Any]:
        values = {**self._context.values, **chosen}
        ids = fill_template(self._ids, values, where=f"{self.name}.ids")
        item = urlencode(chosen, quote_via=quote)
        return {"item": item, **chosen, **{f"id:{namespace}": value for namespace, value in ids.items()}}

    def _values(self, given: Mapping[str, object]) -> dict[str, Any]:
        where = f"{self._context.catalog}/{self.name}"
        parameters = self.parameters
        for name in given:
            if name not in parameters:
                raise ParameterError(f"{where} has no parameter {name!r}; {closest(name, parameters)}")
        values = dict(self._context.values)
        for name, parameter in parameters.items():
            value = given.get(name, values.get(name))
            if value is None:
                raise ParameterError(f"{where} needs {name}=...; {parameter.choices()}")
            values[name] = parameter.check(value, where=where)
        return values

    def _make(self, qualified: str, kwargs: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        where = f"{self._context.catalog}/{self.name}"
        located = confine_arguments(kwargs, self._context.roots, where=where)
        verify: dict[str, Any] = dict(located.get("verify") or {})
        if not {"hash", "manifest"} & set(verify) and isinstance(located.get("url"), str):
            locked = self._context.locked_hash(located["url"])
            if locked is not None:
                located["verify"] = {**verify, "hash": f"sha256:{locked}"}
        metadata = {
            **self.metadata,
            "catalog": self._context.catalog,
            "entry": self.name,
            "parameters": dict(parameters),
        }
        url = str(located.get("url", "")).split("/")
        for namespace, source_id in (located.get("ids") or {}).items():
            names = [name.rpartition(".")[0] or name for name in url]
            note_names(self._context.metadata.get("study"), namespace, [(name, source_id) for name in names])
        reader = _reader_class(qualified)(metadata=metadata, **located)
        reader.cache, reader.roots = self._context.cache, self._context.roots
        return reader

    def __repr__(self) -> str:
        asks = ", ".join(f"{name}=…" for name in self._asked)
        return f"<Entry {self.name!r}: {self.modality} · {self.reader_name}({asks}) · {self.description}>"

    def _repr_html_(self) -> str:
        from integrate.catalog.listing import show_entry

        return show_entry(self, catalog=self._context.catalog, study=self._context.metadata)


def stated_integrity(verify: Mapping[str, Any] | None) -> str:
    """Return what a ``verify`` says of the bytes: ``"sha256"``, ``"bytes"`` or nothing."""
    given = verify or {}
    return "sha256" if "hash" in given or "manifest" in given else "bytes" if "bytes" in given else ""


def _reader_class(named: str) -> Any:
    qualified = qualified_reader(named)  # checked again: the next line imports
    if qualified is None:
        raise UnsafeCatalogError(f"{named!r} is not a registered reader; {closest(named, known_readers())}")
    module, _, name = qualified.partition(":")
    return getattr(import_module(module), name)


def _names_in(value: Any, where: str) -> Sequence[str]:
    if isinstance(value, Mapping):
        return [name for key, item in value.items() if key not in PLAIN_KEYS for name in _names_in(item, where)]
    if isinstance(value, list):
        return [name for item in value for name in _names_in(item, where)]
    return template_names(value, where=where) if isinstance(value, str) else []
