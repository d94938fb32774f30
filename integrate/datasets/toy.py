"""The toy study: three people and four small fields of cells, in real files, for examples and tests."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from integrate.catalog.open import Catalog, open_catalog
from integrate.model.assemble import open_study
from integrate.model.study import Study

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from integrate.join.cohort import Cohort
    from integrate.model.outcome import TimeToEvent

__all__ = ["toy_catalog", "toy_study", "toy_survival"]

#: Field, subject, and how bright CD8 is in it.
FIELDS: tuple[tuple[str, str, int], ...] = (
    ("f1", "P01", 40),
    ("f2", "P02", 80),
    ("f3", "P02", 120),
    ("f4", "P03", 200),
)
CLINICAL = "subject,age,response\nP01,61,no\nP02,48,yes\nP03,,yes\n"
CATALOG = r"""
version: 2
metadata:
  name: toy
  description: Three people, four fields of cells
  licence: CC0-1.0
  study:
    spine: {entry: clinical, key: subject}
    identifiers:
      folder: {pattern: '(f\d)_(P\d\d)', ids: {acquisition_id: '\1', subject_id: '\2'}}
user_parameters: {}
data: {}
aliases: {fields: fields, clinical: clinical}
entries:
  fields:
    reader: "integrate.readers.channel_folder:ChannelFolder"
    output_instance: "xarray:DataArray"
    user_parameters:
      field:
        cls: "intake.readers.user_parameters:OptionsUserParameter"
        dtype: str
        default: f1_P01
        options: [f1_P01, f2_P02, f3_P02, f4_P03]
    kwargs: {url: "{CATALOG_DIR}/{field}", ids: {folder: "{field}"}, pixel_size_um: [0.5, 0.5]}
    metadata:
      description: Fields of view, one TIFF per channel
      modality: IF
      level: acquisition
      units: {intensity: "{counts}", length: um}
      channels: [{name: DNA, role: nuclear}, {name: CD8, role: marker}]
  clinical:
    reader: "integrate.readers.table:Table"
    output_instance: "pandas:DataFrame"
    user_parameters: {}
    kwargs:
      url: "{CATALOG_DIR}/clinical.csv"
      keys: {subject: subject_id}
      columns: {age: {dtype: float, unit: a, min: 0}, response: {levels: ["no", "yes"]}}
    metadata: {description: One row per person, modality: clinical, level: subject}
"""


def toy_catalog(folder: Path | None = None) -> Catalog:
    """Return the catalog of the toy study, after writing its files.

    Parameters
    ----------
    folder
        Where to write; by default a temporary folder that lasts as long as the process.

    Returns
    -------
    A catalog with the datasets ``fields`` (4 images ``(2, 64, 64)``, 0.5 µm pixels) and ``clinical`` (3 subjects).

    Examples
    --------
    >>> list(toy_catalog())
    ['fields', 'clinical']
    """
    if folder is None:
        return _temporary_catalog()
    import tifffile

    for seed, (field, subject, brightness) in enumerate(FIELDS):
        target = folder / f"{field}_{subject}"
        target.mkdir(parents=True)
        for name, pixels in zip(("DNA", "CD8"), _draw_field(seed, brightness), strict=True):
            tifffile.imwrite(target / f"{name}.tif", pixels)
    (folder / "clinical.csv").write_text(CLINICAL, encoding="utf-8")
    (folder / "catalog.yaml").write_text(CATALOG, encoding="utf-8")
    return open_catalog(folder / "catalog.yaml")


def toy_study() -> Study:
    """Return the toy study: subject P02 has two fields, P03 has no age.

    Returns
    -------
    A `Study` of three subjects, four acquisitions and two datasets.

    Examples
    --------
    >>> toy_study()
    <Study 'toy': 3 subjects, 0 specimens, 4 acquisitions, 2 datasets; audit: ok>
    """
    return open_study(toy_catalog())


def toy_survival() -> tuple[Cohort, TimeToEvent]:
    """Return the toy subjects as a cohort, and when they died.

    Returns
    -------
    A cohort of three subjects with the assay ``protein`` (one feature, CD8) and the clinical table; the outcome is
    death after 3 and 9 months, and no death within 12.

    Examples
    --------
    >>> toy_survival()[1]
    <TimeToEvent in months since diagnosis: 3 units, 2 events, 0 missing>
    """
    import pandas as pd

    from integrate.join.link import link
    from integrate.model.outcome import TimeToEvent

    protein = pd.DataFrame({"subject_id": ["P01", "P02", "P03"], "CD8": [40.0, 30.0, 200.0]})
    cohort = link(toy_study(), protein=protein, clinical="clinical", unit="subject")
    table = cohort.obs.assign(months=[3.0, 9.0, 12.0], died=[True, True, False])
    return cohort, TimeToEvent.from_columns(table, time="months", event="died", unit="mo", origin="diagnosis")


@cache
def _temporary_catalog() -> Catalog:
    _kept.append(tempfile.TemporaryDirectory(prefix="integrate-toy-"))
    return toy_catalog(Path(_kept[-1].name))


#: Keeps temporary folders until the process ends.
_kept: list[tempfile.TemporaryDirectory[str]] = []


def _draw_field(seed: int, brightness: int) -> tuple[NDArray, NDArray]:  # type: ignore[type-arg]
    """Draw 25 round nuclei on a grid; half the cells carry CD8."""
    import numpy as np

    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:64, :64]
    dna, cd8 = (rng.poisson(8, (64, 64)).astype("float64") for _ in range(2))
    for number, (y, x) in enumerate(np.ndindex(5, 5)):
        distance = np.hypot(rows - (7 + 12 * y + rng.uniform(-1, 1)), columns - (7 + 12 * x + rng.uniform(-1, 1)))
        dna += 150 * (distance < 4)
        cd8 += brightness * (distance < 6) * (number % 2)
    return dna.round().clip(0, 255).astype("uint8"), cd8.round().clip(0, 255).astype("uint8")
