"""Every consensus value of the IBSI-1 phantoms, and the table of them in the docs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import xarray as xr

from integrate.features.radiomics.measure import measure_radiomics
from integrate.features.radiomics.phantom import digital_phantom
from integrate.features.radiomics.settings import FixedBinSize, Radiomics
from integrate.readers.dicom import DicomSeries

from .ibsi import CONFIGURATIONS, COUNTS, Consensus, read_consensus, read_nifti
from .report import REPORT, write_report

Results = dict[str, list[tuple[Consensus, float]]]


@pytest.fixture(scope="module")
def phantoms(test_data: Callable[[str], Path]) -> Path:
    return test_data("ibsi1-phantoms")


@pytest.fixture(scope="module")
def chest(phantoms: Path) -> tuple[xr.DataArray, xr.DataArray]:
    folder = phantoms / "ibsi_1_ct_radiomics_phantom"
    return DicomSeries(url=folder / "dicom" / "image").read(), read_nifti(folder / "nifti" / "mask" / "mask.nii.gz")


@pytest.fixture(scope="module")
def results(phantoms: Path, chest: tuple[xr.DataArray, xr.DataArray]) -> Results:
    """Return what was measured beside every consensus value, by configuration."""
    return {
        name: beside(
            measure_radiomics(*(digital_phantom() if name == "digital" else chest), settings=settings),
            read_consensus(phantoms, name),
        )
        for name, settings in CONFIGURATIONS.items()
    }


def beside(table: ad.AnnData, consensus: list[Consensus]) -> list[tuple[Consensus, float]]:
    found = dict(zip(table.var_names, table.X[0], strict=True))
    found |= {tag: table.obs[column].iloc[0] for tag, column in COUNTS.items()}
    return [(one, float(found[one.tag])) for one in consensus if one.tag in found]


@pytest.mark.parametrize(
    ("name", "number"), [("digital", 482), ("A", 348), ("B", 348), ("C", 212), ("D", 212), ("E", 212)]
)
def test_every_consensus_value_is_met(results: Results, name: str, number: int) -> None:
    assert len(results[name]) == number
    assert [(one, found) for one, found in results[name] if not one.holds(found)] == []


def test_every_feature_of_the_consensus_is_measured(phantoms: Path) -> None:
    processing = ("img_", "vox_", "int_mask_", "morph_mask_", "mean_int_", "min_int_", "max_int_")
    for name, settings in CONFIGURATIONS.items():
        measured = set(measure_radiomics(*digital_phantom(), settings=settings).var_names) | set(COUNTS)
        wanted = {one.tag for one in read_consensus(phantoms, name)}
        assert {tag for tag in wanted - measured if not tag.startswith(processing)} == set()


def test_a_shifted_grid_would_be_seen(chest: tuple[xr.DataArray, xr.DataArray], phantoms: Path) -> None:
    image, mask = chest
    moved = mask.roll(z=1)
    table = measure_radiomics(image, moved, settings=CONFIGURATIONS["C"])
    wrong = [one for one, found in beside(table, read_consensus(phantoms, "C")) if not one.holds(found)]
    assert len(wrong) > 50


def test_the_shipped_phantom_is_the_published_one(phantoms: Path) -> None:
    image, mask = digital_phantom()
    folder = phantoms / "ibsi_1_digital_phantom" / "nifti"
    for own, name in ((image, "image/phantom"), (mask, "mask/mask")):
        published = read_nifti(folder / f"{name}.nii.gz")
        np.testing.assert_array_equal(own.values, published.values)
        np.testing.assert_allclose(own.z.values, published.z.values)


#: A few consensus values, to have the truth where the files are not.
PUBLISHED = {
    "morph_volume": (556, 4),
    "morph_pca_maj_axis": (11.4, 0.1),
    "morph_moran_i": (0.0397, 0.0003),
    "loc_peak_glob": (3.1, 0),
    "stat_var": (3.05, 0),
    "stat_kurt": (-0.355, 0),
    "ih_entropy": (1.27, 0),
    "ivh_i10": (5, 0),
    "cm_joint_entr_3D_comb": (2.57, 0),
    "rlm_glnu_3D_comb": (281, 0),
    "szm_lze_3D": (550, 0),
    "dzm_zd_entr_3D": (1.92, 0),
    "ngt_strength_3D": (0.763, 0),
    "ngl_dc_entr_3D": (4.4, 0),
}


def test_the_shipped_phantom_has_published_values() -> None:
    table = measure_radiomics(*digital_phantom(), settings=Radiomics(FixedBinSize(1)))
    found = dict(zip(table.var_names, table.X[0].tolist(), strict=True))
    assert {tag: found[tag] for tag, pair in PUBLISHED.items() if not Consensus(tag, *pair).holds(found[tag])} == {}


def test_the_report_in_the_docs_is_what_is_measured(results: Results, repository: Path) -> None:
    page = write_report(results)
    if os.environ.get("INTEGRATE_WRITE_DOCS"):
        (repository / REPORT).write_text(page, encoding="utf-8")
    assert page == (repository / REPORT).read_text(encoding="utf-8")
