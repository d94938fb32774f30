"""Text matrices: nothing guessed, missing stays missing, and miniACC's five assays with their 92 patients."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from integrate.errors import DataError, ParameterError
from integrate.readers.matrix import Matrix
from integrate.readers.table import Table
from integrate.testing import ReaderTests

TEXT = '"","S-01","S-02"\n"A1",1,2.5\n"B2",NA,-3e2\n"C3",0,7\n'
GCT = "#1.3\n2\t2\t1\t1\nid\tdescription\tS1\tS2\nage\tNA\t41\t52\ng1\tfirst gene\t1\t2\ng2\tsecond gene\t\t4\n"


def write(file: Path, text: str = TEXT) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def read(file: Path, **options: Any) -> Any:
    return Matrix(url=str(file), **options).read()


class TestContract(ReaderTests):
    cut = 0.93  # a row and a half less

    def reader(self, folder: Path) -> Matrix:
        return Matrix(url=str(write(folder / "a.csv")), keys={"obs_names": "sample"})

    def check(self, opened: Any) -> None:
        assert opened.obs_names.tolist() == ["S-01", "S-02"]
        assert opened.var_names.tolist() == ["A1", "B2", "C3"]
        np.testing.assert_array_equal(opened.X, [[1, np.nan, 0], [2.5, -300, 7]])
        assert opened.uns["integrate"]["keys"] == {"obs_names": "sample"}
        assert opened.uns["integrate"]["missing_values"] == 1


def test_features_in_columns_and_describing_columns(tmp_path: Path) -> None:
    data = read(
        write(tmp_path / "a.tsv", "id\tsite\tA\tB\nS1\tnorth\t1\t2\n"), features_in="columns", annotation=["site"]
    )
    assert data.obs["site"].tolist() == ["north"]
    np.testing.assert_array_equal(data.X, [[1, 2]])
    with pytest.raises(ParameterError, match="features_in='row'"):
        read(tmp_path / "a.tsv", features_in="row")
    with pytest.raises(DataError, match=r"has 'north' at row 'S1', column 'site'; expected numbers"):
        read(tmp_path / "a.tsv")


def test_r_leaves_the_corner_out(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.txt", "S1\tS2\nA\t1\t2\n")).obs_names.tolist() == ["S1", "S2"]


def test_gct_keeps_what_describes_rows_and_columns(tmp_path: Path) -> None:
    data = read(write(tmp_path / "a.gct", GCT))
    assert data.var["description"].tolist() == ["first gene", "second gene"]
    assert data.obs["age"].tolist() == ["41", "52"]
    np.testing.assert_array_equal(data.X, [[1, np.nan], [2, 4]])
    packed = tmp_path / "b.gct.gz"
    packed.write_bytes(gzip.compress(b"#1.2\n1\t2\nName\tDescription\tS1\tS2\ng1\tx\t1\t2\n"))
    np.testing.assert_array_equal(read(packed).X, [[1], [2]])
    with pytest.raises(DataError, match="promises 2 rows and 2 columns and has 1 rows"):
        read(write(tmp_path / "c.gct", GCT.rpartition("g2")[0]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",S1,S1\nA,1,2\n", "1 column names of a.csv repeat: 'S1'"),
        (",S1,S2\nA,1,2\nA,1,2\n", "1 row names of a.csv repeat: 'A'"),
        (",S1,S2\nA,1,2\n,1,2\n", "a row of a.csv has no name"),
        (",S1,S2\nA,1,2\nB,1\n", "1 rows of a.csv are of another length than its header"),
        (",S1,S2\nA,1,x\n", "'x' at row 'A', column 'S2'"),
    ],
)
def test_what_is_no_clear_matrix_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / "a.csv", text))


def test_miniacc_has_five_assays_of_92_patients(test_data: Any) -> None:
    folder = test_data("miniacc-multiomics") / "csv"
    samples = Table(url=str(folder / "sampleMap.csv")).read()
    patients = pd.read_csv(folder / "colData.csv", index_col=0)
    assert len(patients) == 92
    shapes = {"RNASeq2GeneNorm": (79, 198), "gistict": (90, 198), "RPPAArray": (46, 33), "Mutations": (90, 97)}
    shapes["miRNASeqGene"] = (80, 471)  # as R prints the experiments of miniACC
    complete = set(patients.index)
    for name, shape in shapes.items():
        assay = read(folder / f"{name}.csv")
        assert assay.shape == shape
        mapped = samples[samples["assay"] == name].set_index("colname")["primary"]
        assert set(assay.obs_names) == set(mapped.index)
        complete &= set(mapped[assay.obs_names])
    assert set(samples["primary"]) == set(patients.index)
    assert len(complete) == 43  # complete cases, as R counts them


def test_real_expression_of_a_cbioportal_study(test_data: Any) -> None:
    file = test_data("cbioportal-study-es0") / "data_expression_median.txt"
    data = read(file, annotation=["Entrez_Gene_Id"])
    assert data.var.loc["CREB3L1", "Entrez_Gene_Id"] == "90993"
    assert data["TCGA-A1-A0SD-01", "CREB3L1"].X.item() == 1.4345
