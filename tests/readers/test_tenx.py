"""10x matrices: every count, barcode and feature type, from HDF5 and from a folder alike."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from integrate.errors import DataError
from integrate.readers.tenx import TenXH5, TenXMatrix
from integrate.testing import ReaderTests

COUNTS = np.random.default_rng(0).poisson(0.7, (40, 60))  # barcodes × features
BARCODES = [f"ACGT{i:04d}-1" for i in range(40)]
SYMBOLS = ["EGFR", "EGFR", *[f"G{i}" for i in range(58)]]
KINDS = ["Gene Expression"] * 55 + ["Antibody Capture"] * 5


def write_folder(folder: Path, barcodes: list[str] = BARCODES) -> Path:
    folder.mkdir(parents=True)
    rows, columns = np.nonzero(COUNTS.T)
    triples = "".join(f"{r + 1} {c + 1} {COUNTS[c, r]}\n" for r, c in zip(rows, columns, strict=True))
    head = f"%%MatrixMarket matrix coordinate integer general\n60 40 {len(rows)}\n"
    described = "".join(f"ENSG{i:03d}\t{s}\t{k}\n" for i, (s, k) in enumerate(zip(SYMBOLS, KINDS, strict=True)))
    texts = {"matrix.mtx": head + triples, "barcodes.tsv": "\n".join(barcodes) + "\n", "features.tsv": described}
    for name, text in texts.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def write_h5(file: Path) -> Path:
    import h5py
    from scipy.sparse import csr_matrix

    file.parent.mkdir(parents=True, exist_ok=True)
    held = csr_matrix(COUNTS)
    with h5py.File(file, "w") as store:
        group = store.create_group("matrix")
        group["data"], group["indices"], group["indptr"] = held.data, held.indices, held.indptr
        group["shape"], group["barcodes"] = [60, 40], np.array(BARCODES, "S")
        names = {"name": SYMBOLS, "id": [f"ENSG{i:03d}" for i in range(60)], "feature_type": KINDS}
        for name, values in names.items():
            group[f"features/{name}"] = np.array(values, "S")
    return file


class Contract(ReaderTests):
    def check(self, opened: Any) -> None:
        np.testing.assert_array_equal(opened.X.toarray(), COUNTS)
        assert opened.obs_names.tolist() == BARCODES
        assert opened.var_names.tolist()[:3] == ["EGFR", "EGFR-1", "G0"]
        assert opened.var["feature_type"].tolist() == KINDS
        assert opened.uns["integrate"]["keys"] == {"obs_names": "barcode"}


class TestH5(Contract):
    def reader(self, folder: Path) -> TenXH5:
        return TenXH5(url=str(write_h5(folder / "a.h5")), keys={"obs_names": "barcode"})


class TestMatrix(Contract):
    def reader(self, folder: Path) -> TenXMatrix:
        return TenXMatrix(url=str(write_folder(folder / "m")), keys={"obs_names": "barcode"})


def test_files_of_two_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the matrix of m has shape \(40, 60\) for 39 barcodes"):
        TenXMatrix(url=str(write_folder(tmp_path / "m", BARCODES[:39]))).read()
    with pytest.raises(DataError, match="1 barcodes of n repeat: 'ACGT0000-1'"):
        TenXMatrix(url=str(write_folder(tmp_path / "n", [BARCODES[0], *BARCODES[:39]]))).read()


def test_real_space_ranger_matrix(test_data: Any) -> None:
    folder = test_data("visium-cytassist-mouse")
    data = TenXMatrix(url=str(folder / "filtered_feature_bc_matrix")).read()
    assert data.shape == (2898, 19_465)
    published = pd.read_csv(folder / "spatial" / "spatial_enrichment.csv", index_col="Feature ID")
    totals = pd.Series(np.asarray(data.X.sum(axis=0)).ravel(), index=data.var["feature_id"])
    column = "Feature Counts in Spots Under Tissue"
    np.testing.assert_array_equal(totals[published.index], published[column])
