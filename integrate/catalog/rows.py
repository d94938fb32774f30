"""The rows of an asset table, asked column by column, so that a million of them open in a second."""

from __future__ import annotations

import copy
import csv
import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, DatasetNotFoundError, closest, some

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["AssetRows", "RowKeys"]

#: Cells looked at together.
PIECE = 100_000
SEPARATORS: dict[str, str] = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
#: Up to here an unknown key is compared with every known one by Python; above, by DuckDB.
FEW_KEYS = 2_000


class AssetRows:
    """Rows of a CSV or Parquet table in which every cell is text, restricted to those that ``where`` selects.

    A CSV table is parsed once; of a Parquet table only the columns that are asked for are read.

    Parameters
    ----------
    path
        The table.
    key
        Column whose value names a row.
    where
        Column to the value, or list of values, that a row must have.

    Raises
    ------
    DataError
        If the file is not a table, has no such column, or a key repeats or is missing.
    """

    def __init__(self, path: Path, *, key: str, where: Mapping[str, Any] | None = None) -> None:
        self._path, self._stamp = path, _stamp(path)
        self._source = _open_source(str(path), *self._stamp)
        self._columns: dict[str, pa.ChunkedArray] = {}
        self.name = path.name
        self.key = key
        self._selected = self._select(where or {})

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return self._source.columns

    def __len__(self) -> int:
        return self._source.length if self._selected is None else len(self._selected)

    def is_current(self) -> bool:
        """Return whether the file is still the one that was read."""
        return self._path.exists() and _stamp(self._path) == self._stamp

    def column(self, name: str) -> pa.ChunkedArray:
        """Return one column as text, missing where the cell is empty.

        Raises
        ------
        DataError
            If there is no such column; the closest names are given.
        """
        if name not in self._columns:
            whole = self._source.column(name)
            self._columns[name] = whole if self._selected is None else whole.take(self._selected)
        return self._columns[name]

    def look_through(self, name: str, test: Callable[[Any], Any]) -> pa.ChunkedArray:
        """Return what a test says of each cell of a column, which is looked at in pieces and not kept."""
        import pyarrow as pa

        if name in self._columns:
            return test(self._columns[name])
        told = [test(piece) for piece in self._source.pieces(name)]
        flat = [part for one in told for part in (one.chunks if isinstance(one, pa.ChunkedArray) else [one])]
        whole = pa.chunked_array(flat, pa.bool_())
        return whole if self._selected is None else whole.take(self._selected)

    def subset(self, indices: Any) -> AssetRows:
        """Return only the rows with these numbers, in the order given."""
        import pyarrow as pa

        left = copy.copy(self)
        left._columns = {}
        left.__dict__.pop("_index", None)
        chosen = pa.array(indices, pa.uint64()) if isinstance(indices, list) else indices
        left._selected = chosen if self._selected is None else self._selected.take(chosen)
        return left

    def keys(self) -> RowKeys:
        """Return the keys in the order of the table, as a sequence that is not built."""
        return RowKeys(self)

    def row(self, key: str) -> Mapping[str, Any]:
        """Return one row by its key; cells are read when they are asked for.

        Raises
        ------
        DatasetNotFoundError
            If no row has this key; the closest keys are given.
        """
        index = self.find(key)
        if index is None:
            raise DatasetNotFoundError(f"no {self.key} {key!r}; {self.nearest(key)}")
        return _Row(self, index)

    def find(self, key: str) -> int | None:
        """Return the number of the row with this key, or ``None``."""
        import numpy as np

        order, hashes = self._index
        wanted = _hashes(np.array([key], object))[0]
        start = int(np.searchsorted(hashes, wanted))
        keys = self.column(self.key)
        while start < len(hashes) and hashes[start] == wanted:  # a hash may be shared; the text decides
            if keys[int(order[start])].as_py() == key:
                return int(order[start])
            start += 1
        return None

    def nearest(self, key: str) -> str:
        """Return the keys closest to one that is not there, for a message."""
        keys = self.column(self.key)
        if len(keys) <= FEW_KEYS:
            return closest(key, keys.to_pylist())
        import duckdb
        import pyarrow as pa

        with duckdb.connect() as connection:
            connection.register("rows", pa.table({"key": keys}))
            ask = "SELECT key FROM rows ORDER BY damerau_levenshtein(key, ?), key LIMIT 3"
            near = [row[0] for row in connection.execute(ask, [key]).fetchall()]
        return "closest: " + ", ".join(map(repr, near))

    def filled(self, template: str) -> pa.ChunkedArray:
        """Return a template with ``<column>`` filled for every row; missing where a cell is."""
        import pyarrow as pa
        import pyarrow.compute as pc

        from integrate.catalog.templates import split_row_template

        pieces = [
            self.column(text) if is_column else pa.scalar(text)
            for text, is_column in split_row_template(template)
            if text
        ]
        if not any(is_column for _, is_column in split_row_template(template)):
            return pa.chunked_array([pa.array([template] * len(self), pa.string())])
        return pc.binary_join_element_wise(*pieces, "") if len(pieces) > 1 else pieces[0]

    @cached_property
    def _index(self) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers sorted by the hash of their key, and those hashes; found to be unique."""
        import numpy as np
        import pyarrow.compute as pc

        keys = self.column(self.key)
        if keys.null_count:
            raise DataError(f"{keys.null_count} rows of {self.name} have no {self.key}, which names an item; fill it")
        hashes = np.concatenate([_hashes(part.to_numpy(zero_copy_only=False)) for part in _parts(keys)])
        order = np.argsort(hashes)
        hashes = hashes[order]
        same = np.flatnonzero(hashes[1:] == hashes[:-1])
        if len(same):
            suspects = keys.take(np.union1d(order[same], order[same + 1]))
            repeated = [one["values"] for one in pc.value_counts(suspects).to_pylist() if one["counts"] > 1]
            if repeated:
                raise DataError(f"{self.key} repeats in the asset table: {some(repeated)}")
        return order, hashes

    def check_keys(self) -> None:
        """Check that every row has a key of its own.

        Raises
        ------
        DataError
            Naming the keys that repeat.
        """
        _ = self._index

    def _select(self, where: Mapping[str, Any]) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        keep: Any = None
        for name, value in where.items():
            wanted = [str(one) for one in (value if isinstance(value, list) else [value])]
            matches = pc.is_in(self._source.column(name), value_set=pa.array(wanted, pa.string()))
            keep = matches if keep is None else pc.and_(keep, matches)
        if keep is None or pc.all(keep).as_py():
            return None
        return pc.indices_nonzero(keep)


class RowKeys(Sequence[str]):
    """The keys of an asset table as a sequence of text: known by length, membership and position without a list."""

    def __init__(self, rows: AssetRows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        picked = self._rows.column(self._rows.key)[index]
        return tuple(picked.to_pylist()) if isinstance(index, slice) else picked.as_py()

    def __iter__(self) -> Iterator[str]:
        for chunk in self._rows.column(self._rows.key).iterchunks():
            yield from chunk.to_pylist()

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._rows.find(key) is not None

    def __repr__(self) -> str:
        return f"<{len(self):,} keys: {some(self[:5])}{' …' if len(self) > 5 else ''}>"


class _Row(Mapping[str, Any]):
    def __init__(self, rows: AssetRows, index: int) -> None:
        self._rows, self._at = rows, index

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return self._rows.column(name)[self._at].as_py()

    def __contains__(self, name: object) -> bool:
        return name in self._rows.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows.columns)

    def __len__(self) -> int:
        return len(self._rows.columns)


class _Source:
    """One table file: which columns it has, and each as text."""

    def __init__(self, path: str, columns: list[str], length: int, whole: pa.Table | None) -> None:
        self.path, self.columns, self.length, self._whole = path, columns, length, whole

    def column(self, name: str) -> pa.ChunkedArray:
        if name not in self.columns:
            raise DataError(f"{Path(self.path).name} has no column {name!r}; {closest(name, self.columns)}")
        if self._whole is not None:
            return self._whole[name]
        import pyarrow.parquet as pq

        return _as_text(pq.read_table(self.path, columns=[name], partitioning=None)[name], name, Path(self.path).name)

    def pieces(self, name: str) -> Iterator[Any]:
        """Yield a column in pieces, so that a file's is never in memory whole."""
        if self._whole is not None:
            yield self._whole[name]
            return
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(self.path).iter_batches(PIECE, columns=[name]):
            yield _as_text(batch.column(0), name, Path(self.path).name)


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=4)
def _open_source(path: str, _changed: int, _size: int) -> _Source:
    """Return the table at a path; the same one until the file changes."""
    import pyarrow as pa

    file = Path(path)
    try:
        return _open_parquet(path) if file.suffix in (".parquet", ".pq") else _open_text(file)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file.name} is not a readable asset table: {error}") from error


def _open_parquet(path: str) -> _Source:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        names = [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]
        return _Source(path, names, file.metadata.num_rows, None)


def _open_text(file: Path) -> _Source:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    separator = SEPARATORS.get(file.suffix.lower())
    if separator is None:
        raise DataError(f"cannot tell the separator of {file.name!r}; name it .csv, .tsv or .parquet")
    with file.open(encoding="utf-8-sig", newline="") as stream:
        header = next(csv.reader(stream, delimiter=separator), [])
    if not header or "" in header or len(set(header)) != len(header):
        raise DataError(f"{file.name}: every column of an asset table needs a name of its own; found {some(header)}")
    table = arrow_csv.read_csv(
        file,
        parse_options=arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=_has_quotes(file)),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), null_values=[""], strings_can_be_null=True
        ),
    )
    return _Source(str(file), header, len(table), table)


def _has_quotes(file: Path) -> bool:
    """Return whether a text table quotes anything; only then may a cell hold a line break, which is slower to parse."""
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b'"') >= 0


def _as_text(column: pa.ChunkedArray, name: str, where: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type) and column.null_count < len(column):
        raise DataError(f"{where}: column {name!r} holds text stored as floating-point numbers; store it as text")
    if pa.types.is_boolean(column.type):
        return pc.if_else(column, "True", "False")
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"{where}: column {name!r} is {column.type}, which is not text; store it as text") from error


def _parts(column: pa.ChunkedArray) -> Iterator[pa.Array]:
    """Yield short pieces of a column: a million Python texts at once would take 70 MB."""
    for start in range(0, max(len(column), 1), 50_000):
        yield column.slice(start, 50_000).combine_chunks()


def _hashes(keys: Any) -> np.ndarray:
    """Return a 64-bit hash of every text, the same in any call and any process."""
    import pandas as pd

    return pd.util.hash_array(keys, categorize=False)
