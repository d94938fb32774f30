"""Published joins come out the same: miniACC of MultiAssayExperiment, and the breast DCIS study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from integrate.catalog.open import open_catalog
from integrate.join.cohort import Cohort
from integrate.join.link import link
from integrate.join.reduce import Fraction, Steps
from integrate.model.assemble import open_study
from integrate.model.study import Study

ASSAYS = ("RNASeq2GeneNorm", "gistict", "RPPAArray", "Mutations", "miRNASeqGene")
BARCODE = {
    "pattern": r"(TCGA-\w{2}-\w{4})-(\d{2}[A-Z])-\d{2}[A-Z]?-\w{4}-\d{2}",
    "ids": {"subject_id": r"\1", "specimen_id": r"\1-\2"},
}


@pytest.fixture
def mini_acc(test_data: Callable[[str], Path], make_study: Callable[..., Study]) -> tuple[Cohort, Path]:
    folder = test_data("miniacc-multiomics") / "csv"
    tables = {name: pd.read_csv(folder / f"{name}.csv", index_col=0).T for name in ASSAYS}
    tables = {name: ad.AnnData(table.astype(float)) for name, table in tables.items()}
    clinical = pd.read_csv(folder / "colData.csv", index_col=0)
    study = make_study(
        spine="clinical",
        clinical=clinical,
        **tables,
        identifiers={"barcode": BARCODE},
        keys={"clinical": {"patientID": "subject_id"}} | {name: {"obs_names": "barcode"} for name in ASSAYS},
        levels=dict.fromkeys(ASSAYS, "specimen"),
    )
    return link(study, unit="subject", clinical="clinical", **{name: name for name in ASSAYS}, validate="1:1"), folder


def test_mini_acc_has_the_published_shape_and_complete_cases(mini_acc: tuple[Cohort, Path]) -> None:
    cohort, _ = mini_acc
    assert len(cohort.obs) == 92
    assert cohort.to_anndata().shape == (92, 997)  # R's 999 columns are these, `primary` and one colData column
    assert len(cohort.complete()) == 43
    assert {name: a.n_obs for name, a in cohort.assays.items()} == {
        "RNASeq2GeneNorm": 79,
        "gistict": 90,
        "RPPAArray": 46,
        "Mutations": 90,
        "miRNASeqGene": 80,
    }


def test_mini_acc_values_are_the_sources_by_the_published_sample_map(mini_acc: tuple[Cohort, Path]) -> None:
    cohort, folder = mini_acc
    published = pd.read_csv(folder / "sampleMap.csv")
    for name in ASSAYS:
        source = pd.read_csv(folder / f"{name}.csv", index_col=0)
        samples = published[published["assay"] == name].set_index("colname")["primary"]
        expected = source.T.set_axis(samples.loc[source.columns].to_numpy()).reindex(cohort.obs.index)
        found = cohort.to_anndata()[:, [f"{name}/{gene}" for gene in source.index]].X
        np.testing.assert_array_equal(found, expected.to_numpy(dtype=float))


@pytest.fixture
def dcis(test_data: Callable[[str], Path]) -> Study:
    return open_study(open_catalog("dcis", data_root=str(test_data("dcis-mibi").parent)))


def test_dcis_links_every_field_to_its_patient(dcis: Study, make_cells: Callable[..., ad.AnnData]) -> None:
    rng = np.random.default_rng(0)
    fields = []
    for acquisition in dcis.acquisitions.index:
        n = int(rng.integers(5, 40))
        values = {"HER2_mean": rng.gamma(2, size=n)}
        fields.append(make_cells({"acquisition_id": [int(acquisition)] * n}, values))
    cohort = link(
        dcis,
        unit="subject",
        cells=fields,
        clinical="clinical",
        reduce={"cells": Steps(acquisition=["mean", Fraction("HER2_mean", above=3)], subject="mean")},
    )
    assert len(cohort.obs) == 23
    assert cohort.assays["cells"].shape == (23, 2)
    assert cohort.report["cells"].repeated
    assert cohort.obs["PAM50"].value_counts().to_dict() == {"LumA": 6, "Basal": 4, "LumB": 3, "Her2": 2, "Normal": 2}
    assert "PAM50" not in cohort.report["clinical"].varying
    assert cohort.assays["cells"].layers["n_acquisition"].sum(axis=0).tolist() == [27, 27]
    assert all(own == source.split(" ")[0] for source, own in cohort.report["cells"].converted.items())


def test_dcis_lists_the_variables_that_differ_between_fields_of_a_patient(dcis: Study) -> None:
    varying = link(dcis, unit="subject", clinical="clinical").report["clinical"].varying
    assert varying["Total_cells"] == ("1027", "1107", "1153", "1162")
    assert "Age" not in varying
