"""Thresholds between negative and positive cells: planted truth, scale, missing values, records."""

from __future__ import annotations

import json
import math
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrate.errors import DatasetNotFoundError, IntegrateWarning, ParameterError
from integrate.features.positive import OtsuThreshold, find_thresholds, mark_positive


def cells_of(**columns: object) -> ad.AnnData:
    frame = pd.DataFrame({name: np.asarray(values, float) for name, values in columns.items()})
    return ad.AnnData(frame.set_axis([f"cell{k}" for k in range(len(frame))]))


def planted(share: float, *, n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-normal background and positive cells twenty times as bright."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < share
    return np.exp(rng.normal(0, 0.5, n)) * np.where(truth, 20, 1), truth


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.6, 0.8])
def test_planted_positive_cells_are_found(share: float) -> None:
    values, truth = planted(share)
    marked = mark_positive(cells_of(CD8_mean=values))
    assert (marked.obs["CD8_positive"].to_numpy() == truth).mean() > 0.99


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-3, 1e5))
def test_the_scale_of_the_image_does_not_matter(scale: float) -> None:
    values, _ = planted(0.2, n=300)
    one, other = (find_thresholds(cells_of(A_mean=values * factor))["A"] for factor in (1, scale))
    assert other == pytest.approx(scale * one, rel=1e-3)


def test_one_threshold_serves_all_fields_so_a_negative_field_stays_negative() -> None:
    bright, _ = planted(0.5)
    dark, _ = planted(0.0, seed=1)
    marked = mark_positive(cells_of(A_mean=np.concatenate([bright, dark])))
    assert marked.obs["A_positive"].to_numpy()[len(bright) :].mean() < 0.03


def test_a_missing_value_is_neither_positive_nor_negative() -> None:
    marked = mark_positive(cells_of(A_mean=[0, 9, np.nan], B_mean=[0, 9, 9]), thresholds={"A": 1, "B": 1})
    assert marked.obs["A_positive"].isna().tolist() == [False, False, True]
    assert marked.obs["A_positive"].mean() == 0.5
    assert marked.obs["B_positive"].dtype == bool


def test_a_channel_without_any_value_is_missing_everywhere_and_said_so() -> None:
    with pytest.warns(IntegrateWarning, match=r"\['A'\] have no value in any cell"):
        marked = mark_positive(cells_of(A_mean=[np.nan, np.nan]))
    assert marked.obs["A_positive"].isna().all()
    assert math.isnan(marked.uns["integrate"]["positive"]["thresholds"]["A"])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.002, 0.05))
def test_rare_positive_cells_are_found_beside_many_negative_ones_or_said_to_be_unseen(seed: int, share: float) -> None:
    values, truth = planted(share, n=10_000, seed=seed)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        marked = mark_positive(cells_of(CD20_mean=values))
    assert told or (marked.obs["CD20_positive"].to_numpy() == truth).mean() > 0.995
    assert not (told and share > 0.03)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), shape=st.sampled_from(["normal", "lognormal"]))
def test_a_threshold_through_one_group_of_cells_is_warned_of(seed: int, shape: str) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(100, 5, 3000) if shape == "normal" else rng.lognormal(0, 0.5, 3000)
    two, _ = planted(0.2, seed=seed)
    cells = cells_of(A_mean=values, B_mean=two[:3000])
    for find in (find_thresholds, mark_positive):
        with pytest.warns(IntegrateWarning, match="no gap between negative and positive cells is seen for 'A': "):
            find(cells)


def test_a_threshold_through_one_group_names_its_batch_and_a_given_one_is_trusted() -> None:
    rng = np.random.default_rng(0)
    cells = cells_of(A_mean=np.concatenate([planted(0.2, n=1000)[0], rng.normal(100, 5, 1000)]))
    cells.obs["site"] = ["north"] * 1000 + ["east"] * 1000
    with pytest.warns(IntegrateWarning, match="seen for 'A in east': "):
        marked = mark_positive(cells, within="site")
    note = marked.uns["integrate"]["positive"]
    assert note["separation"]["A"] == pytest.approx([2.65, math.log(20) / 0.5], abs=0.35)  # half a normal; as planted
    assert "separation" not in mark_positive(cells, thresholds={"A": 5.0}).uns["integrate"]["positive"]


def test_where_nobody_stands_out_nobody_is_positive() -> None:
    assert not mark_positive(cells_of(A_mean=[0, 0, 0], B_mean=[-1, -1, -1])).obs.to_numpy().any()


def test_thresholds_and_settings_are_recorded_and_survive_h5ad(tmp_path: object) -> None:
    values, _ = planted(0.2)
    values[0] = np.nan
    cells = cells_of(A_mean=values, B_mean=values, area_um2=values)
    cells.uns["integrate"] = {"unit": "um"}
    marked = mark_positive(cells, channels=["A"])
    assert marked.obs.columns.tolist() == ["A_positive"]
    assert "A_positive" not in cells.obs
    assert marked.uns["integrate"]["unit"] == "um"
    marked.write_h5ad(f"{tmp_path}/marked.h5ad")
    back = ad.read_h5ad(f"{tmp_path}/marked.h5ad")
    assert back.obs["A_positive"].isna().sum() == 1
    note = back.uns["integrate"]["positive"]
    assert note["thresholds"]["A"] == find_thresholds(cells)["A"]
    assert json.loads(note["settings"]) == {"statistic": "mean", "cofactor": None}


def test_unknown_channels_and_settings_are_refused() -> None:
    cells = cells_of(CD45_mean=[1, 2, 3])
    with pytest.raises(DatasetNotFoundError, match="no column 'CD54_mean' was measured; closest: 'CD45'"):
        mark_positive(cells, channels=["CD54"])
    with pytest.raises(ParameterError, match=r"no threshold for \['CD45'\]"):
        mark_positive(cells, channels=["CD45"], thresholds={"CD3": 1})
    with pytest.raises(ParameterError, match="cofactor is 0"):
        OtsuThreshold(cofactor=0)


def two_sites() -> tuple[ad.AnnData, np.ndarray]:
    """The same tissue imaged twice, once with twelve times the gain and an offset."""
    values, truth = planted(0.3)
    cells = cells_of(A_mean=np.concatenate([values, 12 * values + 5]))
    cells.obs["subject_id"] = np.repeat(["P1", "P2"], len(values))
    cells.obs["site"] = np.repeat(["north", "south"], len(values))
    return cells, np.concatenate([truth, truth])


def test_batches_with_another_gain_need_thresholds_of_their_own() -> None:
    cells, truth = two_sites()
    right = {
        name: (mark_positive(cells, within=within).obs["A_positive"].to_numpy() == truth).mean()
        for name, within in (("one", None), ("each", "site"))
    }
    assert right["each"] > 0.99
    assert right["one"] < 0.9


def test_thresholds_within_a_batch_are_those_of_its_cells_alone_and_are_recorded(tmp_path: object) -> None:
    cells, _ = two_sites()
    by_column = mark_positive(cells, within="site")
    by_subject = mark_positive(
        cells, within=pd.Series({"P2": "south", "P1": "north"}, name="site").rename_axis("subject_id")
    )
    pd.testing.assert_frame_equal(by_column.obs, by_subject.obs)
    by_column.write_h5ad(f"{tmp_path}/marked.h5ad")
    note = ad.read_h5ad(f"{tmp_path}/marked.h5ad").uns["integrate"]["positive"]
    assert list(note["batches"]) == ["north", "south"]
    assert json.loads(note["settings"])["within"] == "site"
    alone = [find_thresholds(cells[cells.obs["site"] == site].copy())["A"] for site in note["batches"]]
    assert list(note["thresholds"]["A"]) == alone


def test_a_cell_without_a_batch_is_neither_and_counted() -> None:
    cells, _ = two_sites()
    cells.obs.loc[cells.obs_names[:3], "site"] = None
    with pytest.warns(IntegrateWarning, match="3 of 8000 cells have no batch"):
        marked = mark_positive(cells, within="site")
    assert marked.obs["A_positive"].isna().sum() == 3


def test_a_batch_without_any_value_of_a_channel_is_missing_and_named() -> None:
    cells = cells_of(A_mean=[0, 9, np.nan, np.nan])
    cells.obs["site"] = ["x", "x", "y", "y"]
    with pytest.warns(IntegrateWarning, match="no cell has a value of 'A in y'"):
        marked = mark_positive(cells, within="site")
    assert marked.obs["A_positive"].isna().tolist() == [False, False, True, True]


def test_batches_that_do_not_fit_are_refused() -> None:
    cells, _ = two_sites()
    with pytest.raises(DatasetNotFoundError, match="no column 'sites' in obs; closest: 'site'"):
        mark_positive(cells, within="sites")
    with pytest.raises(ParameterError, match="both thresholds and within"):
        mark_positive(cells, within="site", thresholds={"A": 1})
    twice = pd.Series(["a", "b"], index=pd.Index(["P1", "P1"], name="subject_id"), name="site")
    with pytest.raises(ParameterError, match="subject_id repeats in the index of 'site'"):
        mark_positive(cells, within=twice)
