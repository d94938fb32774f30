"""Asset tables: one row per file or series, read as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.readers.base import Reader
from integrate.readers.table import read_text_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AssetTable"]


class AssetTable(Reader):
    """Read an asset table; our catalogs open each of its rows as an item.

    Returns
    -------
    DataFrame, every column text, missing cells missing. Plain Intake gives this table too, restricted to the rows
    that ``where`` selects.
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
        for column, value in (where or {}).items():
            table = table[table[column].isin(value if isinstance(value, list) else [value])]
        return table
