"""A small catalog with real files: two fields, a table, an asset table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from integrate.catalog.open import Catalog, open_catalog

TEXT = """
version: 2
metadata:
  name: toy
  description: Two fields of two people
  licence: CC0-1.0
  study:
    identifiers:
      folder: {pattern: 'f(\\d)_(p\\d)', ids: {acquisition_id: '\\1', subject_id: '\\2'}}
entries:
  fields:
    reader: ChannelFolder
    user_parameters:
      field:
        cls: "intake.readers.user_parameters:OptionsUserParameter"
        dtype: str
        default: f1_p1
        options: [f1_p1, f2_p2]
    kwargs: {url: "{CATALOG_DIR}/{field}", ids: {folder: "{field}"}}
    metadata: {description: fields, modality: IF, level: acquisition, channels: [{name: DNA}, {name: CD3}]}
  clinical:
    reader: Table
    kwargs:
      url: "{CATALOG_DIR}/clinical.csv"
      keys: {id: subject_id}
      columns: {age: {dtype: float, unit: a, min: 0}, sex: {levels: [F, M]}, area: {unit: "{counts}"}}
    metadata: {description: people, modality: clinical, level: subject}
  files:
    reader: AssetTable
    kwargs:
      url: "{CATALOG_DIR}/assets.csv"
      where: {modality: IF}
      key: acquisition_id
      item: {reader: ChannelFolder, url: "<path>", ids: {folder: "<source>"}, day: "<day>"}
    metadata: {description: files, modality: IF, level: acquisition}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of the toy study."""
    rng = np.random.default_rng(0)
    for field in ("f1_p1", "f2_p2"):
        (tmp_path / field).mkdir()
        for channel in ("DNA", "CD3"):
            tifffile.imwrite(tmp_path / field / f"{channel}.tif", rng.integers(0, 255, (16, 20)).astype("uint8"))
    (tmp_path / "clinical.csv").write_text("id,age,sex,area\np1,61,F,3\np2,,M,4\n")
    (tmp_path / "assets.csv").write_text(
        "acquisition_id,modality,path,source,day\n01,IF,f1_p1,f1_p1,12\n02,IF,f2_p2,f2_p2,\n03,CT,ct,x,\n"
    )
    return tmp_path


@pytest.fixture
def write_catalog(folder: Path) -> Callable[[str], Path]:
    """Return a function that writes a catalog text beside the files."""

    def write(text: str) -> Path:
        path = folder / "catalog.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def catalog(write_catalog: Callable[[str], Path]) -> Catalog:
    """The toy catalog, opened."""
    return open_catalog(write_catalog(TEXT))


@pytest.fixture
def text() -> str:
    """The YAML of the toy catalog."""
    return TEXT
