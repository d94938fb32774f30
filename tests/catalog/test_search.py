"""A search finds by metadata, person and modality, and what it finds can be opened and nothing else."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from integrate.catalog.open import Catalog, open_catalog
from integrate.errors import DatasetNotFoundError, ParameterError, UnsafeCatalogError

Writer = Callable[[str], Path]

MIXED = """
  everything:
    reader: AssetTable
    kwargs:
      url: "{CATALOG_DIR}/mixed.csv"
      key: item
      item: {reader: ChannelFolder, url: "<path>", ids: {subject_id: "<who>"}, verify: {hash: "<sha256>"}}
    metadata: {description: rows of many kinds}
"""


@pytest.fixture
def mixed(write_catalog: Writer, text: str, folder: Path) -> Catalog:
    (folder / "mixed.csv").write_text(
        "item,who,modality,licence,path,bytes,note,sha256\n"
        "a,p1,CT,CC0-1.0,f1_p1,1000,left lung,\n"
        "b,p1,SM,CC-BY-4.0,f1_p1,500,Biopsy,\n"
        "c,p2,CT,CC0-1.0,f2_p2,1,,\n"
        "d,p3,SM,CC0-1.0,f2_p2,1,lung,\n"
    )
    return open_catalog(write_catalog(text.replace("  licence: CC0-1.0\n", "") + MIXED))


def test_text_is_found_in_metadata_and_in_rows(mixed: Catalog) -> None:
    assert list(mixed.search("PEOPLE")) == ["clinical"]
    assert mixed.search("cd3").table()["items"].to_dict() == {"fields": 2}
    assert mixed.search("lung")["everything"].items()["item"].tolist() == ["a", "d"]
    assert not mixed.search("nothing of this kind")


def test_conditions_must_all_hold(mixed: Catalog) -> None:
    assert mixed.search(modality="ct")["everything"].items()["item"].tolist() == ["a", "c"]
    assert mixed.search(licence="CC-BY-4.0")["everything"].items()["item"].tolist() == ["b"]
    assert mixed.search("lung", modality={"CT", "IF"}, subject="p1").table()["items"].to_dict() == {"everything": 1}
    assert not mixed.search("lung", modality="SM", subject="p1")


def test_person_is_found_by_the_catalogs_rules(mixed: Catalog) -> None:
    hits = mixed.search(subject="p2")
    assert hits.table()["items"].to_dict() == {"fields": 1, "clinical": 1, "files": 1, "everything": 1}
    assert hits["fields"].items()["item"].tolist() == ["field=f2_p2"]


def test_table_that_holds_a_person_is_found_whole(write_catalog: Writer, text: str) -> None:
    catalog = open_catalog(write_catalog(text.replace("keys: {id: subject_id}", "keys: {id: subject_id}")))
    assert set(catalog.search(subject="p1")) == {"fields", "clinical", "files"}
    assert len(catalog.search(subject="p1", text="people").load("clinical")) == 2


def test_has_asks_for_people_with_every_modality(mixed: Catalog) -> None:
    assert mixed.search(has={"CT", "SM"})["everything"].items()["item"].tolist() == ["a", "b"]
    assert mixed.search(has={"CT", "IF"}, modality="CT")["everything"].items()["item"].tolist() == ["a", "c"]
    assert not mixed.search(has={"CT", "PT"})


def test_hits_open_and_what_is_no_hit_does_not(mixed: Catalog) -> None:
    hits = pickle.loads(pickle.dumps(mixed.search(subject="p2")))
    np.testing.assert_array_equal(hits.load("fields", field="f2_p2"), mixed.load("fields", field="f2_p2"))
    assert hits.load("everything", item="c").shape == (2, 16, 20)
    with pytest.raises(ParameterError, match="not among the items found"):
        hits.load("fields", field="f1_p1")
    with pytest.raises(ParameterError, match="no item 'a'"):
        hits.load("everything", item="a")
    with pytest.raises(DatasetNotFoundError, match="not among the hits"):
        mixed.search(modality="IF")["clinical"]


def test_search_says_what_it_could_not_ask(mixed: Catalog, folder: Path) -> None:
    (folder / "assets.csv").unlink()
    hits = mixed.search(subject="p1")
    assert list(hits.unreachable) == ["files"]
    assert "no file at" in hits.unreachable["files"]
    assert "could not be asked: 'files'" in repr(hits)
    assert "could not be asked" in hits._repr_html_()


def test_listing_tells_subjects_size_licence_and_integrity(mixed: Catalog) -> None:
    row = mixed.table().loc["everything"]
    assert (row["items"], row["subjects"], row["bytes"], row["integrity"]) == (4, 3, 1502, "sha256")
    assert "1.5 kB" in mixed._repr_html_()
    assert mixed.entry("everything").describe()["bytes"] == 1502
    assert "catalog lock" in mixed.entry("fields").describe()["integrity"]


INNER = """
version: 2
metadata: {name: inner, study: {identifiers: {}}}
user_parameters:
  root: {cls: "integrate.catalog.parameters:DataRoot"}
entries:
  people: {reader: Table, kwargs: {url: "{root}/clinical.csv", keys: {id: subject_id}}, metadata: {modality: clinical}}
"""
OUTER = """
version: 2
user_parameters:
  data: {cls: "integrate.catalog.parameters:DataRoot"}
entries:
  sub: {reader: SubCatalog, kwargs: {url: "{CATALOG_DIR}/inner/catalog.yaml", roots: {root: "ROOT"}}}
"""


@pytest.fixture
def nested(folder: Path, write_catalog: Writer) -> Callable[[str], Path]:
    (folder / "inner").mkdir()
    (folder / "inner" / "catalog.yaml").write_text(INNER)
    return lambda root: write_catalog(OUTER.replace("ROOT", root))


def test_catalog_in_a_catalog_opens_and_is_searched(nested: Callable[[str], Path], folder: Path) -> None:
    catalog = open_catalog(nested("{data}"), data=str(folder))
    assert catalog["sub"].load().name == "inner"
    assert len(catalog.load("sub/people")) == 2
    assert len(catalog.search(modality="clinical").load("sub/people")) == 2
    with pytest.raises(DatasetNotFoundError, match="closest: 'people'"):
        catalog["sub/peple"]


@pytest.mark.parametrize("root", ["/etc", "{CATALOG_DIR}/../..", "etc"])
def test_catalog_in_a_catalog_reads_no_further(nested: Callable[[str], Path], folder: Path, root: str) -> None:
    with pytest.raises(UnsafeCatalogError, match="leads outside"):
        open_catalog(nested(root), data=str(folder)).load("sub/people")


def test_unsafe_catalog_in_a_catalog_is_refused(nested: Callable[[str], Path], folder: Path) -> None:
    path = nested("{data}")
    (folder / "inner" / "catalog.yaml").write_text(INNER.replace("reader: Table", "reader: 'os:system'"))
    with pytest.raises(UnsafeCatalogError, match="not a registered reader"):
        open_catalog(path, data=str(folder))["sub"].load()


def test_catalog_that_holds_itself_is_searched_to_an_end(folder: Path) -> None:
    text = "version: 2\nentries:\n  me: {reader: SubCatalog, kwargs: {url: '{CATALOG_DIR}/catalog.yaml'}}\n"
    (folder / "catalog.yaml").write_text(text)
    hits = open_catalog(folder / "catalog.yaml").search("x")
    assert list(hits.unreachable) == ["me/me/me/me/me/me"]


@pytest.mark.parametrize("where", ["", "where: {kind: CT}, "])
def test_a_word_is_found_alike_in_csv_and_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Columns of Parquet are looked at in pieces."""
    monkeypatch.setattr("integrate.catalog.rows.PIECE", 7)
    rows = pd.DataFrame({"id": [f"S{n:03}" for n in range(100)], "path": "a", "kind": ["CT", "MR"] * 50, "none": None})
    rows["who"] = [f"Ünal{n % 30}" for n in range(100)]
    rows.to_csv(tmp_path / "r.csv", index=False)
    rows.to_parquet(tmp_path / "r.parquet", row_group_size=40)
    kept = rows[rows["kind"] == "CT"] if where else rows
    for suffix in ("csv", "parquet"):
        kwargs = f"url: '{{CATALOG_DIR}}/r.{suffix}', key: id, {where}item: {{reader: Table, url: <path>}}"
        (tmp_path / "c.yaml").write_text(f"version: 2\nentries:\n  f: {{reader: AssetTable, kwargs: {{{kwargs}}}}}\n")
        catalog = open_catalog(tmp_path / "c.yaml")
        for word in ("s099", "05", "ünal2", "mr", "absent"):
            cells = kept.astype(str).apply(lambda column, word=word: column.str.lower().str.contains(word))
            expected = kept.loc[cells[["id", "path", "kind", "who"]].any(axis=1), "id"].tolist()
            hits = catalog.search(word)
            assert (list(hits["f"].rows.keys()) if "f" in hits else []) == expected
