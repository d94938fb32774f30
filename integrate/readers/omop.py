"""OMOP CDM: the tables of a clinical warehouse, with concepts by name and days instead of dates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, ParameterError, SourceNotFoundError, closest, some
from integrate.keys import ATTRS, MISSING_TEXTS
from integrate.readers.base import Reader
from integrate.readers.table import as_numbers, read_text_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Omop"]

PERSON = "person_id"
#: Tables whose first start date per person may be day 0, with the column that holds it.
STARTS: dict[str, str] = {
    "observation_period": "observation_period_start_date",
    "visit_occurrence": "visit_start_date",
    "condition_occurrence": "condition_start_date",
    "drug_exposure": "drug_exposure_start_date",
    "procedure_occurrence": "procedure_date",
    "measurement": "measurement_date",
}


class Omop(Reader):
    r"""Read a table of an OMOP CDM kept as a folder of CSV or Parquet files, or list its tables.

    For a warehouse in one DuckDB or SQLite file, use `SqlTable`.

    Parameters
    ----------
    table
        Name of the table (``"person"``, ``"measurement"`` …). Without it, the tables are listed.
    day_zero
        Table whose first start date of a person is day 0 (``"observation_period"``, ``"visit_occurrence"`` …): date
        columns become whole days since then, named ``…_day``, and the dates are gone.

    Returns
    -------
    DataFrame. Ids (``…_id``) are text. Beside every ``…_concept_id`` stands ``…_concept``, its name in the table
    ``concept`` where the folder has one; concept 0 ("no matching concept") and names that are not there are missing,
    and counted in ``attrs["integrate"]["concepts_without_name"]``. A list of tables has ``table``, ``rows`` and
    ``persons``.

    Raises
    ------
    SourceNotFoundError
        If the folder has no table ``person``.
    ParameterError
        If there is no such table.
    DataError
        If a table is damaged, a person is listed twice, or a row is of no listed person.

    Examples
    --------
    >>> _ = (tmp_path / "person.csv").write_text("person_id,year_of_birth\n007,1950\n")
    >>> _ = (tmp_path / "measurement.csv").write_text("measurement_id,person_id,value_as_number\n1,007,70.5\n")
    >>> Omop(url=tmp_path, table="measurement").read()[["person_id", "value_as_number"]].values.tolist()
    [['007', 70.5]]
    """

    output_instance = "pandas:DataFrame"
    is_folder = True

    def _open(self, path: Path, *, table: str | None = None, day_zero: str | None = None) -> pd.DataFrame:
        files = _files(path)
        if table is None:
            return _listed(files)
        if table not in files:
            raise ParameterError(f"{path.name} has no table {table!r}; {closest(table, files)}")
        if day_zero is not None and day_zero not in STARTS:
            raise ParameterError(f"day_zero={day_zero!r}; {closest(day_zero, STARTS)}")
        made = _read(files[table])
        persons = _read(files["person"])[PERSON]
        repeated = persons[persons.duplicated()]
        if len(repeated):
            raise DataError(f"{len(repeated)} persons are listed twice in {path.name}: {some(repeated)}")
        if PERSON in made:
            strangers = made[PERSON][~made[PERSON].isin(set(persons))].dropna().unique()
            if len(strangers):
                raise DataError(f"{len(strangers)} persons of {table!r} are not in 'person': {some(strangers)}")
        notes: dict[str, Any] = {"table": table, "keys": {PERSON: "omop"} if PERSON in made else {}}
        if day_zero is not None:
            made, notes["days"] = _as_days(made, _zero(files, path, day_zero), day_zero)
        if "concept" in files:
            made, notes["concepts_without_name"] = _named(made, _read(files["concept"]))
        made.attrs[ATTRS] = notes
        return made


def _files(folder: Path) -> dict[str, Path]:
    found = {f.stem.lower(): f for f in sorted(folder.iterdir()) if f.suffix.lower() in (".csv", ".tsv", ".parquet")}
    if "person" not in found:
        held = some(found) or "no CSV or Parquet file"
        raise SourceNotFoundError(f"folder {folder.name!r} has no table 'person' ({held}); it is no OMOP CDM")
    return found


def _listed(files: dict[str, Path]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for name, file in files.items():
        held = _read(file)
        persons = held[PERSON].nunique() if PERSON in held else None
        rows.append({"table": name, "rows": len(held), "persons": persons})
    table = pd.DataFrame(rows)
    table["persons"] = table["persons"].astype("Int64")
    table.attrs[ATTRS] = {"tables": len(rows)}
    return table


def _read(file: Path) -> pd.DataFrame:
    """Return a table with lower-case names, ids as text and numbers as numbers; dates stay text."""
    import pandas as pd

    with file.open("rb") as stream:
        tabbed = b"\t" in stream.readline()  # the vocabularies of OMOP are CSV by name and separated by tabs
    table = read_text_table(file, "\t" if tabbed and file.suffix.lower() != ".parquet" else None, MISSING_TEXTS)
    table.columns = pd.Index([str(name).lower() for name in table.columns])
    for name in table.columns:
        column = table[name]
        if str(name).endswith("_id"):
            table[name] = _id_text(column)
        elif column.dtype == object and not str(name).endswith(("_date", "_datetime", "_value", "_name", "_code")):
            numbers = as_numbers(column)
            if numbers.notna().eq(column.notna()).all():
                table[name] = numbers
    if PERSON not in table and file.stem.lower() == "person":
        raise DataError(f"{file.name} has no column {PERSON!r}; found {some(table.columns)}")
    return table


def _id_text(column: pd.Series[Any]) -> Any:
    if column.dtype.kind == "f":  # an id with missing values beside it
        column = column.astype("Int64")
    return column.astype(object).where(column.isna(), column.astype(str))


def _zero(files: dict[str, Path], path: Path, table: str) -> pd.Series[Any]:
    """Return the first date of every person in a table."""
    import pandas as pd

    if table not in files:
        raise SourceNotFoundError(f"{path.name} has no table {table!r}, which day_zero= names")
    held = _read(files[table])
    dates = pd.to_datetime(held[STARTS[table]], errors="coerce")
    return dates.groupby(held[PERSON]).min()


def _as_days(table: pd.DataFrame, zero: pd.Series[Any], of: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a table with days since each person's day 0 in the place of dates, and how many have none."""
    import pandas as pd

    kept, unread = {}, {}
    for name in table.columns:
        if not str(name).endswith(("_date", "_datetime")):
            kept[name] = table[name]
            continue
        dates = pd.to_datetime(table[name], errors="coerce")
        start = table[PERSON].map(zero) if PERSON in table else pd.Series(pd.NaT, index=table.index)
        days = (dates.dt.normalize() - start.dt.normalize()).dt.days.astype("Int64")
        new = str(name).replace("_datetime", "_time_day").replace("_date", "_day")
        kept[new] = days
        if lost := int((table[name].notna() & days.isna()).sum()):
            unread[new] = lost
    return pd.DataFrame(kept, index=table.index), {"zero": of, "without_day": unread}


def _named(table: pd.DataFrame, concepts: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    names = dict(zip(concepts["concept_id"], concepts["concept_name"], strict=True))
    made, absent = {}, {}
    for name in table.columns:
        made[name] = table[name]
        if str(name).endswith("_concept_id"):
            new = str(name).removesuffix("_id")
            made[new] = table[name].where(table[name] != "0").map(names)
            if lost := int((table[name].notna() & made[new].isna()).sum()):
                absent[new] = lost
    return table.assign(**{str(k): v for k, v in made.items()})[list(made)], absent
