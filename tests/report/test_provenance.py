"""Provenance: a column of a cohort is followed back to its files, also after the cohort was written and read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import integrate as ig
from integrate.errors import DatasetNotFoundError, ParameterError
from integrate.join.cohort import Cohort


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    study = ig.datasets.toy_study()
    tables = []
    for field in study.each("fields"):
        nuclei = ig.segment_nuclei(field, channels="DNA")
        tables.append(ig.measure(field, ig.expand_labels(nuclei, distance=2)))
    cells = ig.mark_positive(ig.stack_cells(tables), channels=["CD8"])
    reduce = {"cells": ["mean", ig.Fraction("CD8_positive")]}
    return ig.link(study, cells=cells, clinical="clinical", unit="subject", reduce=reduce)


def test_a_measured_column_leads_to_its_images_by_every_step(cohort: Cohort) -> None:
    story = ig.provenance(cohort, "CD8_positive")
    assert story.steps["step"].tolist() == ["segment_nuclei", "expand_labels", "measure", "mark_positive"]
    assert sorted(story.sources["parameters"].map(lambda given: given["field"])) == [
        "f1_P01",
        "f2_P02",
        "f3_P02",
        "f4_P03",
    ]
    assert story.sources["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert "by mark_positive" in str(story)


def test_a_clinical_column_leads_to_its_table_and_its_hash_is_the_files(cohort: Cohort) -> None:
    story = ig.provenance(cohort, "age")
    file = Path(ig.datasets.toy_catalog().path).parent / "clinical.csv"
    assert story.sources["location"].tolist() == ["clinical.csv"]
    assert story.sources["sha256"].tolist() == [hashlib.sha256(file.read_bytes()).hexdigest()]
    assert story.steps.empty


def test_the_story_survives_writing_and_reading(cohort: Cohort, tmp_path: Path) -> None:
    cohort.write(tmp_path / "cohort")
    again = ig.read_cohort(tmp_path / "cohort")
    for name in ("CD8_mean", "age", None):
        assert str(ig.provenance(again, name)) == str(ig.provenance(cohort, name))
    assert len(ig.provenance(again).sources) == 5


def test_an_image_and_a_table_of_cells_have_their_own_story() -> None:
    field = next(ig.datasets.toy_study().each("fields"))
    assert len(ig.provenance(field).sources) == 1
    cells = ig.measure(field, ig.segment_nuclei(field, channels="DNA"))
    assert ig.provenance(cells, "area_um2").features["unit"].tolist() == ["um2"]
    assert "Provenance · AnnData" in ig.provenance(cells)._repr_html_()


def test_what_this_package_did_not_make_has_no_files_and_says_so() -> None:
    import anndata

    story = ig.provenance(anndata.AnnData())
    assert (len(story.sources), len(story.steps), str(story)) == (0, 0, "AnnData")


def test_a_name_that_is_not_there_is_refused(cohort: Cohort) -> None:
    with pytest.raises(DatasetNotFoundError, match="no variable 'CD9_mean'"):
        ig.provenance(cohort, "CD9_mean")
    with pytest.raises(ParameterError, match="AnnData has no variable 'CD9'"):
        ig.provenance(cohort.assays["cells"], "CD9")
