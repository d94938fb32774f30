"""The study: tables that say who has what, and the way to open any of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from integrate.errors import DatasetNotFoundError, ParameterError, closest, some
from integrate.keys import ATTRS, ID_COLUMNS, LEVELS, SUBJECT_ID

if TYPE_CHECKING:
    import pandas as pd

    from integrate.model.audit import Audit

__all__ = ["SAMPLE_MAP_COLUMNS", "Dataset", "Study"]

SAMPLE_MAP_COLUMNS: tuple[str, ...] = ("assay", "obs_id", *ID_COLUMNS, "visit", "day", "item")


class Dataset(Protocol):
    """What a study needs to know of one catalog entry; `integrate.catalog.Entry` is one."""

    @property
    def name(self) -> str:
        """Name in the catalog."""

    @property
    def level(self) -> str:
        """What one item, or one row of a table, is."""

    @property
    def modality(self) -> str:
        """Modality code."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the catalog says of it."""

    def load_item(self, item: str) -> Any:
        """Open one item."""


@dataclass(frozen=True, eq=False)  # tables have no single truth value to compare by
class Study:
    """Who has what: one table per kind of thing, joined by ids, and the way to open each dataset.

    A study holds tables and opens things; everything else is a function that takes it.

    Parameters
    ----------
    name
        Name of the study.
    subjects
        One row per subject, index ``subject_id``; columns are the variables that describe a person.
    sample_map
        One row per observation of every dataset: ``assay, obs_id``, the ids it belongs to (missing where the level does
        not have one), ``visit``, ``day`` (integer days since the index event) and ``item`` (what opens it).
    identifiers
        How each spelling in each source became our id.
    tables
        Tables by dataset name, with our id columns first and the source's columns unchanged after them.
    datasets
        What opens each dataset, by name.
    declared
        The ``study`` section of the catalog.
    lineage
        Which specimen is part of which: ``specimen_id, parent_specimen_id``; ``None`` when the catalog does not say.
    findings
        What was noticed while the tables were built; part of the audit.
    catalog
        What opens the catalog again: ``path``, ``sha256``, ``parameters``; empty when it is no file.
    folder
        Where the study was read from; ``None`` when it was put together from a catalog.
    made
        How acquisitions were made, index ``acquisition_id``; ``None`` when nothing says.

    Returns
    -------
    A study; `open_study` makes one from a catalog.

    Examples
    --------
    >>> study = ig.datasets.toy_study()
    >>> study.load("fields", acquisition_id="f3").attrs["integrate"]["ids"]["subject_id"]
    'P02'
    """

    name: str
    subjects: pd.DataFrame
    sample_map: pd.DataFrame
    identifiers: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]
    datasets: Mapping[str, Dataset]
    declared: Mapping[str, Any] = field(default_factory=dict)
    lineage: pd.DataFrame | None = None
    findings: tuple[Any, ...] = ()
    catalog: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    made: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        from integrate.model.spelling import note_study

        note_study(self)

    @cached_property
    def specimens(self) -> pd.DataFrame:
        """One row per specimen, index ``specimen_id``: subject, datasets that show it, the specimen it is part of."""
        from integrate.model.lineage import with_parents

        return with_parents(self._entities("specimen", (SUBJECT_ID,)), self.lineage)

    @cached_property
    def acquisitions(self) -> pd.DataFrame:
        """One row per acquisition, index ``acquisition_id``: subject, specimen, day, datasets, modality.

        After these what is known of how it was made: ``device``, ``software``, ``batch``, ``stain``, ``body_part``,
        ``channels``, ``spacing_z``, ``spacing_y``, ``spacing_x`` and ``spacing_unit``.
        """
        table = self._entities("acquisition", (SUBJECT_ID, "specimen_id", "day"))
        modality = {name: entry.modality for name, entry in self.datasets.items()}
        told = {
            names: " ".join(dict.fromkeys(filter(None, map(modality.get, names.split(" ")))))
            for names in table["datasets"].unique()
        }
        table = table.assign(modality=table["datasets"].map(told).astype(object))
        return table if self.made is None else table.join(self.made)

    @cached_property
    def regions(self) -> pd.DataFrame:
        """One row per region, index ``region_id``: subject, specimen, acquisition, datasets that show it."""
        return self._entities("region", (SUBJECT_ID, "specimen_id", "acquisition_id"))

    @cached_property
    def visits(self) -> pd.DataFrame:
        """One row per planned visit: target ``day`` since the index event, and days ``before`` and ``after`` it."""
        from integrate.model.visits import visit_table

        return visit_table(self.declared.get("visits") or [])

    @cached_property
    def assays(self) -> pd.DataFrame:
        """One row per dataset, index ``assay``: level, modality, observations and subjects in the sample map."""
        import pandas as pd

        counted = self.sample_map.groupby("assay")[SUBJECT_ID].agg(observations="size", subjects="nunique")
        said = [(entry.level, entry.modality) for entry in self.datasets.values()]
        index = pd.Index(list(self.datasets), name="assay", dtype=object)
        table = pd.DataFrame(said, columns=["level", "modality"], index=index, dtype=object)
        return table.join(counted.reindex(index, fill_value=0).astype("int64"))

    @cached_property
    def schedule(self) -> pd.DataFrame:
        """One row per observation with a day: its visit, days from the target, and whether it is used.

        Columns of the sample map, and ``offset``, ``windows``, ``status`` (used, superseded, outside window).
        """
        from integrate.model.visits import assign_visits

        return assign_visits(self.sample_map, self.visits)

    @cached_property
    def audit(self) -> Audit:
        """Every doubt about identity and missing data, worst first."""
        from integrate.model.checks import audit_study

        return audit_study(self)

    def dataset(self, name: str) -> Dataset:
        """Return what opens a dataset.

        Raises
        ------
        DatasetNotFoundError
            If the study has no dataset of that name; the closest names are given.
        """
        if name not in self.datasets:
            raise DatasetNotFoundError(f"no dataset named {name!r} in {self.name!r}; {closest(name, self.datasets)}")
        return self.datasets[name]

    def table(self, name: str) -> pd.DataFrame:
        """Return a copy of a table with our id columns first.

        Raises
        ------
        DatasetNotFoundError
            If there is no such dataset, or it is not a table.
        """
        self.dataset(name)
        if name not in self.tables:
            raise DatasetNotFoundError(f"{name!r} is not a table; open it with study.load({name!r}, ...)")
        return self.tables[name].copy()

    def sql(self, query: str) -> pd.DataFrame:
        """Return what DuckDB answers about the study's tables.

        Parameters
        ----------
        query
            May name ``subjects``, ``specimens``, ``visits``, ``acquisitions``, ``regions``, ``assays``, ``sample_map``,
            ``identifiers`` and, in double quotes, the table of a dataset. Of a study that was read from a folder only
            the columns asked for are read.

        Returns
        -------
        A table; whole numbers and true/false that may be missing have the nullable dtypes.

        Examples
        --------
        >>> study = ig.datasets.toy_study()
        >>> study.sql("SELECT subject_id, count(*) AS fields FROM acquisitions GROUP BY ALL ORDER BY ALL")
          subject_id  fields
        0        P01       1
        1        P02       2
        2        P03       1
        """
        from integrate.model.query import query_study

        return query_study(self, query)

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the study as a folder of Parquet files and one JSON document; it appears whole or not at all.

        Parameters
        ----------
        path
            Folder to make: ``study.json``, a file per entity table (``subjects.parquet`` …) and ``tables/``. Images and
            matrices stay where they are; `integrate.read_study` opens them through the catalog.
        overwrite
            Replace a study that is there.

        Raises
        ------
        FileExistsError
            If something is there already, and is not to be replaced or is no study.
        DataError
            Listing every table that no file can hold.
        """
        from integrate.model.stored import write_study

        write_study(self, path, overwrite=overwrite)

    def rows(self, name: str, **ids: str) -> pd.DataFrame:
        """Return the sample-map rows of one dataset, optionally only those of the given ids.

        Raises
        ------
        ParameterError
            If an id column or an id is unknown.
        """
        self.dataset(name)
        rows = self.sample_map[self.sample_map["assay"] == name]
        for column, value in ids.items():
            if column not in ID_COLUMNS:
                raise ParameterError(f"{column!r} is not an id; {closest(column, ID_COLUMNS)}")
            if str(value) not in set(rows[column].dropna()):
                raise ParameterError(
                    f"{name!r} has no {column} {value!r}; {closest(value, rows[column].dropna().unique())}"
                )
            rows = rows[rows[column] == str(value)]
        return rows

    def load(self, name: str, **ids: str) -> Any:
        """Open the one item of a dataset that the ids name, with our ids noted on it.

        Parameters
        ----------
        name
            Dataset name.
        ids
            Any of ``subject_id``, ``specimen_id``, ``acquisition_id``, ``region_id``; none when there is one item.

        Returns
        -------
        What the dataset's reader returns, with ``attrs["integrate"]["ids"]`` (or ``uns``) holding our ids.

        Raises
        ------
        ParameterError
            If the ids name no item, or more than one.
        """
        rows = self.rows(name, **ids)
        items = rows["item"].unique()
        if len(items) != 1:
            raise ParameterError(
                f"{len(items)} items of {name!r} match {ids or 'no ids'}: {some(rows['obs_id'])}; "
                "give the id of one, or loop over study.each(...)"
            )
        return self._open(name, rows)

    def each(self, name: str, **ids: str) -> Iterator[Any]:
        """Yield every item of a dataset that the ids name, opened one at a time, in the order of the sample map."""
        for _, rows in self.rows(name, **ids).groupby("item", sort=False):
            yield self._open(name, rows)

    def availability(self) -> pd.DataFrame:
        """Return how many observations each subject has in each dataset.

        Returns
        -------
        Integer table, index ``subject_id`` (every subject of the study), one column per dataset that has any subject.
        """
        import pandas as pd

        known = self.sample_map.dropna(subset=[SUBJECT_ID])
        counts = pd.crosstab(known[SUBJECT_ID], known["assay"])
        columns = [name for name in self.datasets if name in counts]
        return counts.reindex(index=self.subjects.index, columns=columns, fill_value=0).rename_axis(columns=None)

    def coverage(self) -> pd.DataFrame:
        """Return how many subjects have each dataset at each visit.

        Returns
        -------
        Integer table, one row per dataset that has any day, one column per visit in the declared order.
        """
        used = self.schedule[self.schedule["status"] == "used"]
        counts = used.groupby(["assay", "visit"])[SUBJECT_ID].nunique().unstack(fill_value=0)
        names = [name for name in self.datasets if name in set(self.schedule["assay"])]
        table: pd.DataFrame = counts.reindex(index=names, columns=self.visits.index, fill_value=0)
        return table.rename_axis(index=None, columns=None).astype(int)

    def _open(self, name: str, rows: pd.DataFrame) -> Any:
        opened = self.dataset(name).load_item(str(rows["item"].iloc[0]))
        shared = {c: str(rows[c].iloc[0]) for c in ID_COLUMNS if rows[c].notna().all() and rows[c].nunique() == 1}
        place = getattr(opened, "uns" if hasattr(opened, "uns") else "attrs", None)
        if place is not None:
            notes = dict(place.get(ATTRS, {}))
            place[ATTRS] = {**notes, "ids": {**notes.get("ids", {}), **shared}}
        return opened

    def _entities(self, level: str, parents: tuple[str, ...]) -> pd.DataFrame:
        key = LEVELS[level]
        known = self.sample_map.dropna(subset=[key])
        table = known.groupby(key, sort=True)[list(parents)].first()
        shown = known[[key, "assay"]].drop_duplicates()
        place = shown.groupby(key).cumcount()
        names = shown["assay"].astype(object).set_axis(shown[key])
        table["datasets"] = names[(place == 0).to_numpy()].reindex(table.index)
        for nth in range(1, int(place.max()) + 1 if len(place) else 0):
            more = names[(place == nth).to_numpy()]
            table.loc[more.index, "datasets"] += " " + more
        return table

    def __repr__(self) -> str:
        counts = (
            f"{len(self.subjects)} subjects, {len(self.specimens)} specimens, {len(self.acquisitions)} acquisitions"
        )
        verdict = "audit: ok" if self.audit.ok else f"audit: {len(self.audit.errors)} errors, see study.audit"
        return f"<Study {self.name!r}: {counts}, {len(self.datasets)} datasets; {verdict}>"

    def _repr_html_(self) -> str:
        from integrate.model.coverage import coverage_grid
        from integrate.model.html import card
        from integrate.model.matrix import matrix
        from integrate.model.upset import upset

        available = self.availability()
        grid = matrix(available, row_label="subjects", column_label="datasets")
        combined = upset(available, row_label="subjects", column_label="datasets")
        visits = coverage_grid(self.coverage(), len(self.subjects), label="subjects") if len(self.visits) else ""
        verdict = "audit ok" if self.audit.ok else f"audit: {len(self.audit.errors)} errors"
        subtitle = (
            f"{len(self.subjects)} subjects · {len(self.specimens)} specimens · "
            f"{len(self.acquisitions)} acquisitions · {verdict}"
        )
        return card(f"Study · {self.name}", grid, combined, visits, subtitle=subtitle)
