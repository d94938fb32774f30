"""REDCap exports: the records of a project, read by the project's own data dictionary."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, SourceNotFoundError, some
from integrate.keys import ATTRS, MISSING_TEXTS
from integrate.readers.base import Reader
from integrate.readers.table import Table, read_text_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RedCap"]

#: Columns of a data dictionary that say what a variable is.
FIELD, FORM, KIND, LABEL = "Variable / Field Name", "Form Name", "Field Type", "Field Label"
CHOICES, VALIDATION = "Choices, Calculations, OR Slider Labels", "Text Validation Type OR Show Slider Number"
LEAST, MOST, IDENTIFIER = "Text Validation Min", "Text Validation Max", "Identifier?"
#: What REDCap adds to the columns of the dictionary.
ADDED: tuple[str, ...] = (
    "redcap_event_name",
    "redcap_repeat_instrument",
    "redcap_repeat_instance",
    "redcap_data_access_group",
    "redcap_survey_identifier",
)
COMPLETE = {"0": "Incomplete", "1": "Unverified", "2": "Complete"}
YES = {"yesno": {"1": "Yes", "0": "No"}, "truefalse": {"1": "True", "0": "False"}}


class RedCap(Reader):
    r"""Read the records of a REDCap project from a folder with its CSV export (raw or labels) and its data dictionary.

    Parameters
    ----------
    keys
        Column to the namespace of its ids; the record id of the project is always text.
    missing
        Missing data codes of the project, as exported (``["-99", "UNK"]``).
    form
        Instrument to read; by default all of them.

    Returns
    -------
    DataFrame, a row per record, event and repeat as exported. Choices are categories in the order of the dictionary,
    numbers are numbers, dates stay text, every box of a checkbox is a nullable boolean. ``attrs["integrate"]`` has the
    codebook (``columns``: description, form, labels, minimum, maximum), ``record_id``, ``identifiers`` (columns the
    project marks as identifying) and ``missing_codes``.

    Raises
    ------
    SourceNotFoundError
        If the folder has no export or no dictionary.
    DataError
        If one is damaged, a column is not in the dictionary, or a value is not one that it allows.

    Examples
    --------
    >>> import csv
    >>> told = ["Variable / Field Name", "Form Name", "Field Type", "Field Label"]
    >>> told += ["Choices, Calculations, OR Slider Labels", "Text Validation Type OR Show Slider Number"]
    >>> told += ["Text Validation Min", "Text Validation Max", "Identifier?"]
    >>> fields = [["record_id", "base", "text", "Record", *[""] * 5]]
    >>> fields += [["sex", "base", "radio", "Sex", "1, Female | 2, Male", *[""] * 4]]
    >>> with (tmp_path / "a_DataDictionary.csv").open("w", newline="") as stream:
    ...     csv.writer(stream).writerows([told, *fields])
    >>> _ = (tmp_path / "a_DATA.csv").write_text("record_id,sex,base_complete\n001,1,2\n002,2,0\n")
    >>> RedCap(url=tmp_path).read().values.tolist()
    [['001', 'Female', 'Complete'], ['002', 'Male', 'Incomplete']]
    """

    output_instance = "pandas:DataFrame"
    is_folder = True

    def _open(
        self,
        path: Path,
        *,
        keys: Mapping[str, str] | None = None,
        missing: Sequence[str] = (),
        form: str | None = None,
    ) -> pd.DataFrame:
        dictionary_file, records_file = _files(path)
        dictionary = _dictionary(dictionary_file)
        raw = read_text_table(records_file, ",", MISSING_TEXTS)
        codebook, unknown = {}, []
        for name in raw.columns:
            told = _told(str(name), dictionary, raw[name].dropna())
            codebook[str(name)] = told or {}
            if told is None:
                unknown.append(name)
        if unknown:
            raise DataError(f"{len(unknown)} columns of {records_file.name} are not in the dictionary: {some(unknown)}")
        forms = sorted({row[FORM] for row in dictionary.values()})
        if form is not None and form not in forms:
            raise DataError(f"{path.name} has no form {form!r}; it has {some(forms, limit=20)}")
        record = next(iter(dictionary))
        for told in codebook.values():
            told["missing"] = list(missing)
        text = {record: "redcap", **(keys or {})}
        table = Table(url=str(records_file))._open(records_file, keys=text, columns=codebook)
        kept = [
            name for name in map(str, table) if form in (None, codebook[name].get("form")) or name in (record, *ADDED)
        ]
        opened: pd.DataFrame = table[kept]
        opened.attrs[ATTRS] = {
            "columns": {name: codebook[name] for name in kept},
            "keys": dict(keys or {}),
            "record_id": record,
            "identifiers": [name for name in kept if codebook[name].get("identifier")],
            "missing_codes": table.attrs[ATTRS]["missing_codes"],
        }
        return opened


def _files(folder: Path) -> tuple[Path, Path]:
    found = [file for file in sorted(folder.glob("*.csv")) if not file.name.startswith(".")]
    dictionaries = [file for file in found if re.search(r"data_?dictionary", file.name, re.IGNORECASE)]
    records = [file for file in found if file not in dictionaries]
    if len(dictionaries) != 1 or len(records) != 1:
        raise SourceNotFoundError(
            f"folder {folder.name!r} has {len(records)} exports and {len(dictionaries)} files *DataDictionary*.csv "
            f"({some(file.name for file in found) or 'no CSV file'}); expected one of each"
        )
    return dictionaries[0], records[0]


def _dictionary(file: Path) -> dict[str, dict[str, str]]:
    """Return the rows of a data dictionary by variable, in its order."""
    table = read_text_table(file, ",", ("",)).fillna("")
    absent = [name for name in (FIELD, FORM, KIND, LABEL, CHOICES, VALIDATION) if name not in table]
    if absent or table.empty:
        raise DataError(f"{file.name} is no data dictionary; it has no {some(absent) or 'rows'}")
    rows = {str(row[FIELD]): {str(k): str(v) for k, v in row.items()} for row in table.to_dict("records")}
    if len(rows) < len(table):
        raise DataError(f"{file.name} names {len(table) - len(rows)} variables twice")
    return rows


def _told(column: str, dictionary: Mapping[str, Mapping[str, str]], values: Any) -> dict[str, Any] | None:
    """Return what the dictionary says of an exported column, ``None`` when it knows no such column."""
    if column in ADDED:
        return {"description": column.removeprefix("redcap_").replace("_", " "), "dtype": "str"}
    field, _, box = column.partition("___")
    row = dictionary.get(field)
    if row is None:
        form = column.removesuffix("_complete")
        known = column.endswith("_complete") and form in {one[FORM] for one in dictionary.values()}
        return {"form": form, **_coded(COMPLETE, values)} if known else None
    told: dict[str, Any] = {"description": re.sub(r"<[^>]+>", "", row[LABEL]).strip(), "form": row[FORM]}
    if row.get(IDENTIFIER, "").lower() == "y":
        told["identifier"] = True
    kind = row[KIND]
    if box:
        boxes = {re.sub(r"\W", "_", code.lower()): text for code, text in _choices(row[CHOICES]).items()}
        if kind != "checkbox" or box not in boxes:
            return None
        said = {"0": "Unchecked", "1": "Checked"}
        return {**told, "option": boxes[box], **(_coded(said, values) if set(values) <= set(said.values()) else _BOX)}
    if kind in ("dropdown", "radio"):
        return {**told, **_coded(_choices(row[CHOICES]), values)}
    if kind in YES:
        return {**told, **_coded(YES[kind], values)}
    return {**told, **_number(row)}


_BOX: dict[str, Any] = {"dtype": "bool"}


def _choices(text: str) -> dict[str, str]:
    pairs = (part.split(",", 1) for part in text.split("|") if "," in part)
    return {code.strip(): re.sub(r"<[^>]+>", "", label).strip() for code, label in pairs}


def _coded(choices: Mapping[str, str], values: Any) -> dict[str, Any]:
    """Return codes with their labels, or labels alone where the export is one of labels."""
    found = set(values)
    if found and found <= set(choices.values()) and not found <= set(choices):
        return {"levels": list(dict.fromkeys(choices.values()))}
    return {"labels": dict(choices)}


def _number(row: Mapping[str, str]) -> dict[str, Any]:
    kind, validation = row[KIND], row[VALIDATION]
    whole = validation == "integer" or kind == "slider"
    if not whole and not validation.startswith("number") and kind != "calc":
        return {"dtype": "str"}
    told: dict[str, Any] = {"dtype": "int" if whole else "float"}
    for name, word in ((LEAST, "min"), (MOST, "max")):
        if re.fullmatch(r"-?\d+(\.\d+)?", row.get(name, "")):
            told[word] = float(row[name])
    return told
