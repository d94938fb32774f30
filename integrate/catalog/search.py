"""Search: which datasets and items of a catalog answer a question, ready to be opened."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from integrate.catalog.assets import AssetEntry
from integrate.catalog.entry import Entry
from integrate.errors import DatasetNotFoundError, IntegrateError, closest, some
from integrate.keys import SUBJECT_ID
from integrate.model.identity import IdRule, id_text, parse_rules

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from integrate.catalog.catalog import Catalog

__all__ = ["Hits", "ids_of", "search_catalog", "subjects_of"]

#: Columns of an asset table in which nobody looks for a word.
NOT_TEXT: frozenset[str] = frozenset({"sha256", "bytes", "day", "md5"})
MAX_NESTING = 5
#: The rule of a source that spells people as we do: nothing to resolve, for a million rows.
OUR_SPELLING = parse_rules({})[SUBJECT_ID]


class Hits(Mapping[str, Entry]):
    """What a search found: datasets by name, each narrowed to the items that answer it.

    Parameters
    ----------
    question
        What was asked, for people.
    entries
        Dataset name to the narrowed entry.
    unreachable
        Datasets that could not be asked, with the reason; they may hold more.
    """

    def __init__(self, question: str, entries: Mapping[str, Entry], unreachable: Mapping[str, str]) -> None:
        self.question = question
        self._entries = dict(entries)
        self.unreachable = dict(unreachable)

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            raise DatasetNotFoundError(
                f"dataset {name!r} is not among the hits of {self.question}; {closest(name, self)}"
            )
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def load(self, name: str, **parameters: str) -> Any:
        """Open one item of a hit; a dataset with a single item needs no parameter."""
        return self[name].load(**parameters)

    def table(self) -> pd.DataFrame:
        """Return one row per dataset: modality, level, items found, reader, description."""
        import pandas as pd

        rows = [(e.modality, e.level, e.count(), e.reader_name, e.description) for e in self.values()]
        columns = ["modality", "level", "items", "reader", "description"]
        return pd.DataFrame(rows, index=pd.Index(list(self), name="dataset"), columns=columns)

    def items(self) -> Any:  # a mapping's own, kept
        """Return pairs of dataset name and narrowed entry."""
        return self._entries.items()

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def __repr__(self) -> str:
        missed = f"; {len(self.unreachable)} could not be asked: {some(self.unreachable)}" if self.unreachable else ""
        listed = ", ".join(f"{name} ({entry.count():,})" for name, entry in self.items())
        return f"<Hits of {self.question}: {listed or 'nothing'}{missed}>"

    def _repr_html_(self) -> str:
        from integrate.model.html import card, rows, table

        missed = rows(("could not be asked", "reason"), list(self.unreachable.items())) if self.unreachable else ""
        return card("Search", table(self.table(), max_rows=40) if len(self) else "nothing found", missed,
                    subtitle=self.question)  # fmt: skip


def search_catalog(
    catalog: Catalog,
    text: str | None = None,
    *,
    modality: str | Iterable[str] | None = None,
    level: str | Iterable[str] | None = None,
    subject: str | Iterable[str] | None = None,
    licence: str | Iterable[str] | None = None,
    has: Iterable[str] | None = None,
) -> Hits:
    """Return what answers every condition given; see `Catalog.search`."""
    asked = {"modality": _wanted(modality), "level": _wanted(level), "licence": _wanted(licence)}
    people = None if subject is None else {str(one) for one in ([subject] if isinstance(subject, str) else subject)}
    needed = None if has is None else {one.casefold() for one in ([has] if isinstance(has, str) else has)}
    said = {"text": text, "modality": modality, "level": level, "subject": subject, "licence": licence, "has": has}
    question = ", ".join(f"{name}={value!r}" for name, value in said.items() if value is not None) or "everything"
    found: dict[str, Entry] = {}
    unreachable: dict[str, str] = {}
    known: dict[str, pa.Array] = {}
    entries = dict(_walk(catalog, unreachable))
    if people is not None or needed is not None:
        for name, (entry, rules) in entries.items():
            try:
                known[name] = subjects_of(entry, rules)
            except IntegrateError as error:
                unreachable[name] = str(error)
        if needed is not None:
            with_all = _people_with_all(entries, known, needed)
            people = with_all if people is None else people & with_all
    for name, (entry, _) in entries.items():
        if name in unreachable:
            continue
        try:
            hit = _narrow(entry, text, asked, people, known.get(name))
        except IntegrateError as error:
            unreachable[name] = str(error)
            continue
        if hit is not None:
            found[name] = hit
    return Hits(question, found, unreachable)


def subjects_of(entry: Entry, rules: Mapping[str, IdRule]) -> pa.Array:
    """Return the subject of every item, by the catalog's own rules; of every row for a table with keys.

    Returns
    -------
    Text, missing where the ids name no subject. Parents that only another table knows are not followed.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    subjects: Any = None
    for namespace, column in ids_of(entry):
        rule = rules.get(namespace)
        if rule is None or SUBJECT_ID not in rule.ids:
            continue
        if rule == OUR_SPELLING:
            named = column
        else:
            coded = column.dictionary_encode()
            resolved = [(rule.resolve(id_text(v)) or {}).get(SUBJECT_ID) for v in coded.dictionary.to_pylist()]
            named = pa.array(resolved, pa.string()).take(coded.indices)
        subjects = named if subjects is None else pc.coalesce(subjects, named)
    return pa.nulls(entry.count(), pa.string()) if subjects is None else subjects


def ids_of(entry: Entry) -> Iterator[tuple[str, pa.Array]]:
    """Yield each namespace with the source ids of every item, or of every row of a table; a table is read for it."""
    import pyarrow as pa

    if entry.keys:
        loaded = entry.load()
        frame = loaded.obs if hasattr(loaded, "obs") else loaded
        for column, namespace in entry.keys.items():
            values = frame.index if column == "obs_names" else frame[column]
            yield namespace, pa.array([None if value is None or value != value else id_text(value) for value in values])
    else:
        for namespace in entry.id_namespaces:
            yield namespace, entry.id_column(namespace)


def _walk(
    catalog: Catalog, unreachable: dict[str, str], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, tuple[Entry, Mapping[str, IdRule]]]]:
    rules = parse_rules((catalog.metadata.get("study") or {}).get("identifiers") or {})
    for name, entry in catalog.items():
        if not entry.is_catalog:
            yield prefix + name, (entry, rules)
        elif depth >= MAX_NESTING:
            unreachable[prefix + name] = f"catalogs nested deeper than {MAX_NESTING} are not searched"
        else:
            try:
                inner = entry.load()
            except IntegrateError as error:
                unreachable[prefix + name] = str(error)
                continue
            yield from _walk(inner, unreachable, f"{prefix}{name}/", depth + 1)


def _people_with_all(entries: Mapping[str, Any], known: Mapping[str, pa.Array], needed: set[str]) -> set[str]:
    import pyarrow.compute as pc

    people: dict[str, set[str]] = {modality: set() for modality in needed}
    for name, subjects in known.items():
        entry = entries[name][0]
        if entry.modality.casefold() in needed:
            people[entry.modality.casefold()] |= set(pc.unique(subjects.drop_null()).to_pylist())
        elif not entry.modality and isinstance(entry, AssetEntry) and "modality" in entry.rows.columns:
            column = entry.rows.column("modality")
            for modality in needed:
                mine = subjects.filter(_one_of(column, {modality}))
                people[modality] |= set(pc.unique(mine.drop_null()).to_pylist())
    return set.intersection(*people.values()) if people else set()


def _narrow(
    entry: Entry,
    text: str | None,
    asked: Mapping[str, set[str] | None],
    people: set[str] | None,
    subjects: pa.Array | None,
) -> Entry | None:
    """Return the entry with the items that answer, or ``None``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keep: Any = None
    for field, wanted in asked.items():
        if wanted is None:
            continue
        said = str(entry.metadata.get(field) or "")
        if said:
            if said.casefold() not in wanted:
                return None
        elif isinstance(entry, AssetEntry) and field in entry.rows.columns:
            keep = _both(keep, _one_of(entry.rows.column(field), wanted))
        else:
            return None
    if people is not None and subjects is not None:
        among = pc.is_in(subjects, value_set=pa.array(sorted(people), pa.string()), skip_nulls=True)
        if entry.keys:  # a table is not split
            if not pc.any(among).as_py():
                return None
        else:
            keep = _both(keep, among)
    if text is not None and text.casefold() not in _words(entry):
        rows = _rows_with(entry, text)
        if rows is None:
            return None
        keep = _both(keep, rows)
    if keep is None:
        return entry
    hit = entry.narrow(keep)
    return hit if hit.count() else None


def _rows_with(entry: Entry, text: str) -> Any:
    """Return at which rows some cell holds a text, in any case."""
    import pyarrow.compute as pc

    if not isinstance(entry, AssetEntry):
        return None
    rows = entry.rows
    has_case = text.upper() != text.lower()  # to compare bytes takes a third of the time of comparing letters

    def hits(name: str) -> Any:
        return rows.look_through(
            name, lambda cells: pc.fill_null(pc.match_substring(cells, text, ignore_case=has_case), False)
        )

    found: Any = None
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for hit in pool.map(hits, (name for name in rows.columns if name not in NOT_TEXT)):
            found = hit if found is None else pc.or_(found, hit)
    return found


def _words(entry: Entry) -> str:
    def flat(value: Any) -> Iterator[str]:
        if isinstance(value, Mapping):
            for key, item in value.items():
                yield str(key)
                yield from flat(item)
        elif isinstance(value, list):
            for item in value:
                yield from flat(item)
        else:
            yield str(value)

    return " ".join([entry.name, entry.reader_name, *flat(entry.metadata), *flat(entry.columns)]).casefold()


def _wanted(value: str | Iterable[str] | None) -> set[str] | None:
    return None if value is None else {one.casefold() for one in ([value] if isinstance(value, str) else value)}


def _one_of(column: Any, wanted: set[str]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(pc.utf8_lower(column), value_set=pa.array(sorted(wanted), pa.string()), skip_nulls=True)


def _both(first: Any, second: Any) -> Any:
    import pyarrow.compute as pc

    return second if first is None else pc.and_(first, second)
