"""Batches go out as sva takes them out, and biology that cannot be told from a batch is not silently lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from integrate.analyse.batches import BatchScaler, ComBat
from integrate.analyse.harmonise import confounding, harmonise
from integrate.datasets.cohort import Effects, plan_cohort
from integrate.errors import DataError, DatasetNotFoundError, IntegrateWarning, ParameterError
from integrate.join.cohort import Cohort

MakeCohort = Callable[..., Cohort]


@pytest.fixture(scope="module")
def sva() -> dict[str, Any]:
    return dict(json.loads((Path(__file__).parent / "fixtures" / "combat.json").read_text(encoding="utf-8")))


def table_of(sva: dict[str, Any], values: str = "values", *, covariates: bool = False) -> pd.DataFrame:
    given = sva["input"]
    table = pd.DataFrame(np.array(given[values], dtype=float), columns=[f"f{i}" for i in range(30)])
    table["batch"] = given["batch"]
    return table.assign(age=given["age"], sex=given["sex"]) if covariates else table


@pytest.mark.parametrize("values", ["values", "holes"])
@pytest.mark.parametrize("covariates", [False, True])
def test_combat_is_svas_also_with_covariates_and_missing_values(
    sva: dict[str, Any], values: str, covariates: bool
) -> None:
    table = table_of(sva, values, covariates=covariates)
    tool = ComBat(batch="batch", covariates=["age", "sex"] if covariates else [])
    name = {("values", False): "plain", ("values", True): "covariates", ("holes", False): "missing"}
    expected = np.array(sva[name.get((values, covariates), "missing_covariates")], dtype=float)
    np.testing.assert_allclose(tool.fit_transform(table), expected, rtol=0, atol=1e-9)


def test_combat_of_the_mean_only_is_svas(sva: dict[str, Any]) -> None:
    found = ComBat(batch="batch", mean_only=True).fit_transform(table_of(sva))
    np.testing.assert_allclose(found, np.array(sva["mean_only"]), rtol=0, atol=1e-9)


def test_scales_of_the_features_and_order_of_rows_change_nothing(sva: dict[str, Any]) -> None:
    table = table_of(sva)
    expected = ComBat(batch="batch").fit_transform(table)
    factor, shift = np.geomspace(1e-6, 1e6, 30), np.linspace(-5, 5, 30)
    other = table.copy()
    other[expected.columns] = table[expected.columns] * factor + shift
    found = (ComBat(batch="batch").fit_transform(other) - shift) / factor
    np.testing.assert_allclose(found, expected, atol=1e-5)
    turned = ComBat(batch="batch").fit_transform(table.iloc[::-1]).iloc[::-1]
    np.testing.assert_allclose(turned, expected, atol=1e-9)


def test_what_is_fitted_on_some_rows_is_applied_to_others(sva: dict[str, Any]) -> None:
    table = table_of(sva)
    fitted = ComBat(batch="batch").fit(table.iloc[::2])
    both = fitted.transform(table)
    pd.testing.assert_frame_equal(fitted.transform(table.iloc[3:5]), both.iloc[3:5])
    assert fitted.get_feature_names_out().tolist() == both.columns.tolist()
    with pytest.raises(DataError, match=r"batch 'd' was not there when fitted; known: 'a', 'b', 'c'"):
        fitted.transform(table.assign(batch="d"))
    assert clone(fitted).get_params() == {"batch": "batch", "covariates": (), "mean_only": False}


def test_in_a_pipeline_it_is_fitted_inside_the_folds() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(120, 8)), columns=list("abcdefgh"))
    table["site"] = np.arange(120) % 3
    table[list("abcdefgh")] += 5 * table[["site"]].to_numpy()
    responds = rng.random(120) < 1 / (1 + np.exp(-2 * (table["a"] - 5 * table["site"])))
    model = make_pipeline(ComBat(batch="site"), LogisticRegression())
    assert cross_val_score(model, table, responds, cv=5, scoring="roc_auc").mean() > 0.7


def test_one_missing_value_stays_one_missing_value() -> None:
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(20, 6)), columns=list("uvwxyz")).assign(site=["a", "b"] * 10)
    table.loc[3, "w"] = np.nan
    found = ComBat(batch="site").fit_transform(table)
    assert (found.isna() == table[found.columns].isna()).all(axis=None)


def test_a_row_without_batch_or_covariate_is_missing_and_said() -> None:
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(20, 3)), columns=list("xyz")).assign(site=["a", "b"] * 10, age=50.0)
    table["age"] += rng.normal(size=20)
    table.loc[4, "site"], table.loc[7, "age"] = None, np.nan
    with pytest.warns(IntegrateWarning, match="2 of 20 rows lack 'site' or a covariate"):
        found = ComBat(batch="site", covariates=["age"]).fit_transform(table)
    assert found.index[found.isna().all(axis=1)].tolist() == [4, 7]


def test_what_sva_would_spoil_is_refused(sva: dict[str, Any]) -> None:
    table = table_of(sva, covariates=True)
    alone = table.assign(batch=[*table["batch"][:-1], "d"])
    with pytest.raises(ParameterError, match="batch 'd' has fewer than two rows"):
        ComBat(batch="batch", covariates=["age", "sex"]).fit(alone)
    table["scanner"] = table["batch"].map({"a": "old", "b": "old", "c": "new"})
    with pytest.raises(ParameterError, match=r"'scanner\[old\]' follows from 'batch'.*cannot be told"):
        ComBat(batch="batch", covariates=["age", "scanner"]).fit(table.drop(columns="sex"))
    empty = table_of(sva)
    empty.loc[empty["batch"] == "a", "f3"] = np.nan
    with pytest.raises(DataError, match="1 features have fewer than two values in batch 'a': 'f3'"):
        ComBat(batch="batch").fit(empty)
    with pytest.raises(ParameterError, match="has 1 batch; there is nothing to harmonise"):
        ComBat(batch="batch").fit(empty.assign(batch="a"))
    with pytest.raises(DataError, match="features are numbers, and these are not: 'sex'"):
        ComBat(batch="batch").fit(table.drop(columns="scanner"))
    with pytest.raises(DatasetNotFoundError, match="no column 'batc'; closest: 'batch'"):
        ComBat(batch="batc").fit(table_of(sva))
    with pytest.raises(DataError, match="found ndarray; make this the first step"):
        ComBat(batch="batch").fit(np.zeros((4, 4)))


def test_a_feature_flat_within_a_batch_is_left_and_said(sva: dict[str, Any]) -> None:
    table = table_of(sva)
    expected = ComBat(batch="batch").fit_transform(table.drop(columns="f5"))
    table.loc[table["batch"] == "a", "f5"] = 0
    with pytest.warns(IntegrateWarning, match="1 features do not vary within a batch and are left as they are: 'f5'"):
        found = ComBat(batch="batch").fit_transform(table)
    np.testing.assert_array_equal(found["f5"], table["f5"])
    pd.testing.assert_frame_equal(found.drop(columns="f5"), expected)


@pytest.mark.parametrize("robust", [False, True])
def test_batch_scaler_is_the_obvious_loop(sva: dict[str, Any], robust: bool) -> None:
    table = table_of(sva, "holes")
    found = BatchScaler(batch="batch", robust=robust).fit_transform(table)
    for _, rows in table.groupby("batch"):
        for name in found:
            one = rows[name]
            centre = one.median() if robust else one.mean()
            spread = 1.4826 * (one - centre).abs().median() if robust else one.std()
            np.testing.assert_allclose(found.loc[rows.index, name], (one - centre) / spread)


@pytest.fixture
def sites(make_cohort: MakeCohort) -> Cohort:
    rng = np.random.default_rng(5)
    site = np.array(["north", "south"])[np.arange(60) % 2]
    gain, offset = np.where(site == "north", 1.0, 1.3), np.where(site == "north", 0.0, 4.0)
    immune = rng.normal(size=60)
    markers = {f"m{i}": gain * (rng.normal(size=60) + immune) + offset for i in range(12)}
    markers["m0"][7] = np.nan
    return make_cohort(cells=markers, obs={"site": site, "immune": immune})


def test_a_planted_site_effect_goes_and_biology_stays(sites: Cohort) -> None:
    found = harmonise(sites, "cells", batch="site", keep="immune")
    before, after = sites.assays["cells"], found.assays["cells"]
    north = (sites.obs["site"] == "north").to_numpy()
    apart = np.nanmean(before.X[~north], axis=0) - np.nanmean(before.X[north], axis=0)
    assert (apart > 2.5).all()
    left = np.nanmean(after.X[~north], axis=0) - np.nanmean(after.X[north], axis=0)
    biology = 2 * (sites.obs["immune"][~north].mean() - sites.obs["immune"][north].mean())
    assert left.mean() == pytest.approx(biology, abs=0.2)
    assert np.abs(left).max() < 1.2
    np.testing.assert_array_equal(after.layers["before"], before.X)
    assert np.isnan(after.X).sum() == 1
    r = np.array([[np.corrcoef(x[:, m], sites.obs["immune"])[0, 1] for m in range(1, 12)] for x in (before.X, after.X)])
    assert r[1].mean() > r[0].mean() + 0.1
    assert after.uns["integrate"]["harmonise"]["batches"] == {"north": 30, "south": 30}
    assert after.var["harmonised"].all()
    assert sites.assays["cells"] is before
    assert np.isnan(before.X).sum() == 1


def test_a_series_may_say_the_batch_and_units_without_one_are_missing(sites: Cohort) -> None:
    scanner = sites.obs["site"].rename("scanner").iloc[3:]
    found = harmonise(sites, "cells", batch=scanner, method="scale").assays["cells"]
    assert np.isnan(found.X[:3]).all()
    assert found.uns["integrate"]["harmonise"]["n_missing"] == 3
    assert found.uns["integrate"]["harmonise"]["batch"] == "scanner"
    with pytest.raises(DataError, match="no unit of the assay has a batch"):
        harmonise(sites, "cells", batch=scanner.reset_index(drop=True))
    with pytest.raises(ParameterError, match="method='scale' cannot keep the effect of 'immune'"):
        harmonise(sites, "cells", batch="site", keep="immune", method="scale")


def test_the_planted_site_effect_of_the_simulated_study_goes(make_cohort: MakeCohort) -> None:
    people = plan_cohort(120, seed=3, effects=Effects())
    sites = sorted({person.site for person in people})
    density = np.array([person.immune_density for person in people])
    place = np.array([sites.index(person.site) for person in people])
    rng = np.random.default_rng(0)
    genes = {
        f"g{i}": (1 + 0.3 * place) * (density + rng.normal(size=120)) + rng.normal(0, 2, len(sites))[place]
        for i in range(20)
    }
    cohort = make_cohort(rna=genes, obs={"site": [p.site for p in people], "density": density})
    shifted = confounding(cohort, "site", "rna", unit="subject")
    left = confounding(harmonise(cohort, "rna", batch="site", keep="density"), "site", "rna", unit="subject")
    assert (shifted["p"] < 0.05).mean() > 0.6
    assert (left["p"] < 0.05).mean() < 0.1


def test_confounding_is_seen_before_it_is_divided_out(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(2)
    site = np.array(list("aabbcc") * 5)
    obs = {"site": site, "arm": np.where(site == "a", "drug", "none"), "age": rng.normal(60, 5, 30)}
    obs["sex"] = np.array(["f", "m"] * 15)
    found = confounding(make_cohort(obs=obs), "site", ["arm", "age", "sex", "site"], unit="subject").set_index("y")
    assert found["separable"].to_dict() == {"arm": False, "age": True, "sex": True}
    assert found.loc["arm", "effect"] == pytest.approx(1)
    with pytest.raises(ParameterError, match="'age' is a number; a batch is a category"):
        confounding(make_cohort(obs=obs), "age", "arm", unit="subject")
