"""A question to the tables of a study, answered by DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integrate.errors import ParameterError
from integrate.model.folder import arrow_schema, table_file

if TYPE_CHECKING:
    import pandas as pd

    from integrate.model.study import Study

__all__ = ["query_study"]

#: The entity tables, by the name they have in a query.
ENTITIES: tuple[str, ...] = (
    "subjects",
    "specimens",
    "visits",
    "acquisitions",
    "regions",
    "assays",
    "sample_map",
    "identifiers",
)


def query_study(study: Study, query: str) -> pd.DataFrame:
    """Return what DuckDB answers; see `Study.sql`.

    Raises
    ------
    ParameterError
        With DuckDB's words, if it cannot answer.
    """
    import duckdb
    import pandas as pd
    import pyarrow as pa

    nullable = {
        pa.int64(): pd.Int64Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        for name in dict.fromkeys((*ENTITIES, *study.tables)):  # an entity hides a dataset of the same name
            if name.casefold() in query.casefold():
                _add_table(connection, study, name)
        try:
            found = connection.sql(query)
            answer: pd.DataFrame = found.to_arrow_table().to_pandas(types_mapper=nullable.get)
        except duckdb.Error as error:
            raise ParameterError(f"the study cannot answer: {error}") from error
    return answer


def _add_table(connection: Any, study: Study, name: str) -> None:
    """Make a table known by its name: the file of a study on disk, else what is in memory."""
    import pyarrow as pa

    if study.folder is not None:
        file = study.folder / f"{name}.parquet" if name in ENTITIES else table_file(study.folder, name)
        connection.execute(f"CREATE VIEW {_quoted(name)} AS SELECT * FROM read_parquet({_text(str(file))})")
        return
    frame = getattr(study, name) if name in ENTITIES else study.tables[name]
    frame = frame if frame.index.name is None else frame.reset_index()
    connection.register(name, pa.Table.from_pandas(frame, schema=arrow_schema(frame), preserve_index=False))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
