"""Workbooks and files of statistics programs: written by their own libraries, read with their codebook."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from integrate.errors import DataError, ParameterError
from integrate.readers.table import Table
from integrate.testing import ReaderTests

openpyxl = pytest.importorskip("openpyxl")
pyreadstat = pytest.importorskip("pyreadstat")

ROWS = [
    ["patient", "age", "sex", "seen", "alive", "note"],
    ["007", 61, 1, datetime.datetime(2020, 1, 31), True, "x"],
    [12, None, 2, datetime.datetime(2021, 5, 6), False, 5],
    ["A1", 47.5, 1, None, None, "NA"],
]


def workbook(file: Path, sheets: dict[str, list[list[Any]]]) -> str:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(file)
    return str(file)


def spss(file: Path) -> str:
    """Ids as numbers, a nominal and an ordinal variable with labels, an age with a missing code."""
    frame = pd.DataFrame(
        {
            "id": [7.0, 8, 9, 10],
            "sex": [1.0, 2, 2, np.nan],
            "stage": [3.0, 1, 2, 1],
            "age": [50.0, 999, -1, 47.5],
            "seen": [datetime.date(2020, 1, 2)] * 4,
            "site": ["north", "", "south", "north"],
        }
    )
    pyreadstat.write_sav(
        frame,
        str(file),
        variable_value_labels={
            "sex": {1: "male", 2: "female"},
            "stage": {1: "I", 2: "II", 3: "III"},
            "age": {999: "refused"},
        },
        missing_ranges={"age": [999, {"lo": -9, "hi": -1}]},
        column_labels={"age": "Age at diagnosis, years"},
        variable_measure={"sex": "nominal", "stage": "ordinal"},
    )
    return str(file)


class TestWorkbook(ReaderTests):
    def reader(self, folder: Path) -> Table:
        labels = {"sex": {"labels": {"1": "male", "2": "female"}}}
        return Table(url=workbook(folder / "t.xlsx", {"one": ROWS}), keys={"patient": "hospital"}, columns=labels)

    def check(self, opened: Any) -> None:
        assert opened["patient"].tolist() == ["007", "12", "A1"]
        assert opened["age"].tolist()[::2] == [61.0, 47.5]
        assert np.isnan(opened["age"][1])
        assert opened["sex"].tolist() == ["male", "female", "male"]
        assert opened["seen"].tolist()[:2] == ["2020-01-31", "2021-05-06"]
        assert opened["alive"].tolist()[:2] == [True, False]
        assert opened["note"].tolist()[:2] == ["x", "5"]
        assert opened["note"].isna().tolist() == [False, False, True]


class TestSpss(ReaderTests):
    def reader(self, folder: Path) -> Table:
        return Table(url=spss(folder / "t.sav"), keys={"id": "hospital"})

    def check(self, opened: Any) -> None:
        assert opened["id"].tolist() == ["7", "8", "9", "10"]
        assert opened["sex"].tolist()[:3] == ["male", "female", "female"]
        assert pd.isna(opened["sex"][3])
        assert opened["stage"].cat.ordered
        assert (opened["stage"] >= "II").tolist() == [True, False, True, False]
        assert opened["age"].isna().tolist() == [False, True, True, False]
        assert opened["seen"].tolist() == ["2020-01-02"] * 4
        assert opened["site"].isna().tolist() == [False, True, False, False]
        notes = opened.attrs["integrate"]
        assert notes["missing_codes"] == {"age": 2}
        assert notes["columns"]["age"] == {
            "description": "Age at diagnosis, years",
            "some_labels": {"999": "refused"},
        }


class TestTransport(ReaderTests):
    cut = 0.3  # in the header: a transport file does not say how many rows it has

    def reader(self, folder: Path) -> Table:
        frame = pd.DataFrame({"USUBJID": ["S-01", "S-02"], "AGE": [61.0, np.nan], "ARM": ["A", ""]})
        pyreadstat.write_xport(frame, str(folder / "dm.xpt"), table_name="DM", column_labels=["Subject", "Age", "Arm"])
        return Table(url=str(folder / "dm.xpt"), keys={"USUBJID": "trial"})

    def check(self, opened: Any) -> None:
        assert opened["USUBJID"].tolist() == ["S-01", "S-02"]
        assert opened["AGE"].isna().tolist() == [False, True]
        assert opened["ARM"].isna().tolist() == [False, True]
        assert opened.attrs["integrate"]["columns"]["AGE"] == {"description": "Age"}


def test_stata_opens_too(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": [1.0, 2], "sex": [1.0, 2]})
    pyreadstat.write_dta(frame, str(tmp_path / "t.dta"), variable_value_labels={"sex": {1: "m", 2: "f"}})
    opened = Table(url=str(tmp_path / "t.dta"), keys={"id": "x"}).read()
    assert opened["id"].tolist() == ["1", "2"]
    assert opened["sex"].tolist() == ["m", "f"]


def test_a_sheet_is_never_guessed(tmp_path: Path) -> None:
    file = workbook(tmp_path / "t.xlsx", {"patients": ROWS, "codes": [["a"], [1]]})
    with pytest.raises(DataError, match=r"has 2 sheets: 'patients', 'codes'; name one with sheet="):
        Table(url=file).read()
    assert Table(url=file, sheet="codes").read()["a"].tolist() == [1]
    with pytest.raises(ParameterError, match=r"no sheet 'patient'; closest: 'patients'"):
        Table(url=file, sheet="patient").read()
    (tmp_path / "t.csv").write_text("a\n1\n")
    with pytest.raises(ParameterError, match="is no workbook and has no sheets"):
        Table(url=str(tmp_path / "t.csv"), sheet="one").read()


def test_formulas_that_gave_nothing_are_no_missing_values(tmp_path: Path) -> None:
    file = workbook(tmp_path / "t.xlsx", {"one": [["a", "b"], [1, "=A2*2"], [2, "#DIV/0!"]]})
    with pytest.raises(
        DataError, match=r"2 cells whose formula gave nothing: 'row 2 column 2: never computed', 'row 3"
    ):
        Table(url=file).read()


def test_columns_of_a_sheet_need_their_own_names(tmp_path: Path) -> None:
    file = workbook(tmp_path / "t.xlsx", {"one": [["a", "a", None], [1, 2, 3]]})
    with pytest.raises(DataError, match=r"without a name or with the same name \['a'\]"):
        Table(url=file).read()


def test_missing_codes_of_the_catalog_are_counted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,score\n1,5\n2,-9\n3,999\n4,-9\n")
    table = Table(
        url=str(tmp_path / "t.csv"), columns={"score": {"dtype": "int", "missing": [-9, 999], "min": 0}}
    ).read()
    assert table["score"].isna().tolist() == [False, True, True, True]
    assert table.attrs["integrate"]["missing_codes"] == {"score": 3}


def test_a_code_without_a_label_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sex\n1\n2\n3\n")
    with pytest.raises(DataError, match=r"'sex' has codes without a label: '3'; known"):
        Table(url=str(tmp_path / "t.csv"), columns={"sex": {"labels": {1: "m", 2: "f"}}}).read()


def test_levels_of_the_catalog_go_before_labels_of_the_file(tmp_path: Path) -> None:
    file = spss(tmp_path / "t.sav")
    table = Table(url=file, columns={"stage": {"levels": [1, 2, 3]}}).read()
    assert table["stage"].tolist() == ["3", "1", "2", "1"]


def test_levels_of_stored_numbers_are_not_lost(tmp_path: Path) -> None:
    pd.DataFrame({"grade": [1, 2, 2], "score": [1.0, np.nan, 3]}).to_parquet(tmp_path / "t.parquet")
    levels = {"grade": {"levels": [1, 2]}, "score": {"levels": [1, 3]}}
    table = Table(url=str(tmp_path / "t.parquet"), columns=levels).read()
    assert table["grade"].tolist() == ["1", "2", "2"]
    assert table["score"].tolist()[::2] == ["1", "3"]
    assert pd.isna(table["score"][1])
