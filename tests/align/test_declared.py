"""A catalog entry says how its images lie on those of another dataset; a wrong declaration fails with one message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import spatialdata as sd
import tifffile
import yaml

import integrate as ig
from integrate.align.space import Space
from integrate.align.transform import Affine, DisplacementField, Transform
from integrate.errors import (
    CatalogError,
    DatasetNotFoundError,
    IntegrateError,
    SourceNotFoundError,
    UnitError,
    UnsafeCatalogError,
)
from integrate.model.study import Study

SHIFT = [[1, 0, 4], [0, 1, 2]]
Make = Callable[[Any], Study]


@pytest.fixture
def study(tmp_path: Path) -> Make:
    """A function that writes a slide and the section next to it, the slide's entry declaring a transform."""

    def image(name: str, at: tuple[int, int], size: list[float], **metadata: Any) -> dict[str, Any]:
        pixels = np.zeros((20, 24), np.uint8)
        pixels[at] = 200
        tifffile.imwrite(tmp_path / f"{name}_B1.tif", pixels)
        options = {
            "cls": "intake.readers.user_parameters:OptionsUserParameter",
            "dtype": "str",
            "default": "B1",
            "options": ["B1"],
        }
        url = f"{{CATALOG_DIR}}/{name}_{{block}}.tif"
        return {
            "reader": "Tiff",
            "user_parameters": {"block": options},
            "kwargs": {"url": url, "ids": {"block": "{block}"}, "pixel_size_um": size},
            "metadata": {"description": name, "modality": "SM", "level": "specimen", **metadata},
        }

    def make(transform: Any) -> Study:
        entries = {
            "slide": image("slide", (4, 6), [2.0, 2.0], transform=transform),
            "section": image("section", (10, 16), [1.0, 1.0]),
        }
        rule = {"pattern": r"(B\d)", "ids": {"subject_id": "P1", "specimen_id": r"\1"}}
        metadata = {"name": "m", "description": "m", "licence": "CC0-1.0", "study": {"identifiers": {"block": rule}}}
        (tmp_path / "m.yaml").write_text(yaml.safe_dump({"version": 2, "metadata": metadata, "entries": entries}))
        return ig.open_study(ig.open_catalog(tmp_path / "m.yaml"))

    return make


def brightest(space: sd.SpatialData) -> list[int]:
    """Row and column of the light of the slide on the pixels of the section."""
    (moved,) = (one for name, one in space.images.items() if "_in_" in name)
    return list(np.argwhere(moved.values[0] == moved.values[0].max()).mean(axis=0))


def test_a_declared_matrix_lays_the_slide_on_the_section(study: Make, tmp_path: Path) -> None:
    """The light covers x 12–14, y 8–10 µm of the slide, so x 16–18, y 10–12 of the section."""
    space = ig.load_subject(study({"to": "section", "unit": "um", "affine": SHIFT}), "P1")
    assert sorted(space.images) == ["section_B1", "slide_B1", "slide_B1_in_section_B1"]
    assert brightest(space) == [10.5, 16.5]
    ((pair, used),) = space.attrs["integrate_declared"].items()
    assert pair == "slide_B1 -> section_B1"
    assert used == space.attrs["integrate"]["slide_B1_in_section_B1"]["aligned_by"]
    space.write(tmp_path / "p1.zarr")
    assert sd.read_zarr(tmp_path / "p1.zarr").attrs["integrate_declared"] == {pair: used}


def test_landmarks_and_files_are_found_beside_the_catalog(study: Make, tmp_path: Path) -> None:
    corners = np.array([[0.0, 0], [40, 0], [0, 30], [40, 30]])
    table = pd.DataFrame(
        np.c_[corners, corners + np.array([4, 2])], columns=["moving_x", "moving_y", "fixed_x", "fixed_y"]
    )
    table.to_csv(tmp_path / "B1.csv", index=False)
    file = "{CATALOG_DIR}/<specimen_id>.csv"
    for kind in ("rigid", "spline"):
        said = {"to": "section", "unit": "um", "landmarks": file, "kind": kind}
        assert brightest(ig.load_subject(study(said), "P1")) == [10.5, 16.5]
    ends = Space("he", "um"), Space("if", "um")
    field = DisplacementField(np.full((3, 3, 2), [4.0, 2.0]), (0, 0), (20, 20), *ends)
    ways: list[Transform] = [field, Affine(((1, 0, 4), (0, 1, 2), (0, 0, 1)), *ends)]
    for way in ways:
        ig.write_transform(way, tmp_path / "B1.zarr")
        said = {"to": "section", "unit": "um", "file": "{CATALOG_DIR}/B1.zarr"}
        assert brightest(ig.load_subject(study(said), "P1")) == [10.5, 16.5]


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        ({"to": "section", "affine": SHIFT}, CatalogError, r"slide.transform is .*; write \{to: dataset, unit: um\}"),
        ({"to": "section", "unit": "um"}, CatalogError, "one of affine"),
        ({"to": "section", "unit": "um", "affine": SHIFT, "inverse": True}, CatalogError, r"also says \['inverse'\]"),
        ({"to": "sectio", "unit": "um", "affine": SHIFT}, DatasetNotFoundError, "closest: 'section'"),
        ({"to": "section", "unit": "mm", "affine": SHIFT}, UnitError, "says unit 'mm'; 'slide_B1' is in 'um'"),
        ({"to": "section", "unit": ["px", "um"], "affine": SHIFT}, UnitError, r"unit: \[um, um\]"),
        ({"to": "section", "unit": "um", "affine": [[1, 0], [0, 1]]}, CatalogError, r"shape \(2, 2\); .* 2 rows of 3"),
        ({"to": "section", "unit": "um", "affine": [[1, "a", 0], [0, 1, 0]]}, CatalogError, "no matrix of numbers"),
        ({"to": "section", "unit": "um", "affine": [[1, 2, 0], [2, 4, 0]]}, CatalogError, "with an inverse"),
        ({"to": "section", "unit": "um", "affine": [[0.1, 0.3, 0], [0.3, 0.9, 0]]}, CatalogError, "with an inverse"),
        (
            {"to": "section", "unit": "um", "affine": [[1, 0, float("nan")], [0, 1, 0]]},
            CatalogError,
            "expected a finite",
        ),
        (
            {"to": "section", "unit": "um", "landmarks": "{CATALOG_DIR}/no.csv"},
            SourceNotFoundError,
            "landmarks 'no.csv'",
        ),
        ({"to": "section", "unit": "um", "file": "{CATALOG_DIR}/no.zarr"}, SourceNotFoundError, "no transform at"),
        (
            {"to": "section", "unit": "um", "landmarks": "{CATALOG_DIR}/../other.csv"},
            UnsafeCatalogError,
            "leads outside",
        ),
        (
            {"to": "section", "unit": "um", "landmarks": "{CATALOG_DIR}/m.yaml"},
            CatalogError,
            r"has no column \['moving_x'",
        ),
    ],
)
def test_a_wrong_declaration_is_one_clear_error(
    study: Make, said: Any, error: type[IntegrateError], message: str
) -> None:
    opened = study(said)
    with pytest.raises(error, match=message):
        ig.load_subject(opened, "P1")


def test_a_file_in_other_units_is_refused(study: Make, tmp_path: Path) -> None:
    ig.write_transform(Affine.scale([1, 1], Space("he", "mm"), Space("if", "mm")), tmp_path / "B1.zarr")
    with pytest.raises(CatalogError, match=r"slide.transform: the file leads from .*'mm'.* expected units and axes"):
        ig.load_subject(study({"to": "section", "unit": "um", "file": "{CATALOG_DIR}/B1.zarr"}), "P1")


def test_a_slide_without_the_other_section_says_so(study: Make) -> None:
    opened = study({"to": "section", "unit": "um", "affine": SHIFT})
    alone = ig.load_subject(opened, "P1", datasets=["slide"])
    assert alone.attrs["integrate_declared"] == {"slide_B1 -> section": None}
    assert list(alone.images) == ["slide_B1"]
