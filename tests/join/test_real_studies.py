"""Published joins come out the same: miniACC of MultiAssayExperiment, and the breast DCIS study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from integrate.catalog.open import open_catalog
from integrate.errors import UnitError
from integrate.join.cohort import Cohort
from integrate.join.link import link
from integrate.join.reduce import Fraction, Quantile, Steps
from integrate.model.assemble import open_study
from integrate.model.study import Study

ASSAYS = ("RNASeq2GeneNorm", "gistict", "RPPAArray", "Mutations", "miRNASeqGene")


@pytest.fixture(scope="module")
def data_root(test_data: Callable[[str], Path]) -> str:
    return str(test_data("miniacc-multiomics").parent)


@pytest.fixture(scope="module")
def mini_acc(data_root: str) -> tuple[Cohort, Path]:
    study = open_study(open_catalog("miniacc", data_root=data_root))
    cohort = link(study, unit="subject", clinical="clinical", **{name: name for name in ASSAYS}, validate="1:1")
    return cohort, Path(data_root) / "miniacc-multiomics" / "csv"


def test_mini_acc_has_the_published_shape_and_complete_cases(mini_acc: tuple[Cohort, Path]) -> None:
    cohort, _ = mini_acc
    assert len(cohort.obs) == 92
    assert len(cohort.complete()) == 43  # summary(complete.cases(miniACC)): FALSE 49, TRUE 43
    assert {name: a.n_obs for name, a in cohort.assays.items()} == {
        "RNASeq2GeneNorm": 79,
        "gistict": 90,
        "RPPAArray": 46,
        "Mutations": 90,
        "miRNASeqGene": 80,
    }


def test_the_mini_acc_wide_table_is_the_published_one(mini_acc: tuple[Cohort, Path]) -> None:
    """R: `dim(wideFormat(miniACC, colDataCols = "vital_status"))` is 92 999: `primary`, that variable, 997 features."""
    cohort, folder = mini_acc
    wide = cohort.to_pandas(layout="wide")
    found = wide.drop(columns=[c for c in cohort.obs if c not in ("primary", "vital_status")])
    published = pd.read_csv(folder / "colData.csv", index_col=0)[["vital_status"]].rename_axis("primary").reset_index()
    samples = pd.read_csv(folder / "sampleMap.csv")
    for name in ASSAYS:  # what R does: each assay's column goes to the row that the sample map names
        values = pd.read_csv(folder / f"{name}.csv", index_col=0, float_precision="round_trip").T
        values.index = samples[samples["assay"] == name].set_index("colname")["primary"].loc[values.index]
        published = published.join(values.add_prefix(f"{name}/"), on="primary", validate="1:1")
    assert found.shape == published.shape == (92, 999)
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True), published, check_dtype=False, check_exact=True, check_names=False
    )


#: Printed by R in the vignette of MultiAssayExperiment: wideFormat(miniACC[c("TP53", "CTNNB1"), , ], colDataCols = …)
PRINTED_BY_R = """
TCGA-OR-A5J1 1 1355  5634.4669  563.4006  0  0  0  0
TCGA-OR-A5J2 1 1677 62658.3913  165.4811  1  0  1  1
TCGA-OR-A5J3 0   NA  6337.4256  956.3028  0  0  0  0
TCGA-OR-A5J4 1  423         NA        NA  0  1  0  0
TCGA-OR-A5J5 1  365   5979.055 1169.6359  0  0  0  0
TCGA-PK-A5H9 0   NA  5258.9863  890.8663  0  0  0  0
TCGA-PK-A5HA 0   NA  8120.1654  683.5722  0 -1  0  0
TCGA-PK-A5HB 0   NA  5257.8148  237.3697 -1 -1  0  0
TCGA-PK-A5HC 0   NA         NA        NA  1  1  0  0
TCGA-P6-A5OG 1  383  6390.0997  815.3446  1 -1 NA NA
"""


def test_mini_acc_rows_are_those_r_prints(mini_acc: tuple[Cohort, Path]) -> None:
    cohort, _ = mini_acc
    genes = [f"{a}/{g}" for a in ("RNASeq2GeneNorm", "gistict", "Mutations") for g in ("CTNNB1", "TP53")]
    table = cohort.to_pandas(layout="wide")[["vital_status", "days_to_death", *genes]].astype(float)
    printed = [line.split() for line in PRINTED_BY_R.strip().splitlines()]
    expected = [[np.nan if value == "NA" else float(value) for value in line[1:]] for line in printed]
    np.testing.assert_allclose(table.loc[[line[0] for line in printed]], expected, rtol=0, atol=5e-5)
    assert [*table.index[:5], *table.index[-5:]] == [line[0] for line in printed]  # and in this order


def test_the_mini_acc_long_table_is_the_published_one(mini_acc: tuple[Cohort, Path]) -> None:
    cohort, folder = mini_acc
    long = cohort.to_pandas(layout="long")
    observed = long[long["missing_reason"] == ""]
    assert len(observed[observed["feature"].isin(["TP53", "CTNNB1"])]) == 518  # nrow(longFormat(…)) in the vignette
    samples = pd.read_csv(folder / "sampleMap.csv")
    parts = []
    for name in ASSAYS:
        values = (
            pd.read_csv(folder / f"{name}.csv", index_col=0, float_precision="round_trip")
            .rename_axis("feature")
            .reset_index()
        )
        part = values.melt("feature", var_name="colname").assign(assay=name)
        parts.append(part.merge(samples, on=["assay", "colname"], validate="m:1"))
    published = pd.concat(parts).set_index(["assay", "primary", "feature"])["value"].sort_index().astype(float)
    found = observed.set_index(["assay", "subject_id", "feature"])["value"].sort_index()
    assert len(found) == 79 * 198 + 90 * 198 + 46 * 33 + 90 * 97 + 80 * 471
    np.testing.assert_array_equal(found.to_numpy(), published.to_numpy())
    assert found.index.tolist() == published.index.tolist()


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


@pytest.fixture(scope="module")
def lgg(test_data: Callable[[str], Path]) -> Study:
    return open_study(open_catalog("lgg", data_root=str(test_data("lgg-mri").parent)))


@pytest.fixture(scope="module")
def tumours(lgg: Study) -> pd.DataFrame:
    """Area of the drawn tumour in every slice, with no id but the slice's own."""
    masks = [(mask.attrs["integrate"]["ids"]["region_id"], float((mask > 0).sum())) for mask in lgg.each("masks")]
    return pd.DataFrame(masks, columns=["region_id", "area_px"])


def test_lgg_spells_one_patient_in_three_ways(lgg: Study) -> None:
    assert lgg.audit.ok
    spelled = lgg.identifiers[lgg.identifiers["entity_id"] == "TCGA-CS-4941"]
    found = dict(zip(spelled["source"], spelled["source_id"], strict=True))
    assert found["clusters"] == "TCGA_CS_4941"
    assert found["published"] == "Glioma-TCGA-CS-4941"
    assert found["masks"].startswith("TCGA_CS_4941_19960909/")
    assert set(spelled["source"]) == {"masks", "slices", "clusters", "molecular", "published"}


def test_lgg_lists_who_has_images_and_who_has_only_molecules(lgg: Study, tumours: pd.DataFrame) -> None:
    cohort = link(
        lgg, unit="subject", tumour=tumours, molecular="molecular", reduce={"tumour": Quantile(1), "molecular": "mean"}
    )
    assert len(cohort.complete("tumour")) == 48
    only = set(cohort.complete("molecular")) - set(cohort.complete("tumour"))
    assert len(only) == 511 - 48
    assert only <= set(cohort.report["tumour"].without_rows)
    assert set(cohort.missing_reason.loc[sorted(only), "tumour"]) == {"not acquired"}


def test_lgg_slides_are_reduced_only_as_said(lgg: Study) -> None:
    with pytest.raises(UnitError, match=r"'molecular' has 920 rows \(acquisitions\) for 511 subjects, up to 17 each"):
        link(lgg, unit="subject", molecular="molecular")
    part = link(lgg, unit="subject", molecular="molecular", reduce={"molecular": "mean"}).report["molecular"]
    assert (part.rows, part.matched, part.most, len(part.repeated)) == (920, 511, 17, 136)
    assert part.reduction == "subject: mean"


def test_lgg_tumour_areas_meet_the_volumes_of_the_same_patients(lgg: Study, tumours: pd.DataFrame) -> None:
    """The volumes were published by others from another outline; a shuffled id map must lose the agreement."""

    def agreement(areas: pd.DataFrame) -> float:
        cohort = link(lgg, unit="subject", tumour=areas, published="published", reduce={"tumour": Quantile(1)})
        both = pd.DataFrame({"area": cohort.values("area_px"), "volume": cohort.values("radVar1")}).dropna()
        assert len(both) == 42
        return float(both.corr("spearman").iloc[0, 1])

    assert agreement(tumours) >= 0.90
    rng = np.random.default_rng(0)
    one_each = tumours.loc[tumours.groupby(tumours["region_id"].str[:12])["area_px"].idxmax()]
    shuffled = [
        agreement(one_each.assign(region_id=rng.permutation(one_each["region_id"].to_numpy()))) for _ in range(20)
    ]
    assert abs(np.mean(shuffled)) < 0.15
    assert max(np.abs(shuffled)) < 0.6
