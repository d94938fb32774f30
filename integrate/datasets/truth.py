"""The planted truth, written beside the simulated study."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from integrate.datasets.block import PIXEL_UM, Block
from integrate.datasets.cohort import Effects, Subject

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from integrate.datasets.expression import SiteShift
    from integrate.datasets.fluorescence import Exposure
    from integrate.datasets.scan import Grid, Lesion
    from integrate.datasets.tissue import Cells

__all__ = ["cell_table", "scan_truth", "subject_truth", "write_parquet", "write_truth"]

_CONVENTIONS = {
    "immune_density": "standard normal score: log odds of response and log hazard are linear in it, the rate of "
    "lymphocytes is exp(log_cell_rate_per_immune * score)",
    "slide_um_to_fluorescence_um": "f = A h + sum_k amplitude_k * sin(wave_k . h + phase_k); A acts on (x, y, 1); "
    "f and h in the order (x, y), micrometres from the corner of their picture; pixel i covers [i, i+1) * pixel_um",
    "truth_cells.parquet": "modality IF or SM names the picture, whose own micrometres x_um and y_um are; cell_id is "
    "shared by the parts of one cell in both pictures of a specimen; a cell may lie outside the picture",
    "truth_spots.parquet": "spot centres in micrometres of the slide, and the cells of each type under the spot",
    "rna": "log2 cpm of a site: mean + rna_scale * (true - mean) + rna_shift[gene]",
    "fluorescence": "counts of a site: gain * light + offset",
    "missing": "subjects without the modality, although they took part",
}


def subject_truth(subject: Subject) -> dict[str, Any]:
    """Return what was planted in one subject; sections and CT are added as they are written."""
    return {
        "hospital_id": subject.hospital_id,
        "pathology_ids": [subject.pathology_id(section) for section in subject.sections],
        "rna_id": subject.rna_id,
        "site": subject.site,
        "immune_density": subject.immune_density,
        "lesion_volume_mm3": subject.lesion_volume_mm3,
        "diagnosis_date": subject.diagnosis.isoformat(),
        "missing": sorted(subject.missing),
        "sections": {},
    }


def scan_truth(grid: Grid, lesion: Lesion) -> dict[str, Any]:
    """Return the geometry of a CT and of the lesion in it."""
    import numpy as np

    return {
        "shape_zyx": list(grid.shape),
        "spacing_zyx_mm": list(grid.spacing_mm),
        "oblique": not np.array_equal(grid.directions, np.eye(3)),
        "lesion_centre_lps_mm": lesion.centre_mm.tolist(),
        "lesion_semi_axes_mm": lesion.semi_axes_mm.tolist(),
    }


def cell_table(cells: Cells, block: Block, modality: str) -> pd.DataFrame:
    """Return the planted cells of one picture, in that picture's own micrometres."""
    import numpy as np
    import pandas as pd

    from integrate.datasets.tissue import TYPES

    return pd.DataFrame(
        {
            "subject_id": block.subject.subject_id,
            "specimen_id": block.specimen_id,
            "modality": modality,
            "cell_id": cells.cell_id,
            "type": np.array(TYPES, dtype=object)[cells.kind],
            "x_um": np.round(cells.xy[:, 0], 2).astype(np.float32),
            "y_um": np.round(cells.xy[:, 1], 2).astype(np.float32),
            "nucleus_radius_um": np.round(cells.nucleus_um, 2).astype(np.float32),
            "cycling": cells.cycling,
        }
    )


def write_truth(
    path: Path,
    settings: Mapping[str, Any],
    *,
    effects: Effects,
    subjects: Sequence[Subject],
    planted: Sequence[Mapping[str, Any]],
    exposures: Mapping[str, Mapping[str, Exposure]],
    shifts: Mapping[str, SiteShift],
) -> None:
    """Write `truth.json`.

    Parameters
    ----------
    path
        New file.
    settings
        What decides the bytes of the study; `simulate_study` recognises its own folder by it.
    effects
        The planted relations.
    subjects, planted
        The subjects and what was planted in each, in the same order.
    exposures, shifts
        The sites' effects on fluorescence and on RNA.
    """
    from integrate.datasets.expression import CD8_SIGNATURE, GENES

    lacking = sorted({modality for subject in subjects for modality in subject.missing})
    truth = {
        "settings": dict(settings),
        "conventions": _CONVENTIONS,
        "effects": asdict(effects),
        "pixel_um": PIXEL_UM,
        "cd8_signature": list(CD8_SIGNATURE),
        "missing": {name: [s.subject_id for s in subjects if name in s.missing] for name in lacking},
        "two_sections": [subject.subject_id for subject in subjects if len(subject.sections) > 1],
        "sites": {
            site: {
                "rna_scale": shifts[site].scale,
                "rna_shift": dict(zip(GENES, shifts[site].shift.tolist(), strict=True)),
                "fluorescence": {channel: asdict(exposure) for channel, exposure in exposures[site].items()},
            }
            for site in shifts
        },
        "subjects": {subject.subject_id: facts for subject, facts in zip(subjects, planted, strict=True)},
    }
    path.write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")


def write_parquet(path: Path, tables: Iterable[pd.DataFrame]) -> None:
    """Write tables one below the other; no file when there are none."""
    import pandas as pd

    listed = list(tables)
    if listed:
        pd.concat(listed, ignore_index=True).to_parquet(path, index=False, compression="zstd")
