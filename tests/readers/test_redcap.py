"""REDCap: an export as REDCap writes it, raw and with labels, by its data dictionary."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from integrate.errors import DataError, SourceNotFoundError
from integrate.readers.redcap import RedCap
from integrate.testing import ReaderTests

HEADER = [
    "Variable / Field Name", "Form Name", "Section Header", "Field Type", "Field Label",
    "Choices, Calculations, OR Slider Labels", "Field Note", "Text Validation Type OR Show Slider Number",
    "Text Validation Min", "Text Validation Max", "Identifier?", "Branching Logic (Show field only if...)",
    "Required Field?", "Custom Alignment", "Question Number (surveys only)", "Matrix Group Name", "Matrix Ranking?",
    "Field Annotation",
]  # fmt: skip


def field(
    name: str,
    form: str,
    kind: str,
    label: str,
    choices: str = "",
    valid: str = "",
    low: str = "",
    high: str = "",
    phi: str = "",
) -> list[str]:
    return [name, form, "", kind, label, choices, "", valid, low, high, phi, *[""] * 7]


DICTIONARY = [
    field("record_id", "baseline", "text", "Record ID"),
    field("surname", "baseline", "text", "Surname", phi="y"),
    field("sex", "baseline", "radio", "<b>Sex</b>", "1, Female | 2, Male, or other"),
    field("age", "baseline", "text", "Age", valid="integer", low="18", high="100"),
    field("seen", "baseline", "text", "Date of visit", valid="date_ymd"),
    field("drugs", "treatment", "checkbox", "Drugs", "1, Aspirin | -2, Other"),
    field("relapse", "treatment", "yesno", "Relapse?"),
    field("dose", "treatment", "text", "Dose (mg)", valid="number"),
]
RAW = """record_id,redcap_event_name,surname,sex,age,seen,baseline_complete,drugs___1,drugs____2,relapse,dose,treatment_complete
001,base_arm_1,Miller,1,61,2020-01-31,2,1,0,1,2.5,2
001,late_arm_1,,,,,0,0,1,0,-99,1
002,base_arm_1,"O'Hara, B",2,,,0,0,0,,,0
"""  # noqa: E501
FEMALE, MALE = (",Miller,1,61", ",Miller,Female,61"), ('B",2,', 'B","Male, or other",')
LABELS = RAW.replace(*FEMALE).replace(*MALE)


def write(folder: Path, text: str = RAW) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "Study_DATA_2024-01-01_1200.csv").write_text(text, encoding="utf-8")
    with (folder / "Study_DataDictionary_2024-01-01.csv").open("w", newline="", encoding="utf-8-sig") as stream:
        csv.writer(stream).writerows([HEADER, *DICTIONARY])
    return str(folder)


class TestContract(ReaderTests):
    def reader(self, folder: Path) -> RedCap:
        return RedCap(url=write(folder / "export"), missing=["-99"])

    def check(self, opened: Any) -> None:
        assert opened["record_id"].tolist() == ["001", "001", "002"]
        assert opened["sex"].tolist()[::2] == ["Female", "Male, or other"]
        assert opened["age"].dtype == "Int64"
        assert opened["drugs___1"].tolist() == [True, False, False]
        assert opened["relapse"].tolist()[:2] == ["Yes", "No"]
        assert opened["dose"].isna().tolist() == [False, True, True]
        assert opened["treatment_complete"].tolist() == ["Complete", "Unverified", "Incomplete"]
        notes = opened.attrs["integrate"]
        assert notes["identifiers"] == ["surname"]
        assert notes["missing_codes"] == {"dose": 1}
        assert notes["columns"]["sex"]["description"] == "Sex"
        assert notes["columns"]["drugs____2"]["option"] == "Other"


def test_an_export_of_labels_is_the_same(tmp_path: Path) -> None:
    raw = RedCap(url=write(tmp_path / "a")).read()
    labels = RedCap(url=write(tmp_path / "b", LABELS)).read()
    assert raw["sex"].astype(str).tolist() == labels["sex"].astype(str).tolist()
    assert labels["sex"].cat.categories.tolist() == ["Female", "Male, or other"]


def test_one_form_keeps_the_record_and_the_event(tmp_path: Path) -> None:
    table = RedCap(url=write(tmp_path / "a"), form="baseline").read()
    assert list(table) == ["record_id", "redcap_event_name", "surname", "sex", "age", "seen", "baseline_complete"]
    with pytest.raises(DataError, match=r"no form 'basline'; it has 'baseline', 'treatment'"):
        RedCap(url=str(tmp_path / "a"), form="basline").read()


def test_values_the_dictionary_does_not_allow_are_told_at_once(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", RAW.replace("Miller,1,61", "Miller,7,12"))
    with pytest.raises(DataError, match=r"has 2 faults") as caught:
        RedCap(url=folder).read()
    assert "'sex' has codes without a label: '7'" in str(caught.value)
    assert "'age' has values below 18.0: '12" in str(caught.value)


def test_a_column_the_dictionary_does_not_know_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", RAW.replace("relapse", "relapsed"))
    with pytest.raises(DataError, match=r"1 columns of .* are not in the dictionary: 'relapsed'"):
        RedCap(url=folder).read()
    (Path(folder) / "Study_DataDictionary_2024-01-01.csv").unlink()
    with pytest.raises(SourceNotFoundError, match="1 exports and 0 files"):
        RedCap(url=folder).read()
