"""Rows of an asset table are found by their key, one by one and all at once, as a slow obvious reading finds them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrate.catalog.open import Catalog
from integrate.catalog.rows import AssetRows
from integrate.errors import CatalogError, DataError, DatasetNotFoundError

TABLE = pd.DataFrame(
    {
        "key": [f"S{number:05d}" for number in range(3000)],
        "modality": ["CT", "SM", "MR"] * 1000,
        "path": [f"a, b/{number}.tif" if number % 7 else None for number in range(3000)],
        "day": range(3000),
    }
)


@pytest.fixture(params=["csv", "parquet"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"assets.{request.param}"
    if request.param == "csv":
        TABLE.to_csv(path, index=False)
    else:
        TABLE.to_parquet(path)
    return path


def test_rows_are_what_pandas_reads(table: Path) -> None:
    rows = AssetRows(table, key="key", where={"modality": ["CT", "MR"], "day": list(range(2000))})
    kept = TABLE[TABLE["modality"].isin(["CT", "MR"]) & (TABLE["day"] < 2000)]
    assert list(rows.keys()) == kept["key"].tolist()
    for number in (0, 1, 700, len(kept) - 1):
        expected = kept.iloc[number]
        assert dict(rows.row(expected["key"])) == {**expected.to_dict(), "day": str(expected["day"])}
    assert rows.find("S00001") is None  # there, but its modality is SM


def test_template_is_filled_for_every_row_at_once(table: Path) -> None:
    filled = AssetRows(table, key="key").filled("x/<path>/<key>.dcm").to_pylist()
    assert filled == [
        None if path is None else f"x/{path}/{key}.dcm"
        for key, path in zip(*map(TABLE.get, ["key", "path"]), strict=True)
    ]


def test_unknown_key_among_many_names_the_closest(table: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="no key 'S0123O'; closest: 'S01230'"):
        AssetRows(table, key="key").row("S0123O")


def test_keys_are_a_sequence_that_is_not_built(table: Path) -> None:
    keys = AssetRows(table, key="key").keys()
    assert (len(keys), keys[0], keys[-1], keys[:2]) == (3000, "S00000", "S02999", ("S00000", "S00001"))
    assert "S00007" in keys
    assert 7 not in keys


def test_repeated_and_missing_keys_are_refused(tmp_path: Path) -> None:
    for text, message in (
        ("key,x\na,1\nb,2\na,3\n", "key repeats in the asset table: 'a'"),
        ("key,x\na,1\n,2\n", "1 rows of assets.csv have no key"),
    ):
        (tmp_path / "assets.csv").write_text(text)
        with pytest.raises(DataError, match=message):
            AssetRows(tmp_path / "assets.csv", key="key").check_keys()


@pytest.mark.parametrize("text", ["key,x\na,1,2\n", "key,x\na\n", "key,key\na,b\n", "key,\na,b\n", "", '"key'])
def test_table_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "assets.csv").write_text(text)
    with pytest.raises(DataError, match=r"assets\.csv"):
        AssetRows(tmp_path / "assets.csv", key="key").check_keys()


def test_cut_off_parquet_is_refused(tmp_path: Path) -> None:
    TABLE.to_parquet(tmp_path / "assets.parquet")
    whole = (tmp_path / "assets.parquet").read_bytes()
    (tmp_path / "assets.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not a readable asset table"):
        AssetRows(tmp_path / "assets.parquet", key="key")


def test_id_stored_as_floating_point_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"key": [1.0, 2.0]}).to_parquet(tmp_path / "assets.parquet")
    with pytest.raises(DataError, match="stored as floating-point numbers"):
        AssetRows(tmp_path / "assets.parquet", key="key").keys()[0]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), min_size=1), min_size=1, unique=True)
)
def test_any_key_is_found_in_its_row(tmp_path_factory: pytest.TempPathFactory, keys: list[str]) -> None:
    path = tmp_path_factory.mktemp("rows") / "assets.parquet"
    pd.DataFrame({"key": keys}).to_parquet(path)
    rows = AssetRows(path, key="key")
    assert [rows.find(key) for key in keys] == list(range(len(keys)))


def test_changed_table_is_read_again(catalog: Catalog, folder: Path) -> None:
    assert catalog["files"].count() == 2
    with (folder / "assets.csv").open("a") as table:
        table.write("04,IF,f1_p1,f1_p1,\n")
    assert catalog["files"].count() == 3
    assert "rows" not in vars(pickle.loads(pickle.dumps(catalog["files"])))


def test_missing_column_of_the_item_is_named(catalog: Catalog, folder: Path) -> None:
    text = (folder / "assets.csv").read_text()
    (folder / "assets.csv").write_text(text.replace("source", "sauce"))
    os.utime(folder / "assets.csv", (1, 1))
    with pytest.raises(CatalogError, match="no column 'source'; closest: 'sauce'"):
        catalog["files"].items()
