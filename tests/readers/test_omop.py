"""OMOP CDM: concepts by name, days instead of dates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from integrate.errors import DataError, ParameterError, SourceNotFoundError
from integrate.readers.omop import Omop
from integrate.testing import ReaderTests

TABLES = {
    "person": "person_id,gender_concept_id,year_of_birth\n1,8507,1950\n2,8532,1961\n",
    "visit_occurrence": (
        "visit_occurrence_id,person_id,visit_start_date\n10,1,2020-01-05\n11,1,2019-12-31\n12,2,2021-03-01\n"
    ),
    "measurement": (
        "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_datetime,value_as_number,"
        "unit_concept_id\n"
        "5,1,3004249,2020-01-01,2020-01-01 08:30:00,120.5,8876\n6,2,0,2021-03-03,,,\n7,2,77,bad,,1,8876\n"
    ),
    "CONCEPT": "concept_id\tconcept_name\n8507\tMALE\n8532\tFEMALE\n3004249\tSystolic blood pressure\n8876\tmmHg\n",
}


def write(folder: Path) -> str:
    folder.mkdir()
    for name, text in TABLES.items():
        (folder / f"{name}.csv").write_text(text)
    return str(folder)


class TestContract(ReaderTests):
    cut = 0.92  # within the last row

    def reader(self, folder: Path) -> Omop:
        return Omop(url=write(folder / "cdm"), table="measurement", day_zero="visit_occurrence")

    def victim(self, source: Path) -> Path:
        return source / "measurement.csv"

    def check(self, opened: Any) -> None:
        assert opened["person_id"].tolist() == ["1", "2", "2"]
        assert opened["measurement_concept"].tolist()[0] == "Systolic blood pressure"
        assert opened["unit_concept"].isna().tolist() == [False, True, False]
        assert opened["measurement_day"].tolist()[:2] == [1, 2]
        assert pd.isna(opened["measurement_day"][2])
        assert opened["value_as_number"].tolist()[0] == 120.5
        assert "measurement_date" not in opened
        notes = opened.attrs["integrate"]
        assert notes["concepts_without_name"] == {"measurement_concept": 2}
        assert notes["days"] == {"zero": "visit_occurrence", "without_day": {"measurement_day": 1}}


def test_without_a_table_all_are_listed(tmp_path: Path) -> None:
    listed = Omop(url=write(tmp_path / "cdm")).read().set_index("table")
    assert listed["rows"].to_dict() == {"concept": 4, "measurement": 3, "person": 2, "visit_occurrence": 3}
    assert listed.loc["visit_occurrence", "persons"] == 2


def test_parquet_tables_are_the_same(tmp_path: Path) -> None:
    folder = Path(write(tmp_path / "cdm"))
    before = Omop(url=str(folder), table="person").read()
    pd.read_csv(folder / "person.csv").to_parquet(folder / "person.parquet")
    (folder / "person.csv").unlink()
    pd.testing.assert_frame_equal(Omop(url=str(folder), table="person").read(), before)
    assert before["gender_concept"].tolist() == ["MALE", "FEMALE"]


def test_rows_of_nobody_are_refused(tmp_path: Path) -> None:
    folder = Path(write(tmp_path / "cdm"))
    with (folder / "visit_occurrence.csv").open("a") as stream:
        stream.write("13,99,2020-01-01\n")
    with pytest.raises(DataError, match=r"1 persons of 'visit_occurrence' are not in 'person': '99'"):
        Omop(url=str(folder), table="visit_occurrence").read()
    with pytest.raises(ParameterError, match=r"no table 'visit'; "):
        Omop(url=str(folder), table="visit").read()
    (folder / "person.csv").unlink()
    with pytest.raises(SourceNotFoundError, match="it is no OMOP CDM"):
        Omop(url=str(folder), table="measurement").read()
