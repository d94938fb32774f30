"""Lesions join like any other assay, and pyradiomics gives the same numbers where it defines the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

import integrate as ig
from integrate.features.radiomics.measure import measure_radiomics
from integrate.features.radiomics.phantom import digital_phantom
from integrate.features.radiomics.settings import FixedBinSize, Radiomics

from .ibsi import read_nifti


def test_lesions_link_to_the_clinical_table_with_unit_and_definition() -> None:
    study = ig.datasets.toy_study()
    lesions = []
    for subject, factor in (("P01", 1), ("P02", 3)):
        image, mask = digital_phantom()
        image.attrs["integrate"]["ids"] = {"subject_id": subject}
        lesions.append(measure_radiomics(image * factor, mask, settings=Radiomics(families=("statistics",))))
    cohort = ig.link(study, unit="subject", lesions=lesions, clinical="clinical")
    means = cohort.values("stat_mean")
    assert means.index.tolist() == ["P01", "P02", "P03"]
    assert means["P02"] == 3 * means["P01"]
    assert np.isnan(means["P03"])
    assert cohort.assays["lesions"].var.loc["stat_mean", "definition"] == "IBSI:Q4LE"


#: pyradiomics 1.3 names of features with IBSI definitions; GLCM features are its means over 13 directions.
SAME = {
    "firstorder_InterquartileRange": "stat_iqr",
    "firstorder_Skewness": "stat_skew",
    "firstorder_Uniformity": "ih_uniformity",
    "firstorder_Entropy": "ih_entropy",
    "firstorder_Median": "stat_median",
    "firstorder_RobustMeanAbsoluteDeviation": "stat_rmad",
    "firstorder_MeanAbsoluteDeviation": "stat_mad",
    "firstorder_Maximum": "stat_max",
    "firstorder_90Percentile": "stat_p90",
    "firstorder_Minimum": "stat_min",
    "firstorder_Range": "stat_range",
    "firstorder_Variance": "stat_var",
    "firstorder_10Percentile": "stat_p10",
    "firstorder_Mean": "stat_mean",
    "glcm_JointAverage": "cm_joint_avg_3D_avg",
    "glcm_JointEntropy": "cm_joint_entr_3D_avg",
    "glcm_ClusterShade": "cm_clust_shade_3D_avg",
    "glcm_MaximumProbability": "cm_joint_max_3D_avg",
    "glcm_JointEnergy": "cm_energy_3D_avg",
    "glcm_Contrast": "cm_contrast_3D_avg",
    "glcm_DifferenceEntropy": "cm_diff_entr_3D_avg",
    "glcm_DifferenceVariance": "cm_diff_var_3D_avg",
    "glcm_InverseVariance": "cm_inv_var_3D_avg",
    "glcm_Idm": "cm_inv_diff_mom_3D_avg",
    "glcm_Idn": "cm_inv_diff_norm_3D_avg",
    "glcm_Idmn": "cm_inv_diff_mom_norm_3D_avg",
    "glcm_Correlation": "cm_corr_3D_avg",
    "glcm_Autocorrelation": "cm_auto_corr_3D_avg",
    "glcm_SumEntropy": "cm_sum_entr_3D_avg",
    "glcm_SumSquares": "cm_joint_var_3D_avg",
}


def test_pyradiomics_agrees_where_it_defines_the_same(test_data: Callable[[str], Path]) -> None:
    folder = test_data("pyradiomics-cases")
    image, mask = (read_nifti(folder / f"brain1_{what}.nrrd") for what in ("image", "label"))
    # pyradiomics begins bins at a multiple of their width, not at the region's minimum of 468
    table = measure_radiomics(image, mask, settings=Radiomics(FixedBinSize(25, start=450), textures=("3D_avg",)))
    found = dict(zip(table.var_names, table.X[0].tolist(), strict=True))
    baseline = pd.concat(
        pd.read_csv(folder / "baseline" / f"baseline_{one}.csv", index_col=0)["brain1"]
        for one in ("firstorder", "glcm")
    )
    theirs = {name: float(baseline[f"original_{name}"]) for name in SAME}
    apart = {name: (theirs[name], found[ours]) for name, ours in SAME.items()}
    assert {name: two for name, two in apart.items() if not np.isclose(*two, rtol=1e-6)} == {}
    # different by definition: kurtosis without the excess, energy and root mean square of intensities + 2000
    assert np.isclose(float(baseline["original_firstorder_Kurtosis"]), found["stat_kurt"] + 3, rtol=1e-6)
    shifted = np.sqrt(((image.values[mask.values == 1].astype(float) + 2000) ** 2).mean())
    assert np.isclose(float(baseline["original_firstorder_RootMeanSquared"]), shifted, rtol=1e-6)
    assert found["stat_rms"] < shifted
