"""A cohort gives the same numbers in every container and on disk, and never turns missing into something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from integrate.errors import DataError, DatasetNotFoundError, ParameterError, SourceNotFoundError
from integrate.join.cohort import MISSING_REASONS, Cohort
from integrate.join.link import link
from integrate.join.store import read_cohort
from integrate.model.codec import decode_column, encode_column
from integrate.model.study import Study


@pytest.fixture
def cohort(three: Study, make_cells: Callable[..., ad.AnnData]) -> Cohort:
    cells = make_cells({"acquisition_id": ["A1", "A1", "A3"]}, {"HER2": [1, 3, np.nan], "stroma": [2, 4, 6]})
    rna = pd.DataFrame({"subject_id": ["P3", "P1"], "ERBB2": [7.0, 2.0], "HER2": [0.5, 1.5]})
    return link(three, unit="subject", cells=cells, rna=rna, clinical="clinical", reduce={"cells": "mean"})


@pytest.mark.parametrize("name", ["ERBB2", "rna/ERBB2"])
def test_a_variable_is_found_by_short_and_full_name(cohort: Cohort, name: str) -> None:
    series = cohort.values(name)
    assert series.index.tolist() == ["P1", "P2", "P3"]
    assert series.name == name
    np.testing.assert_array_equal(series, [2, np.nan, 7])


def test_a_clinical_variable_keeps_its_dtype(cohort: Cohort) -> None:
    assert str(cohort.values("nodes").dtype) == "Int64"
    assert cohort.values("clinical/age")["P1"] == 50


def test_a_name_with_two_meanings_is_refused(cohort: Cohort) -> None:
    with pytest.raises(
        ParameterError, match="'HER2' is the name of 2 variables; write one of 'cells/HER2', 'rna/HER2'"
    ):
        cohort.values("HER2")


def test_an_unknown_name_gives_the_closest(cohort: Cohort) -> None:
    with pytest.raises(DatasetNotFoundError, match="no variable 'ERBB'; closest: 'ERBB2'"):
        cohort.values("ERBB")


def test_wide_has_one_row_per_unit_and_one_column_per_variable(cohort: Cohort) -> None:
    wide = cohort.to_pandas()
    features = ["cells/HER2", "cells/stroma", "rna/ERBB2", "rna/HER2"]
    assert wide.columns.tolist() == [*cohort.obs.columns, *features]
    np.testing.assert_array_equal(wide.loc["P2", features].astype(float), [np.nan, 6, np.nan, np.nan])
    assert str(wide["stage"].dtype) == "category"


def test_long_lists_what_is_missing_with_its_reason(cohort: Cohort) -> None:
    long = cohort.to_pandas(layout="long")
    assert len(long) == 3 * 4
    row = long[(long["subject_id"] == "P2") & (long["feature"] == "ERBB2")].iloc[0]
    assert np.isnan(row["value"])
    assert (row["n"], row["missing_reason"]) == (0, "not acquired")
    seen = long[(long["subject_id"] == "P1") & (long["assay"] == "cells")]
    assert seen["value"].tolist() == [2, 3]
    assert seen["unit"].tolist() == ["{counts}", "{counts}"]


def test_an_unknown_layout_is_refused(cohort: Cohort) -> None:
    with pytest.raises(ParameterError, match="no layout 'wid'; closest: 'wide'"):
        cohort.to_pandas(layout="wid")


def test_anndata_holds_all_units_and_says_which_assay(cohort: Cohort, tmp_path: Path) -> None:
    adata = cohort.to_anndata()
    assert adata.shape == (3, 4)
    assert adata.var["assay"].tolist() == ["cells", "cells", "rna", "rna"]
    assert adata.layers["n"].tolist() == [[2, 2, 1, 1], [0, 1, 0, 0], [0, 0, 1, 1]]
    assert adata.obsm["missing_reason"].loc["P2", "rna"] == "not acquired"
    adata.write_h5ad(tmp_path / "cohort.h5ad")
    again = ad.read_h5ad(tmp_path / "cohort.h5ad")
    np.testing.assert_array_equal(again.X, adata.X)
    assert again.var.loc["cells/HER2", "unit"] == "{counts}"


def test_xarray_comes_back_from_zarr_without_loss(cohort: Cohort, tmp_path: Path) -> None:
    cohort.to_xarray().to_zarr(tmp_path / "cohort.zarr", consolidated=False)
    again = xr.open_zarr(tmp_path / "cohort.zarr", consolidated=False).load()
    for column in cohort.obs:
        decoded = decode_column(again[column].values, again[column].attrs, index=cohort.obs.index)
        pd.testing.assert_series_equal(decoded, cohort.obs[column], check_names=False)
    np.testing.assert_array_equal(again["rna"].sel(subject_id="P2"), [np.nan, np.nan])
    assert again["cells_unit"].sel(cells_feature="HER2").item() == "{counts}"
    meaning = again["missing_reason"].attrs["flag_meanings"].split()
    code = again["missing_reason"].sel(subject_id="P2", assay="rna").item()
    assert meaning[list(again["missing_reason"].attrs["flag_values"]).index(code)] == "not_acquired"


def test_awkward_clinical_names_keep_their_name_beside_a_safe_one(make_study: Callable[..., Study]) -> None:
    table = pd.DataFrame({"subject_id": ["P1"], "a/b": [1.0], "a_b": [2.0], "rna": ["x"], "OS months": [3.0]})
    study = make_study(clinical=table)
    rna = pd.DataFrame({"subject_id": ["P1"], "g": [1.0]})
    dataset = link(study, unit="subject", clinical="clinical", rna=rna).to_xarray()
    names = {v.attrs["column"]: name for name, v in dataset.data_vars.items() if "column" in v.attrs}
    assert set(names) == {"a/b", "a_b", "rna", "OS months"}
    assert dataset[names["a/b"]].item() == 1.0
    assert not any("/" in str(name) for name in dataset.variables)


def test_assays_whose_names_resemble_our_own_stay_apart(three: Study) -> None:
    tables = {
        name: pd.DataFrame({"subject_id": ["P1"], "g": [float(i)]}) for i, name in enumerate(["a", "a_n", "a_feature"])
    }
    dataset = link(three, unit="subject", **tables).to_xarray()
    assert [dataset[name].sel(subject_id="P1").item() for name in tables] == [0.0, 1.0, 2.0]
    assert dataset["a_n_"].sel(subject_id="P1").item() == 1


COLUMNS = {
    "float": pd.Series([1.5, np.nan]),
    "int": pd.Series([1, 2]),
    "bool": pd.Series([True, False]),
    "Int64": pd.Series([1, None], dtype="Int64"),
    "UInt8": pd.Series([1, None], dtype="UInt8"),
    "boolean": pd.Series([True, None], dtype="boolean"),
    "Float64": pd.Series([1.5, None], dtype="Float64"),
    "text": pd.Series(["001", None], dtype=object),
    "empty text": pd.Series(["", "a"], dtype=object),
    "mixed": pd.Series(["a", 3], dtype=object),
    "string": pd.Series(["b", None], dtype="string"),
    "category": pd.Series(pd.Categorical(["b", None], categories=["c", "b", "a"])),
    "ordered": pd.Series(pd.Categorical(["lo", "hi"], categories=["lo", "mid", "hi"], ordered=True)),
    "numbered category": pd.Series(pd.Categorical([2, None], categories=[2, 1])),
    "all missing": pd.Series([None, None], dtype=object),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_the_codec_brings_every_column_back(name: str) -> None:
    column = COLUMNS[name]
    values, notes = encode_column(column)
    assert values.dtype.kind in "iufb"
    notes = json.loads(json.dumps(notes))
    again = decode_column(values, notes, index=column.index)
    pd.testing.assert_series_equal(again, column)


def test_the_codec_refuses_dates_and_objects() -> None:
    with pytest.raises(DataError, match=r"'seen' is datetime64.*give days since an event"):
        encode_column(pd.Series(pd.to_datetime(["2020-01-01"]), name="seen"))
    with pytest.raises(DataError, match="'what' holds frozenset"):
        encode_column(pd.Series([frozenset()], name="what"))


def test_a_written_cohort_comes_back_equal(cohort: Cohort, tmp_path: Path) -> None:
    cohort.write(tmp_path / "saved")
    again = read_cohort(tmp_path / "saved")
    pd.testing.assert_frame_equal(again.obs, cohort.obs)
    pd.testing.assert_frame_equal(again.missing_reason, cohort.missing_reason)
    assert again.report == cohort.report
    assert (again.name, again.unit) == (cohort.name, cohort.unit)
    for name, adata in cohort.assays.items():
        np.testing.assert_array_equal(again.assays[name].X, adata.X)
        np.testing.assert_array_equal(again.assays[name].layers["n"], adata.layers["n"])
        pd.testing.assert_frame_equal(again.assays[name].var, adata.var)
        pd.testing.assert_frame_equal(again.assays[name].obs, adata.obs)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved"]


def test_a_failed_write_leaves_nothing_behind(cohort: Cohort, tmp_path: Path) -> None:
    cohort.obs["broken"] = pd.Series([object(), "a", 2], index=cohort.obs.index, dtype=object)
    with pytest.raises(DataError, match="cannot be written"):
        cohort.write(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_write_overwrites_only_a_cohort_and_only_when_told(cohort: Cohort, tmp_path: Path) -> None:
    cohort.write(tmp_path / "saved")
    with pytest.raises(FileExistsError, match=r"is there already.*overwrite=True"):
        cohort.write(tmp_path / "saved")
    cohort.obs["age"] = 1.0
    cohort.write(tmp_path / "saved", overwrite=True)
    assert read_cohort(tmp_path / "saved").obs["age"].tolist() == [1.0] * 3
    (tmp_path / "thesis").mkdir()
    with pytest.raises(FileExistsError, match=r"is there already; choose another name$"):
        cohort.write(tmp_path / "thesis", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved", "thesis"]


def test_a_folder_that_is_no_cohort_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no cohort folder"):
        read_cohort(tmp_path / "absent")
    with pytest.raises(DataError, match="is not a cohort"):
        read_cohort(tmp_path)
    (tmp_path / "cohort.json").write_text('{"format": 99}')
    with pytest.raises(DataError, match="cohort format 99, this version reads 1"):
        read_cohort(tmp_path)


def test_a_cohort_without_assays_holds_the_people(three: Study, tmp_path: Path) -> None:
    cohort = link(three, unit="subject", clinical="clinical")
    assert cohort.to_anndata().shape == (3, 0)
    assert cohort.to_pandas().shape == (3, 5)
    assert len(cohort.to_pandas(layout="long")) == 0
    assert "missing_reason" not in cohort.to_xarray()
    assert "no assays" in repr(cohort)
    cohort.write(tmp_path / "people")
    assert read_cohort(tmp_path / "people").missing_reason.shape == (3, 0)


def test_complete_units_have_every_named_assay(cohort: Cohort) -> None:
    assert cohort.complete().tolist() == ["P1"]
    assert cohort.complete("rna").tolist() == ["P1", "P3"]


def test_reprs_say_who_has_what(cohort: Cohort) -> None:
    assert repr(cohort) == "<Cohort 'toy': 3 subjects, 5 variables; cells 2 × 2, rna 2 × 2>"
    for html in (cohort._repr_html_(), cohort.report._repr_html_()):
        assert "<script" not in html
        assert "subject" in html


def test_ids_that_look_like_markup_are_escaped(make_study: Callable[..., Study]) -> None:
    study = make_study(clinical=pd.DataFrame({"subject_id": ["<b>P1"], "age": [1.0]}))
    rna = pd.DataFrame({"subject_id": ["<i>X"], "g": [1.0]})
    cohort = link(study, unit="subject", clinical="clinical", rna=rna, unmatched="drop")
    for html in (cohort._repr_html_(), cohort.report._repr_html_()):
        assert "<b>P1" not in html
        assert "<i>X" not in html


def test_every_missing_reason_has_its_own_code() -> None:
    assert len(set(MISSING_REASONS)) == len(MISSING_REASONS)
    assert MISSING_REASONS[0] == ""
