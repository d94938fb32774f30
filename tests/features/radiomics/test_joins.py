"""Lesions join like any other assay, and pyradiomics gives the same numbers where it defines the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

import integrate as ig
from integrate.errors import DatasetNotFoundError
from integrate.features.radiomics.measure import measure_radiomics
from integrate.features.radiomics.phantom import digital_phantom
from integrate.features.radiomics.settings import FixedBinSize, Radiomics
from integrate.features.radiomics.volume import make_volume
from integrate.readers.dicom import DicomSeries
from integrate.readers.rtstruct import RtStruct

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


def test_pyradiomics_shapes_differ_by_what_the_docs_say(test_data: Callable[[str], Path]) -> None:
    folder = test_data("pyradiomics-cases")
    image, mask = (read_nifti(folder / f"brain1_{what}.nrrd") for what in ("image", "label"))
    table = measure_radiomics(image, mask, settings=Radiomics(families=["morphology"]))
    found = dict(zip(table.var_names, table.X[0].tolist(), strict=True))
    shape = pd.read_csv(folder / "baseline" / "baseline_shape.csv", index_col=0)["brain1"]
    theirs = {name.removeprefix("original_shape_"): float(one) for name, one in shape.items() if "shape" in str(name)}
    voxels = int(table.obs["n_voxels"].iloc[0])
    for name, ours in (("Major", "maj"), ("Minor", "min"), ("Least", "least")):
        by_population = found[f"morph_pca_{ours}_axis"] * np.sqrt((voxels - 1) / voxels)
        assert theirs[f"{name}AxisLength"] == pytest.approx(by_population, rel=1e-9)
    for name, ours in (
        ("VoxelVolume", "vol_approx"),
        ("Maximum3DDiameter", "diam"),
        ("Elongation", "pca_elongation"),
        ("Flatness", "pca_flatness"),
    ):
        assert theirs[name] == pytest.approx(found[f"morph_{ours}"], rel=1e-9)
    assert theirs["MeshVolume"] == pytest.approx(found["morph_volume"], rel=3e-4)
    assert theirs["SurfaceArea"] == pytest.approx(found["morph_area_mesh"], rel=5e-3)


def test_segments_and_structures_are_measured_by_name() -> None:
    """A mask with named labels and contours of the same squares give the same lesion; structures may overlap."""
    affine = np.diag([1.1, 0.8, 3.0, 1.0])
    image = make_volume(np.random.default_rng(0).normal(size=(6, 20, 24)), spacing_mm=(3, 0.8, 1.1), affine_lps=affine)
    rows = []
    for name, low, high in (("GTV", [3.5, 4.5], [9.5, 11.5]), ("PTV", [1.5, 2.5], [14.5, 15.5])):
        square = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
        for k in (1, 2, 3):
            points = np.c_[square, np.full((4, 1), k), np.ones(4)] @ affine.T
            rows.append({"roi_name": name, "kind": "CLOSED_PLANAR", "geometry": shapely.Polygon(points[:, :3])})
    structures = gpd.GeoDataFrame(rows, geometry="geometry")
    table = measure_radiomics(image, structures)
    assert table.obs["name"].tolist() == ["GTV", "PTV"]
    assert table.obs["n_voxels"].tolist() == [3 * 6 * 7, 3 * 13 * 13]
    assert table.var["definition"].str.startswith("IBSI:").all()
    labels = np.zeros(image.shape, np.uint8)
    labels[1:4, 5:12, 4:10] = 3
    mask = make_volume(labels, spacing_mm=(3, 0.8, 1.1), affine_lps=affine)
    mask.attrs["integrate"]["labels"] = {"3": "GTV", "7": "necrosis"}  # as DicomSeg names its segments
    named = measure_radiomics(image, mask, labels=["GTV"])
    assert named.obs[["instance_id", "name"]].to_numpy().tolist() == [[3, "GTV"]]
    np.testing.assert_array_equal(named.X, measure_radiomics(image, structures, labels=["GTV"]).X)
    with pytest.raises(DatasetNotFoundError, match="no lesion named 'GTV1'; closest: 'GTV'"):
        measure_radiomics(image, mask, labels=["GTV1"])
    with pytest.raises(DatasetNotFoundError, match="no structure named 'CTV'"):
        measure_radiomics(image, structures, labels=["CTV"])


def test_the_structure_of_the_lung_phantom_is_measured_in_one_call(test_data: Callable[[str], Path]) -> None:
    folder = test_data("ibsi1-phantoms") / "ibsi_1_ct_radiomics_phantom"
    image = DicomSeries(url=folder / "dicom" / "image").read()
    structures = RtStruct(url=next((folder / "dicom" / "mask").glob("*.dcm"))).read()
    chosen = Radiomics(families=["morphology", "statistics"])
    (name,) = structures["roi_name"].unique()
    table = measure_radiomics(image, structures, settings=chosen, labels=[name])
    drawn = measure_radiomics(image, read_nifti(folder / "nifti" / "mask" / "mask.nii.gz"), settings=chosen)
    assert table.obs["name"].tolist() == [name]
    assert table.obs["n_voxels"].tolist() == drawn.obs["n_voxels"].tolist() == [125256]
    np.testing.assert_allclose(table.X, drawn.X, rtol=1e-6)
