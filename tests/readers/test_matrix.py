"""Matrices in text files: genes × samples become samples × genes, and nothing but numbers passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from integrate.errors import DataError, ParameterError
from integrate.readers.matrix import Matrix
from integrate.testing import ReaderTests

TEXT = '"","S.001","S.002"\n"CD3E",1.5,NA\n"CD8A",0,2\n"EGFR",-3,1e3\n'


def write(folder: Path, text: str = TEXT, name: str = "rna.csv") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


class TestContract(ReaderTests):
    def reader(self, folder: Path) -> Matrix:
        return Matrix(url=write(folder), keys={"obs_names": "sequencing"})

    def check(self, opened: Any) -> None:
        assert opened.obs_names.tolist() == ["S.001", "S.002"]
        assert opened.var_names.tolist() == ["CD3E", "CD8A", "EGFR"]
        np.testing.assert_array_equal(opened.X, [[1.5, 0, -3], [np.nan, 2, 1000]])
        assert opened.uns["integrate"]["keys"] == {"obs_names": "sequencing"}


def test_a_matrix_can_stand_either_way(tmp_path: Path) -> None:
    text = "sample,site,CD3E,CD8A\n001,north,1,2\n002,south,3,4\n"
    opened = Matrix(url=write(tmp_path, text), rows="observations", beside=["site"]).read()
    assert opened.obs["site"].to_dict() == {"001": "north", "002": "south"}
    assert opened.X.tolist() == [[1, 2], [3, 4]]


def test_a_cbioportal_profile_keeps_its_gene_numbers(test_data: Callable[[str], Path]) -> None:
    file = test_data("cbioportal-study-es0") / "data_expression_median.txt"
    opened = Matrix(url=str(file), beside=["Entrez_Gene_Id"]).read()
    lines = [line.split("\t") for line in file.read_text().splitlines()]
    assert opened.obs_names.tolist() == lines[0][2:]
    assert opened.var["Entrez_Gene_Id"].tolist() == [line[1] for line in lines[1:]]
    found = [["" if np.isnan(v) else v for v in row] for row in opened.X.T]
    assert found == [[float(v) if v not in ("", "NA") else "" for v in line[2:]] for line in lines[1:]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("g,a\nX,1\nX,2\n", r"1 rows of rna.csv have the same name: 'X'"),
        ("g,a\nX,1\n,2\n", r"1 rows of rna.csv have no name"),
        ("g,a,b\nX,1,low\n", r"1 columns of rna.csv hold text where numbers belong, e.g. 'low' in 'b'.*beside="),
        ("g,a,a\nX,1,2\n", r"same name \['a'\]"),
        ('"",a\nX,1,2\n', r"row 2 of rna.csv has 3 fields, the header 2"),
    ],
)
def test_what_is_no_matrix_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Matrix(url=write(tmp_path, text)).read()


def test_options_without_meaning_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="write 'features' or 'observations'"):
        Matrix(url=write(tmp_path), rows="genes").read()
    with pytest.raises(ParameterError, match="one key, obs_names"):
        Matrix(url=write(tmp_path), keys={"sample": "x"}).read()
    with pytest.raises(DataError, match="no column 'Entrez'; closest: 'Entrez_Id'"):
        Matrix(url=write(tmp_path, "Gene,Entrez_Id,a\nX,1,2\n"), beside=["Entrez"]).read()
