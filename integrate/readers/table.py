"""Tables of clinical and other variables, read by a codebook that says what each column is."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from integrate.errors import DataError, ParameterError, closest, some
from integrate.keys import ATTRS, MISSING_TEXTS
from integrate.readers.base import Reader
from integrate.readers.table_files import STATISTICS, WORKBOOKS, code_text, read_statistics, read_workbook

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Table"]

SEPARATORS: dict[str, str] = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


class Table(Reader):
    r"""Read a table (CSV, TSV, Parquet, Excel, SPSS, SAS, Stata), with ids as text and every declared column checked.

    A text table may be the only file of a zip. Labels, descriptions and missing codes that an SPSS, SAS or Stata file
    brings are its codebook; what the catalog says of a column goes before.

    Parameters
    ----------
    keys
        Column to the namespace of its ids.
    columns
        The codebook: column to ``dtype``, ``levels``, ``labels`` (code to text), ``ordered``, ``unit``, ``min``,
        ``max``, ``missing`` (codes that mean "missing" in this column, e.g. ``[-9, 999]``), ``description``.
    missing
        Texts that mean "missing".
    separator
        One sign; by default that of the file's suffix.
    row_names
        Name for a first column without one, as R writes its row names.
    sheet
        Sheet of a workbook; needed when it has several.

    Returns
    -------
    DataFrame. Columns named by ``keys`` are text (leading zeros kept). A column with ``levels`` or ``labels`` is
    categorical in that order, one with ``dtype`` has it; any other is number where every value is one and none has a
    spare leading zero, and text otherwise. Days of workbooks and statistics files are text (``2020-01-31``). Missing
    is NaN/NA.
    ``attrs["integrate"]`` holds the codebook, the keys and ``missing_codes`` (how many values were codes, by column).

    Raises
    ------
    DataError
        Listing every fault at once: a declared column that is absent, a value outside its levels or below its minimum,
        text in a number column.

    Examples
    --------
    >>> _ = (tmp_path / "a.csv").write_text("patient,age,stage\n007,61,II\n008,NA,I\n")
    >>> age = {"dtype": "float", "unit": "a"}
    >>> table = Table(url=tmp_path / "a.csv", keys={"patient": "hospital"}, columns={"age": age}).read()
    >>> table["patient"].tolist(), table["age"].tolist()
    (['007', '008'], [61.0, nan])
    """

    output_instance = "pandas:DataFrame"

    def _open(
        self,
        path: Path,
        *,
        keys: Mapping[str, str] | None = None,
        columns: Mapping[str, Mapping[str, Any]] | None = None,
        missing: Sequence[str] = MISSING_TEXTS,
        separator: str | None = None,
        row_names: str | None = None,
        sheet: str | None = None,
    ) -> pd.DataFrame:
        raw, told, coded = _stored(path, keys or {}, missing, separator, row_names, sheet)
        codebook = _merged(told, columns or {})
        for name, spec in codebook.items():
            if spec.get("missing") and name in raw:
                raw[name], found = _without_codes(raw[name], spec["missing"])
                coded |= {name: coded.get(name, 0) + found} if found else {}
        problems = [
            f"column {name!r} is declared but not in the table; {closest(name, raw.columns)}"
            for name in [*(keys or {}), *codebook]
            if name not in raw
        ]
        converted = {}
        for name in raw.columns:
            if name in (keys or {}):
                converted[name], faults = as_text(raw[name])
                problems += faults
            else:
                converted[name], faults = _convert(raw[name], codebook.get(name, {}))
                problems += faults
        if problems:
            raise DataError(f"{path.name} has {len(problems)} faults:\n  " + "\n  ".join(problems))
        import pandas as pd

        table = pd.DataFrame(converted, index=raw.index)
        table.attrs[ATTRS] = {"columns": codebook, "keys": dict(keys or {}), "missing_codes": coded}
        return table


def _stored(
    path: Path,
    keys: Mapping[str, str],
    missing: Sequence[str],
    separator: str | None,
    row_names: str | None,
    sheet: str | None,
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]], dict[str, int]]:
    """Return the table, and the codebook and counts of missing codes that its file brings."""
    suffix = path.suffix.lower()
    if suffix in WORKBOOKS:
        return read_workbook(path, sheet, missing), {}, {}
    if sheet is not None:
        raise ParameterError(f"{path.name} is no workbook and has no sheets; leave sheet={sheet!r} out")
    if suffix in STATISTICS:
        return read_statistics(path, list(keys), missing)
    return read_text_table(path, separator, missing, row_names=row_names), {}, {}


def _merged(told: Mapping[str, Any], columns: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the codebook of the file under that of the catalog; levels of the catalog take the place of labels."""
    merged = {name: dict(spec) for name, spec in told.items()}
    for name, spec in columns.items():
        own = dict(spec or {})
        kept = {k: v for k, v in merged.get(str(name), {}).items() if k != "labels" or "levels" not in own}
        merged[str(name)] = {**kept, **own}
    return merged


def read_text_table(
    path: Path, separator: str | None, missing: Sequence[str], *, row_names: str | None = None
) -> pd.DataFrame:
    """Return a table as its file holds it: text for CSV and TSV (also one alone in a zip), stored types for Parquet.

    `row_names` names a first column that has no name; R writes row names so.

    Raises
    ------
    DataError
        If the file is empty, truncated or not a table, a row has more or fewer fields than there are columns, or two
        columns have one name.
    """
    import pandas as pd

    if path.suffix in (".parquet", ".pq"):
        try:
            table = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise DataError(f"{path.name} is not a readable Parquet file: {error}") from error
        return table if table.index.names == [None] else table.reset_index()
    sep = separator or SEPARATORS.get(Path(path.name.lower().removesuffix(".zip")).suffix)
    if sep is None or len(sep) != 1 or not sep.isascii() or sep in '"\r\n':
        raise DataError(
            f"cannot tell the separator of {path.name!r}; name it .csv or .tsv, or give separator= (one sign of ASCII, "
            "no quote and no line break)"
        )
    header = next(_rows(path, sep), [])
    if header[:1] == [""] and row_names is not None:
        header[0] = row_names
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated or "" in header:  # pandas would invent "age.1" and "Unnamed: 3"
        raise DataError(f"{path.name} has columns without a name or with the same name {repeated}; name each once")
    try:
        table = pd.read_csv(
            path,
            sep=sep,
            dtype=str,
            keep_default_na=False,
            na_values=list(missing),
            encoding="utf-8-sig",
            names=header,
            header=0,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} is not a readable table: {error}") from error
    ragged = not isinstance(table.index, pd.RangeIndex)  # a field too many: pandas takes the first as row names
    if ragged or (len(table) and table.iloc[:, -1].isna().any()):  # or too few: pandas fills with missing
        for number, row in enumerate(_rows(path, sep), start=1):
            if row and len(row) != len(header):
                raise DataError(
                    f"row {number} of {path.name} has {len(row)} fields, the header {len(header)}; the file is cut off "
                    "or a text with the separator is not quoted"
                )
    return table


def _rows(path: Path, separator: str) -> Iterator[list[str]]:
    with _opened(path) as stream:
        try:
            yield from csv.reader(stream, delimiter=separator)
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path.name} is not a readable table: {error}") from error


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """Open a text file, or the only one in a zip."""
    if path.suffix.lower() != ".zip":
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield stream
        return
    try:
        with zipfile.ZipFile(path) as archive:
            held = archive.namelist()
            if len(held) != 1:
                raise DataError(f"{path.name} holds {len(held)} files, expected one table: {some(held)}")
            with archive.open(held[0]) as raw:
                yield io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
    except zipfile.BadZipFile as error:
        raise DataError(f"{path.name} is not a readable zip file: {error}") from error


def _convert(column: pd.Series[Any], spec: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Return the column as its codebook says, and what is wrong with it."""
    import pandas as pd

    name = column.name
    if "labels" in spec:
        return _labelled(column, spec)
    if "levels" in spec:
        levels, codes = [code_text(level) for level in spec["levels"]], _codes(column)
        outside = sorted(set(codes.dropna()) - set(levels))
        faults = [f"column {name!r} has values outside its levels {levels}: {some(outside)}"] if outside else []
        return pd.Categorical(codes, categories=levels, ordered=bool(spec.get("ordered"))), faults
    dtype = str(spec.get("dtype", ""))
    if dtype in ("str", "string"):
        return as_text(column)
    if dtype == "bool":
        return _as_boolean(column)
    if dtype and not dtype.lower().startswith(("int", "float", "number")):
        return column, [f"column {name!r} is declared {dtype!r}; known: str, bool, int, float"]
    if dtype and column.dtype.kind in "mM":
        return column, [f"column {name!r} should be {dtype}, found dates; give days since the index event"]
    if not dtype and (column.dtype.kind in "mM" or _has_leading_zeros(column)):
        return as_text(column)  # as numbers, dates would be nanoseconds, and codes lose their zeros
    numbers = as_numbers(column)
    wrong = column[numbers.isna() & column.notna()]
    if len(wrong) and not dtype:
        return column.astype(object), []
    faults = [f"column {name!r} should be {dtype or 'number'}, found {some(wrong.unique())}"] if len(wrong) else []
    if "min" in spec and (numbers < spec["min"]).any():
        faults.append(f"column {name!r} has values below {spec['min']}: {some(numbers[numbers < spec['min']])}")
    if "max" in spec and (numbers > spec["max"]).any():
        faults.append(f"column {name!r} has values above {spec['max']}: {some(numbers[numbers > spec['max']])}")
    if dtype.startswith(("int", "Int")) and not len(wrong):
        if (numbers.dropna() % 1 != 0).any():
            faults.append(f"column {name!r} should be whole numbers, found {some(numbers[numbers % 1 != 0])}")
        else:
            numbers = numbers.astype("Int64")
    return numbers, faults


def _labelled(column: pd.Series[Any], spec: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Return a column of codes as the texts they stand for."""
    import pandas as pd

    labels = {str(code): str(text) for code, text in spec["labels"].items()}
    codes = _codes(column)
    outside = sorted(set(codes.dropna()) - set(labels))
    faults = [f"column {column.name!r} has codes without a label: {some(outside)}; known {labels}"] if outside else []
    levels = list(dict.fromkeys(labels.values()))
    return pd.Categorical(codes.map(labels), categories=levels, ordered=bool(spec.get("ordered"))), faults


def _codes(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return the values as the texts of codes."""
    return (
        column.astype(object).where(column.notna(), None).map(lambda value: None if value is None else code_text(value))
    )


def _without_codes(column: pd.Series[Any], codes: Sequence[Any]) -> tuple[pd.Series[Any], int]:
    """Return a column whose missing codes are missing, and how many there were."""
    coded = _codes(column).isin([str(code) for code in codes])
    return column.mask(coded), int(coded.sum())


def as_numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column as numbers to the last digit (pandas alone is not); missing where it holds something else."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce")
    if column.dtype == object and numbers.dtype.kind == "f":
        numbers = numbers.mask(numbers.notna(), column.where(numbers.notna()).astype("float64"))
    return numbers


def as_text(column: pd.Series[Any]) -> tuple[Any, list[str]]:
    """Return a column as text with missing values missing; numbers that passed through floating point are refused."""
    if column.dtype.kind == "f" and column.notna().any():
        return column, [f"column {column.name!r} holds text stored as floating-point numbers; store it as text"]
    text = column.astype(object)
    return text.where(column.isna(), text.astype(str)), []


def _has_leading_zeros(column: pd.Series[Any]) -> bool:
    return column.dtype == object and bool(column.dropna().astype(str).str.match(r"0\d").any())


def _as_boolean(column: pd.Series[Any]) -> tuple[Any, list[str]]:
    words = {"0": False, "1": True, "false": False, "true": True, "no": False, "yes": True}
    lowered = column.dropna().astype(str).str.strip().str.lower()
    wrong = sorted(set(lowered) - set(words))
    faults = [f"column {column.name!r} should be 0/1, true/false or yes/no, found {some(wrong)}"] if wrong else []
    values = lowered.map(words).astype("boolean")
    return values.reindex(column.index), faults
