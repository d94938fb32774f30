"""Asset tables: text in every cell, and the rows that were asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from integrate.errors import DataError
from integrate.readers.assets import AssetTable
from integrate.testing import ReaderTests

CSV = "acquisition_id,modality,day,path\n01,CT,-3,ct/01\n02,SM,,he/02.tif\n03,CT,7,ct/03\n"


class TestContract(ReaderTests):
    cut = 0.65  # within the second row

    def reader(self, folder: Path) -> AssetTable:
        (folder / "assets.csv").write_text(CSV)
        return AssetTable(url=str(folder / "assets.csv"))

    def check(self, opened: Any) -> None:
        assert opened["acquisition_id"].tolist() == ["01", "02", "03"]
        assert opened["day"].tolist()[::2] == ["-3", "7"]
        assert opened["day"].isna().tolist() == [False, True, False]


def test_where_selects_rows_and_numbers_match_text(tmp_path: Path) -> None:
    (tmp_path / "assets.csv").write_text(CSV)
    url = str(tmp_path / "assets.csv")
    assert AssetTable(url=url, where={"modality": "CT"}).read()["acquisition_id"].tolist() == ["01", "03"]
    assert AssetTable(url=url, where={"day": [7], "modality": ["CT", "SM"]}).read()["path"].tolist() == ["ct/03"]
    with pytest.raises(DataError, match="no column 'modalty' to select rows by; closest: 'modality'"):
        AssetTable(url=url, where={"modalty": "CT"}).read()


def test_parquet_gives_the_same_text(tmp_path: Path) -> None:
    pd.DataFrame({"acquisition_id": [1, 2], "day": ["-3", None]}).to_parquet(tmp_path / "assets.parquet")
    table = AssetTable(url=str(tmp_path / "assets.parquet")).read()
    assert table["acquisition_id"].tolist() == ["1", "2"]
    assert table["day"].isna().tolist() == [False, True]
