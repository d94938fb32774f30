"""Matrices in text files: one assay, features × observations or the other way round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from integrate.errors import DataError, ParameterError, closest, some
from integrate.keys import ATTRS, MISSING_TEXTS
from integrate.readers.base import Reader
from integrate.readers.table import as_numbers, read_text_table

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

__all__ = ["Matrix"]

#: Name given to a nameless first column, as R writes row names.
ROW_NAMES = "row names"


class Matrix(Reader):
    r"""Read a numeric matrix from a CSV, TSV or Parquet file, as R, GEO and cBioPortal write them.

    Parameters
    ----------
    keys
        ``{"obs_names": namespace}``: how the observations spell ids.
    rows
        What a row of the file is: ``"features"`` (genes × samples, the usual way) or ``"observations"``.
    names
        Column that names the rows; by default the first one, which may have no name.
    beside
        Further columns that are not values; with ``rows="features"`` they describe features and are kept in ``var``.
    missing, separator
        As for `Table`.

    Returns
    -------
    AnnData, observations × features, float64; missing is NaN. ``uns["integrate"]["keys"]`` holds the keys.

    Raises
    ------
    DataError
        If a value is not a number, or a feature or an observation is named twice or not at all.
    ParameterError
        If ``rows`` or ``keys`` has no meaning.

    Examples
    --------
    >>> _ = (tmp_path / "rna.csv").write_text("gene,S1,S2\nEGFR,1.5,2\nTP53,NA,0.1\n")
    >>> Matrix(url=tmp_path / "rna.csv", keys={"obs_names": "sample"}).read().to_df()["TP53"].to_dict()
    {'S1': nan, 'S2': 0.1}
    """

    output_instance = "anndata:AnnData"

    def _open(
        self,
        path: Path,
        *,
        keys: Mapping[str, str] | None = None,
        rows: str = "features",
        names: str | None = None,
        beside: Sequence[str] = (),
        missing: Sequence[str] = MISSING_TEXTS,
        separator: str | None = None,
    ) -> ad.AnnData:
        import anndata as ad
        import pandas as pd

        if rows not in ("features", "observations"):
            raise ParameterError(f"rows={rows!r}; write 'features' or 'observations'")
        if set(keys or {}) - {"obs_names"}:
            raise ParameterError(f"keys={dict(keys or {})}; a matrix has one key, obs_names")
        raw = read_text_table(path, separator, missing, row_names=ROW_NAMES)
        first = names or str(raw.columns[0])
        absent = [column for column in (first, *beside) if column not in raw]
        if absent:
            raise DataError(f"{path.name} has no column {absent[0]!r}; {closest(absent[0], raw.columns)}")
        index = _unique_names(raw[first], path, "rows")
        described = raw[list(beside)].set_axis(index)
        values = _numbers(raw.drop(columns=[first, *beside]), path).set_axis(index)
        columns = pd.DataFrame(index=pd.Index(values.columns.astype(str), dtype=object))
        parts = {"obs": columns, "var": described} if rows == "features" else {"obs": described, "var": columns}
        matrix = values.to_numpy().T if rows == "features" else values.to_numpy()
        return ad.AnnData(matrix.copy(), **parts, uns={ATTRS: {"keys": dict(keys or {})}})


def _unique_names(column: pd.Series[str], path: Path, what: str) -> pd.Index[str]:
    import pandas as pd

    if column.isna().any():
        raise DataError(f"{int(column.isna().sum())} {what} of {path.name} have no name in column {column.name!r}")
    repeated = column[column.duplicated()].unique()
    if len(repeated):
        raise DataError(f"{len(repeated)} {what} of {path.name} have the same name: {some(repeated)}; name each once")
    return pd.Index(column.astype(str), dtype=object, name=None)


def _numbers(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the table as float64.

    Raises
    ------
    DataError
        Naming the columns that hold something else.
    """
    numbers = table.apply(as_numbers).astype("float64")
    wrong = (numbers.isna() & table.notna()).any()
    if wrong.any():
        column = wrong.index[wrong][0]
        found = table[column][numbers[column].isna() & table[column].notna()].unique()
        raise DataError(
            f"{int(wrong.sum())} columns of {path.name} hold text where numbers belong, e.g. {some(found)} in "
            f"{column!r}; name columns that are no values in beside="
        )
    return numbers
