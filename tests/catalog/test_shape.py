"""Whatever a catalog says, it opens, shows, searches, loads and is checked, or is refused by us with the place."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrate.catalog.check import check_catalog
from integrate.catalog.open import Catalog, open_catalog
from integrate.errors import CatalogError, IntegrateError
from integrate.model.assemble import open_study

Writer = Callable[[str], Path]
TABLE = "x: {{reader: Table, kwargs: {{url: '{{CATALOG_DIR}}/a.csv', {0}}}}}"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (TABLE.format("ids: [a]"), "entries.x.kwargs.ids: expected a mapping, found a list"),
        (TABLE.format("keys: {1: subject_id}"), "entries.x.kwargs.keys: the key 1 is not text; write '1'"),
        (TABLE.format("columns: {age: {min: a}}"), "entries.x.kwargs.columns.age.min: expected a number, found text"),
        (TABLE.format("columns: {age: [1]}"), "entries.x.kwargs.columns.age: expected a mapping, found a list"),
        (TABLE.format("columns: {age: {levels: 5}}"), "columns.age.levels: expected a list, found int"),
        (TABLE.format("verify: true"), "entries.x.kwargs.verify: expected a mapping, found bool"),
        (TABLE.format("verify: {hsh: x}"), "entries.x.kwargs.verify.hsh: no such field here"),
        (TABLE.format("mirrors: 's3://b/a.csv'"), "entries.x.kwargs.mirrors: expected a list, found text"),
        ("x: {reader: Table, kwargs: {}}", "entries.x.kwargs: needs `url`"),
        ("x: {reader: AssetTable, kwargs: {url: '{CATALOG_DIR}/a.csv'}}", "entries.x.kwargs.item: needs `reader`"),
        ("x: {reader: Table, kwargs: {url: [a]}}", "entries.x.kwargs.url: expected text, found a list"),
        (
            TABLE.format("") + "\nmetadata: {study: {identifiers: {n: {public: 'yes'}}}}",
            "metadata.study.identifiers.n.public: expected true or false, found text",
        ),
        (TABLE.format("") + "\nmetadata: {study: [1]}", "metadata.study: expected a mapping, found a list"),
        (TABLE.format("") + "\nmetadata: {channels: [DAPI]}", "channels[0]: expected a mapping, found text"),
        (TABLE.format("") + "\nmetadata: {study: {crosscheck: [{entry: a}]}}", "crosscheck[0]: needs `column`"),
        (TABLE.format("") + "\naliases: {y: [x]}", "aliases.y: expected text, found a list"),
    ],
)
def test_what_has_another_shape_than_its_name_asks_for_is_refused(write_catalog: Writer, said: str, told: str) -> None:
    with pytest.raises(CatalogError, match=re.escape(told)):
        open_catalog(write_catalog(f"version: 2\nentries:\n  {said}\n"))


def test_every_place_of_the_wrong_shape_is_told_at_once(write_catalog: Writer) -> None:
    said = TABLE.format("ids: 1, keys: 2") + "\nmetadata: {doi: {}}"
    with pytest.raises(CatalogError, match=r"(?s)3 faults.*metadata.doi.*kwargs.ids.*kwargs.keys"):
        open_catalog(write_catalog(f"version: 2\nentries:\n  {said}\n"))


WORD = st.text(max_size=4) | st.sampled_from(["id", "x", "y", "subject_id", "P.*", "(p)(.)", "a.csv", "clinical"])
NAME = WORD.filter(bool)
PLAIN = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=True) | WORD
ANY = st.recursive(PLAIN, lambda one: st.lists(one, max_size=2) | st.dictionaries(WORD, one, max_size=2), max_leaves=4)


def some_of(known: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=known)


def named(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(WORD, inner, max_size=2)


CODEBOOK = named(
    some_of(
        {
            "dtype": WORD | st.sampled_from(["int", "float", "bool", "str", "Int64"]),
            **dict.fromkeys(("min", "max"), st.integers(-2, 2)),
            **dict.fromkeys(("levels", "missing"), st.lists(PLAIN, max_size=2)),
            **dict.fromkeys(("unit", "ordered", "term"), PLAIN),
            "level": st.just("subject") | WORD,
            "labels": st.dictionaries(st.integers(0, 2) | WORD, PLAIN, max_size=2),
        }
    )
)
VERIFY = some_of(
    {"hash": WORD, "bytes": PLAIN, "manifest": st.sampled_from(["{CATALOG_DIR}/a.csv", "{CATALOG_DIR}/no"])}
)
ARGUMENTS = {
    **{"keys": named(WORD), "columns": CODEBOOK, "separator": WORD, "missing": st.lists(WORD, max_size=2)},
    **{"row_names": WORD, "ids": named(PLAIN), "verify": VERIFY, "sheet": WORD},
    "mirrors": st.lists(st.sampled_from(["{CATALOG_DIR}/a.csv", "{CATALOG_DIR}/none.csv"]), max_size=2),
}
METADATA = some_of(
    {
        **dict.fromkeys(("description", "modality", "level", "licence", "access", "device", "batch"), PLAIN),
        **dict.fromkeys(("consent", "doi", "source", "authors"), PLAIN | st.lists(PLAIN, max_size=2)),
        **dict.fromkeys(("terms", "units", "coordinate_system"), named(ANY)),
        "channels": st.lists(st.fixed_dictionaries({"name": NAME}, optional={"term": ANY}), max_size=2),
        "pixel_size_um": st.floats(0, 2) | st.lists(st.floats(0, 2), max_size=3),
        **{"x-undecided": st.lists(PLAIN, max_size=2), "annotates": ANY},
    }
)
CHECKED = st.fixed_dictionaries(
    {"entry": NAME, "column": NAME},
    optional={"with": st.fixed_dictionaries({"entry": NAME, "column": NAME}), "codes": named(PLAIN)},
)
RULE = some_of({"pattern": WORD | st.sampled_from(["[", "(x*)*"]), "ids": named(WORD | st.just("\\1"))})
STUDY = some_of(
    {
        "spine": named(WORD) | st.just({"entry": "x", "key": "id"}),
        "identifiers": named(RULE),
        "visits": st.lists(named(PLAIN), max_size=2),
        **{"crosscheck": st.lists(CHECKED, max_size=2), "missing_by": st.lists(CHECKED, max_size=1)},
        **{"parents": st.lists(named(PLAIN), max_size=1), "index_event": PLAIN},
    }
)
TABLES = st.builds(
    lambda more, said: {"reader": "Table", "kwargs": {"url": "{CATALOG_DIR}/a.csv", **more}, "metadata": said},
    some_of(ARGUMENTS),
    METADATA,
)
ROWS = st.builds(
    lambda key, where, item, said: {
        "reader": "AssetTable",
        "kwargs": {
            **{"url": "{CATALOG_DIR}/rows.csv", "key": key, **where},
            "item": {"reader": "Table", "url": "<path>", **item},
        },
        "metadata": said,
    },
    st.sampled_from(["id", "path", "no"]),
    some_of({"where": st.dictionaries(st.sampled_from(["modality", "no"]), PLAIN, max_size=1)}),
    some_of({**ARGUMENTS, "ids": named(st.sampled_from(["<id>", "<no>"]) | PLAIN), "day": PLAIN | st.just("<id>")}),
    METADATA,
)
CATALOGS = st.fixed_dictionaries(
    {"version": st.just(2), "entries": st.dictionaries(NAME, TABLES | ROWS, min_size=1, max_size=2)},
    optional={
        "metadata": st.builds(lambda said, study: {**said, "study": study}, METADATA, STUDY),
        "aliases": named(WORD),
    },
)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    document=CATALOGS
    | st.fixed_dictionaries({"version": st.just(2), "entries": named(ANY)}, optional={"metadata": ANY})
)
def test_everything_one_can_do_with_a_catalog_works_or_is_refused_by_us(
    document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "a.csv").write_text("id,x\np1,1\np2,2\n")
    (folder / "rows.csv").write_text("id,path,modality\nr1,a.csv,IF\n")
    (folder / "c.yaml").write_text(yaml.safe_dump(document))
    with contextlib.suppress(IntegrateError):
        catalog = open_catalog(folder / "c.yaml")
        for deed in deeds(catalog):
            with contextlib.suppress(IntegrateError):
                deed()


def deeds(catalog: Catalog) -> list[Callable[[], object]]:
    asked: list[dict[str, Any]] = [{"text": "a"}, {"subject": "p1"}, {"has": {"CT", "IF"}}, {"licence": "x"}]
    return [
        *(lambda: repr(catalog), catalog._repr_html_, catalog.table, lambda: check_catalog(catalog, deep=True)),
        *(deed for name in catalog for deed in (catalog[name].describe, catalog[name]._repr_html_, catalog[name].load)),
        *(lambda one=one: catalog.search(**one)._repr_html_() for one in asked),
        lambda: open_study(catalog)._repr_html_(),
    ]
