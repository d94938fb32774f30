"""Tables: text stays text, missing stays missing, and every fault is told at once."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrate.errors import DataError
from integrate.readers.table import Table, as_numbers
from integrate.testing import ReaderTests

CSV = "patient,age,sex,stage,note\n007,61,F,II,one\n0012,NA,M,,two\n1,47.5,F,I,Unknown\n"
COLUMNS = {"age": {"dtype": "float64", "unit": "a", "min": 0}, "stage": {"levels": ["I", "II"], "ordered": True}}


def write(folder: Path, text: str = CSV, name: str = "t.csv") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


class TestContract(ReaderTests):
    cut = 0.5

    def reader(self, folder: Path) -> Table:
        return Table(url=write(folder), keys={"patient": "hospital"}, columns=COLUMNS)

    def check(self, opened: Any) -> None:
        assert opened["patient"].tolist() == ["007", "0012", "1"]
        assert opened["age"].isna().tolist() == [False, True, False]
        assert opened["stage"].cat.ordered
        assert opened["stage"].isna().tolist() == [False, True, False]
        assert opened["note"].tolist() == ["one", "two", "Unknown"]
        assert opened.attrs["integrate"]["keys"] == {"patient": "hospital"}
        assert opened.attrs["integrate"]["columns"]["age"]["unit"] == "a"


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    columns = {
        "age": {"dtype": "int", "min": 50},
        "sex": {"levels": ["F"]},
        "agee": {},
        "note": {"dtype": "float"},
        "stage": {"dtype": "flaot"},
    }
    with pytest.raises(DataError, match="has 6 faults") as caught:
        Table(url=write(tmp_path), columns=columns).read()
    for part in (
        "'agee' is declared but not in the table; closest: 'age'",
        "values below 50: '47.5'",
        "whole numbers",
        "'sex' has values outside its levels ['F']: 'M'",
        "'note' should be float",
        "'stage' is declared 'flaot'",
    ):
        assert part in str(caught.value)


def test_codes_with_leading_zeros_stay_text_without_a_codebook(tmp_path: Path) -> None:
    table = Table(url=write(tmp_path, "code,dose,share\n01,10,0.5\n10,2,0.25\n")).read()
    assert table["code"].tolist() == ["01", "10"]
    assert table["dose"].tolist() == [10, 2]
    assert table["share"].tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,a\n1,2\n", r"same name \['a'\]"),
        ("a,,c\n1,2,3\n", "columns without a name"),
        ("a,b,c\n1,2,3\n4,5\n", "row 3 of t.csv has 2 fields, the header 3; the file is cut off"),
        ("a,b\n1,2,3\n4,5,6\n", "row 2 of t.csv has 3 fields, the header 2"),
        ("a,b\n1,2\n4,5,6\n", "not a readable table"),
        ("", "is not a readable table"),
        ('a,b\n"1,2\n', "t.csv"),
    ],
    ids=["same name", "no name", "short row", "long rows", "long row", "empty", "open quote"],
)
def test_what_pandas_would_guess_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Table(url=write(tmp_path, text)).read()


def test_missing_in_the_last_column_is_no_short_row(tmp_path: Path) -> None:
    table = Table(url=write(tmp_path, 'a,b\n1,\n\n2,"x, y"\n')).read()
    assert table["b"].isna().tolist() == [True, False]
    assert table["b"][1] == "x, y"


def test_text_of_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("name\nMüller\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"t.csv is not a readable table: 'utf-8'"):
        Table(url=str(tmp_path / "t.csv")).read()


def test_separator_is_told_by_the_name_or_given(tmp_path: Path) -> None:
    assert Table(url=write(tmp_path, "a\tb\n1\t2\n", "t.tsv")).read().shape == (1, 2)
    assert Table(url=write(tmp_path, "a;b\n1;2\n", "t.dat"), separator=";").read().shape == (1, 2)
    with pytest.raises(DataError, match=r"cannot tell the separator of 't.dat'"):
        Table(url=str(tmp_path / "t.dat")).read()
    for sign in ("\x80", "ab", "\n", '"'):
        with pytest.raises(DataError, match="one sign of ASCII"):
            Table(url=str(tmp_path / "t.dat"), separator=sign).read()


def test_boolean_words_are_booleans_and_missing_stays_missing(tmp_path: Path) -> None:
    columns = {"event": {"dtype": "bool"}}
    table = Table(url=write(tmp_path, "event,x\n1,a\nNA,b\nno,c\n"), columns=columns).read()
    assert table["event"].isna().tolist() == [False, True, False]
    assert table["event"].dropna().tolist() == [True, False]
    with pytest.raises(DataError, match="should be 0/1, true/false or yes/no, found '2'"):
        Table(url=write(tmp_path, "event,x\n2,a\n"), columns=columns).read()


def test_parquet_keeps_ids_and_never_turns_dates_into_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"patient": ["007", "8"], "seen": pd.to_datetime(["2020-03-17", None]), "age": [61.0, np.nan], "n": [1, 2]}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    table = Table(url=str(tmp_path / "t.parquet"), keys={"patient": "hospital", "n": "local"}).read()
    assert table["patient"].tolist() == ["007", "8"]
    assert table["n"].tolist() == ["1", "2"]
    assert str(table["seen"][0]).startswith("2020-03-17")
    assert table["seen"].isna()[1]
    with pytest.raises(DataError, match="'seen' should be float, found dates"):
        Table(url=str(tmp_path / "t.parquet"), columns={"seen": {"dtype": "float"}}).read()
    with pytest.raises(DataError, match="'age' holds text stored as floating-point numbers"):
        Table(url=str(tmp_path / "t.parquet"), keys={"age": "local"}).read()
    frame.set_index("patient").to_parquet(tmp_path / "indexed.parquet")
    assert "patient" in Table(url=str(tmp_path / "indexed.parquet"), keys={"patient": "hospital"}).read()


def test_damaged_parquet_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"t.parquet is not a readable Parquet file"):
        Table(url=str(tmp_path / "t.parquet")).read()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1), min_size=1))
def test_any_id_survives_as_text(tmp_path_factory: pytest.TempPathFactory, ids: list[str]) -> None:
    file = tmp_path_factory.mktemp("table") / "t.csv"
    pd.DataFrame({"id": ids, "n": range(len(ids))}).to_csv(file, index=False)
    table = Table(url=str(file), keys={"id": "any"}, missing=[]).read()
    assert table["id"].tolist() == ids


def test_real_clinical_table_has_its_patients(test_data: Any) -> None:
    root = test_data("dcis-mibi")
    table = Table(url=str(root / "clinical_and_published_features.csv"), keys={"Patient_ID": "patient"}).read()
    assert len(table) == 27
    assert table["Patient_ID"].nunique() == 23
    assert all(isinstance(one, str) for one in table["Patient_ID"])


def test_row_names_of_r_get_the_name_the_catalog_gives(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text('"","age"\n"007",50\n"8",61\n')
    table = Table(url=str(tmp_path / "r.csv"), row_names="patient", keys={"patient": "subject_id"}).read()
    assert table["patient"].tolist() == ["007", "8"]
    with pytest.raises(DataError, match="columns without a name"):
        Table(url=str(tmp_path / "r.csv")).read()


def test_one_table_in_a_zip_is_read_and_two_are_not(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr("t.csv", "id,age\n01,50\n")
    assert Table(url=str(tmp_path / "t.csv.zip"), keys={"id": "subject_id"}).read()["id"].tolist() == ["01"]
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "a") as archive:
        archive.writestr("u.csv", "id,age\n02,61\n")
    with pytest.raises(DataError, match=r"holds 2 files, expected one table: 't\.csv', 'u\.csv'"):
        Table(url=str(tmp_path / "t.csv.zip")).read()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_are_read_to_the_last_digit(values: list[float]) -> None:
    assert as_numbers(pd.Series([repr(value) for value in values], dtype=object)).astype(float).tolist() == values
