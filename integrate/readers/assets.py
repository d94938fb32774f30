"""Asset tables: one row per file or series, read as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, closest
from integrate.readers.base import Reader
from integrate.readers.table import as_text, read_text_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AssetTable"]


class AssetTable(Reader):
    r"""Read an asset table; our catalogs open each of its rows as an item.

    Returns
    -------
    DataFrame, every column text, missing cells missing. Plain Intake gives this table too, restricted to the rows
    that ``where`` selects.

    Raises
    ------
    DataError
        If the file is not a table, or has no column that ``where`` names.

    Examples
    --------
    >>> _ = (tmp_path / "assets.csv").write_text("scan,path,modality\n01,a.tif,IF\n02,b.svs,SM\n")
    >>> AssetTable(url=tmp_path / "assets.csv", where={"modality": "SM"}).read()["scan"].tolist()
    ['02']
    """

    output_instance = "pandas:DataFrame"

    def _open(
        self,
        path: Path,
        *,
        where: Mapping[str, Any] | None = None,
        key: str | None = None,
        item: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        table = read_text_table(path, None, [""])
        problems = []
        for name in table.columns:
            table[name], faults = as_text(table[name])
            problems += faults
        if problems:
            raise DataError(f"{path.name} has {len(problems)} faults:\n  " + "\n  ".join(problems))
        for column, value in (where or {}).items():
            if column not in table:
                raise DataError(f"{path.name} has no column {column!r} to select rows by; {closest(column, table)}")
            wanted = [str(one) for one in (value if isinstance(value, list) else [value])]
            table = table[table[column].isin(wanted)]
        return table
