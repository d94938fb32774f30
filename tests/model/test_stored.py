"""A written study says all it said before, and opens its data where the catalog still lies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from pandas.api.types import is_object_dtype

from integrate.datasets.toy import toy_catalog
from integrate.errors import DataError, IntegrateWarning, ParameterError, SourceNotFoundError
from integrate.join.link import link
from integrate.join.reopen import read_study
from integrate.model.assemble import open_study
from integrate.model.study import SAMPLE_MAP_COLUMNS, Study

ENTITIES = ("subjects", "specimens", "visits", "acquisitions", "regions", "assays", "sample_map", "identifiers")
VISITS = [{"visit": "start", "day": 0, "before": 3, "after": 3}]


@pytest.fixture
def seen(write_study: Callable[..., Study], small_matrix: Callable[..., ad.AnnData]) -> Study:
    """A study with every kind of table: visits, days, missing text, an unread id, a matrix, images."""
    return write_study(
        declared={
            "spine": {"entry": "people"},
            "visits": VISITS,
            "identifiers": {
                "folder": {"pattern": r"f(\d)_(P\d)", "ids": {"acquisition_id": r"\1", "subject_id": r"\2"}}
            },
        },
        tables={
            "people": (
                "id,age,site\n001,50,\n002,,north\n003,61,south\n",
                {"id": "subject_id"},
                "subject",
                {"age": {"unit": "a"}},
            ),
            "samples": (
                "id,who,day\nS1,001,1\nS2,001,90\nS3,002,\n",
                {"id": "specimen_id", "who": "subject_id"},
                "specimen",
                {},
            ),
            "cores": (
                "core,field,note\nc1,1,\nc2,1,\n",
                {"core": "region_id", "field": "acquisition_id"},
                "region",
                {},
            ),
        },
        matrices={"rna": (small_matrix({"who": ["001", "003"]}), {"who": "subject_id"}, "subject")},
        images={"mif": ("folder", ["f1_P1", "f2_P1"])},
    )


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Raise unless two tables are equal; which of Python's missing values stands in a text column does not matter."""
    objects = [column for column, kind in expected.dtypes.items() if is_object_dtype(kind)]
    texts = {column: expected[column].where(expected[column].notna(), None) for column in objects}
    pd.testing.assert_frame_equal(found, expected.assign(**texts), check_index_type=False)


def test_every_table_finding_and_declaration_comes_back(seen: Study, tmp_path: Path) -> None:
    seen.write(tmp_path / "study")
    again = read_study(tmp_path / "study")
    for name in ENTITIES:
        assert_same(getattr(again, name), getattr(seen, name))
    for name, table in seen.tables.items():
        assert_same(again.tables[name], table)
        assert again.tables[name].attrs == table.attrs
    assert again.declared == seen.declared
    assert again.findings == seen.findings
    assert again.audit == seen.audit
    assert repr(again) == repr(seen)
    pd.testing.assert_frame_equal(again.availability(), seen.availability())


def test_it_is_a_study_like_any_other(seen: Study, tmp_path: Path) -> None:
    seen.write(tmp_path / "study")
    again = read_study(tmp_path / "study")
    asked = {"unit": "subject", "clinical": "people", "rna": "rna", "unmatched": "drop"}
    pd.testing.assert_frame_equal(link(again, **asked).to_pandas(), link(seen, **asked).to_pandas())
    again.write(tmp_path / "twice")
    assert (tmp_path / "twice" / "study.json").read_text() == (tmp_path / "study" / "study.json").read_text()


def test_data_open_through_the_catalog_while_it_is_there(tmp_path: Path) -> None:
    catalog = toy_catalog(tmp_path / "data")
    open_study(catalog).write(tmp_path / "study")
    opened = read_study(tmp_path / "study").load("fields", acquisition_id="f3")
    assert opened.attrs["integrate"]["ids"]["subject_id"] == "P02"
    catalog.path.write_text(catalog.path.read_text() + "\n")
    with pytest.warns(IntegrateWarning, match="has changed since the study was written"):
        read_study(tmp_path / "study")
    (tmp_path / "data").rename(tmp_path / "moved")
    alone = read_study(tmp_path / "study")
    assert alone.availability().loc["P02", "fields"] == 2
    assert alone.dataset("fields").level == "acquisition"
    with pytest.raises(SourceNotFoundError, match=r"read without its catalog; give it, read_study\(path, catalog="):
        alone.load("fields", acquisition_id="f3")
    moved = toy_catalog(tmp_path / "elsewhere")
    assert read_study(tmp_path / "study", catalog=moved).load("fields", acquisition_id="f3").shape == (2, 64, 64)


def test_everything_wrong_with_the_files_is_said_at_once(seen: Study, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no study folder at"):
        read_study(tmp_path / "nothing")
    seen.write(tmp_path / "study")
    (tmp_path / "study" / "subjects.parquet").unlink()
    (tmp_path / "study" / "identifiers.parquet").write_text("no")
    seen.sample_map.drop(columns=["day", "item"]).to_parquet(tmp_path / "study" / "sample_map.parquet")
    (tmp_path / "study" / "tables" / "people.parquet").unlink()
    with pytest.raises(DataError, match="is damaged") as caught:
        read_study(tmp_path / "study")
    for said in (
        "subjects.parquet is not there",
        "identifiers.parquet cannot be read",
        "sample_map.parquet lacks the columns day, item",
        "people.parquet is not there",
    ):
        assert said in str(caught.value)
    (tmp_path / "study" / "study.json").write_text('{"format": 99}')
    with pytest.raises(DataError, match="has study format 99, this version reads 1"):
        read_study(tmp_path / "study")


def test_a_study_is_written_whole_or_not_at_all(seen: Study, tmp_path: Path) -> None:
    seen.write(tmp_path / "study")
    with pytest.raises(FileExistsError, match="replace a study with overwrite=True"):
        seen.write(tmp_path / "study")
    before = sorted(file.name for file in (tmp_path / "study").iterdir())
    seen.tables["people"]["site"] = [object(), 1, "x"]  # type: ignore[index]
    seen.tables["samples"]["day"] = [object(), {}, 3]  # type: ignore[index]
    with pytest.raises(DataError, match=r"table 'people': .*table 'samples'"):
        seen.write(tmp_path / "study", overwrite=True)
    assert sorted(file.name for file in (tmp_path / "study").iterdir()) == before
    assert sorted(one.name for one in tmp_path.iterdir() if one.name.startswith(".")) == []
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError, match="choose another name"):
        seen.write(tmp_path / "mine", overwrite=True)


def test_names_of_tables_that_no_file_can_have(write_study: Callable[..., Study], tmp_path: Path) -> None:
    study = write_study(tables={"people": ("id,age\n1,3\n", {"id": "subject_id"}, "subject", {})})
    odd = "a/b ../c"
    renamed = Study(
        study.name, study.subjects, study.sample_map, study.identifiers, {odd: study.tables["people"]}, study.datasets
    )
    renamed.write(tmp_path / "study")
    again = read_study(tmp_path / "study")
    assert again.tables[odd]["age"].tolist() == [3]
    assert again.sql(f'SELECT age FROM "{odd}"')["age"].tolist() == [3]


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_query_sees_every_table_by_its_name(seen: Study, tmp_path: Path, on_disk: bool) -> None:
    if on_disk:
        seen.write(tmp_path / "study")
        seen = read_study(tmp_path / "study")
    counts = [seen.sql(f"SELECT * FROM {name}").shape[0] for name in ENTITIES]
    assert counts == [len(getattr(seen, name)) for name in ENTITIES]
    days = seen.sql("SELECT day FROM sample_map WHERE assay = 'samples' ORDER BY specimen_id")["day"]
    assert str(days.dtype) == "Int64"
    assert days.isna().tolist() == [False, False, True]
    joined = seen.sql("SELECT s.subject_id, p.site FROM subjects s JOIN people p USING (subject_id) ORDER BY 1")
    assert joined["subject_id"].tolist() == ["001", "002", "003"]
    assert seen.sql("SELECT * FROM sample_map WHERE visit = 'start'").empty
    with pytest.raises(ParameterError, match=r"the study cannot answer.*nobody"):
        seen.sql("SELECT * FROM nobody")


@pytest.mark.slow
def test_a_study_of_a_million_acquisitions_stays_usable(tmp_path: Path) -> None:
    many, people = 1_000_000, 2_000
    subjects = [f"P{i:04}" for i in range(people)]
    own = np.array([f"A{i:07}" for i in range(many)], dtype=object)
    sample_map = pd.DataFrame({"assay": "ct", "obs_id": own, "subject_id": np.resize(subjects, many)})
    sample_map = sample_map.assign(acquisition_id=own, item=own).reindex(columns=list(SAMPLE_MAP_COLUMNS))
    sample_map["day"] = pd.array(np.arange(many) % 365, dtype="Int64")
    toy = open_study(toy_catalog(tmp_path / "toy"))
    index = pd.Index(subjects, name="subject_id", dtype=object)
    study = Study(
        "large", pd.DataFrame(index=index), sample_map, toy.identifiers.iloc[:0], {}, {"ct": toy.datasets["fields"]}
    )
    study.write(tmp_path / "study")
    again = read_study(tmp_path / "study")
    found = again.sql("SELECT subject_id, count(*) AS n FROM acquisitions WHERE day < 100 GROUP BY ALL")
    assert found["n"].sum() == (np.arange(many) % 365 < 100).sum()
    assert len(again.acquisitions) == many
    assert len(again._repr_html_()) < 50_000
    shutil.rmtree(tmp_path / "study")
