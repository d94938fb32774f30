"""The spots and the bulk RNA of the simulated study: formats that open, and counts that follow the planted cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from integrate.datasets.cohort import SITES, stream
from integrate.datasets.expression import CD8_SIGNATURE, GENES, draw_bulk, plan_site_shift
from integrate.datasets.tissue import TYPES


@pytest.fixture(scope="module")
def outs(study: Path, assets: pd.DataFrame) -> Path:
    return study / str(assets.loc[assets["modality"] == "visium", "path"].iloc[0])


@pytest.mark.filterwarnings("ignore")
def test_spatialdata_io_opens_the_space_ranger_folder(outs: Path) -> None:
    import spatialdata_io

    data = spatialdata_io.visium(outs, dataset_id="sim")
    assert set(data.images) == {"sim_hires_image", "sim_lowres_image"}
    assert data["table"].n_vars == len(GENES)
    assert set(data["table"].var_names) == set(GENES)
    assert len(data["sim"]) == data["table"].n_obs > 0
    assert data["sim"]["radius"].iloc[0] == 55.0  # 55 um across, at half a micrometre per pixel


def test_spots_are_a_hexagonal_grid_100_um_apart(outs: Path) -> None:
    positions = pd.read_csv(outs / "spatial" / "tissue_positions.csv")
    places = positions[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy() * 0.5
    distance = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    np.testing.assert_allclose(distance.min(axis=1), 100, atol=1)
    assert positions["barcode"].str.fullmatch("[ACGT]{16}-1").all()
    assert positions["barcode"].is_unique
    assert ((positions["array_row"] + positions["array_col"]) % 2 == 0).all()


def test_scale_factors_match_the_images(outs: Path, study: Path) -> None:
    import tifffile
    from PIL import Image

    slide = tifffile.imread(study / "pathology" / f"{outs.parent.name}_he.ome.tif")
    scales = json.loads((outs / "spatial" / "scalefactors_json.json").read_text())
    for size in ("hires", "lowres"):
        width, height = Image.open(outs / "spatial" / f"tissue_{size}_image.png").size
        factor = scales[f"tissue_{size}_scalef"]
        assert (width, height) == (round(slide.shape[1] * factor), round(slide.shape[0] * factor))


def test_marker_counts_follow_the_cells_under_the_spot(study: Path, assets: pd.DataFrame) -> None:
    import scanpy as sc

    truth = pd.read_parquet(study / "truth_spots.parquet").set_index(["specimen_id", "barcode"])
    counted = []
    for row in assets[assets["modality"] == "visium"].itertuples():
        table = sc.read_10x_h5(study / str(row.path) / "filtered_feature_bc_matrix.h5").to_df()
        table.index = pd.MultiIndex.from_product([[str(row.acquisition_id).removesuffix("-VIS")], table.index])
        counted.append(table)
    counts = pd.concat(counted).reindex(truth.index)
    assert counts.notna().all(axis=None)
    for gene, kind in (("EPCAM", "tumour"), ("COL1A1", "fibroblast"), ("CD8A", "cd8_t")):
        assert spearmanr(counts[gene], truth[kind]).statistic > 0.5


def test_spot_truth_counts_the_planted_cells(study: Path, cells: pd.DataFrame) -> None:
    spots = pd.read_parquet(study / "truth_spots.parquet")
    spot = spots.iloc[0]
    near = cells[(cells["specimen_id"] == spot["specimen_id"]) & (cells["modality"] == "SM")]
    under = np.hypot(near["x_um"] - spot["x_um"], near["y_um"] - spot["y_um"]) <= 27.5
    for kind in TYPES:
        assert abs((near.loc[under, "type"] == kind).sum() - spot[kind]) <= 1  # written to a hundredth of a micrometre


def test_bulk_rna_says_its_units_and_is_its_counts(study: Path, truth: dict[str, Any]) -> None:
    rna = anndata.read_h5ad(study / "rna.h5ad")
    assert set(rna.var["unit"]) == {rna.uns["unit"]} == {"{log2(cpm+1)}"}
    per_million = rna.layers["counts"] / rna.obs["library_size"].to_numpy()[:, None] * 1e6
    np.testing.assert_allclose(rna.X, np.log2(per_million + 1), rtol=1e-5)
    having = [s["rna_id"] for s in truth["subjects"].values() if "rna" not in s["missing"]]
    assert list(rna.obs_names) == having


def test_bulk_rna_carries_the_planted_site_shift() -> None:
    rng = np.random.default_rng(0)
    shifts = {site: plan_site_shift(stream(1, "sites", 2, n)) for n, site in enumerate(SITES)}
    sites = [SITES[n % 3] for n in range(300)]
    rna = rng.gamma(5, 20, (300, len(GENES)))
    counts, library = draw_bulk(rna, sites, shifts, rng)
    log = pd.DataFrame(np.log2(counts / library[:, None] * 1e6 + 1)).groupby(sites).mean()
    found = (log.loc["north"] - log.loc["south"]).to_numpy()
    planted = shifts["north"].shift - shifts["south"].shift
    assert np.corrcoef(found, planted)[0, 1] > 0.98
    assert np.abs(found - planted).mean() < 0.1


def test_the_cd8_signature_follows_cd8_cells() -> None:
    from integrate.datasets.expression import cell_rna
    from integrate.datasets.tissue import grow_tissue, place_cells

    shares, signature = [], []
    for number, rate in enumerate(np.exp(np.linspace(-1.2, 1.2, 8))):
        rng = np.random.default_rng(number)
        cells = place_cells(grow_tissue(rng, section_um=200), rng, immune_rate=float(rate))
        mix = cell_rna(cells).sum(axis=0)
        shares.append(cells.counts()["cd8_t"] / len(cells))
        signature.append(mix[[GENES.index(gene) for gene in CD8_SIGNATURE]].sum() / mix.sum())
    assert spearmanr(shares, signature).statistic > 0.9
