"""ISA-Tab: the tables an investigation names, cell by cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from integrate.errors import DataError, SourceNotFoundError
from integrate.readers.isatab import IsaTab
from integrate.testing import ReaderTests

INVESTIGATION = """ONTOLOGY SOURCE REFERENCE
Term Source Name\t"EFO"
INVESTIGATION
Investigation Identifier\t"I1"
Investigation Title\t"two
lines"
STUDY
Study Identifier\t"S1"
Study File Name\t"s_one.txt"
STUDY FACTORS
Study Factor Name\t"dose"\t"time"
Study Factor Type\t""\t"time"
STUDY ASSAYS
Study Assay File Name\t"a_rna.txt"\t"a_ct.txt"
Study Assay Technology Type\t"sequencing"\t"CT"
STUDY PROTOCOLS
Study Protocol Name\t"growth"
STUDY CONTACTS
Study Person Last Name
STUDY
Study Identifier\t"S2"
Study File Name\t"s_two.txt"
STUDY ASSAYS
Study Assay File Name
STUDY PROTOCOLS
Study Protocol Name
STUDY CONTACTS
Study Person Last Name
"""
STUDY = (
    '"Source Name"\t"Characteristics[age]"\t"Unit"\t"Factor Value[dose]"\t"Unit"\t"Sample Name"\n'
    '"007"\t"61"\t"year"\t"5"\t"mg"\t"007-1"\n'
    '"8"\t""\t""\t"10"\t"mg"\t"8-1"\n'
)
ASSAY = "Sample Name\tProtocol REF\tRaw Data File\n007-1\tgrowth\tx.fastq\n"


def write(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "i_investigation.txt").write_text(INVESTIGATION)
    for name, text in (("s_one", STUDY), ("s_two", STUDY), ("a_rna", ASSAY), ("a_ct", ASSAY)):
        (folder / f"{name}.txt").write_text(text)
    return folder


def read(folder: Path) -> Any:
    return IsaTab(url=str(folder)).read()


class TestContract(ReaderTests):
    def reader(self, folder: Path) -> IsaTab:
        return IsaTab(url=str(write(folder / "source")))

    def check(self, opened: Any) -> None:
        assert list(opened.studies) == ["s_one.txt", "s_two.txt"]
        assert list(opened.assays) == ["a_rna.txt", "a_ct.txt"]
        study = opened.studies["s_one.txt"]
        assert study["Source Name"].tolist() == ["007", "8"]
        assert study["Characteristics[age]"].isna().tolist() == [False, True]
        assert study["Unit.1"].tolist() == ["mg", "mg"]
        assert study.attrs["integrate"]["columns"].count("Unit") == 2
        factors = opened.investigation["STUDY FACTORS"]
        assert factors["Study Factor Name"].tolist() == ["dose", "time"]
        assert factors["study"].tolist() == ["s_one.txt", "s_one.txt"]
        assert opened.investigation["INVESTIGATION"]["Investigation Title"].tolist() == ["two\nlines"]
        assert opened.investigation["STUDY"]["Study Identifier"].tolist() == ["S1", "S2"]


def test_a_table_the_investigation_names_must_be_there(tmp_path: Path) -> None:
    folder = write(tmp_path / "s")
    (folder / "a_ct.txt").unlink()
    with pytest.raises(SourceNotFoundError, match=r"i_investigation.txt names 1 tables that are not there: 'a_ct.txt'"):
        read(folder)


def test_one_investigation_is_expected(tmp_path: Path) -> None:
    folder = write(tmp_path / "s")
    (folder / "i_other.txt").write_text(INVESTIGATION)
    with pytest.raises(DataError, match=r"has 2 investigation files: 'i_investigation.txt', 'i_other.txt'"):
        read(folder)
    for file in folder.glob("i_*.txt"):
        file.unlink()
    with pytest.raises(SourceNotFoundError, match=r"has no investigation file; expected one i_\*.txt"):
        read(folder)


def test_names_in_the_investigation_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "s")
    (tmp_path / "secret.txt").write_text(ASSAY)
    (folder / "i_investigation.txt").write_text(INVESTIGATION.replace("a_ct.txt", "../secret.txt"))
    with pytest.raises(SourceNotFoundError, match=r"not there: '../secret.txt'"):
        read(folder)


def test_a_row_that_is_cut_off_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "s")
    (folder / "s_two.txt").write_text(STUDY[:-12])
    with pytest.raises(DataError, match=r"row 3 of s_two.txt has 4 fields, the header 6"):
        read(folder)


def test_an_investigation_cut_off_at_any_line_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "s")
    lines = INVESTIGATION.splitlines(keepends=True)
    first_study_is_whole = lines.index("STUDY CONTACTS\n") + 1
    for count in range(len(lines) - 1):
        if count not in (first_study_is_whole, first_study_is_whole + 1):  # nothing tells that a second should follow
            (folder / "i_investigation.txt").write_text("".join(lines[:count]))
            with pytest.raises(DataError, match=r"i_investigation.txt"):
                read(folder)


@pytest.mark.parametrize(
    ("folder", "studies", "assays"),
    [
        (
            "BII-I-1",
            {"s_BII-S-1.txt": 164, "s_BII-S-2.txt": 2},
            {"a_proteome.txt": 18, "a_metabolome.txt": 111, "a_transcriptome.txt": 48, "a_microarray.txt": 14},
        ),
        ("BII-S-3", {"s_BII-S-3.txt": 4}, {"a_gilbert-assay-Gx.txt": 6, "a_gilbert-assay-Tx.txt": 24}),
    ],
)
def test_real_examples_have_every_row(
    test_data: Any, folder: str, studies: dict[str, int], assays: dict[str, int]
) -> None:
    opened = read(test_data("isatab") / folder)
    assert {name: len(table) for name, table in opened.studies.items()} == studies
    assert {name: len(table) for name, table in opened.assays.items()} == assays
    assert "Sample Name" in next(iter(opened.studies.values()))
