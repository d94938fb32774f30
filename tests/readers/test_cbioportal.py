"""cBioPortal folders: clinical tables typed by their own header, profiles by name, ids that fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from integrate.errors import DataError, SourceNotFoundError
from integrate.readers.cbioportal import CBioPortal
from integrate.testing import ReaderTests

FILES = {
    "meta_study.txt": "cancer_study_identifier: toy\nname: Toy\n",
    "meta_patients.txt": (
        "genetic_alteration_type: CLINICAL\ndatatype: PATIENT_ATTRIBUTES\ndata_filename: patients.txt\n"
    ),
    "meta_samples.txt": "genetic_alteration_type: CLINICAL\ndatatype: SAMPLE_ATTRIBUTES\ndata_filename: samples.txt\n",
    "meta_rna.txt": "genetic_alteration_type: MRNA_EXPRESSION\ndatatype: CONTINUOUS\ndata_filename: rna.txt\n",
    "meta_mutations.txt": "genetic_alteration_type: MUTATION_EXTENDED\ndatatype: MAF\ndata_filename: mutations.maf\n",
    "patients.txt": (
        "#Patient\tMonths\tSmoker\n#id\tsince diagnosis\tever\n#STRING\tNUMBER\tBOOLEAN\n#1\t1\t1\n"
        "PATIENT_ID\tOS_MONTHS\tSMOKER\n001\t12.5\tTRUE\n002\t[Not Available]\tno\n003\t\t\n"
    ),
    "samples.txt": (
        "#Patient\tSample\n#id\tid\n#STRING\tSTRING\n#1\t1\nPATIENT_ID\tSAMPLE_ID\n001\t001-T1\n001\t001-T2\n002\t002-T1\n"
    ),
    "rna.txt": "Hugo_Symbol\tEntrez_Gene_Id\t001-T1\t002-T1\nEGFR\t1956\t1.5\t-2\n\t999\tNA\t3\n" + "G\t5\t1\t2\n" * 1,
    "mutations.maf": "#version 2.4\nHugo_Symbol\tTumor_Sample_Barcode\nEGFR\t001-T1\n",
}


def write(folder: Path, **changes: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {**FILES, **{key.replace("__", "."): text for key, text in changes.items()}}.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def read(folder: Path, **options: Any) -> Any:
    return CBioPortal(url=str(folder), **options).read()


class TestContract(ReaderTests):
    def reader(self, folder: Path) -> CBioPortal:
        return CBioPortal(url=str(write(folder / "study")))

    def victim(self, source: Path) -> Path:
        return source / "patients.txt"

    def check(self, opened: Any) -> None:
        patients = opened.patients
        assert patients["PATIENT_ID"].tolist() == ["001", "002", "003"]
        np.testing.assert_array_equal(patients["OS_MONTHS"], [12.5, np.nan, np.nan])
        assert patients["SMOKER"].tolist()[:2] == [True, False]
        assert patients["SMOKER"].isna().tolist() == [False, False, True]
        assert patients.attrs["integrate"]["columns"]["OS_MONTHS"]["description"] == "since diagnosis"
        rna = opened.assays["rna"]
        assert rna.obs_names.tolist() == ["001-T1", "002-T1"]
        assert rna.var_names.tolist() == ["EGFR", "999", "G"]
        np.testing.assert_array_equal(rna.X, [[1.5, np.nan, 1], [-2, 3, 2]])
        assert opened.tables["mutations"]["Hugo_Symbol"].tolist() == ["EGFR"]


def test_numbers_are_right_to_the_last_digit(tmp_path: Path) -> None:
    exact = [repr(float(value)) for value in np.random.default_rng(0).normal(size=200)]
    samples = "".join(f"{i}\t{i}-T\n" for i in range(200))
    opened = read(
        write(
            tmp_path / "study",
            patients__txt="#a\tb\n#a\tb\n#STRING\tNUMBER\n#1\t1\nPATIENT_ID\tOS_MONTHS\n"
            + "".join(f"{i}\t{value}\n" for i, value in enumerate(exact)),
            samples__txt=FILES["samples.txt"].rpartition("001\t001-T1")[0] + samples,
            rna__txt="Hugo_Symbol\t" + "\t".join(f"{i}-T" for i in range(200)) + "\nG\t" + "\t".join(exact) + "\n",
            mutations__maf="Hugo_Symbol\tTumor_Sample_Barcode\nG\t1-T\n",
        )
    )
    expected = [float(text) for text in exact]
    assert opened.patients["OS_MONTHS"].tolist() == expected
    assert opened.assays["rna"].X[:, 0].tolist() == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"samples__txt": FILES["samples.txt"] + "009\t009-T1\n"},
            "1 patients of samples in s have no row as patients",
        ),
        ({"samples__txt": FILES["samples.txt"] + "002\t002-T1\n"}, "1 SAMPLE_ID of s are listed twice: '002-T1'"),
        ({"patients__txt": FILES["patients.txt"].replace("12.5", "long")}, "declared NUMBER and holds 'long'"),
        ({"rna__txt": FILES["rna.txt"].replace("1.5", "high")}, "rna.txt holds 'high' where numbers are expected"),
        ({"rna__txt": FILES["rna.txt"] + "EGFR\t1\t1\t1\n"}, "1 features of rna.txt are listed twice"),
        ({"meta_rna__txt": "nothing here"}, "no list of 'field: value' lines"),
        ({"patients__txt": FILES["patients.txt"].partition("\n")[2]}, "lacks the four header rows"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / "s", **changes))


def test_only_wanted_profiles_are_read_and_no_file_outside_the_study(tmp_path: Path) -> None:
    folder = write(tmp_path / "s")
    study = read(folder, profiles=["rna"])
    assert list(study.assays) == ["rna"]
    assert not study.tables
    with pytest.raises(SourceNotFoundError, match="has no profile 'dna'"):
        read(folder, profiles=["dna"])
    (tmp_path / "secret.txt").write_text("a\tb\n1\t2\n")
    write(folder, meta_rna__txt=FILES["meta_rna.txt"].replace("rna.txt", "../secret.txt"))
    with pytest.raises(SourceNotFoundError, match=r"names 1 files that are not there: 'secret.txt'"):
        read(folder)


def test_real_study_with_every_file_type(test_data: Any) -> None:
    study = read(test_data("cbioportal-study-es0"))
    assert (len(study.patients), len(study.samples)) == (841, 845)
    assert study.assays["expression_median"].shape == (526, 6)
    assert study.assays["methylation_hm27"].shape[0] == 311
    assert len(study.tables["mutations_extended"]) == 36
    assert study.tables["cancer_type"].columns[0] == "type_of_cancer"
    assert len(study.tables["cancer_type"]) == 1
    assert study.patients["OS_MONTHS"].isna().sum() == 33
