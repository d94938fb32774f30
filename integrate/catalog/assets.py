"""A dataset of many files: one row of an asset table per file or series."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from integrate.catalog.context import Context
from integrate.catalog.entry import Entry, stated_integrity
from integrate.catalog.parameter import Parameter
from integrate.catalog.registry import short_name
from integrate.catalog.rows import AssetRows
from integrate.catalog.safety import is_remote, is_url_key
from integrate.catalog.templates import fill_row, fill_template
from integrate.errors import CatalogError, DataError, ParameterError, some
from integrate.model.acquisition import MADE

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AssetEntry"]


class AssetEntry(Entry):
    """A dataset whose items are rows of an asset table (CSV or Parquet).

    The entry's kwargs say where the table is (``url``), which rows are its own (``where``), which column names an item
    (``key``) and how a row is opened (``item``: a reader and its arguments, with ``<column>`` filled from the row and
    locations relative to the table's folder). Nothing is listed until it is asked for: a million rows open in a second.
    """

    _opened: AssetRows | None = None
    _narrowed = False
    #: Keys left by a search, so that a narrowed dataset can be sent to another process.
    _kept: tuple[str, ...] | None = None

    @property
    def reader_name(self) -> str:
        """Short name of the reader of one row."""
        return short_name(str((self._spec["kwargs"].get("item") or {}).get("reader", "")))

    @property
    def rows(self) -> AssetRows:
        """The rows of this dataset, every cell text.

        Raises
        ------
        CatalogError
            If the table has no such column, or two rows have one key.
        """
        if self._opened is None:
            path = self._table_reader().fetch()
            try:
                rows = AssetRows(path, key=self._key, where=self._filled.get("where"))
                rows.check_keys()
            except DataError as error:
                raise CatalogError(f"{self.name}: {error}") from error
            self._opened = rows if self._kept is None else rows.subset([rows.find(key) for key in self._kept])
        return self._opened

    @property
    def parameters(self) -> dict[str, Parameter]:
        """One parameter: the key column, with every item as an option."""
        return {self._key: Parameter(self._key, "item of the asset table", self.rows.keys())}

    def belongs_to(self, context: Context) -> bool:
        """Return whether this entry was made for the same roots, parameters and table, unchanged since."""
        return self._context == context and (self._opened is None or self._opened.is_current())

    def count(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    @property
    def id_namespaces(self) -> tuple[str, ...]:
        """Namespaces of the ids that the catalog gives every row."""
        return tuple(self._spec["kwargs"]["item"].get("ids") or {})

    def id_column(self, namespace: str) -> Any:
        """Return the ids of one namespace as an Arrow array, one per row."""
        filled = self.rows.filled(str(self._spec["kwargs"]["item"]["ids"][namespace]))
        return filled.combine_chunks() if hasattr(filled, "combine_chunks") else filled

    def narrow(self, keep: Any) -> AssetEntry:
        """Return the same dataset with only the rows at which an Arrow array of booleans is true."""
        import pyarrow.compute as pc

        left = copy.copy(self)
        left._opened = self.rows.subset(pc.indices_nonzero(keep))
        left._narrowed = True
        return left

    @property
    def names_patient(self) -> bool:
        """Whether the ids include the one that a DICOM file's PatientID must be."""
        return self._spec["kwargs"]["item"].get("patient_namespace", "dicom_patient") in self.id_namespaces

    @property
    def integrity(self) -> str:
        """What the table says of the bytes of its rows."""
        stated = stated_integrity(self._spec["kwargs"].get("item", {}).get("verify"))
        return stated or ("lock" if self._context.is_locked else "")

    def sources(self) -> Iterator[Path]:
        """Yield the local path of the asset table and of every row."""
        yield self._table_reader().local_path()
        yield from super().sources()

    @property
    def table_location(self) -> str:
        """Where the asset table is: an absolute path, or a url."""
        return str(self._table_reader().kwargs["url"])

    @property
    def size(self) -> int | None:
        """Bytes of all rows, from the column ``bytes``; ``None`` without one or where a cell is empty."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if "bytes" not in self.rows.columns or self.rows.column("bytes").null_count or not len(self.rows):
            return None
        try:
            return int(pc.sum(self.rows.column("bytes").cast(pa.int64())).as_py())
        except pa.ArrowInvalid as error:
            raise CatalogError(f"{self.name}: column 'bytes' of the asset table is not whole numbers") from error

    def items(self) -> pd.DataFrame:
        """Return one row per file: ``item``, the declared ids as ``id:<namespace>``, and ``day`` if declared."""
        import pandas as pd

        template = self._spec["kwargs"]["item"]
        filled = {f"id:{ns}": text for ns, text in (template.get("ids") or {}).items()}
        if "day" in template:
            filled["day"] = template["day"]
        columns = {"item": self.rows.column(self._key)}
        for name, text in filled.items():
            try:
                columns[name] = self.rows.filled(str(text))
            except DataError as error:
                raise CatalogError(f"{self.name}: {error}") from error
        return self._noted(pd.DataFrame({name: column.to_numpy() for name, column in columns.items()}, dtype=object))

    def _stated(self) -> dict[str, Any]:
        """Return what is said of how each item was made; columns of the table count before the metadata."""
        held = {name: self.rows.column(name).to_numpy() for name in MADE if name in self.rows.columns}
        return {**super()._stated(), **held}

    def reader(self, **parameters: str) -> Any:
        """Return the reader of one row, named by the key column."""
        for name in parameters:
            if name != self._key:
                raise ParameterError(f"{self.name} has no parameter {name!r}; it asks for {self._key}=...")
        keys = self.rows.keys()
        if self._key not in parameters:
            raise ParameterError(f"{self.name} needs {self._key}=...; {len(keys)} options: {some(keys[:5])}")
        item = Parameter(self._key).check(parameters[self._key], where=self.name)
        if item not in keys:
            raise ParameterError(f"{self.name}: no {self._key} {item!r}; {self.rows.nearest(item)}")
        kwargs = fill_row(self._filled["item"], self.rows.row(item), where=self.name)
        kwargs.pop("day", None)
        reader = kwargs.pop("reader")
        folder = str(self._filled["url"]).rpartition("/")[0]
        located = {k: self._beside(folder, v) if is_url_key(k) else v for k, v in kwargs.items()}
        return self._make(str(reader), located, parameters)

    def describe(self) -> dict[str, Any]:
        """Return everything the catalog says of this dataset, as one flat dictionary."""
        parameters = {self._key: "one row of the asset table"}
        return {
            "name": self.name,
            "reader": self.reader_name,
            "parameters": parameters,
            **self._facts(),
            **self.metadata,
        }

    @property
    def _asked(self) -> tuple[str, ...]:
        return (self._key,)

    def _item_parameters(self, item: str) -> dict[str, str]:
        return {self._key: item}

    def _table_reader(self) -> Any:
        kwargs = self._filled
        source = {name: kwargs[name] for name in ("url", "mirrors", "storage_options", "verify") if name in kwargs}
        return self._make(str(self._spec["reader"]), source, {})

    @property
    def _key(self) -> str:
        return str(self._spec["kwargs"].get("key", "acquisition_id"))

    @property
    def _filled(self) -> Mapping[str, Any]:
        filled: Mapping[str, Any] = fill_template(self._spec["kwargs"], self._context.values, where=self.name)
        return filled

    @staticmethod
    def _beside(folder: str, path: Any) -> Any:
        if isinstance(path, list):
            return [AssetEntry._beside(folder, one) for one in path]
        return path if is_remote(path) or PurePosixPath(path).is_absolute() else f"{folder}/{path}"

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name != "_opened"}
        return {**state, "_kept": tuple(self.rows.keys())} if self._narrowed else state
