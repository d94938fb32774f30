"""cBioPortal study folders: patients, samples, and every profile its meta files name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, SourceNotFoundError, some
from integrate.keys import ATTRS, MISSING_TEXTS
from integrate.readers.base import Reader
from integrate.readers.table import as_numbers

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

__all__ = ["CBioPortal", "CBioPortalStudy"]

#: What cBioPortal writes for missing values, beside the usual.
ABSENT = (
    *MISSING_TEXTS,
    "[Not Available]",
    "[Not Applicable]",
    "[Not Evaluated]",
    "[Unknown]",
    "[Discrepancy]",
    "[Pending]",
)
#: Kinds of profile that are a matrix of features × samples of numbers.
MATRICES = ("MRNA_EXPRESSION", "COPY_NUMBER_ALTERATION", "METHYLATION", "PROTEIN_LEVEL", "GENESET_SCORE")
NO_MATRIX = ("DISCRETE_LONG", "SEG")
#: Columns of the list of cancer types, which has no header.
CANCER_TYPES = ("type_of_cancer", "name", "dedicated_color", "parent_type_of_cancer")
#: Leading columns of a matrix that name its features; the first that is there becomes the name.
FEATURE_NAMES = ("Hugo_Symbol", "Entrez_Gene_Id", "Composite.Element.REF", "geneset_id", "ENTITY_STABLE_ID")


@dataclass(frozen=True)
class CBioPortalStudy:
    """The tables and profiles of one cBioPortal study.

    Parameters
    ----------
    meta
        Name of a meta file without ``meta_`` and suffix, to its fields; ``"study"`` describes the study.
    patients, samples
        The clinical tables, with the codebook of their header in ``attrs["integrate"]["columns"]``.
    assays
        Profile to AnnData, samples × features.
    tables
        What is no matrix (mutations, segments, fusions …), as text.
    attrs
        Our notes.
    """

    meta: dict[str, dict[str, str]]
    patients: pd.DataFrame
    samples: pd.DataFrame
    assays: dict[str, ad.AnnData]
    tables: dict[str, pd.DataFrame]
    attrs: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        name = self.meta.get("study", {}).get("cancer_study_identifier", "?")
        sizes = f"{len(self.patients)} patients, {len(self.samples)} samples"
        return f"<CBioPortalStudy {name!r}: {sizes}; assays {some(self.assays)}; tables {some(self.tables)}>"


class CBioPortal(Reader):
    r"""Read a cBioPortal study folder.

    Parameters
    ----------
    profiles
        Profiles to read, named as the meta files (``meta_<name>.txt``); all by default.

    Returns
    -------
    `CBioPortalStudy`. Ids are text. A clinical column of datatype NUMBER is a number, BOOLEAN a nullable boolean,
    others text; cBioPortal's words for missing (``[Not Available]`` …) are missing.

    Raises
    ------
    SourceNotFoundError
        If there are no meta files, or a file they name is absent.
    DataError
        If a table is damaged, a patient or sample is listed twice, or a sample is of no listed patient.

    Notes
    -----
    `OS_STATUS` and its kin stay text as written (``"1:DECEASED"``); `TimeToEvent` makes outcomes of them.

    Examples
    --------
    >>> files = {"meta_study": "cancer_study_identifier: toy\nname: Toy\n"}
    >>> told = "genetic_alteration_type: CLINICAL\ndatatype: {}_ATTRIBUTES\ndata_filename: {}.txt\n"
    >>> files |= {f"meta_{one}": told.format(one.upper(), one + "s") for one in ("patient", "sample")}
    >>> head = "#{0}\n#{0}\n#{1}\n#{2}\n{0}\n"
    >>> columns = "PATIENT_ID\tAGE", "STRING\tNUMBER", "1\t1"
    >>> files["patients"] = head.format(*columns) + "007\t61\n008\t[Not Available]\n"
    >>> columns = "PATIENT_ID\tSAMPLE_ID", "STRING\tSTRING", "1\t1"
    >>> files["samples"] = head.format(*columns) + "007\t007-T1\n008\t008-T1\n"
    >>> for name, text in files.items():
    ...     _ = (tmp_path / f"{name}.txt").write_text(text)
    >>> CBioPortal(url=tmp_path).read().patients[["PATIENT_ID", "AGE"]].values.tolist()
    [['007', 61.0], ['008', nan]]
    """

    output_instance = "integrate.readers.cbioportal:CBioPortalStudy"
    is_folder = True

    def _open(self, path: Path, *, profiles: list[str] | None = None) -> CBioPortalStudy:
        meta = {file.stem.removeprefix("meta_"): _fields(file) for file in sorted(path.glob("meta_*.txt"))}
        if not meta:
            raise SourceNotFoundError(f"folder {path.name!r} has no meta_*.txt; it is no cBioPortal study")
        unknown = [name for name in profiles or () if name not in meta]
        if unknown:
            raise SourceNotFoundError(f"{path.name} has no profile {unknown[0]!r}; it has {some(meta, limit=40)}")
        named = [Path(one["data_filename"]).name for one in meta.values() if "data_filename" in one]
        absent = [name for name in named if not (path / name).is_file()]
        if absent:
            raise SourceNotFoundError(f"{path.name} names {len(absent)} files that are not there: {some(absent)}")
        clinical: dict[str, pd.DataFrame] = {}
        assays: dict[str, ad.AnnData] = {}
        tables: dict[str, pd.DataFrame] = {}
        for name, one in meta.items():
            if "data_filename" not in one:
                continue
            file = path / Path(one["data_filename"]).name  # never a file outside the study
            kind, datatype = one.get("genetic_alteration_type"), one.get("datatype", "")
            if kind == "CLINICAL":
                clinical[datatype] = _clinical(file)
            elif profiles is not None and name not in profiles:
                continue
            elif kind in MATRICES and datatype not in NO_MATRIX:
                assays[name] = _matrix(file, one)
            else:
                tables[name] = _text(file, CANCER_TYPES if kind == "CANCER_TYPE" else None)
        for datatype in ("PATIENT_ATTRIBUTES", "SAMPLE_ATTRIBUTES"):
            if datatype not in clinical:
                raise SourceNotFoundError(f"{path.name} has no clinical table of datatype {datatype}")
        _check_ids(clinical["PATIENT_ATTRIBUTES"], clinical["SAMPLE_ATTRIBUTES"], path)
        return CBioPortalStudy(meta, clinical["PATIENT_ATTRIBUTES"], clinical["SAMPLE_ATTRIBUTES"], assays, tables)


def _fields(file: Path) -> dict[str, str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name} is not text ({error})") from error
    pairs = [line.partition(":") for line in lines if line.strip()]
    if not pairs or any(not sign for _, sign, _ in pairs):
        raise DataError(f"{file.name} is no list of 'field: value' lines; it is empty or another format")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _text(file: Path, header_of: tuple[str, ...] | None = None) -> pd.DataFrame:
    """Return a tab-separated table as text; lines that begin with # are comments."""
    import pandas as pd

    try:
        lines = [
            line for line in file.read_text(encoding="utf-8-sig").splitlines() if line and not line.startswith("#")
        ]
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name} is not text ({error})") from error
    if not lines:
        raise DataError(f"{file.name} is empty; expected a row of column names")
    lines = lines if header_of is None else ["\t".join(header_of), *lines]
    header, rows = lines[0].split("\t"), [line.split("\t") for line in lines[1:]]
    ragged = [n for n, row in enumerate(rows, start=1) if len(row) > len(header)]
    short = [n for n, row in enumerate(rows, start=1) if len(row) < len(header)]
    if ragged or (short and short[-1] == len(rows)):
        wrong = (ragged or short)[0]
        raise DataError(
            f"row {wrong} of {file.name} has not the {len(header)} fields of its header; the file is cut off"
        )
    padded = [[*row, *[""] * (len(header) - len(row))] for row in rows]
    table = pd.DataFrame(padded, columns=header, dtype=object)
    return table.mask(table.isin(list(ABSENT)))


def _clinical(file: Path) -> pd.DataFrame:
    """Return a clinical table, typed by the four rows of its header."""
    table = _text(file)
    head = [line[1:].split("\t") for line in file.read_text(encoding="utf-8-sig").splitlines()[:4] if line[:1] == "#"]
    if len(head) != 4 or any(len(row) != table.shape[1] for row in head):
        raise DataError(
            f"{file.name} lacks the four header rows (names, descriptions, types, priorities) of cBioPortal"
        )
    codebook = {}
    for name, label, description, kind in zip(table.columns, *head[:3], strict=True):
        codebook[name] = {"label": label, "description": description, "dtype": kind}
        if kind == "NUMBER":
            numbers = as_numbers(table[name])
            wrong = table[name][numbers.isna() & table[name].notna()]
            if len(wrong):
                raise DataError(f"column {name!r} of {file.name} is declared NUMBER and holds {some(wrong.unique())}")
            table[name] = numbers
        elif kind == "BOOLEAN":
            words = table[name].str.lower().map({"true": True, "false": False, "yes": True, "no": False})
            table[name] = words.astype("boolean")
    table.attrs[ATTRS] = {"columns": codebook, "keys": {}}
    return table


def _matrix(file: Path, meta: Mapping[str, str]) -> ad.AnnData:
    """Return a profile as samples × features; a feature is named by the first naming column its rows fill."""
    import anndata as ad
    import pandas as pd

    table = _text(file)
    naming = [column for column in table.columns if column in FEATURE_NAMES]
    if not naming:
        raise DataError(f"{file.name} has none of the columns {some(FEATURE_NAMES)}; it names no features")
    names = table[naming].bfill(axis=1).iloc[:, 0]
    repeated = names[names.duplicated()].unique()
    if len(repeated) or names.isna().any():
        raise DataError(f"{len(repeated)} features of {file.name} are listed twice or have no name: {some(repeated)}")
    values = table.drop(columns=naming).rename(columns=str)
    every = as_numbers(pd.Series(values.to_numpy(object).ravel(), dtype=object))  # a call for each column takes seconds
    numbers = pd.DataFrame(every.to_numpy(float).reshape(values.shape), index=values.index, columns=values.columns)
    wrong = values.where(numbers.isna() & values.notna()).stack()
    if len(wrong):
        raise DataError(f"{file.name} holds {some(set(wrong.astype(str)))} where numbers are expected")
    var = table[naming].set_axis(names.astype(str), axis=0).astype(object)
    data = ad.AnnData(numbers.to_numpy(float).T, obs=pd.DataFrame(index=values.columns), var=var)
    data.uns[ATTRS] = {"keys": {}, "profile": dict(meta), "missing_values": int(numbers.isna().to_numpy().sum())}
    return data


def _check_ids(patients: pd.DataFrame, samples: pd.DataFrame, path: Path) -> None:
    for table, key in ((patients, "PATIENT_ID"), (samples, "SAMPLE_ID")):
        if key not in table:
            raise DataError(f"a clinical table of {path.name} has no column {key}; it has {some(table.columns)}")
        twice = table[key][table[key].duplicated()].unique()
        if len(twice):
            raise DataError(f"{len(twice)} {key} of {path.name} are listed twice: {some(twice)}")
    strangers = sorted(set(samples["PATIENT_ID"].dropna()) - set(patients["PATIENT_ID"]))
    if strangers:
        raise DataError(
            f"{len(strangers)} patients of samples in {path.name} have no row as patients: {some(strangers)}"
        )
