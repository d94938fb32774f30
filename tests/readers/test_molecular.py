"""Loom, MuData, AnnData in Zarr, and variants per gene."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import mudata as md
import numpy as np
import pandas as pd
import pytest

from integrate.errors import DataError, IntegrateWarning, ParameterError
from integrate.readers.annotated_zarr import H5MU, AnnDataZarr, MuDataZarr
from integrate.readers.loom import Loom
from integrate.readers.variants import Maf, Vcf
from integrate.testing import ReaderTests

COUNTS = np.array([[1, 0, 2, 0], [0, 3, 0, 0], [4, 0, 0, 5]], np.float32)  # genes × cells


def write_loom(file: Path, *, genes: tuple[str, ...] = ("CD3E", "CD8A", "EGFR")) -> str:
    with h5py.File(file, "w") as store:
        store.create_dataset("matrix", data=COUNTS, chunks=(3, 4), compression="gzip")
        store.create_dataset("layers/spliced", data=COUNTS * 2)
        store.create_dataset("row_attrs/Gene", data=list(genes), dtype=h5py.string_dtype())
        store.create_dataset("col_attrs/CellID", data=[f"c{i}" for i in range(4)], dtype=h5py.string_dtype())
        store.create_dataset("col_attrs/patient", data=["007", "007", "8", "8"], dtype=h5py.string_dtype())
        store.create_dataset("col_attrs/X_umap", data=np.ones((4, 2)))
        store.create_group("row_graphs")
        store.create_dataset("attrs/LOOM_SPEC_VERSION", data="3.0.0")
    return str(file)


class TestLoom(ReaderTests):
    def reader(self, folder: Path) -> Loom:
        return Loom(url=write_loom(folder / "a.loom"), keys={"patient": "hospital"})

    def check(self, opened: Any) -> None:
        np.testing.assert_array_equal(opened.X.toarray(), COUNTS.T)
        np.testing.assert_array_equal(opened.layers["spliced"].toarray(), COUNTS.T * 2)
        assert opened.obs_names.tolist() == ["c0", "c1", "c2", "c3"]
        assert opened.var_names.tolist() == ["CD3E", "CD8A", "EGFR"]
        assert opened.obs["patient"].tolist() == ["007", "007", "8", "8"]
        assert opened.obsm["X_umap"].shape == (4, 2)


def test_loom_names_are_told(tmp_path: Path) -> None:
    with pytest.warns(IntegrateWarning, match=r"1 of 3 genes of a.loom are named twice"):
        opened = Loom(url=write_loom(tmp_path / "a.loom", genes=("A", "A", "B"))).read()
    assert opened.var_names.tolist() == ["A", "A-1", "B"]
    with pytest.raises(ParameterError, match="no attribute 'CellId'; closest: 'CellID'"):
        Loom(url=write_loom(tmp_path / "b.loom"), cells="CellId").read()
    with h5py.File(tmp_path / "c.loom", "w") as store:
        store["matrix"] = COUNTS
    with pytest.raises(DataError, match="is HDF5 but no loom; it has no 'row_attrs', 'col_attrs'"):
        Loom(url=str(tmp_path / "c.loom")).read()


def two() -> md.MuData:
    names = ["P1", "P2"]
    rna = ad.AnnData(np.ones((2, 3), np.float32), obs=pd.DataFrame(index=names), var=pd.DataFrame(index=list("ABC")))
    protein = ad.AnnData(np.zeros((2, 1), np.float32), obs=pd.DataFrame(index=names), var=pd.DataFrame(index=["p"]))
    with md.set_options(pull_on_update=False):
        made = md.MuData({"rna": rna, "protein": protein})
    made.obs["age"] = [61, 47]
    return made


class TestH5MU(ReaderTests):
    def reader(self, folder: Path) -> H5MU:
        two().write_h5mu(folder / "a.h5mu")
        return H5MU(url=str(folder / "a.h5mu"), keys={"obs_names": "trial"})

    def check(self, opened: Any) -> None:
        assert list(opened.mod) == ["rna", "protein"]
        assert opened["rna"].X.sum() == 6
        assert opened.obs["age"].tolist() == [61, 47]
        assert opened.uns["integrate"]["keys"] == {"obs_names": "trial"}

    def test_reader_and_result_pickle(self, tmp_path: Path) -> None:
        """A MuData itself does not unpickle (0.3: a weak reference to nothing); its reader must."""
        self.check(pickle.loads(pickle.dumps(self.reader(tmp_path))).read())


class TestMuDataZarr(TestH5MU):
    def reader(self, folder: Path) -> MuDataZarr:
        two().write_zarr(folder / "a.zarr")
        return MuDataZarr(url=str(folder / "a.zarr"), keys={"obs_names": "trial"})

    def victim(self, source: Path) -> Path:
        chunks = (source / "mod" / "rna" / "X").rglob("[0-9c]*")
        return max(chunks, key=lambda one: one.is_file() and one.stat().st_size)


class TestAnnDataZarr(ReaderTests):
    def reader(self, folder: Path) -> AnnDataZarr:
        two()["rna"].write_zarr(folder / "a.zarr")
        return AnnDataZarr(url=str(folder / "a.zarr"), keys={"obs_names": "trial"})

    def victim(self, source: Path) -> Path:
        return max((source / "X").rglob("[0-9c]*"), key=lambda one: one.is_file() and one.stat().st_size)

    def check(self, opened: Any) -> None:
        assert opened.shape == (2, 3)
        assert opened.X.sum() == 6
        assert opened.obs_names.tolist() == ["P1", "P2"]


def test_a_store_of_another_kind_is_refused(tmp_path: Path) -> None:
    two().write_zarr(tmp_path / "a.zarr")
    with pytest.raises(DataError, match="is a Zarr store of kind 'mudata'; expected anndata"):
        AnnDataZarr(url=str(tmp_path / "a.zarr")).read()
    with pytest.raises(DataError, match=r"a.zarr has no obs column 'agee'; closest: 'age'"):
        MuDataZarr(url=str(tmp_path / "a.zarr"), keys={"agee": "x"}).read()


MAF = """#version 2.4
Hugo_Symbol\tEntrez_Gene_Id\tVariant_Classification\tTumor_Sample_Barcode
TP53\t7157\tMissense_Mutation\tS1
TP53\t7157\tNonsense_Mutation\tS1
TP53\t7157\tSilent\tS2
EGFR\t1956\tMissense_Mutation\tS3
"""


class TestMaf(ReaderTests):
    cut = 0.97

    def reader(self, folder: Path) -> Maf:
        (folder / "a.maf").write_text(MAF)
        return Maf(url=str(folder / "a.maf"), keys={"obs_names": "sample"})

    def check(self, opened: Any) -> None:
        assert opened.obs_names.tolist() == ["S1", "S2", "S3"]
        assert opened.to_df()["TP53"].tolist() == [2, 0, 0]
        assert opened.obs["variants"].tolist() == [2, 0, 1]
        assert opened.uns["integrate"]["not_counted"] == {"Silent": 1}


def test_samples_without_variants_are_rows_where_they_are_named(tmp_path: Path) -> None:
    reader = TestMaf().reader(tmp_path)
    table = reader(samples=["S4", "S3", "S2", "S1"]).read().to_df()
    assert table["TP53"].to_dict() == {"S4": 0, "S3": 0, "S2": 0, "S1": 2}
    assert reader(classes=[]).read().to_df().loc["S2", "TP53"] == 1
    with pytest.raises(DataError, match=r"2 samples of a.maf are not among samples=: 'S2', 'S3'"):
        reader(samples=["S1"]).read()


VCF = """##fileformat=VCFv4.2
##INFO=<ID=CSQ,Number=.,Type=String,Description="Consequence annotations from Ensembl VEP. Format: Allele|Consequence|IMPACT|SYMBOL|Gene">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tA\tB\tC
17\t1\t.\tA\tT\t9\tPASS\tDP=3;CSQ=T|missense|M|TP53|E1,T|intron|L|WRAP53|E2\tGT:DP\t0/1:3\t0|0:2\t./.:.
17\t2\t.\tG\tC\t9\tPASS\tCSQ=C|stop|H|TP53|E1\tGT\t1/1\t0/1\t./.
7\t3\t.\tG\tC\t9\tq10\tCSQ=C|stop|H|EGFR|E1\tGT\t1/1\t0/1\t0/0
1\t4\t.\tG\tC\t9\tPASS\tDP=1\tGT\t1/1\t0/1\t0/0
"""  # noqa: E501


class TestVcf(ReaderTests):
    def reader(self, folder: Path) -> Vcf:
        (folder / "a.vcf.gz").write_bytes(gzip.compress(VCF.encode()))
        return Vcf(url=str(folder / "a.vcf.gz"))

    def check(self, opened: Any) -> None:
        table = opened.to_df()
        assert table.columns.tolist() == ["TP53", "WRAP53"]
        assert table.loc[["A", "B"]].to_numpy().tolist() == [[2, 1], [1, 0]]
        assert table.loc["C"].isna().all()  # never called, which is not the same as no variant
        assert opened.uns["integrate"]["left_out"] == {"filtered": 1, "without gene": 1}


def test_vcf_of_snpeff_and_without_annotation(tmp_path: Path) -> None:
    annotated = VCF.replace("ID=CSQ", "ID=ANN").replace("CSQ=", "ANN=")
    (tmp_path / "a.vcf").write_text(annotated)
    assert Vcf(url=str(tmp_path / "a.vcf"), passed_only=False).read().to_df().loc["A", "EGFR"] == 1
    (tmp_path / "b.vcf").write_text(VCF.replace("ID=CSQ", "ID=OTHER"))
    with pytest.raises(DataError, match=r"b.vcf has no gene annotation"):
        Vcf(url=str(tmp_path / "b.vcf")).read()
