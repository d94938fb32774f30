"""GCT files: nothing guessed, missing stays missing, a cut-off file is refused."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from integrate.errors import DataError
from integrate.readers.gct import Gct
from integrate.testing import ReaderTests

TEXT = "#1.3\n2\t2\t1\t1\nid\tdescription\tS1\tS2\nage\tNA\t41\t52\ng1\tfirst gene\t1\t2\ng2\tsecond gene\t\t4\n"


def write(file: Path, text: str = TEXT) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


class TestContract(ReaderTests):
    def reader(self, folder: Path) -> Gct:
        return Gct(url=str(write(folder / "a.gct")), keys={"obs_names": "sample"})

    def check(self, opened: Any) -> None:
        assert opened.var["description"].tolist() == ["first gene", "second gene"]
        assert opened.obs["age"].tolist() == ["41", "52"]
        np.testing.assert_array_equal(opened.X, [[1, np.nan], [2, 4]])
        assert opened.uns["integrate"]["keys"] == {"obs_names": "sample"}
        assert opened.uns["integrate"]["missing_values"] == 1


def test_version_1_2_and_gzip(tmp_path: Path) -> None:
    packed = tmp_path / "b.gct.gz"
    packed.write_bytes(gzip.compress(b"#1.2\n1\t2\nName\tDescription\tS1\tS2\ng1\tx\t1\t2\n"))
    np.testing.assert_array_equal(Gct(url=str(packed)).read().X, [[1], [2]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.rpartition("g2")[0], "promises 2 rows and 2 columns and has 1 rows"),
        (TEXT.replace("S2", "S1"), r"1 column names of a\.gct repeat: 'S1'"),
        (TEXT.replace("g2", "g1"), r"1 row names of a\.gct repeat: 'g1'"),
        (TEXT.replace("\t4\n", "\tx\n"), "'x' at row 'g2', column 'S2'"),
        (TEXT.replace("#1.3", "#2.0"), "no GCT file of version"),
    ],
)
def test_what_is_no_clear_matrix_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Gct(url=str(write(tmp_path / "a.gct", text))).read()
