"""A dataset of many files: one row of an asset table per file or series."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from integrate.catalog.entry import Entry, Parameter
from integrate.catalog.registry import short_name
from integrate.catalog.safety import is_remote, is_url_key
from integrate.catalog.templates import fill_row, fill_template
from integrate.errors import CatalogError, ParameterError, closest, some

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AssetEntry"]


class AssetEntry(Entry):
    """A dataset whose items are rows of an asset table (CSV or Parquet).

    The entry's kwargs say where the table is (``url``), which rows are its own (``where``), which column names an item
    (``key``) and how a row is opened (``item``: a reader and its arguments, with ``<column>`` filled from the row and
    locations relative to the table's folder).
    """

    @property
    def reader_name(self) -> str:
        """Short name of the reader of one row."""
        return short_name(str((self._spec["kwargs"].get("item") or {}).get("reader", "")))

    @cached_property
    def table(self) -> pd.DataFrame:
        """The rows of this dataset, all text, index the key column."""
        kwargs = self._filled
        frame = self._make(str(self._spec["reader"]), {"url": kwargs["url"]}, {}).read()
        where, key = kwargs.get("where") or {}, self._key
        for column in (key, *where):
            if column not in frame:
                raise CatalogError(f"{self.name}: the asset table has no column {column!r}; {closest(column, frame)}")
        for column, value in where.items():
            frame = frame[frame[column].isin([str(v) for v in value] if isinstance(value, list) else [str(value)])]
        repeated = frame[key][frame[key].duplicated()]
        if len(repeated):
            raise CatalogError(f"{self.name}: {key} repeats in the asset table: {some(repeated.unique())}")
        return frame.astype(object).where(frame.notna(), None).set_index(key, drop=False)

    @property
    def parameters(self) -> dict[str, Parameter]:
        """One parameter: the key column, with every item as an option."""
        return {self._key: Parameter(self._key, "item of the asset table", tuple(map(str, self.table.index)))}

    def items(self) -> pd.DataFrame:
        """Return one row per file: ``item``, the declared ids as ``id:<namespace>``, and ``day`` if declared."""
        import pandas as pd

        template = self._spec["kwargs"]["item"]
        filled = {f"id:{ns}": text for ns, text in (template.get("ids") or {}).items()}
        if "day" in template:
            filled["day"] = template["day"]
        rows = [{"item": str(row[self._key]), **fill_row(filled, row, where=self.name)} for row in self._records()]
        return pd.DataFrame(rows, columns=["item", *filled], dtype=object)

    def reader(self, **parameters: str) -> Any:
        """Return the reader of one row, named by the key column."""
        for name in parameters:
            if name != self._key:
                raise ParameterError(f"{self.name} has no parameter {name!r}; it asks for {self._key}=...")
        if self._key not in parameters:
            raise ParameterError(
                f"{self.name} needs {self._key}=...; {len(self.table)} options: {some(self.table.index)}"
            )
        item = self.parameters[self._key].check(parameters[self._key], where=self.name)
        kwargs = fill_row(self._filled["item"], dict(self.table.loc[item]), where=self.name)
        kwargs.pop("day", None)
        reader = kwargs.pop("reader")
        folder = str(PurePosixPath(self._filled["url"]).parent)
        located = {k: self._beside(folder, v) if is_url_key(k) else v for k, v in kwargs.items()}
        return self._make(str(reader), located, parameters)

    def _item_parameters(self, item: str) -> dict[str, str]:
        return {self._key: item}

    def _records(self) -> list[dict[str, Any]]:
        columns = [str(column) for column in self.table.columns]
        return [dict(zip(columns, row, strict=True)) for row in self.table.itertuples(index=False, name=None)]

    @property
    def _key(self) -> str:
        return str(self._spec["kwargs"].get("key", "acquisition_id"))

    @property
    def _filled(self) -> Mapping[str, Any]:
        filled: Mapping[str, Any] = fill_template(self._spec["kwargs"], self._context.values, where=self.name)
        return filled

    @staticmethod
    def _beside(folder: str, path: str) -> str:
        return path if is_remote(path) or PurePosixPath(path).is_absolute() else f"{folder}/{path}"
