"""The gene expression of a planted mix of cells, as spots and as bulk RNA see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from integrate.datasets.tissue import Cells

__all__ = ["CD8_SIGNATURE", "GENES", "SiteShift", "cell_rna", "draw_bulk", "draw_spots", "plan_site_shift"]

_PROGRAMMES: dict[str, str] = {
    "tumour": "EPCAM KRT7 KRT8 KRT18 KRT19 CDH1 MUC1 NKX2-1 NAPSA SFTPB SFTPC SFTPA1 CEACAM5 CEACAM6 CLDN3 CLDN4 ELF3 "
    "EGFR ERBB2 MET TACSTD2 AGR2 S100A14 LCN2 SLC34A2",
    "cd8_t": "CD8A CD8B GZMA GZMB GZMH GZMK PRF1 NKG7 IFNG CCL4 CCL5 CST7 KLRD1 LAG3 PDCD1 HAVCR2 TOX EOMES",
    "cd4_t": "CD4 FOXP3 CTLA4 ICOS TNFRSF4 CCR7 LEF1 SELL CD40LG",
    "b_cell": "MS4A1 CD79A CD79B CD19 CD22 BANK1 PAX5 TNFRSF13C CXCR5 FCRLA BLK IGHM IGKC JCHAIN MZB1",
    "macrophage": "CD68 CD163 MSR1 MRC1 CSF1R LYZ C1QA C1QB C1QC CD14 FCGR3A AIF1 TYROBP FCER1G MARCO APOE SPP1 CXCL9 "
    "CXCL10 ITGAX",
    "fibroblast": "COL1A1 COL1A2 COL3A1 COL5A1 COL6A1 COL6A3 DCN LUM FAP PDGFRA PDGFRB THY1 POSTN ACTA2 TAGLN FN1 "
    "SPARC MMP2 MMP11 CXCL12 BGN VIM",
    "endothelial": "PECAM1 VWF CDH5 CLDN5 KDR FLT1 TEK ENG EMCN ESAM PLVAP RAMP2 CLEC14A EGFL7",
    "cycling": "MKI67 TOP2A PCNA CCNB1 CDK1 BIRC5 UBE2C AURKA TYMS RRM2 STMN1 CENPF",
    "t_cell": "CD3D CD3E CD3G CD2 CD7 TRAC TRBC1 LCK IL7R CD27 TIGIT",
    "leukocyte": "PTPRC CD52 CORO1A CD37 CD48 LAPTM5",
    "antigen_presenting": "HLA-DRA HLA-DRB1 CD74",
    "everywhere": "ACTB GAPDH B2M RPLP0 RPS18 RPL13 EEF1A1 TUBA1B PPIA HPRT1 TBP UBC YWHAZ SDHA PGK1 LDHA ENO1 "
    "HSP90AB1 TPT1 FTL FTH1 HLA-A HLA-B HLA-C",
    "faint": "STAT1 IRF1 CD274 IDO1 VEGFA HIF1A CA9 SLC2A1 MYC TP53 KRAS STK11 KEAP1 CDKN2A RB1 PTEN BRAF ALK ROS1 RET "
    "BCL2 MDM2 CCND1 NOTCH1 TGFB1 SMAD4 IL6",
}
GENES: tuple[str, ...] = tuple(gene for programme in _PROGRAMMES.values() for gene in programme.split())
CD8_SIGNATURE = ("CD8A", "CD8B", "GZMA", "GZMB", "GZMK", "PRF1", "NKG7")

#: Which programmes a cell type runs besides its own, `everywhere` and `faint`.
_SHARED: dict[str, tuple[str, ...]] = {
    "cd8_t": ("t_cell", "leukocyte"),
    "cd4_t": ("t_cell", "leukocyte"),
    "b_cell": ("leukocyte", "antigen_presenting"),
    "macrophage": ("leukocyte", "antigen_presenting"),
}
#: Panel molecules of an average cell, in the order of `tissue.TYPES`.
_MOLECULES = (220.0, 70.0, 70.0, 70.0, 140.0, 110.0, 90.0)


@dataclass(frozen=True)
class SiteShift:
    """What a sequencing site does to log2 expression: ``mean + scale * (true - mean) + shift``, shift per gene."""

    scale: float
    shift: NDArray[np.float64]


def cell_rna(cells: Cells) -> NDArray[np.float64]:
    """Return the expected molecules of every panel gene in every cell, ``(cells, genes)`` in the order of `GENES`."""
    import numpy as np

    profiles = _profiles()
    molecules = profiles[cells.kind] * np.array(_MOLECULES)[cells.kind, None]
    return np.asarray(molecules + cells.cycling[:, None] * 25 * profiles[-1])


def draw_spots(
    cells: Cells, centres: NDArray[np.float64], rng: np.random.Generator, *, radius_um: float
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return gene counts and the number of cells of each type under every spot.

    Parameters
    ----------
    cells
        Cells in the coordinates of the spots.
    centres
        ``(spots, 2)`` in micrometres, (x, y).
    rng
        Source of capture differences and counting noise.
    radius_um
        Radius of a spot.

    Returns
    -------
    ``(spots, genes)`` and ``(spots, types)``.
    """
    import numpy as np

    from integrate.datasets.tissue import TYPES

    offset = centres[:, None, :] - cells.xy[None, :, :]
    under = ((offset**2).sum(axis=-1) <= radius_um**2).astype(float)
    expected = under @ cell_rna(cells)
    ambient = 0.03 * expected.mean(axis=0, keepdims=True) if len(centres) else 0.0
    capture = rng.gamma(8, 1 / 8, (len(centres), 1))
    counts = rng.poisson((expected + ambient) * capture * rng.gamma(10, 0.1, expected.shape))
    kinds = under @ np.eye(len(TYPES))[cells.kind]
    return counts.astype(np.int32), kinds.astype(np.int64)


def plan_site_shift(rng: np.random.Generator) -> SiteShift:
    """Return one site's effect: shifts of about ±0.6 on log2 scale around the site's own mean, scale 0.85 to 1.2."""
    import numpy as np

    shift = rng.normal(rng.normal(0, 0.35), 0.5, len(GENES))
    return SiteShift(scale=float(np.round(rng.uniform(0.85, 1.2), 3)), shift=np.round(shift, 4))


def draw_bulk(
    rna: NDArray[np.float64], sites: list[str], shifts: Mapping[str, SiteShift], rng: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return read counts ``(samples, genes)`` and the library size of every sample.

    Parameters
    ----------
    rna
        Expected molecules of each sample, the sum of `cell_rna` over its cells.
    sites
        Site of every sample.
    shifts
        Effect of every site.
    rng
        Source of biological and counting noise.
    """
    import numpy as np

    # The panel is a tenth of the transcriptome; the rest is not simulated.
    true = np.log2(1e5 * rna / rna.sum(axis=1, keepdims=True) + 0.1)
    true += rng.normal(0, 0.3, true.shape)
    mean = true.mean(axis=0)
    scale = np.array([shifts[site].scale for site in sites])[:, None]
    seen = mean + scale * (true - mean) + np.array([shifts[site].shift for site in sites])
    library = rng.integers(12_000_000, 30_000_000, len(sites))
    return rng.poisson(2**seen * library[:, None] / 1e6).astype(np.int32), library


def _profiles() -> NDArray[np.float64]:
    """Return each type's share of every gene, and the cycling programme as the last row; rows sum to 1."""
    import numpy as np

    from integrate.datasets.tissue import TYPES

    position = {gene: index for index, gene in enumerate(GENES)}
    strength = np.random.default_rng(0).lognormal(0, 0.7, len(GENES))  # the genes are the same in every study
    rows = np.full((len(TYPES) + 1, len(GENES)), 0.004)

    def run(row: int, programme: str, level: float) -> None:
        chosen = [position[gene] for gene in _PROGRAMMES[programme].split()]
        rows[row, chosen] += level * strength[chosen]

    for row, name in enumerate(TYPES):
        for programme, level in ((name, 1.0), ("everywhere", 0.8), ("faint", 0.06)):
            run(row, programme, level)
        for programme in _SHARED.get(name, ()):
            run(row, programme, 0.7)
    run(TYPES.index("macrophage"), "cd4_t", 0.02)
    run(len(TYPES), "cycling", 1.0)
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))
