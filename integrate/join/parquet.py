"""A Parquet table larger than memory: its files, columns and batches of rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integrate.errors import DataError, ParameterError, SourceNotFoundError, closest, some
from integrate.keys import ID_COLUMNS, INSTANCE_ID
from integrate.model.provenance import hash_file, hash_settings

__all__ = ["ParquetTable", "column_numbers", "column_places"]

#: Rows in memory at a time; a million of 30 columns are 240 MB.
BATCH_ROWS = 1 << 20
#: Files together up to this size are hashed; larger ones are named by size and time of change.
HASH_UP_TO_BYTES = 64_000_000
MEMORY_LIMIT = "2GB"
#: Stands for a value that no row can have.
NO_PLACE = -(2**63)


@dataclass(frozen=True)
class ParquetTable:
    """Parquet files of one table.

    Parameters
    ----------
    files
        Paths, in the order in which their rows count.
    schema
        Arrow schema of the first; the others have the same columns.
    rows
        Rows of all.
    hash
        What changes when the files change.
    """

    files: tuple[str, ...]
    schema: Any
    rows: int
    hash: str

    @classmethod
    def open(cls, path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> ParquetTable:
        """Return the table of a file, of a folder's files in the order of their names, or of a list of these.

        Raises
        ------
        SourceNotFoundError
            If there is no Parquet file.
        DataError
            If a file cannot be read, or has other columns than the first.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        given = [path] if isinstance(path, str | os.PathLike) else list(path)
        files = [file for one in given for file in _files(Path(one))]
        try:
            footers = [(pq.read_schema(file), pq.read_metadata(file)) for file in files]
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"not a readable Parquet file: {error}") from error
        schema = footers[0][0]
        for file, (other, _) in zip(files, footers, strict=True):
            if set(other.names) != set(schema.names):
                differ = set(other.names) ^ set(schema.names)
                raise DataError(f"{file.name} and {files[0].name} have different columns: {some(sorted(differ))}")
        rows = sum(metadata.num_rows for _, metadata in footers)
        return cls(tuple(map(str, files)), schema, rows, _fingerprint(files))

    @property
    def name(self) -> str:
        """What to call the table in messages."""
        return Path(self.files[0]).name if len(self.files) == 1 else f"{len(self.files)} Parquet files"

    @property
    def ids(self) -> list[str]:
        """The id columns of the table."""
        return [column for column in ID_COLUMNS if column in self.schema.names]

    @property
    def numeric(self) -> list[str]:
        """The columns that hold numbers and are not ids."""
        import pyarrow.types as kinds

        skipped = {*self.ids, INSTANCE_ID}
        return [
            f.name
            for f in self.schema
            if f.name not in skipped and (kinds.is_floating(f.type) or kinds.is_integer(f.type))
        ]

    def check(self, columns: Sequence[str]) -> None:
        """Raise unless all columns are there."""
        for column in columns:
            if column not in self.schema.names:
                raise ParameterError(f"{self.name} has no column {column!r}; {closest(column, self.schema.names)}")

    def batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """Yield record batches in the order of the files; text comes dictionary-encoded."""
        import pyarrow.parquet as pq

        text = [name for name in columns if str(self.schema.field(name).type) in ("string", "large_string")]
        for file in self.files:
            with pq.ParquetFile(file, read_dictionary=text) as opened:
                yield from opened.iter_batches(BATCH_ROWS, columns=list(dict.fromkeys(columns)))

    def different(self, column: str) -> list[Any]:
        """Return the different values of a column, in order."""
        name = '"' + column.replace('"', '""') + '"'
        found = self._query(f"SELECT DISTINCT {name} FROM {{files}} WHERE {name} IS NOT NULL ORDER BY 1")
        return [value for (value,) in found]

    def combinations(self) -> list[tuple[Any, ...]]:
        """Return the different combinations of ids, each followed by the number of its rows."""
        return self._query(f"SELECT {', '.join(self.ids)}, count(*) FROM {{files}} GROUP BY ALL ORDER BY ALL")

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return what DuckDB finds as Python's values; in a data frame a missing id would turn 7 into 7.0."""
        import duckdb

        with duckdb.connect(config={"memory_limit": MEMORY_LIMIT}) as connection:
            connection.execute("SET enable_progress_bar = false; SET preserve_insertion_order = false")
            sql = sql.replace("{files}", "read_parquet($files)")
            return connection.execute(sql, {"files": list(self.files)}).fetchall()


def column_numbers(column: Any) -> Any:
    """Return an Arrow column as float32, where it is that, or float64; NaN is missing."""
    import numpy as np
    import pyarrow as pa

    kind = column.type if column.type == pa.float32() else pa.float64()
    values = column.cast(kind, safe=False).to_numpy(zero_copy_only=False)
    return values.astype(np.float32 if kind == pa.float32() else np.float64, copy=False)


def column_places(column: Any, places: Callable[[Any], int | None]) -> Any:
    """Return for each row of an Arrow column the number that `places` gives its value.

    Parameters
    ----------
    column
        Values, dictionary-encoded or not.
    places
        Gives the number of a value, or nothing for one that no row can have: a dictionary may hold such values. Asked
        once for each different value and for ``None``, which is a missing one.

    Raises
    ------
    DataError
        If a row has a value without a number: the files changed while they were read.
    """
    import numpy as np

    encoded = column if hasattr(column, "indices") else column.dictionary_encode()
    numbers = [places(value) for value in (*encoded.dictionary.to_pylist(), None)]
    known = np.array([NO_PLACE if number is None else number for number in numbers], dtype=np.int64)
    indices = encoded.indices.cast("int64").fill_null(len(known) - 1)
    found = known[indices.to_numpy(zero_copy_only=False)]
    if (known == NO_PLACE).any() and (found == NO_PLACE).any():
        raise DataError("the Parquet files changed while they were read; read them again")
    return found


def _files(path: Path) -> list[Path]:
    found = sorted(path.glob("*.parquet")) if path.is_dir() else [path] if path.is_file() else []
    if not found:
        raise SourceNotFoundError(f"no Parquet file at {str(path)!r}")
    return found


def _fingerprint(files: Sequence[Path]) -> str:
    stats = [(file.name, file.stat()) for file in files]
    if sum(stat.st_size for _, stat in stats) <= HASH_UP_TO_BYTES:
        return hash_settings([hash_file(file) for file in files])
    return hash_settings([[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats])
