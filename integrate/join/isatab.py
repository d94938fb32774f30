"""An ISA-Tab folder as a study: sources are its subjects, samples its specimens, assay runs its acquisitions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from integrate.errors import ParameterError, closest, some
from integrate.keys import ACQUISITION_ID, SPECIMEN_ID, SUBJECT_ID
from integrate.model.assemble import open_study
from integrate.model.bundle import Bundle, HeldDataset
from integrate.model.study import Study

if TYPE_CHECKING:
    import pandas as pd

    from integrate.readers.isatab import IsaTables

__all__ = ["study_from_isatab"]

SOURCE, SAMPLE = "Source Name", "Sample Name"
#: Columns that hold a value somebody measured or set, with the unit, if any, in the next column.
VALUED = re.compile(r"(Characteristics|Factor Value|Parameter Value)\s*\[")


def study_from_isatab(folder: IsaTables, *, study: str | None = None) -> Study:
    """Return one study of an ISA-Tab folder as a `Study`.

    Parameters
    ----------
    folder
        What the reader ``IsaTab`` returns.
    study
        Its file, e.g. ``"s_BII-S-1.txt"``; needed where the investigation has several, because names are unique within
        a study only.

    Returns
    -------
    A study with the datasets ``samples`` (the study file) and one per assay file, named without ``a_`` and ``.txt``;
    all cells are there, numbers as numbers. Characteristics that stand before the sample describe the source and so the
    subject. An acquisition is named by the assay name of its row. One that covers several samples (a multiplexed
    run) is one acquisition per sample, ``<assay name>/<sample>``. A sample pooled from several sources is in
    ``study.audit``.

    Raises
    ------
    ParameterError
        If `study` is not one of the folder, or is not given and there are several.

    Examples
    --------
    >>> catalog = ig.open_catalog("examples", data_root="data")
    >>> study_from_isatab(catalog.load("isatab", study="BII-S-3"))  # doctest: +SKIP
    """
    if study is None and len(folder.studies) > 1:
        raise ParameterError(f"the folder has {len(folder.studies)} studies; name one, study={some(folder.studies)}")
    file = next(iter(folder.studies)) if study is None else study
    if file not in folder.studies:
        raise ParameterError(f"the folder has no study {file!r}; {closest(file, folder.studies)}")
    listed = folder.investigation["STUDY ASSAYS"]
    described = listed[listed["study"] == file].set_index("Study Assay File Name")
    datasets = [_samples(folder.studies[file])]
    for name in described.index:
        said = {k: str(v) for k, v in described.loc[name].items() if k != "study" and v}
        datasets.append(_assay(_short(name), folder.assays[name], said))
    titles = folder.investigation[next(s for s in folder.investigation if s == "STUDY")]
    return open_study(Bundle(_title(titles, file), datasets, {}))


def _title(titles: pd.DataFrame, file: str) -> str:
    own = titles[titles["study"] == file]
    return str(own["Study Identifier"].iloc[0]) if len(own) and "Study Identifier" in own else file


def _short(file: str) -> str:
    return file.removeprefix("a_").removesuffix(".txt")


def _samples(table: pd.DataFrame) -> HeldDataset:
    """Return the study file; what stands before the sample describes the source."""
    typed, codebook = _typed(table)
    before = list(table.columns)[: list(table.columns).index(SAMPLE)] if SAMPLE in table else list(table.columns)
    for column in before:
        if VALUED.match(column):
            codebook[column] = {**codebook.get(column, {}), "level": "subject"}
    keys = {SOURCE: SUBJECT_ID, **({SAMPLE: SPECIMEN_ID} if SAMPLE in table else {})}
    once = typed.drop_duplicates(ignore_index=True)
    level = "specimen" if SAMPLE in once and once[SAMPLE].is_unique else "row"
    return HeldDataset("samples", once, level, keys, codebook)


def _assay(name: str, table: pd.DataFrame, said: dict[str, str]) -> HeldDataset:
    typed, codebook = _typed(table)
    run = next((str(column) for column in table if str(column).endswith("Assay Name")), None)
    keys = {SAMPLE: SPECIMEN_ID}
    if run is not None:
        typed[ACQUISITION_ID] = _runs(table, run)
        keys[ACQUISITION_ID] = ACQUISITION_ID
    once = run is not None and bool(typed[ACQUISITION_ID].is_unique)
    return HeldDataset(name, typed, "acquisition" if once else "row", keys, codebook, metadata=said)


def _runs(table: pd.DataFrame, run: str) -> pd.Series[Any]:
    """Return the acquisition of each row; a run of several samples is one for each of them."""
    shared = table.groupby(run)[SAMPLE].transform("nunique") > 1
    return table[run].where(~shared, table[run] + "/" + table[SAMPLE])


def _typed(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Return a copy with numbers where a value column holds nothing else, and the codebook with their units."""
    import pandas as pd

    typed, codebook = table.copy(), {}
    typed.attrs = {}
    columns = list(table.columns)
    for place, column in enumerate(columns):
        if not VALUED.match(column):
            continue
        numbers = pd.to_numeric(table[column], errors="coerce")
        if table[column].notna().any() and not (numbers.isna() & table[column].notna()).any():
            typed[column] = numbers
        follower = columns[place + 1] if place + 1 < len(columns) else ""
        units: list[Any] = list(table[follower].dropna().unique()) if re.fullmatch(r"Unit(\.\d+)?", follower) else []
        if len(units) == 1:
            codebook[column] = {"unit": str(units[0])}
    return typed, codebook
