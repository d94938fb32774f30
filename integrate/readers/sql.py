"""Tables of SQL databases: DuckDB and SQLite files, and PostgreSQL by address; read only."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, MissingDependencyError, ParameterError, SourceNotFoundError, closest
from integrate.keys import ATTRS
from integrate.readers.base import Reader
from integrate.readers.table import as_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SqlTable", "read_database", "table_names"]

SERVERS: tuple[str, ...] = ("postgresql://", "postgres://")
LISTED = "select table_schema || '.' || table_name from information_schema.tables where table_schema not in ({})"


class SqlTable(Reader):
    """Read a table or view of a database: a DuckDB or SQLite file, or a PostgreSQL server by its address.

    An address holds no password (``postgresql://user@host/database``): the server's own means give it (``PGPASSWORD``,
    ``~/.pgpass``). Databases are opened to read only; no extension is loaded and no other file can be reached.

    Parameters
    ----------
    table
        Name of a table or view, with its schema where it needs one (``"public.patients"``).
    columns
        Columns to read; all by default.
    keys
        Column to the namespace of its ids.

    Returns
    -------
    DataFrame with the types of the database; columns named by ``keys`` are text, missing is NaN/NA.

    Raises
    ------
    ParameterError
        If there is no such table or column.
    DataError
        If the file is no database, the server cannot be reached, or the address holds a password.

    Examples
    --------
    >>> import sqlite3
    >>> with sqlite3.connect(tmp_path / "a.db") as connection:
    ...     _ = connection.executescript(
    ...         "CREATE TABLE visit (patient TEXT, weight REAL); INSERT INTO visit VALUES ('007', 70.5)"
    ...     )
    >>> SqlTable(url=tmp_path / "a.db", table="visit", keys={"patient": "hospital"}).read().values.tolist()
    [['007', 70.5]]
    """

    output_instance = "pandas:DataFrame"

    def _open(
        self,
        path: Path,
        *,
        table: str = "",
        columns: Sequence[str] | None = None,
        keys: Mapping[str, str] | None = None,
    ) -> pd.DataFrame:
        return self._made(str(path), table, columns, keys)

    def _fetched(self) -> tuple[Path, dict[str, Any], Callable[[], str | None] | None]:
        """A server has no file: its table is named, and hashed as it was read."""
        address = str(self.kwargs["url"])
        if not address.startswith(SERVERS):
            return super()._fetched()
        _check_address(address)
        origin = {
            "catalog": self.metadata.get("catalog", ""),
            "entry": self.metadata.get("entry", ""),
            "parameters": self.metadata.get("parameters", {}),
            "reader": type(self).__name__,
            "location": re.sub(r"//[^@/]*@", "//", address),
            "sha256": None,
        }
        return Path(address), origin, None

    def _made(self, place: str, table: str, columns: Sequence[str] | None, keys: Mapping[str, str] | None) -> Any:
        address = str(self.kwargs["url"])
        where = address if address.startswith(SERVERS) else place
        names = table_names(where)
        told = "the database" if where == address else Path(place).name
        if table not in names and names.count(f"public.{table}") + names.count(f"main.{table}") != 1:
            raise ParameterError(f"{told} has no table {table!r}; {closest(table, names)}")
        frame = read_database(where, table)
        for wanted in [*(columns or ()), *(keys or {})]:
            if wanted not in frame:
                raise ParameterError(f"table {table!r} has no column {wanted!r}; {closest(wanted, frame.columns)}")
        if columns is not None:
            frame = frame[list(dict.fromkeys([*columns, *(keys or {})]))]
        for key in keys or {}:
            frame[key], faults = as_text(frame[key])
            if faults:
                raise DataError(f"table {table!r} of {told}: {faults[0]}")
        frame.attrs[ATTRS] = {"keys": dict(keys or {}), "table": table}
        return frame


def table_names(place: str) -> list[str]:
    """Return the tables and views of a database, with their schema where the database has several.

    Raises
    ------
    DataError
        If it is no database, or cannot be reached.
    """
    if place.startswith(SERVERS):
        frame = _from_server(place, LISTED.format("'pg_catalog', 'information_schema'"))
    elif _is_sqlite(Path(place)):
        frame = _from_sqlite(Path(place), "select name from sqlite_master where type in ('table', 'view')")
    else:
        frame = _from_duckdb(Path(place), LISTED.format("'information_schema'"))
    return sorted(str(name) for name in frame.iloc[:, 0])


def read_database(place: str, table: str) -> pd.DataFrame:
    """Return a whole table or view of a database whose name was found in it.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))
    query = f"select * from {quoted}"
    if place.startswith(SERVERS):
        return _from_server(place, query)
    return _from_sqlite(Path(place), query) if _is_sqlite(Path(place)) else _from_duckdb(Path(place), query)


def _is_sqlite(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(16) == b"SQLite format 3\0"


def _from_sqlite(file: Path, query: str) -> pd.DataFrame:
    import pandas as pd

    try:
        connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
        try:
            connection.execute("pragma query_only = on")
            cursor = connection.execute(query)
            names = [told[0] for told in cursor.description]
            frame = pd.DataFrame(cursor.fetchall(), columns=names, dtype=object)
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        raise DataError(f"{file.name} is an SQLite file that cannot be read ({error}); it may be truncated") from error
    return frame.infer_objects()


def _from_duckdb(file: Path, query: str) -> pd.DataFrame:
    import duckdb

    if not file.exists():
        raise SourceNotFoundError(f"no database at {file.name!r}")
    try:
        with duckdb.connect(str(file), read_only=True, config={"enable_external_access": False}) as connection:
            return connection.sql(query).df()
    except duckdb.Error as error:
        raise DataError(f"{file.name} is no readable DuckDB or SQLite database ({str(error)[:200]})") from error


def _check_address(address: str) -> None:
    if re.match(r"\w+://[^@/]*:[^@/]*@", address) or "password=" in address:
        raise DataError("an address must not hold a password; give it by PGPASSWORD or ~/.pgpass")


def _from_server(address: str, query: str) -> pd.DataFrame:
    import pandas as pd

    try:
        import psycopg
    except ImportError as error:
        raise MissingDependencyError('reading PostgreSQL needs psycopg: pip install "integrate[clinical]"') from error
    try:
        with psycopg.connect(address, connect_timeout=10) as connection:
            connection.read_only = True
            cursor = connection.execute(query)
            names = [told.name for told in cursor.description or ()]
            return pd.DataFrame(cursor.fetchall(), columns=names, dtype=object).infer_objects()
    except psycopg.Error as error:
        raise DataError(f"the PostgreSQL server cannot serve ({str(error).strip()[:200]})") from error
