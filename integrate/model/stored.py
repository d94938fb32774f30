"""The study on disk: its entity tables as Parquet, and one JSON document that says the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.errors import DataError, SourceNotFoundError
from integrate.keys import SPECIMEN_ID, SUBJECT_ID
from integrate.model.acquisition import MADE
from integrate.model.audit import Finding
from integrate.model.folder import read_document, read_frame, table_file, write_document, write_folder, write_frame
from integrate.model.identity import IDENTIFIER_COLUMNS
from integrate.model.lineage import PARENT_ID, no_lineage
from integrate.model.spelling import note_table
from integrate.model.study import SAMPLE_MAP_COLUMNS, Dataset, Study

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DOCUMENT", "ClosedDataset", "load_tables", "read_stored", "write_study"]

FORMAT = 1
DOCUMENT = "study.json"
#: Tables a study is made of; the others follow from them and are written for other programs.
SOURCES: dict[str, tuple[str, ...]] = {
    "subjects": (),
    "sample_map": SAMPLE_MAP_COLUMNS,
    "identifiers": IDENTIFIER_COLUMNS,
    "lineage": (SPECIMEN_ID, PARENT_ID),
}
DERIVED: tuple[str, ...] = ("specimens", "visits", "acquisitions", "regions", "assays")


@dataclass(frozen=True)
class ClosedDataset:
    """A dataset of a written study whose catalog is not at hand: it is known, and cannot be opened."""

    name: str
    level: str
    modality: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)

    def load_item(self, item: str) -> Any:
        """Raise, and say how it can be opened.

        Raises
        ------
        SourceNotFoundError
            Always.
        """
        raise SourceNotFoundError(
            f"{self.name!r} cannot be opened: the study was read without its catalog; give it, "
            "read_study(path, catalog=...)"
        )


class StoredTables(Mapping[str, "pd.DataFrame"]):
    """The tables of a written study by dataset name; each is read when it is first asked for."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self._files = {name: table_file(folder, name) for name in names}
        self._read: dict[str, pd.DataFrame] = {}

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._read:
            self._read[name] = read_frame(self._files[name])
            note_table(self._read[name], keys={}, declared=None)
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def write_study(study: Study, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a study as a folder; see `Study.write`."""
    write_folder(path, partial(_write_parts, study), document=DOCUMENT, what="study", overwrite=overwrite)


def _write_parts(study: Study, folder: Path) -> None:
    document = {
        "format": FORMAT,
        "name": study.name,
        "catalog": dict(study.catalog),
        "declared": dict(study.declared),
        "findings": [asdict(finding) for finding in study.findings],
        "tables": list(study.tables),
        "datasets": {name: _described(entry) for name, entry in study.datasets.items()},
    }
    write_document(document, folder / DOCUMENT)
    (folder / "tables").mkdir()
    problems = []
    held = {name: getattr(study, name) for name in (*SOURCES, *DERIVED)}
    held["lineage"] = no_lineage() if study.lineage is None else study.lineage
    files = {name: (held[name], folder / f"{name}.parquet") for name in (*SOURCES, *DERIVED)}
    files |= {f"table {name!r}": (study.tables[name], table_file(folder, name)) for name in study.tables}
    for name, (frame, file) in files.items():
        try:
            write_frame(frame, file)
        except (ValueError, TypeError) as error:  # pyarrow's words for a column it cannot hold
            problems.append(f"{name}: {error}")
    if problems:
        raise DataError("; ".join(problems))


def _described(entry: Any) -> dict[str, Any]:
    said = {"level": entry.level, "modality": entry.modality, "metadata": dict(entry.metadata)}
    return said | {"keys": dict(getattr(entry, "keys", {})), "columns": dict(getattr(entry, "columns", {}))}


def load_tables(path: str | os.PathLike[str]) -> tuple[Path, dict[str, Any]]:
    """Return the folder and document of a written study, after a look at every file.

    Raises
    ------
    SourceNotFoundError
        If there is no such folder.
    DataError
        Listing everything that is wrong with it: files that are absent or damaged, columns that lack.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = Path(path)
    document = read_document(folder, DOCUMENT, what="study", format_=FORMAT)
    wanted = {folder / f"{name}.parquet": columns for name, columns in SOURCES.items()}
    wanted |= {table_file(folder, name): () for name in document["tables"]}
    problems = []
    for file, columns in wanted.items():
        try:
            found = pq.read_schema(file).names
        except FileNotFoundError:
            problems.append(f"{file.relative_to(folder)} is not there")
            continue
        except (pa.ArrowInvalid, OSError) as error:
            problems.append(f"{file.relative_to(folder)} cannot be read ({error})")
            continue
        lacking = [column for column in columns if column not in found]
        if lacking:
            problems.append(f"{file.relative_to(folder)} lacks the columns {', '.join(lacking)}")
    if problems:
        raise DataError(f"the study in {folder} is damaged: {'; '.join(problems)}; write it again")
    return folder, document


def read_stored(folder: Path, document: Mapping[str, Any], opened: Mapping[str, Dataset]) -> Study:
    """Return a written study, with the datasets that could be opened; the others are closed.

    Raises
    ------
    DataError
        If a subject is listed twice or has no id.
    """
    subjects = read_frame(folder / "subjects.parquet")
    twice = subjects.index[subjects.index.duplicated()].tolist()
    if twice or subjects.index.hasnans or subjects.index.name != SUBJECT_ID:
        raise DataError(f"subjects.parquet of {folder} does not list each subject once: {twice[:5]}; write it again")
    datasets = {
        name: opened[name] if name in opened else ClosedDataset(name, **said)
        for name, said in document["datasets"].items()
    }
    return Study(
        name=document["name"],
        subjects=subjects,
        sample_map=read_frame(folder / "sample_map.parquet"),
        identifiers=read_frame(folder / "identifiers.parquet"),
        lineage=read_frame(folder / "lineage.parquet"),
        tables=StoredTables(folder, document["tables"]),
        datasets=datasets,
        declared=document["declared"],
        findings=tuple(Finding(**{**one, "ids": tuple(one["ids"])}) for one in document["findings"]),
        catalog=document["catalog"],
        folder=folder,
        made=_made(folder / "acquisitions.parquet"),
    )


def _made(file: Path) -> pd.DataFrame | None:
    """Return how acquisitions were made, as the table of acquisitions says; it may be absent."""
    import pandas as pd
    import pyarrow.parquet as pq

    columns = [name for name in MADE if file.exists() and name in pq.read_schema(file).names]
    return pd.read_parquet(file, columns=columns) if columns else None
