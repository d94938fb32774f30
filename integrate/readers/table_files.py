"""Stored tables: workbooks and the files of statistics programs, with the codebook that these bring along."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, MissingDependencyError, ParameterError, closest, some

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STATISTICS", "WORKBOOKS", "code_text", "read_statistics", "read_workbook"]

WORKBOOKS: tuple[str, ...] = (".xlsx", ".xlsm")
#: Suffix of a statistics program's file, to the function of pyreadstat that reads it.
STATISTICS: dict[str, str] = {
    ".sav": "read_sav",
    ".zsav": "read_sav",
    ".por": "read_por",
    ".xpt": "read_xport",
    ".sas7bdat": "read_sas7bdat",
    ".dta": "read_dta",
}
#: What a spreadsheet shows where a formula failed; ``#N/A`` is the one that people write to say "missing".
FAILED: tuple[str, ...] = ("#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!")


def read_workbook(path: Path, sheet: str | None, missing: Sequence[str]) -> pd.DataFrame:
    """Return one sheet of a workbook as its cells hold it; the first row names the columns.

    Raises
    ------
    DataError
        If the file is no workbook, columns lack a name or share one, a formula failed or was never computed, or there
        are several sheets and none is named.
    ParameterError
        If there is no such sheet.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise MissingDependencyError('reading Excel files needs openpyxl: pip install "integrate[clinical]"') from error
    try:
        with path.open("rb") as stream:
            book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
            name = _sheet(path, book, sheet)
            rows = [list(row) for row in book[name].iter_rows(values_only=True)]
        with path.open("rb") as stream:
            formulas = openpyxl.load_workbook(stream, read_only=True)[name]
            _check_formulas(path, rows, formulas)
    except (zipfile.BadZipFile, OSError, KeyError, ValueError, TypeError, EOFError, SyntaxError) as error:
        if isinstance(error, (DataError, ParameterError)):
            raise
        raise DataError(f"{path.name} is not a readable workbook ({error}); it may be truncated") from error
    return _framed(path, rows, missing)


def read_statistics(
    path: Path, keys: Sequence[str], missing: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]], dict[str, int]]:
    """Return the table of an SPSS, SAS or Stata file, its codebook, and how many values were missing codes by column.

    Raises
    ------
    DataError
        If the file is not readable, or numeric ids have fractions.
    """
    try:
        import pyreadstat
    except ImportError as error:
        raise MissingDependencyError(
            f'reading {path.suffix} files needs pyreadstat: pip install "integrate[clinical]"'
        ) from error
    function = STATISTICS[path.suffix.lower()]
    try:
        read = getattr(pyreadstat, function)
        table, meta = read(path, user_missing=True) if function in ("read_sav", "read_dta") else read(path)
    except (pyreadstat.ReadstatError, OSError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} is not a readable {path.suffix} file ({error}); it may be truncated") from error
    if table.columns.empty:
        raise DataError(f"{path.name} is a {path.suffix} file without columns; it may be truncated")
    if meta.number_rows not in (None, len(table)):
        raise DataError(f"{path.name} holds {len(table)} of the {meta.number_rows} rows that it names; it is cut off")
    codebook, coded = {}, {}
    for column in table.columns:
        table[column], coded[column] = _without_codes(table[column], (meta.missing_ranges or {}).get(column, ()))
        table[column] = _plain(table[column], missing, is_key=column in keys, path=path)
        codebook[str(column)] = _told(table[column], column, meta)
    return table, {name: told for name, told in codebook.items() if told}, {c: n for c, n in coded.items() if n}


def _sheet(path: Path, book: Any, sheet: str | None) -> str:
    names = [str(name) for name in book.sheetnames]
    if sheet is None and len(names) > 1:
        raise DataError(f"{path.name} has {len(names)} sheets: {some(names, limit=12)}; name one with sheet=")
    if sheet is not None and sheet not in names:
        raise ParameterError(f"{path.name} has no sheet {sheet!r}; {closest(sheet, names)}")
    return sheet or names[0]


def _check_formulas(path: Path, rows: Sequence[Sequence[Any]], formulas: Any) -> None:
    """Refuse what a formula did not give: a program that wrote the file without computing leaves the cell empty."""
    wrong = []
    for number, (values, told) in enumerate(zip(rows, formulas.iter_rows(values_only=True), strict=False), start=1):
        for position, (value, formula) in enumerate(zip(values, told, strict=False), start=1):
            if value in FAILED or (value is None and isinstance(formula, str) and formula.startswith("=")):
                wrong.append(f"row {number} column {position}: {value or 'never computed'}")
    if wrong:
        raise DataError(
            f"{path.name} has {len(wrong)} cells whose formula gave nothing: {some(wrong)}; open it in a spreadsheet "
            "program, mend them and save"
        )


def _framed(path: Path, rows: list[list[Any]], missing: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    while rows and all(value is None for value in rows[-1]):
        rows.pop()
    if not rows:
        raise DataError(f"the sheet of {path.name} is empty")
    width = max(i for row in rows for i, value in enumerate(row, start=1) if value is not None)
    names = ["" if value is None else str(value).strip() for value in [*rows[0], *[None] * width][:width]]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or "" in names:
        raise DataError(f"{path.name} has columns without a name or with the same name {repeated}; name each once")
    padded = [[*row, *[None] * width][:width] for row in rows[1:]]
    table = pd.DataFrame(padded, columns=names, dtype=object)
    for name in names:
        table[name] = _plain(table[name], [*missing, "#N/A"])
    return table


def _plain(column: pd.Series[Any], missing: Sequence[str], *, is_key: bool = False, path: Path | None = None) -> Any:
    """Return a column with missing texts missing, days as ISO text, and whole-number ids as whole numbers."""
    import pandas as pd

    if column.dtype.kind == "f":
        if not is_key:
            return column
        if (column.dropna() % 1 != 0).any() or (column.abs() >= 2**53).any():
            raise DataError(
                f"ids {column.name!r} of {path.name if path else ''} are numbers with fractions; store text"
            )
        return column.astype("Int64")
    if column.dtype != object:
        return column
    absent = column.isna() | column.isin(list(missing))
    column = column.where(~absent, None)
    kinds = {type(value) for value in column[~absent]}
    if kinds <= {bool} and kinds:
        return column.astype("boolean")
    if any(issubclass(kind, (datetime.date, datetime.time)) for kind in kinds):
        return column.map(_iso)
    if str in kinds and len(kinds) > 1:
        return column.map(lambda value: value if pd.isna(value) else str(value))
    return column.astype(object).where(~absent, float("nan"))


def _iso(value: Any) -> Any:
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        value = value.date()
    return value.isoformat() if hasattr(value, "isoformat") else value


def _without_codes(column: pd.Series[Any], ranges: Sequence[Any]) -> tuple[pd.Series[Any], int]:
    """Return a column whose declared missing codes are missing, and how many there were."""
    coded = column.isna() & False
    for one in ranges:
        low, high = (one["lo"], one["hi"]) if isinstance(one, Mapping) else (one, one)
        coded |= (column >= low) & (column <= high) if column.dtype.kind == "f" else column == low
    return column.mask(coded), int(coded.sum())


def _told(column: pd.Series[Any], name: str, meta: Any) -> dict[str, Any]:
    """Return what the file says of a column, in the words of our codebook."""
    told: dict[str, Any] = {}
    if label := (meta.column_names_to_labels or {}).get(name):
        told["description"] = str(label)
    labels = {code_text(code): str(text) for code, text in (meta.variable_value_labels or {}).get(name, {}).items()}
    if labels and set(column.dropna().map(code_text)) <= set(labels) and len(set(labels.values())) == len(labels):
        told["labels"] = labels
        told["ordered"] = (meta.variable_measure or {}).get(name) == "ordinal"
    elif labels:
        told["some_labels"] = labels
    return told


def code_text(value: Any) -> str:
    """Return a value as the text of a code: ``1`` for 1, 1.0 and "1"."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
