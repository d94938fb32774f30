"""A table that need not fit into memory is reduced to what the same table in memory gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import integrate.join.held as held
import integrate.join.parquet as parquet
from integrate.errors import AlignmentError, DataError, ParameterError, SourceNotFoundError, UnitError
from integrate.join.large import reduce_table
from integrate.join.link import link
from integrate.join.reduce import Composition, Fraction, Mean, Quantile
from integrate.model.study import Study

KINDS = ["B", "T", "tumour"]
REDUCTIONS: dict[str, Any] = {
    "mean": "mean",
    "median": "median",
    "weighted": Mean(weights="area"),
    "quantile": Quantile(0.9),
    "composition": Composition("kind"),
    "weighted composition": Composition("kind", weights="area"),
    "fraction": Fraction("kind", equals="T"),
    "weighted fraction": Fraction("CD8", above=0.5, weights="area"),
    "side by side": ["mean", "median", Fraction("CD8", above=0.5)],
}


def cells_of(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "acquisition_id": rng.choice(["A1", "a2", "A3"], n),
            "instance_id": np.arange(n),
            "CD8": np.where(rng.random(n) < 0.1, np.nan, rng.gamma(1, size=n)).astype("float32"),
            "area": rng.integers(1, 50, n),
            "kind": pd.Series(rng.choice([*KINDS, None], n), dtype=object),  # type: ignore[list-item]
        }
    )


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BATCH_ROWS", 64)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("level", ["subject", "acquisition"])
def test_it_gives_what_the_table_in_memory_gives(three: Study, tmp_path: Path, name: str, level: str) -> None:
    table = cells_of(1000)
    table.iloc[:300].to_parquet(tmp_path / "1.parquet")
    table.iloc[300:].to_parquet(tmp_path / "2.parquet", row_group_size=100)
    reduced = reduce_table(three, tmp_path, level=level, reduce=REDUCTIONS[name], progress=False)
    found = link(three, unit=level, cells=reduced, validate="1:1").assays["cells"]
    expected = link(three, unit=level, cells=table, reduce={"cells": REDUCTIONS[name]}).assays["cells"]
    assert found.var_names.tolist() == expected.var_names.tolist()
    np.testing.assert_allclose(found.X, expected.X, rtol=1e-12)
    np.testing.assert_array_equal(found.layers["n"], expected.layers["n"])
    assert found.var["unit"].tolist() == expected.var["unit"].tolist()
    again = reduce_table(three, tmp_path, level=level, reduce=REDUCTIONS[name], progress=False)
    np.testing.assert_array_equal(again.X, reduced.X)  # to the last bit


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.lists(st.tuples(st.sampled_from(["A1", "A2", "A3"]), st.none() | st.floats(-1e6, 1e6)), min_size=1, max_size=30),
    st.integers(1, 7),
)
def test_no_row_is_lost_or_counted_twice(three: Study, tmp_path: Path, rows: list[Any], batch: int) -> None:
    table = pd.DataFrame(rows, columns=["acquisition_id", "v"]).astype({"v": float})
    table.to_parquet(tmp_path / "t.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "BATCH_ROWS", batch)
        reduced = reduce_table(three, tmp_path / "t.parquet", level="acquisition", reduce="mean", progress=False)
    assert reduced.obs_names.tolist() == sorted(set(table["acquisition_id"]))
    expected = table.groupby("acquisition_id")["v"].agg(["mean", "count"])
    np.testing.assert_array_equal(reduced.layers["n"][:, 0], expected["count"])
    np.testing.assert_allclose(reduced.X[:, 0], expected["mean"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["mean", "median", "weighted composition"])
def test_batches_and_files_do_not_change_a_bit(three: Study, tmp_path: Path, name: str) -> None:
    table = cells_of(2000)
    (tmp_path / "many").mkdir()
    table.to_parquet(tmp_path / "one.parquet")
    for i, start in enumerate(range(0, 2000, 300)):
        table[start : start + 300].to_parquet(tmp_path / "many" / f"{i}.parquet", row_group_size=70)

    def reduced(path: Path) -> Any:
        return reduce_table(three, path, level="subject", reduce=REDUCTIONS[name], progress=False).X

    expected = reduced(tmp_path / "one.parquet")
    np.testing.assert_array_equal(reduced(tmp_path / "many"), expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "BATCH_ROWS", 17)
        np.testing.assert_array_equal(reduced(tmp_path / "one.parquet"), expected)


def test_quantiles_that_do_not_fit_take_several_passes(
    three: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cells_of(1000).to_parquet(tmp_path / "t.parquet")
    at_once = reduce_table(three, tmp_path / "t.parquet", level="acquisition", reduce="median")
    assert "1.00k/1.00k" in capsys.readouterr().err
    monkeypatch.setattr(held, "HELD_BYTES", 8 * 400)  # one unit of one column
    in_parts = reduce_table(three, tmp_path / "t.parquet", level="acquisition", reduce="median")
    np.testing.assert_array_equal(in_parts.X, at_once.X)
    np.testing.assert_array_equal(in_parts.layers["n"], at_once.layers["n"])
    assert "6.00k/6.00k" in capsys.readouterr().err


def test_the_bar_counts_every_row_once_and_can_be_left_out(
    three: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells_of(1000).to_parquet(tmp_path / "t.parquet")
    asked: dict[str, Any] = {"level": "subject", "reduce": ["mean", Composition("kind")]}
    reduce_table(three, tmp_path / "t.parquet", **asked)
    shown = capsys.readouterr().err
    assert "t.parquet: 100%" in shown
    assert "1.00k/1.00k" in shown
    reduce_table(three, tmp_path / "t.parquet", **asked, progress=False)
    assert capsys.readouterr().err == ""


def test_rows_are_reduced_to_regions(make_study: Callable[..., Study], tmp_path: Path) -> None:
    cores = pd.DataFrame({"region_id": ["R2", "R1"], "acquisition_id": ["A1", "A1"], "subject_id": ["P1", "P1"]})
    study = make_study(cores=cores, levels={"cores": "region"})
    pd.DataFrame({"region_id": ["R1", "R2", "R2"], "v": [1.0, 2.0, 4.0]}).to_parquet(tmp_path / "t.parquet")
    reduced = reduce_table(study, tmp_path / "t.parquet", level="region", reduce="mean", progress=False)
    cohort = link(study, unit="region", cells=reduced)
    assert cohort.values("v").to_dict() == {"R1": 1.0, "R2": 3.0}
    assert cohort.obs["subject_id"].tolist() == ["P1", "P1"]


def test_whole_number_ids_are_read_where_some_are_missing(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study(people=pd.DataFrame({"subject_id": ["7", "10"]}))
    table = pd.DataFrame({"subject_id": pd.array([7, 10, None, 10], dtype="Int64"), "v": [1.0, 2.0, 9.0, 4.0]})
    table.to_parquet(tmp_path / "t.parquet")
    reduced = reduce_table(
        study, tmp_path / "t.parquet", level="subject", reduce="mean", unmatched="drop", progress=False
    )
    assert dict(zip(reduced.obs_names, reduced.X[:, 0], strict=True)) == {"10": 3.0, "7": 1.0}


@pytest.mark.usefixtures("small_batches")
def test_a_dictionary_may_hold_ids_and_kinds_that_no_row_has(three: Study, tmp_path: Path) -> None:
    table = cells_of(300).dropna(subset=["kind"])
    expected = link(three, unit="acquisition", cells=table, reduce={"cells": Composition("kind")}).assays["cells"]
    table["acquisition_id"] = pd.Categorical(table["acquisition_id"], ["Z9", "A1", "a2", "A3"])
    table["kind"] = pd.Categorical(table["kind"], ["none", *KINDS])
    table.to_parquet(tmp_path / "t.parquet")
    reduced = reduce_table(
        three, tmp_path / "t.parquet", level="acquisition", reduce=Composition("kind"), progress=False
    )
    np.testing.assert_array_equal(reduced.X, expected.X)


def test_several_id_columns_and_numeric_ids_are_read(make_study: Callable[..., Study], tmp_path: Path) -> None:
    people = pd.DataFrame({"subject_id": ["1", "2"]})
    fields = pd.DataFrame({"acquisition_id": ["10", "11"], "subject_id": ["1", "2"]})
    study = make_study(spine="people", people=people, fields=fields, levels={"fields": "acquisition"})
    table = pd.DataFrame({"subject_id": [1, 2, 2], "acquisition_id": [10, 11, 11], "v": [1.0, 2.0, 4.0]})
    table.to_parquet(tmp_path / "t.parquet")
    reduced = reduce_table(study, tmp_path / "t.parquet", level="subject", reduce=["mean", "median"], progress=False)
    assert reduced.X.tolist() == [[1.0, 1.0], [3.0, 3.0]]


def test_rows_of_nobody_are_refused_or_listed(three: Study, tmp_path: Path) -> None:
    table = pd.DataFrame({"subject_id": ["P1", "X", "X", None], "v": [1.0, 2.0, 3.0, 4.0]})
    table.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(AlignmentError, match=r"3 of 4 rows of 't.parquet' belong to no subject of the study"):
        reduce_table(three, tmp_path / "t.parquet", level="subject", reduce="mean")
    reduced = reduce_table(
        three, tmp_path / "t.parquet", level="subject", reduce="mean", unmatched="drop", progress=False
    )
    assert reduced.X.tolist() == [[1.0]]
    assert sorted(reduced.uns["integrate"]["unmatched"].values()) == [
        "1 rows: no subject_id can be found for it",
        "2 rows: its subject_id is not in the study",
    ]


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"level": "cell"}, UnitError, "no level 'cell'"),
        ({"reduce": Fraction("kind", equals="NK")}, ParameterError, "no row of t.parquet has kind = 'NK'"),
        ({"reduce": Fraction("knd")}, ParameterError, "no column 'knd'; closest: 'kind'"),
        ({"reduce": Composition("area")}, ParameterError, "'area' holds numbers"),
        ({"values": ["kind"]}, ParameterError, "'kind' of t.parquet are not numbers"),
        ({"reduce": Mean(weights="CD8")}, ParameterError, "no weight 'CD8' or a negative one"),
        ({"reduce": Mean(weights="n")}, ParameterError, "name a column"),
        ({"unmatched": "ignore"}, ParameterError, "write 'raise' or 'drop'"),
    ],
)
def test_what_has_no_meaning_is_refused(
    three: Study, tmp_path: Path, more: dict[str, Any], error: type[Exception], message: str
) -> None:
    cells_of(50).to_parquet(tmp_path / "t.parquet")
    asked = {"level": "subject", "reduce": "mean", "progress": False, **more}
    with pytest.raises(error, match=message):
        reduce_table(three, tmp_path / "t.parquet", **asked)


def test_files_that_are_no_table_are_refused(three: Study, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no Parquet file at"):
        reduce_table(three, tmp_path, level="subject", reduce="mean")
    pd.DataFrame({"v": [1.0]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(AlignmentError, match="none of the id columns"):
        reduce_table(three, tmp_path, level="subject", reduce="mean")
    cells_of(5).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet and a\.parquet have different columns"):
        reduce_table(three, tmp_path, level="subject", reduce="mean")
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        reduce_table(three, tmp_path, level="subject", reduce="mean")
