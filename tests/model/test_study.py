"""A study says who has what and opens it; nothing is guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anndata as ad
import numpy as np
import pytest

from integrate.errors import CatalogError, DatasetNotFoundError, IdentityError, ParameterError
from integrate.model.image import image_ids
from integrate.model.study import Study

WriteStudy = Callable[..., Study]


def test_every_row_knows_its_people(two_fields: Study) -> None:
    rows = two_fields.sample_map.set_index(["assay", "obs_id"])
    assert rows.loc[("mif", "3"), "subject_id"] == "P2"
    assert rows.loc[("fields", "2"), "subject_id"] == "P1"  # the table names only the field
    assert two_fields.subjects.index.tolist() == ["P1", "P2", "P3"]
    assert two_fields.acquisitions["subject_id"].to_dict() == {"1": "P1", "2": "P1", "3": "P2"}
    assert two_fields.acquisitions["datasets"].tolist() == ["fields mif"] * 3


def test_availability_counts_observations_of_every_subject(two_fields: Study) -> None:
    counts = two_fields.availability()
    assert counts.loc["P1"].to_dict() == {"people": 1, "fields": 2, "mif": 2}
    assert counts.loc["P3"].to_dict() == {"people": 1, "fields": 0, "mif": 0}


def test_an_image_is_opened_by_an_id_and_carries_all_its_ids(two_fields: Study) -> None:
    image = two_fields.load("mif", acquisition_id="3")
    assert image_ids(image) == {"folder": "f3_P2", "subject_id": "P2", "acquisition_id": "3"}
    assert [image_ids(field)["acquisition_id"] for field in two_fields.each("mif", subject_id="P1")] == ["1", "2"]


def test_an_ambiguous_or_unknown_item_is_refused(two_fields: Study) -> None:
    with pytest.raises(ParameterError, match=r"2 items of 'mif' match .*'1', '2'; give the id of one"):
        two_fields.load("mif", subject_id="P1")
    with pytest.raises(ParameterError, match="'mif' has no subject_id 'P9'; known: 'P1', 'P2'"):
        two_fields.load("mif", subject_id="P9")
    with pytest.raises(ParameterError, match="'subject' is not an id; closest: 'subject_id'"):
        two_fields.load("mif", subject="P1")
    with pytest.raises(DatasetNotFoundError, match="no dataset named 'mf' in 'written'; closest: 'mif'"):
        two_fields.load("mf")
    with pytest.raises(DatasetNotFoundError, match="'mif' is not a table"):
        two_fields.table("mif")


def test_a_table_is_a_copy_with_our_ids_first(two_fields: Study) -> None:
    table = two_fields.table("fields")
    assert table.columns.tolist() == ["subject_id", "acquisition_id", "field", "cells", "operator"]
    table["cells"] = 0
    assert two_fields.table("fields")["cells"].tolist() == [10, 20, 30]


def test_variables_of_the_subject_describe_it_where_they_agree(two_fields: Study) -> None:
    assert two_fields.subjects.columns.tolist() == ["age", "stage", "operator"]
    assert np.isnan(two_fields.subjects.loc["P2", "age"])
    assert two_fields.subjects["operator"].isna().tolist() == [True, False, True]
    (finding,) = [f for f in two_fields.audit.findings if f.check == "varies within subject"]
    assert finding.ids == ("P1",)


def test_a_study_says_in_one_line_what_it_is(two_fields: Study) -> None:
    assert repr(two_fields) == "<Study 'written': 3 subjects, 0 specimens, 3 acquisitions, 3 datasets; audit: ok>"
    assert "<script" not in two_fields._repr_html_()


def test_studies_can_be_compared_without_comparing_tables(two_fields: Study) -> None:
    assert two_fields == two_fields
    assert two_fields != "another"


@pytest.mark.parametrize("ids", [[7, 12], [7.0, 12.0]])
def test_numeric_ids_of_a_matrix_are_read_as_text(
    write_study: WriteStudy, small_matrix: Callable[..., ad.AnnData], ids: Any
) -> None:
    study = write_study(
        declared={"spine": {"entry": "people"}},
        tables={"people": ("id,age\n7,50\n12,60\n", {"id": "subject_id"}, "subject", {})},
        matrices={"rna": (small_matrix({"patient": ids}), {"patient": "subject_id"}, "subject")},
    )
    assert study.rows("rna")["subject_id"].tolist() == ["7", "12"]
    assert study.audit.ok


def test_categorical_ids_of_a_matrix_are_read(write_study: WriteStudy, small_matrix: Callable[..., ad.AnnData]) -> None:
    matrix = small_matrix({"patient": ["P1", "P1", "P2"]}, ["a", "b", "c"])
    matrix.obs["patient"] = matrix.obs["patient"].astype("category")
    study = write_study(matrices={"rna": (matrix, {"patient": "subject_id", "obs_names": "specimen_id"}, "specimen")})
    assert study.rows("rna")["subject_id"].tolist() == ["P1", "P1", "P2"]
    assert study.rows("rna")["obs_id"].tolist() == ["a", "b", "c"]
    assert study.subjects.index.tolist() == ["P1", "P2"]


def test_an_unreadable_or_absent_id_is_a_finding_not_a_loss(write_study: WriteStudy) -> None:
    study = write_study(
        declared={"identifiers": {"mb": {"pattern": r"MB-(\d+)", "ids": {"subject_id": r"\1"}}}},
        tables={"people": ("id,age\nMB-1,50\nmb2,60\n,70\n", {"id": "mb"}, "subject", {})},
    )
    checks = {(f.severity, f.check): f for f in study.audit.findings}
    assert checks["error", "unreadable id"].ids == ("mb2",)
    assert "1 of 3 rows have no 'mb' id" in checks["warning", "missing id"].message
    assert study.rows("people")["subject_id"].isna().tolist() == [False, True, True]
    with pytest.raises(IdentityError, match="found 1 errors:\n  unreadable id in 'people'"):
        study.audit.raise_errors()


def test_a_row_that_names_two_people_is_an_error(write_study: WriteStudy) -> None:
    study = write_study(
        tables={"people": ("id,other\nP1,P1\nP2,P3\n", {"id": "subject_id", "other": "subject_id"}, "subject", {})}
    )
    (finding,) = study.audit.errors
    assert (finding.check, finding.ids) == ("contradictory ids", ("P2 / P3",))


def test_a_field_of_two_people_is_an_error_and_neither_is_chosen(write_study: WriteStudy) -> None:
    keys = {"field": "acquisition_id", "who": "subject_id"}
    study = write_study(
        tables={
            "a": ("field,who\n1,P1\n2,P2\n", keys, "acquisition", {}),
            "b": ("field,who\n1,P2\n", keys, "acquisition", {}),
            "c": ("field,x\n1,5\n2,6\n", {"field": "acquisition_id"}, "acquisition", {}),
        }
    )
    (finding,) = study.audit.errors
    assert (finding.check, finding.source, finding.ids) == ("contradictory ids", "a b", ("1",))
    assert study.rows("c")["subject_id"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"spine": {"entry": "persons"}}, "study.spine names 'persons', which is not a table .*'people'"),
        (
            {"crosscheck": [{"entry": "people", "column": "agee"}]},
            "refers to column 'agee' of 'people'; closest: 'age'",
        ),
    ],
)
def test_a_study_section_that_names_nothing_is_refused(
    write_study: WriteStudy, declared: dict[str, Any], message: str
) -> None:
    people = ("id,age\nP1,50\n", {"id": "subject_id"}, "subject", {})
    with pytest.raises(CatalogError, match=message):
        repr(write_study(declared=declared, tables={"people": people}))
