"""Cells of the breast DCIS study (MIBI) against the study's own published counts and fractions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import tifffile

from integrate.features.measure import measure
from integrate.features.positive import mark_positive
from integrate.model.image import make_image
from integrate.prepare.segment import expand_labels, segment_nuclei

NUCLEAR = ("Nuc", "HH3")
MARKERS = ("ER", "AR", "pS6", "Ki67", "GLUT1", "HER2", "CD31", "CD45", "PanKRT", "ECAD")

#: Where a marker is inside a cell: nuclear ones are measured in nuclei, the others in nuclei grown by 4 pixels.
IN_NUCLEI = {"ER", "AR", "Ki67"}

#: Fraction of tumour cells that are positive, or of all cells that are of the lineage the marker stands for.
PUBLISHED = {name: f"Status_tumor_{name}_freq" for name in ("ER", "AR", "pS6", "Ki67", "GLUT1", "HER2")}
LINEAGES = {"CD31": "Total_endothelial_cells", "CD45": "Total_immune_cells"}


@dataclass(frozen=True)
class Dcis:
    counts: pd.Series  # nuclei by field
    pixels: pd.DataFrame  # mean of all pixels, field by marker
    nuclei: ad.AnnData
    cells: ad.AnnData
    published: pd.DataFrame

    def truth(self, marker: str) -> pd.Series:
        if marker in LINEAGES:
            return self.published[LINEAGES[marker]] / self.published["Total_cells"]
        return pd.to_numeric(self.published[PUBLISHED[marker]], errors="coerce")  # "NA" is missing

    def table(self, marker: str) -> ad.AnnData:
        return self.nuclei if marker in IN_NUCLEI else self.cells

    def rho(self, by_field: pd.Series, marker: str) -> float:
        both = pd.concat([by_field, self.truth(marker)], axis=1, join="inner").dropna()
        assert len(both) == 27
        return float(both.corr(method="spearman").iloc[0, 1])


def field_of(folder: Path) -> str:
    return folder.name.removeprefix("Point").split("_")[0]


@pytest.fixture(scope="module")
def dcis(test_data: Callable[[str], Path]) -> Dcis:
    root = test_data("dcis-mibi")
    counts, pixels, nuclei, cells = {}, {}, [], []
    for folder in sorted((root / "images").iterdir()):
        channels = sorted({*NUCLEAR, *MARKERS})
        data = np.stack([tifffile.imread(folder / f"{channel}.tif") for channel in channels])
        field = field_of(folder)
        image = make_image(data, channels=channels, pixel_size_um=None, ids={"acquisition_id": field})
        found = segment_nuclei(image, channels=NUCLEAR)
        counts[field] = int(found.max())
        pixels[field] = pd.Series(data.reshape(len(channels), -1).mean(axis=1), index=channels)
        nuclei.append(measure(image, found, region=f"nuclei_{field}"))
        cells.append(measure(image, expand_labels(found, distance=4), region=f"cells_{field}"))
    published = pd.read_csv(root / "clinical_and_published_features.csv", dtype={"PointNumber": str})
    return Dcis(
        counts=pd.Series(counts),
        pixels=pd.DataFrame(pixels).T,
        nuclei=mark_positive(ad.concat(nuclei, merge="same"), channels=MARKERS),
        cells=mark_positive(ad.concat(cells, merge="same"), channels=MARKERS),
        published=published.set_index("PointNumber"),
    )


def test_counts_of_nuclei_follow_the_published_counts_of_cells(dcis: Dcis) -> None:
    total = dcis.published["Total_cells"].reindex(dcis.counts.index).astype(float)
    assert len(total.dropna()) == 27
    assert np.corrcoef(dcis.counts, total)[0, 1] >= 0.97
    ratio = dcis.counts / total
    assert ratio.median() == pytest.approx(1.07, abs=0.03)
    assert ratio.between(0.85, 1.4).all()


def test_no_micrometre_is_invented_where_the_pixel_size_is_unknown(dcis: Dcis) -> None:
    assert not [name for name in dcis.cells.var_names if name.endswith(("_um", "_um2"))]
    assert set(dcis.cells.var["unit"]) == {"", "[pix]", "[pix]2", "1", "rad"}


@pytest.mark.parametrize(("marker", "least"), [("ER", 0.90), ("AR", 0.90), ("pS6", 0.90), ("Ki67", 0.80)])
def test_means_of_markers_follow_the_published_positive_fractions(dcis: Dcis, marker: str, least: float) -> None:
    assert dcis.rho(dcis.pixels[marker], marker) >= least
    assert dcis.rho(mean_over_cells(dcis, marker), marker) >= least


def mean_over_cells(dcis: Dcis, marker: str) -> pd.Series:
    table = dcis.table(marker)
    return table.to_df()[f"{marker}_mean"].groupby(table.obs["acquisition_id"].astype(str)).mean()


def positive_fraction(dcis: Dcis, marker: str, *, tumour_only: bool = False) -> pd.Series:
    table = dcis.table(marker)
    if tumour_only:
        table = table[table.obs["PanKRT_positive"] | table.obs["ECAD_positive"]]
    return table.obs[f"{marker}_positive"].groupby(table.obs["acquisition_id"].astype(str)).mean()


@pytest.mark.parametrize("marker", [*PUBLISHED, *LINEAGES])
def test_positive_fractions_follow_the_published_ones_better_than_means_of_pixels(dcis: Dcis, marker: str) -> None:
    of_pixels = dcis.rho(dcis.pixels[marker], marker)
    of_cells = dcis.rho(mean_over_cells(dcis, marker), marker)
    positive = dcis.rho(positive_fraction(dcis, marker), marker)
    of_tumour = dcis.rho(positive_fraction(dcis, marker, tumour_only=True), marker)
    print(f"{marker}: pixels {of_pixels:.3f}, cells {of_cells:.3f}, positive {positive:.3f}, of tumour {of_tumour:.3f}")
    assert positive > of_pixels


@pytest.mark.parametrize(
    ("marker", "least"), [("ER", 0.98), ("AR", 0.98), ("pS6", 0.97), ("Ki67", 0.97), ("GLUT1", 0.96)]
)
def test_positive_fractions_of_tumour_cells_nearly_are_the_published_ones(
    dcis: Dcis, marker: str, least: float
) -> None:
    # Published are fractions of tumour cells; cells positive for keratin or E-cadherin stand for them.
    assert dcis.rho(positive_fraction(dcis, marker, tumour_only=True), marker) >= least
