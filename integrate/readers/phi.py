"""What of a dataset may tell who somebody is: places to look at, never the values themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, IntegrateError
from integrate.readers.base import Reader
from integrate.readers.deidentify import SHOWS_TEXT, identifying
from integrate.readers.dicom_files import read_header

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["find_phi"]

#: Words in the name of a column that usually tell who someone is.
NAMES = re.compile(
    r"(^|[^a-z])(surname|forename|first_?name|last_?name|family_?name|patient_?name|full_?name|birth|dob|address|street|"
    r"zip|postcode|phone|mobile|fax|e?mail|ssn|mrn|nhs|insurance|passport|ip_?address)([^a-z]|$)",
    re.IGNORECASE,
)
#: Values that usually do, by what they are called in the list.
VALUES: dict[str, re.Pattern[str]] = {
    "date": re.compile(r"(19|20)\d\d-\d\d-\d\d([ T].*)?|\d{1,2}[./]\d{1,2}[./](19|20)\d\d"),
    "e-mail address": re.compile(r"[^@\s]+@[^@\s]+\.[a-z]{2,}", re.IGNORECASE),
    "telephone number": re.compile(r"\+?\d[\d ()/-]{8,}\d"),
}
#: Texts longer than this are free text, in which anything may stand.
FREE_TEXT = 60
#: Rows of a table that are looked at.
LOOKED_AT = 2000


def find_phi(catalog: Any) -> pd.DataFrame:
    """List what in the datasets of a catalog may tell who somebody is.

    Parameters
    ----------
    catalog
        What `open_catalog` returns.

    Returns
    -------
    DataFrame, a row per finding: ``dataset``, ``item``, ``kind`` (``"DICOM element"``, ``"burned-in text"``, ``"slide
    label"``, ``"column name"``, ``"date"``, ``"e-mail address"``, ``"telephone number"``, ``"free text"``, ``"not
    looked at"``), ``where`` (element, picture or column) and ``count`` (files or values). Values are never listed. An
    empty table is no promise: names inside pixels and in columns of another name are not found.

    Examples
    --------
    >>> ig.find_phi(ig.datasets.toy_catalog()).empty
    True
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for name, entry in catalog.items():
        try:
            items = [str(item) for item in entry.items()["item"]]
        except IntegrateError as error:
            rows.append(_row("not looked at", type(error).__name__, 1) | {"dataset": name, "item": ""})
            continue
        for item in items:
            try:
                found = list(_of_reader(entry.item_reader(item)))
            except IntegrateError as error:
                found = [_row("not looked at", type(error).__name__, 1)]
            rows += [{"dataset": name, "item": item, **one} for one in found]
    return pd.DataFrame(rows, columns=["dataset", "item", "kind", "where", "count"])


def _row(kind: str, where: str, count: int) -> dict[str, Any]:
    return {"kind": kind, "where": where, "count": count}


def _of_reader(reader: Reader) -> Iterator[dict[str, Any]]:
    output = str(reader.output_instance)
    if type(reader).__name__.startswith("Dicom") or type(reader).__name__ in ("RtDose", "RtStruct"):
        yield from _of_dicom(reader.local_path())
    elif type(reader).__name__ in ("Slide", "WholeSlide", "OpenSlide"):
        yield from _of_slide(reader)
    elif output == "pandas:DataFrame" and type(reader).__name__ not in ("Plate", "OmeZarrPlate"):
        yield from _of_table(reader.read())


def _of_dicom(path: Path) -> Iterator[dict[str, Any]]:
    """Count the identifying elements over the files of a folder."""
    counts: dict[tuple[str, str], int] = {}
    for file in sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]:
        try:
            header = read_header(file).header
        except DataError:
            continue
        told = [("DICOM element", element) for element in identifying(header)]
        burned = str(header.get("BurnedInAnnotation", "")).upper()
        modality = str(header.get("Modality", ""))
        if burned == "YES" or (burned != "NO" and modality in SHOWS_TEXT):
            told.append(("burned-in text", f"{modality}, BurnedInAnnotation {burned or 'not stated'}"))
        for one in told:
            counts[one] = counts.get(one, 0) + 1
    for (kind, where), count in sorted(counts.items()):
        yield _row(kind, where, count)


def _of_slide(reader: Reader) -> Iterator[dict[str, Any]]:
    notes = reader.read().attrs["integrate"]
    for name in notes.get("associated") or ():
        if name in ("label", "macro", "overview"):
            yield _row("slide label", str(name), 1)


def _of_table(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    notes = table.attrs.get("integrate", {})
    marked = set(notes.get("identifiers") or ())
    ids = set(notes.get("keys") or {})
    for name in table.columns:
        text = str(name)
        if text in marked or NAMES.search(text):
            yield _row("column name", text, int(table[name].notna().sum()))
            continue
        if table[name].dtype.kind == "M":
            yield _row("date", text, int(table[name].notna().sum()))
        if table[name].dtype != object or text in ids:
            continue
        values = table[name].dropna().astype(str).head(LOOKED_AT)
        for kind, pattern in VALUES.items():
            if count := int(values.str.fullmatch(pattern).sum()):
                yield _row(kind, text, count)
        if count := int((values.str.len() > FREE_TEXT).sum()):
            yield _row("free text", text, count)
