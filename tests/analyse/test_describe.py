"""Table one counts everybody, what is missing has its reason, and parts of a whole are not compared as if free."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from integrate.analyse.associate import associate
from integrate.analyse.composition import transform_composition
from integrate.analyse.describe import distributions, missing_balance, missingness, table_one
from integrate.errors import DataError, DatasetNotFoundError, ParameterError
from integrate.join.cohort import Cohort

MakeCohort = Callable[..., Cohort]


@pytest.fixture
def cohort(make_cohort: MakeCohort) -> Cohort:
    rng = np.random.default_rng(0)
    arm = np.array(["drug", "none"])[np.arange(40) % 2]
    age = np.where(np.arange(40) < 3, np.nan, rng.normal(60, 8, 40) + 6 * (arm == "drug"))
    stage = pd.Categorical(rng.choice(["I", "II", "III"], 40), ["I", "II", "III"])
    ct = np.where(age > 62, rng.normal(size=40), np.nan)
    return make_cohort(obs={"arm": arm, "age": age, "stage": stage}, ct={"volume": ct, "depth": ct * 2})


def test_table_one_is_what_one_counts_by_hand(cohort: Cohort) -> None:
    found = table_one(cohort, ["age", "stage"], unit="subject", by="arm")
    assert found.columns.tolist() == ["variable", "level", "all", "drug", "none", "n_missing", "smd", "p", "test"]
    assert found["variable"].tolist() == ["n", "age", "stage", "", ""]
    assert found.iloc[0][["all", "drug", "none"]].tolist() == ["40", "20", "20"]
    drug, none = (cohort.obs.loc[cohort.obs["arm"] == arm, "age"].dropna() for arm in ("drug", "none"))
    age = found.iloc[1]
    assert age["drug"] == f"{drug.mean():.3g} ({drug.std():.2g})"
    assert age["n_missing"] == 3
    assert age["smd"] == pytest.approx(abs(drug.mean() - none.mean()) / np.sqrt((drug.var() + none.var()) / 2))
    assert age["p"] == pytest.approx(stats.mannwhitneyu(drug, none, method="exact").pvalue)
    counts = pd.crosstab(cohort.obs["stage"], cohort.obs["arm"])
    n = counts.loc["II", "drug"]
    assert found.iloc[3]["drug"] == f"{n} ({100 * n / 20:.0f}%)"
    a, b = (counts[arm][1:] / 20 for arm in ("drug", "none"))
    spread = (np.diag(a) - np.outer(a, a) + np.diag(b) - np.outer(b, b)) / 2
    assert found.iloc[2]["smd"] == pytest.approx(np.sqrt((a - b) @ np.linalg.inv(spread) @ (a - b)))
    assert found.iloc[2]["p"] == pytest.approx(stats.chi2_contingency(counts, correction=False).pvalue)
    medians = table_one(cohort, "age", unit="subject", numbers="median").iloc[1]["all"]
    low, middle, high = np.nanquantile(cohort.obs["age"], [0.25, 0.5, 0.75])
    assert medians == f"{middle:.3g} [{low:.3g}, {high:.3g}]"


def test_units_without_group_are_counted(cohort: Cohort) -> None:
    cohort.obs.loc[cohort.obs.index[:4], "arm"] = None
    found = table_one(cohort, unit="subject", by="arm")
    assert found.iloc[0][["all", "drug", "none", "n_missing"]].tolist() == ["40", "18", "18", 4]
    with pytest.raises(ParameterError, match="'age' is not one categorical variable"):
        table_one(cohort, unit="subject", by="age")


def test_distributions_are_numpys(cohort: Cohort) -> None:
    found = distributions(cohort, ["age", "stage"], unit="subject", by="arm")
    assert found[["x", "group"]].to_numpy().tolist() == [["age", "drug"], ["age", "none"]]
    drug = cohort.obs.loc[cohort.obs["arm"] == "drug", "age"]
    assert found.loc[0, "q3"] == pytest.approx(drug.quantile(0.75))
    assert found["n_missing"].sum() == 3


def test_what_is_missing_has_a_reason(cohort: Cohort) -> None:
    cohort.assays["ct"].X[0, 1] = np.nan
    found = missingness(cohort).set_index("x")
    absent = 40 - cohort.assays["ct"].n_obs
    assert found.loc["ct", ["n_missing", "reasons"]].tolist() == [absent, f"not acquired = {absent}"]
    assert found.loc["age", ["n_missing", "reasons"]].tolist() == [3, "value missing = 3"]
    each = missingness(cohort, ["volume", "depth"]).set_index("x")
    assert each.loc["ct/depth", "reasons"] == f"not acquired = {absent}, value missing = 1"
    assert each.loc["ct/volume", "n_missing"] == absent
    assert (each["n_obs"] + each["n_missing"] == 40).all()


def test_who_lacks_an_image_may_differ_from_who_has_one(cohort: Cohort) -> None:
    found = missing_balance(cohort, "ct", unit="subject").set_index("y")
    assert found.index.tolist() == ["arm", "age", "stage"]
    assert found.loc["age", "effect"] == -1  # only those above 62 were scanned
    assert found.loc["age", "p"] < 1e-6 < 0.05 < found.loc["stage", "p"]
    with pytest.raises(ParameterError, match="'stage' was observed in every subject; nothing to compare"):
        missing_balance(cohort, "stage", unit="subject")


@pytest.fixture
def cells(make_cohort: MakeCohort) -> Cohort:
    rng = np.random.default_rng(1)
    weights = np.exp(rng.normal(size=(60, 4)))
    weights[:, 3] *= 0.05
    weights[:30, 0] *= 8  # one part more in half the subjects, nothing else
    counts = np.array([rng.multinomial(200, w / w.sum()) for w in weights]).astype(float)
    return make_cohort(types=dict(zip("ABCD", counts.T, strict=True)), obs={"arm": ["x"] * 30 + ["y"] * 30})


def test_clr_is_aitchisons_and_does_not_spread_one_rise_to_all(cells: Cohort) -> None:
    found = transform_composition(cells, "types").assays["types"]
    counts = found.layers["before"]
    rows = (counts > 0).all(axis=1)
    expected = np.log(counts[rows]) - np.log(counts[rows]).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found.X[rows], expected, atol=1e-12)
    np.testing.assert_allclose(found.X.sum(axis=1), 0, atol=1e-12)
    assert found.uns["integrate"]["composition"]["n_zeros"] == (counts == 0).sum() > 0
    shares = associate(transform_composition(cells, "types", method="proportion"), "types", "arm", unit="subject")
    ratios = associate(transform_composition(cells, "types"), "types", "arm", unit="subject")
    assert (shares["p"][1:3] < 0.01).all()
    assert ratios["effect"].abs()[1:3].mean() < shares["effect"].abs()[1:3].mean()


def test_what_is_no_composition_is_refused(cells: Cohort) -> None:
    with pytest.raises(DataError, match="two or more parts that are not negative; found one part"):
        transform_composition(cells, "types", features=["A"])
    with pytest.raises(DatasetNotFoundError, match="'types' has no 'E'"):
        transform_composition(cells, "types", features=["A", "E"])
    cells.assays["types"].X[0, 1] = -1
    with pytest.raises(DataError, match="found negative values in 'B'"):
        transform_composition(cells, "types")
    cells.assays["types"].X[0] = 0
    cells.assays["types"].X[1, 2] = np.nan
    found = transform_composition(cells, "types", method="arcsine").assays["types"]
    assert np.isnan(found.X[:2]).all()
    assert found.uns["integrate"]["composition"]["n_missing"] == 2
