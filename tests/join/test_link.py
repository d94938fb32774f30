"""`link` finds the right rows of the right people and says what it did with every other row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from integrate.errors import (
    AlignmentError,
    DatasetNotFoundError,
    IdentityError,
    ParameterError,
    UnitError,
)
from integrate.join.link import link
from integrate.join.reduce import Composition, Fraction, Mean, Quantile, Steps
from integrate.model.provenance import recorded
from integrate.model.study import Study

MakeStudy = Callable[..., Study]
MakeCells = Callable[..., ad.AnnData]


def test_link_keeps_every_subject_in_the_studys_order(three: Study) -> None:
    rna = pd.DataFrame({"subject_id": ["P3", "P1"], "ERBB2": [7.0, 2.0]})
    cohort = link(three, unit="subject", rna=rna, clinical="clinical")
    assert cohort.obs.index.tolist() == ["P1", "P2", "P3"]
    assert cohort.values("ERBB2").tolist()[::2] == [2.0, 7.0]
    assert np.isnan(cohort.values("ERBB2")["P2"])
    assert cohort.assays["rna"].obs_names.tolist() == ["P1", "P3"]
    assert cohort.report["rna"].without_rows == ("P2",)


def test_clinical_variables_keep_their_dtypes(three: Study) -> None:
    obs = link(three, unit="subject", clinical="clinical").obs
    assert obs.dtypes.astype(str).to_dict() == {
        "age": "float64",
        "stage": "category",
        "nodes": "Int64",
        "smoker": "boolean",
        "site": "object",
    }
    assert obs["stage"].cat.ordered
    assert obs["stage"].cat.categories.tolist() == ["I", "II", "III"]
    assert obs["site"].isna().tolist() == [False, True, False]


def test_more_rows_than_units_are_refused_and_the_fix_is_named(three: Study, make_cells: MakeCells) -> None:
    cells = make_cells({"acquisition_id": ["A1", "A1", "A2", "A3"]}, {"HER2": [1, 3, 8, 5]})
    expected = (
        r"'cells' has 4 rows \(instances\) for 2 subjects, up to 3 each; say how they become one: "
        r"reduce=\{'cells': 'mean'\} weighs every row equally, "
        r"reduce=\{'cells': Steps\(acquisition='mean', subject='mean'\)\} weighs every acquisition equally"
    )
    with pytest.raises(UnitError, match=expected):
        link(three, unit="subject", cells=cells)


def test_a_direct_mean_weighs_cells_and_steps_weigh_fields(three: Study, make_cells: MakeCells) -> None:
    cells = make_cells({"acquisition_id": ["A1", "A1", "A2", "A3"]}, {"HER2": [1, 3, 8, 5]})
    direct = link(three, unit="subject", cells=cells, reduce={"cells": "mean"})
    by_field = link(three, unit="subject", cells=cells, reduce={"cells": Steps(acquisition="mean", subject="mean")})
    again = link(three, unit="subject", cells=cells, reduce={"cells": Steps(acquisition="mean", subject=Mean("n"))})
    assert direct.values("HER2").tolist()[:2] == [4.0, 5.0]
    assert by_field.values("HER2").tolist()[:2] == [5.0, 5.0]
    assert again.values("HER2").tolist()[:2] == [4.0, 5.0]
    adata = by_field.assays["cells"]
    assert adata.layers["n"].ravel().tolist() == [3, 1]
    assert adata.layers["n_acquisition"].ravel().tolist() == [2, 1]
    assert adata.var.loc["HER2", "reduction"] == "mean over instances, then mean over acquisitions"
    assert adata.var.loc["HER2", ["level", "unit", "settings_hash"]].tolist() == ["subject", "{counts}", "ab12"]


def test_a_missing_value_is_left_out_and_counted(three: Study, make_cells: MakeCells) -> None:
    cells = make_cells({"acquisition_id": ["A1", "A1", "A3"]}, {"HER2": [1, np.nan, np.nan], "ER": [2, 4, 6]})
    adata = link(three, unit="subject", cells=cells, reduce={"cells": "mean"}).assays["cells"]
    np.testing.assert_array_equal(adata.X, [[1, 3], [np.nan, 6]])
    assert adata.layers["n"].tolist() == [[1, 2], [0, 1]]


def test_several_reductions_stand_side_by_side(three: Study, make_cells: MakeCells) -> None:
    cells = make_cells(
        {"acquisition_id": ["A1", "A1", "A2", "A3"]},
        {"HER2": [1, 3, 8, 5]},
        cell_type=pd.Categorical(["T", "B", "T", None], categories=["B", "T", "NK"]),
        positive=[True, False, True, True],
        area=[1.0, 1.0, 2.0, 1.0],
    )
    ways: list[Any] = [
        "mean",
        "median",
        Quantile(1),
        Composition("cell_type"),
        Fraction("positive"),
        Fraction("HER2", above=2),
        Fraction("cell_type", equals="T", weights="area"),
    ]
    adata = link(three, unit="subject", cells=cells, reduce={"cells": ways}).assays["cells"]
    first, second = (dict(zip(adata.var_names, row, strict=True)) for row in adata.X)
    assert first == pytest.approx(
        {
            "HER2:mean": 4,
            "HER2:median": 3,
            "HER2:quantile 1": 8,
            "cell_type=B": 1 / 3,
            "cell_type=T": 2 / 3,
            "cell_type=NK": 0,
            "positive": 2 / 3,
            "HER2>2": 2 / 3,
            "cell_type=T by area": 3 / 4,
        }
    )
    assert np.isnan(second["cell_type=B"])
    assert adata.var["unit"].tolist() == ["{counts}"] * 3 + ["1"] * 6


def test_two_reductions_that_make_one_name_are_refused(three: Study, make_cells: MakeCells) -> None:
    cells = make_cells({"acquisition_id": ["A1", "A1"]}, {"HER2": [1, 3]}, cell_type=["T", "B"])
    ways = [Composition("cell_type"), Fraction("cell_type", equals="T")]
    with pytest.raises(AlignmentError, match="makes the same feature twice: 'cell_type=T'"):
        link(three, unit="subject", cells=cells, reduce={"cells": ways})


def test_an_unknown_category_column_names_the_closest(three: Study, make_cells: MakeCells) -> None:
    cells = make_cells({"acquisition_id": ["A1", "A1"]}, {"HER2": [1, 3]}, cell_type=["T", "B"])
    with pytest.raises(DatasetNotFoundError, match="'cells' has no column or feature 'cell_typ'; closest: 'cell_type'"):
        link(three, unit="subject", cells=cells, reduce={"cells": Composition("cell_typ")})


def test_a_list_of_tables_is_one_assay(three: Study, make_cells: MakeCells) -> None:
    first = make_cells({"acquisition_id": ["A1", "A1"]}, {"HER2": [1, 3], "ER": [0, 2]})
    second = make_cells({"acquisition_id": ["A3"]}, {"HER2": [5]})
    second.var["input_hash"] = "other"
    cohort = link(three, unit="subject", cells=(piece for piece in (first, second)), reduce={"cells": "mean"})
    np.testing.assert_array_equal(cohort.assays["cells"].X, [[2, 1], [5, np.nan]])
    assert cohort.report["cells"].notes == ("features that some pieces do not have are missing there: 'ER (1 of 2)'",)
    hashes = cohort.assays["cells"].var["input_hash"]
    assert hashes["HER2"] not in ("", "other")


def test_pieces_in_different_units_are_refused(three: Study, make_cells: MakeCells) -> None:
    first = make_cells({"acquisition_id": ["A1"]}, {"area": [1]}, unit="um2")
    second = make_cells({"acquisition_id": ["A3"]}, {"area": [5]}, unit="[pix]2")
    with pytest.raises(AlignmentError, match=r"do not measure the same thing: .*area: unit 'um2' / '\[pix\]2'"):
        link(three, unit="subject", cells=[first, second], reduce={"cells": "mean"})


def test_ids_noted_on_the_object_serve_where_rows_have_none(three: Study, make_cells: MakeCells) -> None:
    cells = make_cells({}, {"HER2": [1, 3]})
    cells.uns["integrate"] = {"ids": {"acquisition_id": "A3"}}
    assert link(three, unit="subject", cells=cells, reduce={"cells": "mean"}).values("HER2")["P2"] == 2.0


def test_a_field_without_cells_is_nothing_found_not_missing(three: Study, make_cells: MakeCells) -> None:
    full = make_cells({"acquisition_id": ["A1"]}, {"HER2": [1]})
    empty = full[:0].copy()
    empty.uns["integrate"] = {"ids": {"acquisition_id": "A3", "subject_id": "P2"}}
    cohort = link(three, unit="subject", cells=[full, empty])
    assert cohort.missing_reason["cells"].tolist() == ["", "nothing found", "not acquired"]
    assert cohort.report["cells"].reasons == {"not acquired": 1, "nothing found": 1}


def test_sparse_counts_are_averaged_without_becoming_dense_rows(three: Study, make_cells: MakeCells) -> None:
    spots = make_cells({"acquisition_id": ["A1", "A1", "A3"]}, {"g1": [0, 4, 1], "g2": [0, 0, 9]})
    dense = link(three, unit="subject", spots=spots, reduce={"spots": ["mean", "median"]}).assays["spots"]
    spots.X = sparse.csr_matrix(spots.X)
    thin = link(three, unit="subject", spots=spots, reduce={"spots": ["mean", "median"]}).assays["spots"]
    np.testing.assert_array_equal(dense.X, thin.X)
    np.testing.assert_array_equal(dense.layers["n"], thin.layers["n"])


def test_datasets_are_linked_by_name(three: Study) -> None:
    cohort = link(three, unit="subject", fields="fields", clinical="clinical", reduce={"fields": "mean"})
    assert cohort.values("stroma").tolist()[:2] == [2.0, 5.0]
    assert cohort.assays["fields"].var.loc["stroma", ["unit", "definition"]].tolist() == ["1", "column of fields"]
    assert cohort.missing_reason["fields"].tolist() == ["", "", "not acquired"]


def test_text_columns_stay_beside_an_assay_that_is_not_reduced(three: Study) -> None:
    cohort = link(three, unit="acquisition", fields="fields")
    assert cohort.assays["fields"].obs["grade"].tolist() == ["2", "3", "1"]


def test_images_must_be_measured_first(make_study: MakeStudy) -> None:
    study = make_study(
        fields=pd.DataFrame({"acquisition_id": ["A1"], "subject_id": ["P1"]}),
        items={"mif": ("acquisition_id", {"A1": np.zeros((2, 2))})},
        levels={"fields": "acquisition"},
    )
    with pytest.raises(AlignmentError, match=r"'mif' opens as ndarray, .*link\(study, cells=measure\(...\), ...\)"):
        link(study, unit="acquisition", cells="mif")


def test_a_dataset_of_several_anndata_is_linked_by_name(make_study: MakeStudy, make_cells: MakeCells) -> None:
    opened = {f"A{i}": make_cells({}, {"HER2": [i, 3.0 * i]}) for i in (1, 2)}
    study = make_study(
        items={"cells": ("acquisition_id", opened)},
        fields=pd.DataFrame({"acquisition_id": ["A1", "A2"], "subject_id": ["P1", "P2"]}),
        levels={"fields": "acquisition", "cells": "instance"},
    )
    cohort = link(study, unit="subject", cells="cells", reduce={"cells": "mean"})
    assert cohort.values("HER2").tolist() == [2.0, 4.0]
    assert cohort.report["cells"].source == "cells"


def test_unknown_subjects_are_refused_all_at_once(three: Study) -> None:
    rna = pd.DataFrame({"subject_id": ["P1", "P9", "P9", None], "ERBB2": [1.0, 2, 3, 4]})
    mutation = pd.DataFrame({"subject_id": ["X"], "TP53": [1]})
    with pytest.raises(AlignmentError, match="belong to no subject of the study") as error:
        link(three, unit="subject", rna=rna, mutation=mutation, reduce={"rna": "mean"})
    text = str(error.value)
    assert "3 of 4 rows of 'rna' belong to no subject of the study" in text
    assert "P9 (2 rows: its subject_id is not in the study)" in text
    assert "(1 rows: no subject_id can be found for it)" in text
    assert "1 of 1 rows of 'mutation'" in text
    assert 'unmatched="drop"' in text


def test_dropped_rows_are_listed(three: Study) -> None:
    rna = pd.DataFrame({"subject_id": ["P1", "P9", "P9"], "ERBB2": [1.0, 2, 3]})
    cohort = link(three, unit="subject", rna=rna, unmatched="drop")
    (group,) = cohort.report["rna"].unmatched
    assert group == ("P9", 2, "its subject_id is not in the study")
    assert cohort.report["rna"].unmatched_rows == 2
    assert "left out: 2 rows of 'P9': its subject_id is not in the study" in repr(cohort.report)
    assert cohort.report.to_frame().loc[0, ["rows", "matched", "rows_without_unit", "right_only"]].tolist() == [
        3,
        1,
        2,
        "P9",
    ]


def test_a_unit_whose_rows_were_dropped_is_unmatched_not_absent(three: Study) -> None:
    runs = pd.DataFrame({"subject_id": ["P1", "P2"], "acquisition_id": ["A1", "A7"], "x": [1.0, 2]})
    cohort = link(three, unit="acquisition", runs=runs, unmatched="drop")
    assert cohort.missing_reason["runs"].to_dict() == {"A1": "", "A2": "not acquired", "A3": "unmatched"}


def test_integer_ids_are_read_as_text_and_reported(make_study: MakeStudy) -> None:
    study = make_study(clinical=pd.DataFrame({"subject_id": ["1027", "1043"], "age": [1.0, 2]}))
    rna = pd.DataFrame({"subject_id": [1043, 1027], "g": [4.0, 2]})
    cohort = link(study, unit="subject", rna=rna)
    assert cohort.values("g").tolist() == [2.0, 4.0]
    assert cohort.report["rna"].converted == {"1043 (int)": "1043", "1027 (int)": "1027"}
    rna["subject_id"] = [1043.0, None]
    assert link(study, unit="subject", rna=rna, unmatched="drop").values("g").tolist()[1] == 4.0


def test_lost_leading_zeros_are_explained_not_guessed(make_study: MakeStudy) -> None:
    study = make_study(clinical=pd.DataFrame({"subject_id": ["007", "012"], "age": [1.0, 2]}))
    with pytest.raises(AlignmentError, match=r"was '12' read as a number and is it '012'\? Read ids as text"):
        link(study, unit="subject", rna=pd.DataFrame({"subject_id": [7, 12], "g": [4.0, 2]}))


def test_declared_rules_read_ids_of_objects(make_study: MakeStudy) -> None:
    study = make_study(
        clinical=pd.DataFrame({"patient": ["MB-0002", "MB-0006"], "age": [1.0, 2]}),
        keys={"clinical": {"patient": "metabric"}},
        identifiers={"metabric": {"pattern": r"MB-?(\d{4})", "ids": {"subject_id": r"MB-\1"}}},
    )
    imaging = pd.DataFrame({"subject_id": ["MB0006", "mb-0002"], "g": [6.0, 2]})
    cohort = link(study, unit="subject", imaging=imaging)
    assert cohort.values("g").tolist() == [2.0, 6.0]
    assert cohort.report["imaging"].converted == {"MB0006": "MB-0006", "mb-0002": "MB-0002"}


def test_two_spellings_of_one_id_in_one_table_are_refused(three: Study) -> None:
    with pytest.raises(IdentityError, match="'P1' and 'p1' in subject_id of 'rna' would both become 'P1'"):
        link(three, unit="subject", rna=pd.DataFrame({"subject_id": ["P1", "p1"], "g": [1.0, 2]}))


def test_an_id_that_can_be_two_people_is_never_chosen(make_study: MakeStudy) -> None:
    study = make_study(clinical=pd.DataFrame({"subject_id": ["a1", "A1"], "age": [1.0, 2]}))
    assert link(study, unit="subject", rna=pd.DataFrame({"subject_id": ["A1"], "g": [1.0]})).values("g")["A1"] == 1
    with pytest.raises(AlignmentError, match="its subject_id can be read as several of the study's"):
        link(study, unit="subject", rna=pd.DataFrame({"subject_id": [" A1"], "g": [1.0]}))


def test_a_row_that_names_the_wrong_subject_is_refused(three: Study, make_cells: MakeCells) -> None:
    cells = make_cells({"acquisition_id": ["A1", "A3"], "subject_id": ["P1", "P1"]}, {"HER2": [1, 3]})
    with pytest.raises(IdentityError, match=r"name another subject_id than the study .*A3: 'P1', the study says 'P2'"):
        link(three, unit="subject", cells=cells, reduce={"cells": "mean"}, unmatched="drop")


def test_a_new_acquisition_of_two_subjects_is_refused(three: Study, make_cells: MakeCells) -> None:
    cells = make_cells({"acquisition_id": ["A9", "A9"], "subject_id": ["P1", "P2"]}, {"HER2": [1, 3]})
    with pytest.raises(IdentityError, match="1 acquisition_id of 'cells' lie in more than one subject_id: 'A9'"):
        link(three, unit="subject", cells=cells)


def test_a_new_acquisition_of_a_known_subject_is_linked_and_noted(three: Study, make_cells: MakeCells) -> None:
    cells = make_cells({"acquisition_id": ["A9"], "subject_id": ["P1"]}, {"HER2": [1]})
    report = link(three, unit="subject", cells=cells).report["cells"]
    assert report.matched == 1
    assert report.notes == ("1 acquisition_id are not in the study; linked by their parents: 'A9'",)


def test_rows_without_any_id_column_are_refused(three: Study) -> None:
    with pytest.raises(AlignmentError, match=r"'rna' has none of the id columns .*table\['subject_id'\] = table.index"):
        link(three, unit="subject", rna=pd.DataFrame({"g": [1.0]}))


def test_a_named_index_is_an_id(three: Study) -> None:
    rna = pd.DataFrame({"g": [1.0]}, index=pd.Index(["P2"], name="subject_id"))
    assert link(three, unit="subject", rna=rna).values("g")["P2"] == 1.0


def test_an_assay_coarser_than_the_unit_is_refused(three: Study) -> None:
    with pytest.raises(UnitError, match="'rna' has no acquisition_id: its rows are coarser than the unit"):
        link(three, unit="acquisition", rna=pd.DataFrame({"subject_id": ["P1"], "g": [1.0]}))


def test_errors_of_the_audit_stop_the_link_of_that_dataset_only(make_study: MakeStudy) -> None:
    study = make_study(
        clinical=pd.DataFrame({"subject_id": ["P1", "P2"], "age": [1.0, 2]}),
        rna=pd.DataFrame({"subject_id": ["P1", "P1"], "g": [1.0, 2]}),
    )
    link(study, unit="subject", clinical="clinical")
    with pytest.raises(IdentityError, match="duplicated id in 'rna'"):
        link(study, unit="subject", rna="rna", reduce={"rna": "mean"}, unmatched="drop")


def test_contradictory_parents_stop_every_link_that_uses_them(make_study: MakeStudy, make_cells: MakeCells) -> None:
    study = make_study(
        a=pd.DataFrame({"acquisition_id": ["A1", "A2"], "subject_id": ["P1", "P2"]}),
        b=pd.DataFrame({"acquisition_id": ["A1"], "subject_id": ["P2"]}),
        levels={"a": "acquisition", "b": "acquisition"},
    )
    with pytest.raises(IdentityError, match="contradictory ids"):
        link(study, unit="subject", cells=make_cells({"acquisition_id": ["A1"]}, {"x": [1]}), unmatched="drop")
    fine = link(study, unit="subject", cells=make_cells({"acquisition_id": ["A2"]}, {"x": [1]}))
    assert fine.values("x")["P2"] == 1


def test_an_assay_that_is_not_reduced_has_one_row_per_unit(three: Study, make_cells: MakeCells) -> None:
    one_each = make_cells({"subject_id": ["P1", "P2"]}, {"HER2": [1, 3]})
    several = make_cells({"subject_id": ["P1", "P1"]}, {"HER2": [1, 3]})
    report = link(three, unit="subject", a=one_each, b=several, reduce={"b": "mean"}).report
    assert (report["a"].expected, report["b"].expected) == ("1:1", "m:1")
    with pytest.raises(UnitError, match="say how they become one"):
        link(three, unit="subject", b=several, validate="m:1")


def test_clinical_rows_of_one_unit_are_several_only_when_declared(make_study: MakeStudy) -> None:
    people = pd.DataFrame({"subject_id": ["P1", "P2"]})
    seen = pd.DataFrame({"subject_id": ["P1", "P1", "P2"], "age": [50, 50, 60], "weight": [70.0, 72.0, 80.0]})
    unsaid = make_study(spine="people", people=people, seen=seen, levels={"seen": "", "people": "subject"})
    with pytest.raises(
        AlignmentError, match=r"'clinical' has 3 rows for 2 subjects, expected one each; several in 'P1'"
    ):
        link(unsaid, unit="subject", clinical="seen")
    allowed = link(unsaid, unit="subject", clinical="seen", validate={"clinical": "m:1"})
    assert allowed.obs["age"].tolist() == [50, 60]
    assert allowed.report["clinical"].varying == {"weight": ("P1",)}
    assert link(unsaid, unit="subject", clinical="seen", reduce={"clinical": "mean"}).obs["weight"].tolist() == [71, 80]
    declared = make_study(spine="people", people=people, seen=seen, levels={"seen": "acquisition"})
    assert link(declared, unit="subject", clinical="seen").report["clinical"].expected == "m:1"


def test_validate_refuses_several_rows_of_one_unit(three: Study, make_cells: MakeCells) -> None:
    cells = make_cells({"acquisition_id": ["A1", "A1", "A3"]}, {"HER2": [1, 3, 5]})
    with pytest.raises(AlignmentError, match="'cells' has 3 rows for 2 subjects, expected one each; several in 'P1'"):
        link(three, unit="subject", cells=cells, reduce={"cells": "mean"}, validate={"cells": "1:1"})
    report = link(three, unit="subject", cells=cells, reduce={"cells": "mean"}, validate="m:1").report
    assert report["cells"].cardinality == "m:1"
    assert report["cells"].repeated == ("P1",)


def test_a_finer_variable_is_taken_where_it_agrees_and_listed_where_it_varies(three: Study) -> None:
    cohort = link(three, unit="subject", clinical="fields")
    assert cohort.obs["pam50"].tolist()[:2] == ["Her2", "LumA"]
    assert cohort.obs["grade"].isna().tolist() == [True, False, True]
    assert cohort.report["clinical"].varying == {"stroma": ("P1",), "grade": ("P1",)}
    assert "vary within subject" in repr(cohort.report)


def test_numeric_clinical_variables_can_be_reduced(three: Study) -> None:
    cohort = link(three, unit="subject", clinical="fields", reduce={"clinical": "mean"})
    assert cohort.obs["stroma"].tolist()[:2] == [2.0, 5.0]
    assert cohort.report["clinical"].varying == {"grade": ("P1",)}


def test_variables_of_a_coarser_level_are_repeated(three: Study, make_study: MakeStudy) -> None:
    cohort = link(three, unit="acquisition", clinical="clinical")
    assert cohort.obs["age"].tolist() == [50.0, 50.0, 61.0]
    assert cohort.obs["subject_id"].tolist() == ["P1", "P1", "P2"]
    assert cohort.report.notes == ("1 subjects have no acquisition: P3",)


def test_specimen_cohorts_take_acquisitions_up(three: Study, make_cells: MakeCells) -> None:
    cells = make_cells({"acquisition_id": ["A1", "A1", "A3"]}, {"HER2": [1, 3, 5]})
    cohort = link(three, unit="specimen", cells=cells, clinical="fields", reduce={"cells": "mean"})
    assert cohort.obs.index.name == "specimen_id"
    assert cohort.values("HER2").dropna().to_dict() == {"S1": 2.0, "S3": 5.0}
    assert cohort.values("pam50").tolist() == ["Her2", "Her2", "LumA"]


def test_acquired_but_not_measured_is_told_from_not_acquired(make_study: MakeStudy, make_cells: MakeCells) -> None:
    study = make_study(
        clinical=pd.DataFrame({"subject_id": ["P1", "P2", "P3"]}),
        fields=pd.DataFrame({"acquisition_id": ["A1", "A2"], "subject_id": ["P1", "P2"]}),
        items={"mif": ("acquisition_id", {"A1": None, "A2": None})},
        levels={"fields": "acquisition"},
    )
    cohort = link(study, unit="subject", cells=make_cells({"acquisition_id": ["A1"]}, {"x": [1]}))
    assert cohort.missing_reason["cells"].tolist() == ["", "not measured", "not acquired"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"unit": "subjects"}, UnitError, "no unit 'subjects'; closest: 'subject'"),
        ({"unit": "subject", "unmatched": "ignore"}, ParameterError, "write 'raise' or 'drop'"),
        ({"unit": "subject", "reduce": {"cel": "mean"}}, ParameterError, "reduce names 'cel', .*closest: 'cells'"),
        ({"unit": "subject", "validate": {"cells": "1:m"}}, ParameterError, "write '1:1' or 'm:1'"),
        ({"unit": "subject", "reduce": {"cells": "max"}}, ParameterError, "no reduction 'max'"),
        ({"unit": "subject", "reduce": {"cells": "quantile"}}, ParameterError, r"write Quantile\(0.9\)"),
        ({"unit": "subject", "reduce": {"cells": Steps(acquisition="mean")}}, UnitError, "ends at 'acquisition'"),
        ({"unit": "subject", "clinical": "clinicl"}, DatasetNotFoundError, "closest: 'clinical'"),
        ({"unit": "subject", "missing_reason": "fields"}, ParameterError, "cannot be called 'missing_reason'"),
        ({"unit": "subject", "other": 3}, AlignmentError, "'other' is int; give the name of a dataset"),
    ],
)
def test_arguments_without_meaning_are_refused(
    three: Study, make_cells: MakeCells, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    cells = make_cells({"acquisition_id": ["A1"]}, {"HER2": [1]})
    with pytest.raises(error, match=message):
        link(three, cells=cells, **arguments)


def test_a_study_without_the_unit_is_refused(make_study: MakeStudy) -> None:
    study = make_study(clinical=pd.DataFrame({"subject_id": ["P1"], "age": [1.0]}))
    with pytest.raises(UnitError, match="'toy' has no specimens; choose another unit"):
        link(study, unit="specimen", clinical="clinical")


def test_a_step_over_ids_that_rows_do_not_have_is_refused(three: Study) -> None:
    rna = pd.DataFrame({"subject_id": ["P1", "P1"], "g": [1.0, 2]})
    with pytest.raises(UnitError, match="2 of 2 rows of 'rna' have no acquisition_id"):
        link(three, unit="subject", rna=rna, reduce={"rna": Steps(acquisition="mean", subject="mean")})


def test_a_missing_or_negative_weight_is_refused(three: Study, make_cells: MakeCells) -> None:
    cells = make_cells({"acquisition_id": ["A1", "A1"]}, {"HER2": [1, 3]}, area=[1.0, np.nan])
    with pytest.raises(AlignmentError, match="1 of 2 rows of 'cells' have no weight 'area'"):
        link(three, unit="subject", cells=cells, reduce={"cells": Mean(weights="area")})


def test_a_link_is_recorded_with_the_hash_of_its_values(three: Study) -> None:
    link(three, unit="acquisition", fields="fields")
    event = recorded("link")[-1]
    assert event["study"] == "toy"
    assert event["assays"]["fields"]["matched"] == 3
    assert len(event["assays"]["fields"]["values"]) == 16
