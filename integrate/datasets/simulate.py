"""The simulated study: a small multimodal cohort in real file formats, with everything that was planted beside it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integrate.datasets.block import PIXEL_UM, Block, grow_block
from integrate.datasets.cohort import SITES, Effects, Subject, plan_cohort, stream
from integrate.datasets.settings import ENDINGS, Settings, chosen_modalities
from integrate.datasets.truth import cell_table, scan_truth, subject_truth, write_parquet, write_truth
from integrate.errors import DataError, ParameterError, some
from integrate.model.provenance import hash_file

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from integrate.datasets.expression import SiteShift
    from integrate.datasets.fluorescence import Exposure

__all__ = ["simulate_study"]

TRUTH = "truth.json"
SPOT_UM, PITCH_UM = 55.0, 100.0
ANNOTATORS = ("reader1", "reader2")


def simulate_study(
    folder: str | os.PathLike[str] | None = None,
    *,
    subjects: int = 24,
    seed: int = 20260101,
    section_um: float = 480.0,
    modalities: Collection[str] | None = None,
    quiet: bool = False,
) -> Path:
    """Write the simulated study and return its folder; return at once when it is already there.

    Each subject has a CT series (DICOM), and per tissue block a multiplexed fluorescence picture and an H&E slide
    (OME-TIFF), tumour outlines by two annotators (GeoJSON) and a Space Ranger folder; the study has a clinical table,
    bulk RNA (h5ad), an ISA-Tab description and `assets.csv`, one row per file. What was planted is in ``truth.json``,
    ``truth_cells.parquet`` and ``truth_spots.parquet``. The shipped catalog ``demo`` describes the folder.

    Parameters
    ----------
    folder
        Where to write; ``None`` is ``~/.cache/integrate/demo``. It must be absent, empty, or hold the same study.
    subjects
        How many subjects. For sizes other than 24 the numbers of missing files scale.
    seed
        Seed of everything; equal settings give equal bytes with equal versions of the libraries.
    section_um
        Edge of a tissue section in micrometres; pictures have two pixels per micrometre.
    modalities
        Which image files to write, of ``"CT"``, ``"SM"`` (H&E), ``"IF"``, ``"visium"`` and ``"annotation"``; the last
        two are of the slide and come with it only. ``None`` is all. A file's bytes do not depend on the others.
    quiet
        Show no progress bar.

    Returns
    -------
    The folder. It appears complete or not at all.

    Raises
    ------
    ParameterError
        If there is no subject, a section is smaller than 150 um, or a modality is not known or lacks its slide.
    DataError
        If the folder holds something else, or a study with other settings.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     study = simulate_study(Path(folder) / "tiny", subjects=1, section_um=150, quiet=True)
    ...     sorted(path.name for path in study.iterdir())[:4]
    ['assets.csv', 'clinical.csv', 'ct', 'isatab']
    """
    settings = Settings(int(subjects), int(seed), float(section_um), modalities=chosen_modalities(modalities))
    if settings.subjects < 1 or settings.section_um < 150 or settings.seed < 0:
        raise ParameterError(f"{settings}: a study needs a subject, sections of 150 um or more and a seed from 0")
    target = Path.home() / ".cache" / "integrate" / "demo" if folder is None else Path(folder).expanduser()
    if not _is_standing(target, settings):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as beside:
            _write_study(Path(beside) / "study", settings, quiet=quiet)
            _put_in_place(Path(beside) / "study", target, settings)
    return target


def _is_standing(folder: Path, settings: Settings) -> bool:
    """Return whether the folder holds this study; raise when it holds anything else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    what = "give another folder, or remove this one"
    if not (folder / TRUTH).is_file():
        held = some(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else "a file"
        raise DataError(f"{folder} holds {held}, not a simulated study; {what}")
    try:
        found = dict(json.loads((folder / TRUTH).read_text(encoding="utf-8"))["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / TRUTH} is not the truth of a simulated study ({error!r}); {what}") from error
    asked = settings.as_dict()
    if found != asked:
        differing = [
            f"{key}={found.get(key)!r} (asked {asked.get(key)!r})"
            for key in {**asked, **found}
            if found.get(key) != asked.get(key)
        ]
        raise DataError(f"{folder} holds a study with other settings: {', '.join(differing)}; {what}")
    return True


def _put_in_place(study: Path, target: Path, settings: Settings) -> None:
    """Rename the finished study to its place, unless another process was faster with the same one."""
    if _is_standing(target, settings):
        return
    if target.exists():
        target.rmdir()
    study.rename(target)


@dataclass(frozen=True)
class _Plan:
    """What is decided before any file is written."""

    settings: Settings
    effects: Effects
    subjects: Sequence[Subject]
    exposures: Mapping[str, Mapping[str, Exposure]]
    shifts: Mapping[str, SiteShift]


@dataclass(frozen=True)
class _Record:
    """What the files of one subject leave behind; its lists and its truth are filled while they are written."""

    assets: list[dict[str, Any]]
    cells: list[pd.DataFrame]
    spots: list[pd.DataFrame]
    rna: list[NDArray[np.float64]]
    truth: dict[str, Any]


def _write_study(folder: Path, settings: Settings, *, quiet: bool) -> None:
    """Write everything; subjects run on threads, and nothing depends on their order."""
    from tqdm.auto import tqdm

    plan = _plan_study(settings)
    for name in ("ct", "pathology", "visium"):
        (folder / name).mkdir(parents=True)
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        running = pool.map(partial(_write_subject, folder, plan), plan.subjects)
        records = list(tqdm(running, total=len(plan.subjects), desc="simulating subjects", disable=quiet))
    _write_rna(folder, plan, records)
    _write_tables(folder, plan, records)
    write_parquet(folder / "truth_cells.parquet", (table for record in records for table in record.cells))
    write_parquet(folder / "truth_spots.parquet", (table for record in records for table in record.spots))
    write_truth(
        folder / TRUTH,
        settings.as_dict(),
        effects=plan.effects,
        subjects=plan.subjects,
        planted=[record.truth for record in records],
        exposures=plan.exposures,
        shifts=plan.shifts,
    )


def _plan_study(settings: Settings) -> _Plan:
    """Return the subjects and the sites' effects."""
    from integrate.datasets.expression import plan_site_shift
    from integrate.datasets.fluorescence import plan_exposures

    effects = Effects()
    subjects = plan_cohort(settings.subjects, seed=settings.seed, effects=effects)
    if settings.modalities is not None:
        left_out = set(ENDINGS) - set(settings.modalities)
        subjects = [replace(subject, missing=subject.missing | left_out) for subject in subjects]
    return _Plan(
        settings,
        effects,
        subjects,
        {site: plan_exposures(stream(settings.seed, "sites", 1, n)) for n, site in enumerate(SITES)},
        {site: plan_site_shift(stream(settings.seed, "sites", 2, n)) for n, site in enumerate(SITES)},
    )


def _write_subject(folder: Path, plan: _Plan, subject: Subject) -> _Record:
    """Write one subject's files."""
    import numpy as np

    from integrate.datasets.expression import cell_rna

    record = _Record([], [], [], [], subject_truth(subject))
    if "CT" not in subject.missing:
        _write_ct(folder, plan, subject, record)
    for section in subject.sections:
        block = grow_block(
            subject,
            section,
            seed=plan.settings.seed,
            section_um=plan.settings.section_um,
            immune_rate=float(np.exp(plan.effects.log_cell_rate_per_immune * subject.immune_density)),
        )
        _write_block(folder, plan, block, record)
        if section == 1 and "rna" not in subject.missing:
            record.rna.append(cell_rna(block.cells).sum(axis=0))
    return record


def _write_ct(folder: Path, plan: _Plan, subject: Subject, record: _Record) -> None:
    """Write the CT series."""
    import datetime

    from integrate.datasets.files import write_dicom_series
    from integrate.datasets.scan import plan_scan, render_scan

    rng = stream(plan.settings.seed, "ct", subject.number)
    grid, lesion = plan_scan(rng, volume_mm3=subject.lesion_volume_mm3)
    path = folder / "ct" / subject.hospital_id
    write_dicom_series(
        path,
        render_scan(grid, lesion, rng),
        grid,
        patient_id=subject.hospital_id,
        sex=subject.sex,
        age_years=subject.age_years,
        date=subject.diagnosis + datetime.timedelta(days=subject.ct_day),
        key=(plan.settings.seed, subject.number, "ct"),
        rng=rng,
    )
    record.assets.append(_asset(folder, path, "CT", subject))
    record.truth["ct"] = scan_truth(grid, lesion)


def _write_block(folder: Path, plan: _Plan, block: Block, record: _Record) -> None:
    """Write the files of one block."""
    missing = block.subject.missing
    truth: dict[str, Any] = {"slide_um_to_fluorescence_um": block.warp.as_dict()}
    if "IF" not in missing:
        _write_fluorescence(folder, plan, block, record)
        truth["cells_fluorescence"] = block.cells.counts()
    if "SM" not in missing:
        slide = _write_slide(folder, plan, block, record)
        truth["cells_slide"] = block.slide_cells.counts()
        if block.section == 1 and "visium" not in missing:
            _write_visium(folder, plan, block, record, slide)
    if "annotation" not in missing:
        truth["annotator_dice"] = _write_outlines(folder, plan, block, record)
    record.truth["sections"][block.specimen_id] = truth


def _write_fluorescence(folder: Path, plan: _Plan, block: Block, record: _Record) -> None:
    """Write the fluorescence picture."""
    from integrate.datasets.files import write_fluorescence
    from integrate.datasets.fluorescence import render_fluorescence

    rng = stream(plan.settings.seed, "fluorescence", *block.where)
    exposures = plan.exposures[block.subject.site]
    picture = render_fluorescence(block.cells, block.tissue, rng, pixel_um=PIXEL_UM, exposures=exposures)
    path = folder / "pathology" / f"{block.label}_if.ome.tif"
    write_fluorescence(path, picture, channels=list(exposures), pixel_um=PIXEL_UM, name=path.name)
    record.assets.append(_asset(folder, path, "IF", block.subject, block.section))
    record.cells.append(cell_table(block.cells, block, "IF"))


def _write_slide(folder: Path, plan: _Plan, block: Block, record: _Record) -> NDArray[np.uint8]:
    """Write the H&E slide and return its full resolution."""
    from integrate.datasets.files import write_slide
    from integrate.datasets.histology import render_slide

    rng = stream(plan.settings.seed, "slide", *block.where)
    picture = render_slide(block.slide_cells, block.tissue, block.warp, rng, shape=block.slide_shape, pixel_um=PIXEL_UM)
    path = folder / "pathology" / f"{block.label}_he.ome.tif"
    write_slide(path, picture, pixel_um=PIXEL_UM, name=path.name)
    record.assets.append(_asset(folder, path, "SM", block.subject, block.section))
    record.cells.append(cell_table(block.slide_cells, block, "SM"))
    return picture


def _write_outlines(folder: Path, plan: _Plan, block: Block, record: _Record) -> float:
    """Write both annotators' outlines and return their Dice coefficient."""
    from integrate.datasets.files import write_outlines
    from integrate.datasets.outline import dice, draw_outlines

    rng = stream(plan.settings.seed, "outline", *block.where)
    regions = draw_outlines(block.tissue, block.warp, rng, shape=block.slide_shape, pixel_um=PIXEL_UM)
    path = folder / "pathology" / f"{block.label}_tumour.geojson"
    by_annotator = dict(zip(ANNOTATORS, regions, strict=True))
    write_outlines(path, by_annotator, label="Tumor", key=(plan.settings.seed, *block.where))
    record.assets.append(_asset(folder, path, "annotation", block.subject, block.section))
    return round(dice(*regions), 6)


def _write_visium(folder: Path, plan: _Plan, block: Block, record: _Record, slide: NDArray[np.uint8]) -> None:
    """Write the Space Ranger folder of the slide, and note which cells lie under which spot."""
    import pandas as pd

    from integrate.datasets.expression import GENES, draw_spots
    from integrate.datasets.files import write_space_ranger
    from integrate.datasets.tissue import TYPES

    rng = stream(plan.settings.seed, "visium", *block.where)
    spots = _spot_positions(block.slide_shape, rng)
    centres = spots[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy() * PIXEL_UM
    held = block.tissue.at("tissue", *block.warp.forward(centres).T) > 0
    spots["in_tissue"] = held.astype(int)
    counts, kinds = draw_spots(block.slide_cells, centres[held], rng, radius_um=SPOT_UM / 2)
    path = folder / "visium" / block.label / "outs"
    write_space_ranger(path, counts, spots, slide, genes=GENES, spot_px=SPOT_UM / PIXEL_UM, library=block.label)
    record.assets.append(_asset(folder, path, "visium", block.subject, block.section))
    planted = pd.DataFrame(kinds, columns=list(TYPES))
    planted.insert(0, "specimen_id", block.specimen_id)
    planted.insert(1, "barcode", spots.loc[held, "barcode"].to_numpy())
    planted.insert(2, "x_um", centres[held, 0])
    planted.insert(3, "y_um", centres[held, 1])
    record.spots.append(planted)


def _spot_positions(shape: tuple[int, int], rng: np.random.Generator) -> pd.DataFrame:
    """Return the hexagonal grid of spots that fits on a slide, in whole pixels, with random barcodes."""
    import numpy as np
    import pandas as pd

    pitch, spot = PITCH_UM / PIXEL_UM, SPOT_UM / PIXEL_UM
    rows = np.arange(int((shape[0] - spot) / (pitch * np.sqrt(0.75))) + 1)
    columns = np.arange(int((shape[1] - spot) / (pitch / 2)) + 1)
    row, column = (grid.ravel() for grid in np.meshgrid(rows, columns, indexing="ij"))
    row, column = row[(row + column) % 2 == 0], column[(row + column) % 2 == 0]
    letters = np.array(list("ACGT"))[rng.integers(0, 4, (len(row), 16))]
    return pd.DataFrame(
        {
            "barcode": ["".join(letter) + "-1" for letter in letters],
            "in_tissue": 0,
            "array_row": row,
            "array_col": column,
            "pxl_row_in_fullres": np.rint(spot / 2 + row * pitch * np.sqrt(0.75)).astype(int),
            "pxl_col_in_fullres": np.rint(spot / 2 + column * pitch / 2).astype(int),
        }
    )


def _asset(folder: Path, path: Path, modality: str, subject: Subject, section: int | None = None) -> dict[str, Any]:
    """Return the row of `assets.csv` for a file or folder; without a section it shows the whole person."""
    body = section is None
    owner = subject.subject_id if section is None else subject.specimen_id(section)
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return {
        "modality": modality,
        "path": path.relative_to(folder).as_posix(),
        "source_id": subject.hospital_id if section is None else subject.pathology_id(section),
        "acquisition_id": f"{owner}-{ENDINGS[modality]}",
        "section": "" if body else f"s{section}",
        "slide": f"{owner}-{ENDINGS['SM']}" if modality in ("SM", "visium", "annotation") else "",
        "day": subject.ct_day if body else subject.surgery_day,
        "site": subject.site,
        "bytes": sum(file.stat().st_size for file in files),
        "sha256": hash_file(path),
    }


def _write_rna(folder: Path, plan: _Plan, records: Sequence[_Record]) -> None:
    """Write the bulk RNA of every subject that has it."""
    import numpy as np
    import pandas as pd

    from integrate.datasets.expression import GENES, draw_bulk
    from integrate.datasets.files import write_expression

    sequenced = [subject for subject in plan.subjects if "rna" not in subject.missing]
    rna = np.stack([mix for record in records for mix in record.rna])
    sites = [subject.site for subject in sequenced]
    counts, library = draw_bulk(rna, sites, plan.shifts, stream(plan.settings.seed, "sites", 3))
    samples = pd.DataFrame(
        {"site": sites, "day": [subject.surgery_day for subject in sequenced], "library_size": library},
        index=pd.Index([subject.rna_id for subject in sequenced], name="sample"),
    )
    write_expression(folder / "rna.h5ad", counts, samples=samples, genes=GENES, level="specimen")


def _write_tables(folder: Path, plan: _Plan, records: Sequence[_Record]) -> None:
    """Write `clinical.csv`, `assets.csv` and the ISA-Tab folder."""
    import pandas as pd

    from integrate.datasets.isatab import BODY, write_isatab

    columns = ("subject_id", "age_years", "sex", "site", "stage", "response", "os_days", "os_event")
    clinical = [{column: getattr(subject, column) for column in columns} for subject in plan.subjects]
    pd.DataFrame(clinical).to_csv(folder / "clinical.csv", index=False, lineterminator="\n")
    rows = [row for modality in ENDINGS for record in records for row in record.assets if row["modality"] == modality]
    pd.DataFrame(rows).to_csv(folder / "assets.csv", index=False, lineterminator="\n")
    runs: dict[str, list[tuple[str, str, str]]] = {
        "rna": [(s.specimen_id(1), s.rna_id, "../rna.h5ad") for s in plan.subjects if "rna" not in s.missing]
    }
    for row in rows:
        owner = row["acquisition_id"].rpartition("-")[0]
        sample = owner if row["section"] else f"{owner}-{BODY}"
        runs.setdefault(row["modality"], []).append((sample, row["acquisition_id"], f"../{row['path']}"))
    write_isatab(folder / "isatab", plan.subjects, runs)
