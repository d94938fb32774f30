"""Every clinical dtype through every container: each cell of the table comes back as it was."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import spatialdata as sd
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spatialdata.models import TableModel

from integrate.errors import DataError
from integrate.join.cohort import Cohort
from integrate.join.columns import decode_columns, decode_frame, encode_columns, encode_frame
from integrate.join.link import link
from integrate.join.store import read_cohort
from integrate.model.codec import decode_dataset
from integrate.model.study import Study

#: One column per clinical dtype, under names that some format refuses or confuses.
CLINICAL: Mapping[str, Any] = {
    "age (y)": [50.5, np.nan, 61.0, 0.1 + 0.2],
    "nodes": np.array([0, 3, 1, 2]),
    "alive": np.array([True, False, True, True]),
    "OS months": pd.array([12, None, 0, 240], dtype="Int64"),
    "grade": pd.array([1, None, 3, 2], dtype="UInt8"),
    "smoker": pd.array([True, None, False, None], dtype="boolean"),
    "purity": pd.array([0.25, None, 1.0, 0.5], dtype="Float64"),
    "day": pd.array([-28, 0, None, 84], dtype="Int64"),  # dates are days since the index event
    "a/b": ["", None, "None", "nan"],
    "a_b": ["001", "1", "01", None],
    "A/B": pd.array(["x", None, "", "<NA>"], dtype="string"),
    "site": pd.Categorical(["north", None, "south", "north"], categories=["west", "south", "north"]),
    "stage": pd.Categorical(["II", None, "I", "IV"], categories=["I", "II", "III", "IV"], ordered=True),
    "arm": pd.Categorical([2, None, 1, 2], categories=[2, 1]),
    "CD8+ T": ["Zürich", "東京", "a\nb", None],
    "_index": ["a", "b", "c", "d"],
    "all missing": pd.Series([None] * 4, dtype=object),
}


@pytest.fixture
def cohort(make_study: Callable[..., Study]) -> Cohort:
    """Four subjects; the last has nothing but clinical values."""
    ids = ["001", "002", "010", "1"]
    study = make_study(clinical=pd.DataFrame({"subject_id": ids}))
    rna = pd.DataFrame({"subject_id": ids[:3], "g/1": [1.0, np.nan, 3.0], "CD8+ T": [0.5, 1.5, 2.5]})
    protein = pd.DataFrame({"subject_id": ids[1:2], "p": [7.0]})
    linked = link(study, unit="subject", rna=rna, protein=protein)
    linked.assays["rna"].var["unit"] = ["{counts}", "um2"]
    for name, values in CLINICAL.items():
        linked.obs[name] = pd.Series(values).set_axis(linked.obs.index)
    return linked


def through_h5ad(cohort: Cohort, path: Path) -> Any:
    encode_columns(cohort.to_anndata()).write_h5ad(path)
    return decode_columns(ad.read_h5ad(path))


def through_zarr(cohort: Cohort, path: Path) -> Any:
    encode_columns(cohort.to_anndata()).write_zarr(path)
    return decode_columns(ad.read_zarr(path))


def through_mudata(cohort: Cohort, path: Path) -> Any:
    encode_columns(cohort.to_mudata()).write(path.with_suffix(".h5mu"))
    return decode_columns(md.read(path.with_suffix(".h5mu")))


def through_spatialdata(cohort: Cohort, path: Path) -> Any:
    sd.SpatialData(tables={"cohort": TableModel.parse(encode_columns(cohort.to_anndata()))}).write(path)
    return decode_columns(sd.read_zarr(path)["cohort"])


def through_parquet(cohort: Cohort, path: Path) -> Any:
    cohort.write(path)
    return read_cohort(path).to_anndata()


CONTAINERS = {
    "h5ad": through_h5ad,
    "zarr": through_zarr,
    "mudata": through_mudata,
    "spatialdata": through_spatialdata,
    "parquet": through_parquet,
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_dtype_comes_back_from_every_container(cohort: Cohort, container: str, tmp_path: Path) -> None:
    again = CONTAINERS[container](cohort, tmp_path / "stored")
    lossy = []
    for name in CLINICAL:
        try:
            pd.testing.assert_series_equal(again.obs[name], cohort.obs[name], check_exact=True)
        except AssertionError as error:
            lossy.append(f"{name}: {error}")
    assert lossy == []
    assert again.obs.columns.tolist() == cohort.obs.columns.tolist()
    pd.testing.assert_index_equal(again.obs.index, cohort.obs.index)


@pytest.mark.parametrize("container", [name for name in CONTAINERS if name != "mudata"])
def test_features_and_values_come_back_from_every_container(cohort: Cohort, container: str, tmp_path: Path) -> None:
    again = CONTAINERS[container](cohort, tmp_path / "stored")
    expected = cohort.to_anndata()
    pd.testing.assert_frame_equal(again.var, expected.var)
    np.testing.assert_array_equal(again.X, expected.X)
    np.testing.assert_array_equal(again.layers["n"], expected.layers["n"])
    pd.testing.assert_frame_equal(again.obsm["missing_reason"], expected.obsm["missing_reason"])


def test_every_dtype_comes_back_from_xarray_zarr(cohort: Cohort, tmp_path: Path) -> None:
    cohort.to_xarray().to_zarr(tmp_path / "stored", consolidated=False)
    dataset = xr.open_zarr(tmp_path / "stored", consolidated=False)
    pd.testing.assert_frame_equal(decode_dataset(dataset), cohort.obs, check_exact=True)
    assert dataset["rna_unit"].values.tolist() == ["{counts}", "um2"]
    assert dataset["rna_input_hash"].values.tolist() == cohort.assays["rna"].var["input_hash"].tolist()
    np.testing.assert_array_equal(dataset["rna"].sel(subject_id=["002", "001"]), [[np.nan, 1.5], [1.0, 0.5]])


def test_mudata_keeps_the_subject_who_has_no_modality(cohort: Cohort, tmp_path: Path) -> None:
    again = through_mudata(cohort, tmp_path / "stored")
    assert again.obs_names.tolist() == ["001", "002", "010", "1"]
    assert list(again.mod) == ["clinical", "rna", "protein"]
    assert again["rna"].obs_names.tolist() == ["001", "002", "010"]
    np.testing.assert_array_equal(again["rna"].X, cohort.assays["rna"].X)
    pd.testing.assert_frame_equal(again["rna"].var, cohort.assays["rna"].var)
    pd.testing.assert_frame_equal(again.obsm["missing_reason"], cohort.missing_reason)


@pytest.mark.filterwarnings("ignore:The table is annotating 'cells', which is not present:UserWarning")
def test_a_table_that_annotates_an_element_stays_tied_to_it(tmp_path: Path) -> None:
    obs = pd.DataFrame({"region": pd.Categorical(["cells"] * 2), "cell/type": ["T", None], "instance_id": [1, 2]})
    table = encode_columns(ad.AnnData(np.ones((2, 1)), obs=obs.set_axis(["1", "2"])))
    tied = TableModel.parse(table, region="cells", region_key="region", instance_key="instance_id")
    plain = encode_columns(decode_columns(tied))
    assert plain.obs.columns.tolist() == ["region", "cell_type", "instance_id"]
    sd.SpatialData(tables={"t": plain}).write(tmp_path / "stored")
    again = decode_columns(sd.read_zarr(tmp_path / "stored")["t"])
    assert again.obs["cell/type"].tolist() == ["T", None]
    assert again.obs["instance_id"].tolist() == [1, 2]
    assert again.uns["spatialdata_attrs"]["region_key"] == "region"


def test_what_was_added_or_changed_after_stays(cohort: Cohort) -> None:
    plain = encode_columns(cohort.to_anndata())
    plain.obs["leiden"] = pd.Categorical(["0", "1", "0", "1"])
    plain.obs["stage"] = pd.Categorical(["early", "late", "late", "early"])
    del plain.obs["nodes"]
    again = decode_columns(plain)
    assert again.obs["leiden"].tolist() == ["0", "1", "0", "1"]
    assert again.obs["stage"].tolist() == ["early", "late", "late", "early"]
    assert "nodes" not in again.obs


def test_a_container_of_another_make_is_refused(cohort: Cohort) -> None:
    with pytest.raises(DataError, match="was not made by encode_columns"):
        decode_columns(cohort.to_anndata())


def test_dates_are_refused_before_a_file_is_written(cohort: Cohort) -> None:
    cohort.obs["seen"] = pd.to_datetime(["2020-01-01"] * 4)
    with pytest.raises(DataError, match=r"'seen' is datetime64.*give days since an event"):
        encode_columns(cohort.to_anndata())


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=6),
        st.one_of(
            st.lists(st.none() | st.text(max_size=4), min_size=3, max_size=3),
            st.lists(st.floats(allow_infinity=False), min_size=3, max_size=3),
            st.lists(st.booleans(), min_size=3, max_size=3),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_table_is_safely_named_and_comes_back(columns: dict[str, list[Any]]) -> None:
    typed = {
        k: pd.Series(v, dtype=object if any(x is None or isinstance(x, str) for x in v) else None)
        for k, v in columns.items()
    }
    frame = pd.DataFrame(typed).set_axis(["1", "2", "3"]).rename_axis("subject_id")
    plain, notes = encode_frame(frame)
    folded = [name.casefold() for name in plain]
    assert len(set(folded)) == len(folded)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) for name in plain)
    pd.testing.assert_frame_equal(decode_frame(plain, notes), frame)
