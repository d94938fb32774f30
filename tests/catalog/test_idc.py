"""A collection of the Imaging Data Commons becomes a catalog that is searched and opened like any other."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pytest
from typer.testing import CliRunner

from integrate.catalog.idc import import_idc
from integrate.catalog.open import open_catalog
from integrate.cli import app
from integrate.errors import CatalogError, DataError, DatasetNotFoundError, SourceNotFoundError


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Five series with the columns of the real index."""
    rows = pd.DataFrame(
        {
            "collection_id": ["luad", "luad", "luad", "luad", "other"],
            "PatientID": ["P1", "P1", "P2", "P2", "P3"],
            "SeriesInstanceUID": ["1.1", "1.2", "1.3", "1.4", "1.5"],
            "StudyInstanceUID": ["1", "1", "2", "2", "3"],
            "Modality": ["CT", "PT", "CT", "XX", "CT"],
            "series_aws_url": [f"s3://idc-open-data/uuid-{number}/*" for number in range(5)],
            "license_short_name": ["CC BY 4.0", "CC BY 4.0", "CC BY-NC 3.0", "Own Terms; 2019", "CC BY 3.0"],
            "source_DOI": ["10.5281/zenodo.1"] * 5,
            "instanceCount": [3, 4, 5, 6, 7],
            "series_size_MB": [1.5] * 5,
        }
    )
    rows.to_parquet(tmp_path / "idc_index.parquet")
    return tmp_path / "idc_index.parquet"


def test_collection_is_a_catalog_of_its_series(index: Path, tmp_path: Path) -> None:
    catalog = open_catalog(import_idc(index, tmp_path / "luad", collections=["luad"]))
    assert catalog["ct"].items()["item"].tolist() == ["1.1", "1.3"]
    assert catalog.search(has={"CT", "PT"})["ct"].items()["item"].tolist() == ["1.1"]
    assert catalog.search(licence="CC-BY-NC-3.0")["ct"].items()["item"].tolist() == ["1.3"]
    reader = catalog["ct"].reader(item="1.3")
    assert reader.kwargs["url"] == "s3://idc-open-data/uuid-2"
    assert reader.kwargs["storage_options"] == {"anon": True}
    assert reader.ids == {"subject_id": "P2", "dicom_patient": "P2"}
    licences = pd.read_parquet(tmp_path / "luad" / "assets.parquet")["licence"].tolist()
    assert licences == ["CC-BY-4.0", "CC-BY-4.0", "CC-BY-NC-3.0", "LicenseRef-Own-Terms-2019"]


def test_wrong_index_or_collection_is_told(index: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="no collection 'lua' in the index; closest: 'luad'"):
        import_idc(index, tmp_path / "a", collections=["lua"])
    with pytest.raises(SourceNotFoundError, match="pip install idc-index-data"):
        import_idc(tmp_path / "no.parquet", tmp_path / "a", collections=["luad"])
    pd.DataFrame({"collection_id": ["luad"]}).to_parquet(tmp_path / "short.parquet")
    with pytest.raises(DataError, match="not an index of the Imaging Data Commons"):
        import_idc(tmp_path / "short.parquet", tmp_path / "a", collections=["luad"])
    import_idc(index, tmp_path / "b", collections=["luad"])
    with pytest.raises(CatalogError, match="there is a catalog in 'b' already"):
        import_idc(index, tmp_path / "b", collections=["luad"])


def test_command_line_imports(index: Path, tmp_path: Path) -> None:
    command = ["catalog", "from-idc", str(index), "--collection", "luad", "-o", str(tmp_path / "out")]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert "ct" in open_catalog(tmp_path / "out" / "catalog.yaml")


def test_real_index_gives_every_series_of_a_collection(tmp_path: Path) -> None:
    package = pytest.importorskip("idc_index_data", reason="needs idc-index-data beside the environment")
    index = Path(str(package.IDC_INDEX_PARQUET_FILEPATH))
    expected = dict(
        duckdb.sql(f"SELECT Modality, count(*) FROM '{index}' WHERE collection_id = 'tcga_luad' GROUP BY 1").fetchall()
    )
    catalog = open_catalog(import_idc(index, tmp_path / "luad", collections=["tcga_luad"]))
    assert {name: catalog[name].count() for name in catalog} == {
        modality.lower(): count for modality, count in expected.items() if modality.lower() in catalog
    }
    assert {"ct", "pt"} <= set(catalog)
