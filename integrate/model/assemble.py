"""How a study is put together from a catalog: ids resolved, rows mapped, people described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrate.errors import CatalogError, closest, some
from integrate.keys import DAY, ID_COLUMNS, LEVELS, SUBJECT_ID, VISIT
from integrate.model.acquisition import gather_records, of_harvest
from integrate.model.audit import Finding, listed, named
from integrate.model.days import count_days, event_name, index_dates, read_dates, whole_days
from integrate.model.identity import IDENTIFIER_COLUMNS, IdRule, id_text, identifier_table, parse_rules
from integrate.model.lineage import inherit_subjects, read_lineage
from integrate.model.mask import shown_id
from integrate.model.provenance import hash_file
from integrate.model.spelling import note_ids
from integrate.model.study import SAMPLE_MAP_COLUMNS, Study

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["open_study"]


def open_study(catalog: Any, *, records: pd.DataFrame | None = None) -> Study:
    """Return the study a catalog describes: who has what, with every identifier traced to its source.

    Tables that declare ``keys`` are read; images and other items are only listed. Ids are resolved with the rules of
    ``metadata.study.identifiers``; nothing is guessed. What could not be resolved is in `Study.audit`.

    Parameters
    ----------
    catalog
        What `open_catalog` returns.
    records
        What `harvest` found in the files of the catalog: device, software, channels and steps of each acquisition.
        They count before what the catalog says (columns ``device``, ``batch``, ``stain`` … of an asset table or of an
        entry's metadata), and what differs is in the audit.

    Returns
    -------
    A `Study`. Subjects come from the declared spine table, or from every dataset when none is declared.

    Raises
    ------
    IdentityError
        If a rule is malformed or makes two source ids one.
    ParameterError
        If ``records`` is no table of records.
    CatalogError
        If the ``study`` section refers to datasets, columns or namespaces that are not there.

    Examples
    --------
    >>> study = open_study(ig.datasets.toy_catalog())
    >>> int(study.availability().loc["P02", "fields"])
    2
    """
    declared = dict(catalog.metadata.get("study") or {})
    rules = parse_rules(declared.get("identifiers") or {})
    dated = isinstance(declared.get("index_event"), Mapping)
    named_items = [catalog[name] for name in catalog if catalog[name].keys or _lists_ids(catalog[name])]
    parts = [_Part(entry, rules, declared, dated=dated) for entry in named_items]
    sample_map, parent_findings = _with_parents(_concat([part.sample_map for part in parts], SAMPLE_MAP_COLUMNS))
    findings = [finding for part in parts for finding in part.findings] + parent_findings
    tables = {part.name: part.table for part in parts if part.table is not None}
    tables = {name: _refill_ids(table, name, sample_map) for name, table in tables.items()}
    lineage, lineage_findings = read_lineage(declared.get("parents"), tables, rules)
    if len(lineage):
        sample_map, more = inherit_subjects(sample_map, lineage)
        sample_map, _ = _with_parents(sample_map)
        tables = {name: _refill_ids(table, name, sample_map) for name, table in tables.items()}
        lineage_findings += more
    index, day_findings = index_dates(declared, tables)
    dates = _dates(parts)
    sample_map, more = count_days(sample_map, dates, index, event=event_name(declared))
    day_findings += more
    made, made_findings = _made(parts, records, sample_map)
    known = _spine_subjects(declared, tables, sample_map)
    subjects, variable_findings = _describe_subjects(known, tables, {part.name: part.entry for part in parts})
    return Study(
        name=catalog.name,
        subjects=subjects,
        sample_map=sample_map,
        identifiers=_concat([part.identifiers for part in parts], IDENTIFIER_COLUMNS),
        tables=tables,
        datasets={name: catalog[name] for name in catalog},
        declared=declared,
        lineage=lineage,
        findings=tuple(findings + lineage_findings + day_findings + made_findings + variable_findings),
        catalog=_origin(catalog),
        made=made,
    )


def _origin(catalog: Any) -> dict[str, Any]:
    """Return what opens a catalog again: its file, that file's hash, and what it was opened with."""
    path = getattr(catalog, "path", None)
    if path is None:
        return {}
    return {"path": str(path), "sha256": hash_file(path), "parameters": {**catalog.data_roots, **catalog.given}}


def _made(
    parts: Sequence[_Part], records: pd.DataFrame | None, sample_map: pd.DataFrame
) -> tuple[pd.DataFrame | None, list[Finding]]:
    """Return how acquisitions were made, by datasets of acquisitions: a mask of one is made by other software."""
    acquired = [part for part in parts if part.entry.level == "acquisition" and not part.entry.keys]
    found = [] if records is None else [of_harvest(records)]
    found = [frame[frame["assay"].isin([part.name for part in acquired])] for frame in found]
    stated = [part.entry.stated_records() for part in acquired if hasattr(part.entry, "stated_records")]
    return gather_records([*found, *(table for table in stated if table is not None)], sample_map)


class _Part:
    """One dataset's share of the study."""

    def __init__(self, entry: Any, rules: Mapping[str, IdRule], declared: Mapping[str, Any], *, dated: bool) -> None:
        self.entry = entry
        self.declared = declared
        self.name: str = entry.name
        self.dated = dated
        self.dates: pd.Series[Any] | None = None
        self.findings: list[Finding] = []
        self.table: pd.DataFrame | None = None
        rows, sources = self._rows()
        ids, self.identifiers = self._resolve(sources, rules)
        self.sample_map = self._map(rows, ids)

    def _rows(self) -> tuple[pd.DataFrame, list[tuple[str, Any]]]:
        """Return one row per observation, and the source ids with the namespace of each column that holds some."""
        if not self.entry.keys:
            items = self.entry.items()
            return items, [(c.removeprefix("id:"), items[c]) for c in items if c.startswith("id:")]
        loaded = self.entry.load()
        frame = loaded.obs if hasattr(loaded, "obs") else loaded
        sources = []
        for column, namespace in self.entry.keys.items():
            if column == "obs_names":
                sources.append((namespace, frame.index.to_series()))
            elif column in frame:
                sources.append((namespace, frame[column]))
            else:
                raise CatalogError(f"{self.name}.keys: no column {column!r}; {closest(column, frame.columns)}")
        if not hasattr(loaded, "obs"):
            self.table = frame
        return frame, sources

    def _resolve(
        self, sources: Sequence[tuple[str, Any]], rules: Mapping[str, IdRule]
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        import pandas as pd

        index = sources[0][1].index
        ids = pd.DataFrame(index=index, columns=list(ID_COLUMNS), dtype=object)
        traced = []
        for namespace, spelled in sources:
            if namespace not in rules:
                raise CatalogError(f"{self.name}: no rule for namespace {namespace!r}; {closest(namespace, rules)}")
            values = spelled.astype(object).map(id_text, na_action="ignore")
            note_ids(self.declared, {namespace: values.tolist()})
            trace = identifier_table(rules[namespace], values.dropna(), source=self.name)
            traced.append(trace)
            self._note_unread(trace, values, namespace)
            resolved = trace.dropna(subset=["entity_id"])
            for column, group in resolved.groupby("entity"):
                found = values.map(dict(zip(group["source_id"], group["entity_id"], strict=True)))
                self._note_conflicts(ids[column], found, str(column))
                ids[column] = ids[column].where(ids[column].notna(), found)
        return ids, _concat(traced, IDENTIFIER_COLUMNS)

    def _map(self, rows: pd.DataFrame, ids: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        sample_map = ids.copy()
        sample_map["assay"] = self.name
        own = LEVELS.get(self.entry.level, "")
        items = rows["item"] if not self.entry.keys else pd.Series("", index=rows.index)
        named_row = own in ids and ids[own].notna().all() and ids[own].is_unique
        unnamed = rows.index.astype(str) if self.entry.keys else items
        sample_map["item"] = items
        sample_map["obs_id"] = ids[own].astype(str) if named_row else unnamed
        sample_map[DAY] = self._days(rows[DAY]) if DAY in rows else pd.Series(pd.NA, index=rows.index, dtype="Int64")
        sample_map[VISIT] = rows[VISIT].astype(object) if VISIT in rows else None
        if self.table is not None:
            extra = self.table.drop(columns=[c for c in ID_COLUMNS if c in self.table], errors="ignore")
            self.table = pd.concat([ids.dropna(axis=1, how="all"), extra], axis=1)
            self.table.attrs = extra.attrs
        return sample_map.reset_index(drop=True)[list(SAMPLE_MAP_COLUMNS)]

    def _days(self, given: pd.Series[Any]) -> pd.Series[Any]:
        """Return study days as whole numbers; dates are kept to count from; what is neither is missing, and said."""
        whole = whole_days(given)
        lost = given.notna() & whole.isna()
        if self.dated:
            self.dates = read_dates(given.where(lost))
            lost &= self.dates.isna()
        if lost.any():
            told = named(given[lost].unique())
            self.findings.append(
                Finding(
                    "warning",
                    "unreadable day",
                    self.name,
                    f"{int(lost.sum())} days are not whole numbers: {told}; give days since the index event, or "
                    "declare study.index_event {name, entry, column} so that they are counted from dates",
                    listed(given[lost].unique()),
                )
            )
        return whole.astype("Int64")

    def _note_unread(self, trace: pd.DataFrame, values: pd.Series[Any], namespace: str) -> None:
        unread = [shown_id(text) for text in trace[trace["entity_id"].isna()]["source_id"]]
        if len(unread):
            self.findings.append(
                Finding(
                    "error",
                    "unreadable id",
                    self.name,
                    f"{len(unread)} ids do not match rule {namespace!r}: {named(unread)}; correct them or the rule, "
                    'or link with unmatched="drop"',
                    listed(unread),
                )
            )
        empty = int(values.isna().sum())
        if empty:
            self.findings.append(
                Finding("warning", "missing id", self.name, f"{empty} of {len(values)} rows have no {namespace!r} id")
            )

    def _note_conflicts(self, before: pd.Series[Any], found: pd.Series[Any], column: str) -> None:
        differ = before.notna() & found.notna() & (before != found)
        if differ.any():
            pairs = [f"{a} / {b}" for a, b in zip(before[differ], found[differ], strict=True)]
            self.findings.append(
                Finding(
                    "error",
                    "contradictory ids",
                    self.name,
                    f"{len(pairs)} rows name two different {column}: {some(pairs)}; correct the source",
                    listed(pairs),
                )
            )


def _dates(parts: Sequence[_Part]) -> pd.Series[Any]:
    """Return the date of every row of the sample map, missing where it has none."""
    import pandas as pd

    told = [
        pd.Series(pd.NaT, index=range(len(part.sample_map))) if part.dates is None else part.dates for part in parts
    ]
    filled = [dates.astype("datetime64[ns]") for dates in told if len(dates)]
    return pd.concat(filled, ignore_index=True) if filled else pd.Series([], dtype="datetime64[ns]")


def _lists_ids(entry: Any) -> bool:
    return any(str(column).startswith("id:") for column in entry.items().columns)


def _concat(frames: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    filled = [frame.astype(object) for frame in frames if len(frame)]
    table = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(columns), dtype=object)
    if DAY in table:
        table[DAY] = pd.to_numeric(table[DAY], errors="coerce").astype("Int64")
    return table[list(columns)]


def _with_parents(sample_map: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """Fill each row's missing parents from the other datasets; report a child that has two parents."""
    findings = []
    filled = sample_map.copy()
    for child, parent in (
        ("region_id", "acquisition_id"),
        ("acquisition_id", "specimen_id"),
        ("region_id", "specimen_id"),
        ("specimen_id", SUBJECT_ID),
        ("acquisition_id", SUBJECT_ID),
        ("region_id", SUBJECT_ID),
    ):
        known = filled.dropna(subset=[child, parent])
        pairs = known[[child, parent]].drop_duplicates()
        several = pairs[pairs[child].duplicated(keep=False)]
        if len(several):
            told = [f"{c}: {' / '.join(sorted(g[parent]))}" for c, g in several.groupby(child)]
            sources = " ".join(sorted(known[known[child].isin(several[child])]["assay"].unique()))
            findings.append(
                Finding(
                    "error",
                    "contradictory ids",
                    sources,
                    f"{len(told)} {child} belong to two {parent}: {some(told)}; correct the source that is wrong",
                    listed(several[child].unique()),
                )
            )
        single = pairs[~pairs[child].isin(several[child])].set_index(child)[parent]
        filled[parent] = filled[parent].where(filled[parent].notna(), filled[child].map(single))
    return filled, findings


def _refill_ids(table: pd.DataFrame, name: str, sample_map: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the parents its rows got from other datasets."""
    rows = sample_map[sample_map["assay"] == name]
    known = [column for column in ID_COLUMNS if rows[column].notna().any()]
    refilled = table.drop(columns=[c for c in ID_COLUMNS if c in table])
    for position, column in enumerate(known):
        refilled.insert(position, column, rows[column].to_numpy())
    refilled.attrs = table.attrs
    return refilled


def _spine_subjects(declared: Mapping[str, Any], tables: Mapping[str, Any], sample_map: pd.DataFrame) -> list[str]:
    spine = (declared.get("spine") or {}).get("entry")
    if spine is None:
        return sorted(sample_map[SUBJECT_ID].dropna().unique())
    if spine not in tables or SUBJECT_ID not in tables[spine]:
        raise CatalogError(f"study.spine names {spine!r}, which is not a table with subjects; {closest(spine, tables)}")
    return list(dict.fromkeys(tables[spine][SUBJECT_ID].dropna()))


def _describe_subjects(
    known: list[str], tables: Mapping[str, pd.DataFrame], entries: Mapping[str, Any]
) -> tuple[pd.DataFrame, list[Finding]]:
    """Return one row per subject with the variables that describe a person."""
    import pandas as pd

    subjects = pd.DataFrame(index=pd.Index(known, name=SUBJECT_ID, dtype=object))
    findings = []
    for name, table in tables.items():
        if SUBJECT_ID not in table:
            continue
        for column in _subject_variables(table, entries[name]):
            values, varying = _one_per_subject(table, column)
            if varying:
                findings.append(
                    Finding(
                        "warning",
                        "varies within subject",
                        name,
                        f"{column!r} is declared a property of the subject but has several values in {len(varying)}: "
                        f"{named(varying)}; it is missing for them",
                        listed(varying),
                    )
                )
            if column in subjects:
                findings.append(
                    Finding(
                        "note", "same variable twice", name, f"{column!r} is already taken from another table; not used"
                    )
                )
            else:
                subjects[column] = values.reindex(subjects.index)
    return subjects, findings


def _subject_variables(table: pd.DataFrame, entry: Any) -> list[str]:
    by_column = {name: spec["level"] for name, spec in entry.columns.items() if spec.get("level")}
    whole = entry.level == "subject"
    skipped = {*ID_COLUMNS, *entry.keys}
    return [c for c in table.columns if c not in skipped and by_column.get(c, "subject" if whole else "") == "subject"]


def _one_per_subject(table: pd.DataFrame, column: str) -> tuple[pd.Series[Any], list[str]]:
    """Return the column's only value per subject, missing where subjects have several, and those subjects."""
    observed = table.dropna(subset=[SUBJECT_ID, column])[[SUBJECT_ID, column]].drop_duplicates()
    several = observed[SUBJECT_ID][observed[SUBJECT_ID].duplicated()].unique().tolist()
    single = observed[~observed[SUBJECT_ID].isin(several)]
    return single.set_index(SUBJECT_ID)[column], several
