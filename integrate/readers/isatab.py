"""ISA-Tab: the investigation, study and assay tables that describe who was sampled and measured how."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, SourceNotFoundError, some
from integrate.keys import ATTRS
from integrate.readers.base import Reader

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["IsaTab", "IsaTables"]

#: Title of the section that begins a study; titles of its other sections begin with the same word.
STUDY = "STUDY"
#: The last sections of every study; without them the file is cut off.
CLOSING = ("STUDY ASSAYS", "STUDY PROTOCOLS", "STUDY CONTACTS")


@dataclass(frozen=True)
class IsaTables:
    """The tables of one ISA-Tab folder.

    Parameters
    ----------
    investigation
        Section (``"INVESTIGATION"``, ``"STUDY FACTORS"`` …) to a table with a row per entry and a column per field. The
        first column of a study's sections, ``study``, is the file name of that study.
    studies, assays
        File name to its table: a row per path through the experiment, every cell text, empty cells missing. Columns
        that repeat, as ISA-Tab's ``Unit`` and ``Protocol REF`` do, are numbered ``.1``, ``.2`` …;
        ``attrs["integrate"]["columns"]`` has the names as written.
    attrs
        Our notes.
    """

    investigation: dict[str, pd.DataFrame]
    studies: dict[str, pd.DataFrame]
    assays: dict[str, pd.DataFrame]
    attrs: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        sizes = {**self.studies, **self.assays}
        listed = ", ".join(f"{name} {table.shape[0]}×{table.shape[1]}" for name, table in sizes.items())
        return f"<IsaTables: {len(self.studies)} studies, {len(self.assays)} assays; {listed}>"


class IsaTab(Reader):
    r"""Read the investigation file of an ISA-Tab folder, and the study and assay tables it names.

    Returns
    -------
    `IsaTables`.

    Raises
    ------
    SourceNotFoundError
        If the investigation file, or a table it names, is absent.
    DataError
        If there are several investigation files, or a table is empty, ragged or not text.

    Examples
    --------
    >>> told = "STUDY\nStudy Identifier\tS1\nStudy File Name\ts_one.txt\n"
    >>> told += "STUDY FACTORS\nStudy Factor Name\nSTUDY ASSAYS\nStudy Assay File Name\ta_rna.txt\n"
    >>> told += "STUDY PROTOCOLS\nStudy Protocol Name\tgrowth\nSTUDY CONTACTS\nStudy Person Last Name\n"
    >>> _ = (tmp_path / "i_one.txt").write_text(told)
    >>> _ = (tmp_path / "s_one.txt").write_text("Source Name\tProtocol REF\tSample Name\n007\tgrowth\t007-1\n")
    >>> _ = (tmp_path / "a_rna.txt").write_text("Sample Name\tRaw Data File\n007-1\tx.fastq\n")
    >>> IsaTab(url=tmp_path).read()
    <IsaTables: 1 studies, 1 assays; s_one.txt 1×3, a_rna.txt 1×2>
    """

    output_instance = "integrate.readers.isatab:IsaTables"
    is_folder = True

    def _open(self, path: Path) -> IsaTables:
        found = sorted(path.glob("i_*.txt"))
        if len(found) != 1:
            problem = f"{len(found)} investigation files: {some(file.name for file in found)}"
            fault = DataError if found else SourceNotFoundError
            raise fault(
                f"folder {path.name!r} has {problem if found else 'no investigation file'}; expected one i_*.txt"
            )
        investigation = _read_investigation(found[0])
        studies = _named(investigation, STUDY, "Study File Name")
        assays = _named(investigation, "STUDY ASSAYS", "Study Assay File Name")
        if not studies:
            raise DataError(f"{found[0].name} names no study file; give each study its Study File Name")
        absent = [name for name in [*studies, *assays] if not (path / Path(name).name).is_file()]
        if absent:
            raise SourceNotFoundError(f"{found[0].name} names {len(absent)} tables that are not there: {some(absent)}")
        return IsaTables(
            investigation,
            {name: _read_table(path / Path(name).name) for name in studies},
            {name: _read_table(path / Path(name).name) for name in assays},
        )


def _read_investigation(file: Path) -> dict[str, pd.DataFrame]:
    """Return the sections as tables; the file has a row per field and a column per entry."""
    import pandas as pd

    found = _sections(file)
    sections: dict[str, list[pd.DataFrame]] = {}
    titles = Counter(section for section, _, _ in found)
    short = [title for title in CLOSING if titles[title] < titles[STUDY]]
    if short or not titles[STUDY]:
        problem = f"lacks the sections {some(short)}" if titles[STUDY] else "describes no study"
        raise DataError(f"{file.name} {problem}; it is cut off or no ISA-Tab investigation")
    for section, study, fields in found:
        length = max((len(values) for values in fields.values()), default=0)
        table = pd.DataFrame({name: [*values, *[""] * (length - len(values))] for name, values in fields.items()})
        table = table[(table != "").any(axis=1)]
        if section.startswith(STUDY):
            table.insert(0, "study", study)
        sections.setdefault(section, []).append(table)
    return {section: pd.concat(tables, ignore_index=True) for section, tables in sections.items()}


def _sections(file: Path) -> list[tuple[str, str, dict[str, list[str]]]]:
    """Return ``(section, study file, field to values)`` in the order of the file."""
    found: list[tuple[str, str, dict[str, list[str]]]] = []
    study = ""
    for number, row in enumerate(_rows(file), start=1):
        if not any(row) or row[0].startswith("#"):
            continue
        label, values = row[0].strip(), [value.strip() for value in row[1:]]
        if label.isupper() and not any(values):
            study = "" if label == STUDY else study
            found.append((label, study, {}))
            continue
        if not found:
            raise DataError(
                f"row {number} of {file.name} is {label[:40]!r}; an ISA-Tab file begins with a section title"
            )
        section, _, fields = found[-1]
        while values and values[-1] == "":
            values.pop()
        fields[label] = values
        if section == STUDY and label == "Study File Name" and values:
            study = values[0]
            found[-1] = (section, study, fields)
    return found


def _named(investigation: dict[str, pd.DataFrame], section: str, column: str) -> list[str]:
    table = investigation.get(section)
    if table is None or column not in table:
        return []
    return list(dict.fromkeys(str(name) for name in table[column] if name))


def _read_table(file: Path) -> pd.DataFrame:
    import pandas as pd

    rows = [(number, row) for number, row in enumerate(_rows(file), start=1) if any(row) and not row[0].startswith("#")]
    if not rows:
        raise DataError(f"{file.name} is empty; expected a row of column names")
    header = [name.strip() for name in rows.pop(0)[1]]
    while header[-1] == "":
        header.pop()
    for number, row in rows:
        if len(row) < len(header) or any(row[len(header) :]):
            found = f"row {number} of {file.name} has {len(row)} fields, the header {len(header)}"
            raise DataError(f"{found}; the file is cut off or a text with a tab is not quoted")
    seen: dict[str, int] = {}
    names = []
    for name in header:
        names.append(f"{name}.{seen[name]}" if name in seen else name)
        seen[name] = seen.get(name, 0) + 1
    table = pd.DataFrame([row[: len(header)] for _, row in rows], columns=names, dtype=object)
    table = table.mask(table == "")
    table.attrs[ATTRS] = {"columns": header}
    return table


def _rows(file: Path) -> list[list[str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.reader(stream, delimiter="\t"))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file.name} is not a readable ISA-Tab file ({error}); save it as UTF-8 text") from error
