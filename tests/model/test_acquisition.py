"""How acquisitions were made: from asset tables, catalogs and the files themselves, into the study and its cohorts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile

import integrate as ig
from integrate.errors import DataError, ParameterError

CATALOG = r"""
version: 2
metadata:
  name: scanners
  description: Twelve images of six people from two devices
  licence: CC0-1.0
  study:
    identifiers:
      slide: {pattern: "(P[0-9]+)-(a[0-9]+)", ids: {subject_id: '\1', acquisition_id: '\2'}}
entries:
  images:
    reader: AssetTable
    kwargs:
      url: "{CATALOG_DIR}/assets.csv"
      key: slide
      item: {reader: OmeTiff, url: "<path>", ids: {slide: "<slide>"}}
    metadata: {description: images, modality: IF, level: acquisition, stain: DAPI, software: as the catalog says}
"""


def write_study(folder: Path, *, people: int = 6) -> Any:
    """Two images of each person: the even ones of device A, the odd ones of device B, whose files say so."""
    rows = ["slide,path,device,batch"]
    for number in range(2 * people):
        told = {"axes": "CYX", "Channel": {"Name": ["DNA", "CD3"]}, "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}
        pixels = np.zeros((2, 8, 9), np.uint8)
        tifffile.imwrite(folder / f"{number}.ome.tif", pixels, metadata={**told, "Creator": "maker 1"}, ome=True)
        rows.append(f"P{number // 2}-a{number},{number}.ome.tif,{'AB'[number % 2]},{'' if number == 0 else number % 3}")
    (folder / "assets.csv").write_text("\n".join(rows) + "\n")
    (folder / "catalog.yaml").write_text(CATALOG)
    return ig.open_catalog(folder / "catalog.yaml")


def test_the_table_of_acquisitions_says_what_the_catalog_says(tmp_path: Path) -> None:
    made = ig.open_study(write_study(tmp_path, people=2)).acquisitions
    assert made["device"].to_dict() == {"a0": "A", "a1": "B", "a2": "A", "a3": "B"}
    assert made["batch"].isna().tolist() == [True, False, False, False]
    assert made["stain"].tolist() == ["DAPI"] * 4
    assert "spacing_x" not in made  # nothing said it: no column of nothing


def test_a_step_with_its_unit_in_it_is_an_error_and_not_a_missing_number(tmp_path: Path) -> None:
    write_study(tmp_path, people=1)
    (tmp_path / "assets.csv").write_text("slide,path,spacing_x\nP0-a0,0.ome.tif,0.5\nP0-a1,1.ome.tif,0.5 um\n")
    with pytest.raises(DataError, match=r"spacing_x of 1 items is no number: '?0.5 um'?; write it without its unit"):
        ig.open_study(ig.open_catalog(tmp_path / "catalog.yaml"))


def test_what_the_files_say_counts_first_and_a_contradiction_is_found(tmp_path: Path) -> None:
    catalog = write_study(tmp_path, people=2)
    study = ig.open_study(catalog, records=ig.harvest(catalog))
    made = study.acquisitions.loc["a1"]
    assert (made["spacing_y"], made["spacing_x"], made["spacing_unit"]) == (0.5, 0.25, "um")
    assert (made["channels"], made["device"]) == ("DNA;CD3", "B")
    assert made["software"] != "as the catalog says"
    (finding,) = [one for one in study.audit.findings if one.check == "contradictory record"]
    assert "4 acquisitions have two software" in finding.message
    with pytest.raises(ParameterError, match="table of records has no columns 'dataset', 'item'"):
        ig.open_study(catalog, records=pd.DataFrame())


def test_a_written_study_keeps_how_its_acquisitions_were_made(tmp_path: Path) -> None:
    catalog = write_study(tmp_path, people=2)
    study = ig.open_study(catalog, records=ig.harvest(catalog))
    study.write(tmp_path / "study")
    again = ig.read_study(tmp_path / "study")
    found, expected = (one.acquisitions.astype(object) for one in (again, study))
    pd.testing.assert_frame_equal(found.where(found.notna(), None), expected.where(expected.notna(), None))
    told = again.sql("SELECT device, avg(spacing_x) AS step FROM acquisitions GROUP BY ALL ORDER BY ALL")
    assert told.to_numpy().tolist() == [["A", 0.25], ["B", 0.25]]


def test_the_device_of_the_catalog_is_the_batch_of_combat(tmp_path: Path) -> None:
    study = ig.open_study(write_study(tmp_path))
    ids = study.acquisitions.index
    rng = np.random.default_rng(0)
    shift = np.where(study.acquisitions["device"] == "B", 50.0, 0.0)[:, None]
    values = pd.DataFrame(rng.normal(size=(len(ids), 3)) + shift, columns=["x", "y", "z"]).assign(acquisition_id=ids)
    cohort = ig.link(study, unit="acquisition", lesions=values)
    assert cohort.obs["device"].tolist() == study.acquisitions["device"].tolist()
    level = ig.harmonise(cohort, "lesions", batch="device").values("x").groupby(cohort.obs["device"]).mean()
    assert abs(level["A"] - level["B"]) < 1 < 40 < abs(np.ptp(cohort.values("x").groupby(cohort.obs["device"]).mean()))
