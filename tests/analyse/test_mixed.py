"""Mixed models are lmerTest's, and keep one in twenty where rows counted as subjects do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from integrate.analyse.associate import associate
from integrate.analyse.mixed import mixed_model, variance_partition
from integrate.errors import ParameterError, UnitError
from integrate.join.cohort import Cohort

MakeCohort = Callable[..., Cohort]
LMER = json.loads((Path(__file__).parent / "fixtures" / "mixed.json").read_text(encoding="utf-8"))


@pytest.fixture
def fields(make_cohort: MakeCohort) -> Cohort:
    rows = LMER["rows"]
    cohort = make_cohort(
        unit="acquisition",
        of=[f"S{s:02d}" for s in rows["subject"]],
        obs={name: rows[name] for name in ("arm", "age", "depth")},
        mif=LMER["y"],
    )
    cohort.obs["specimen_id"] = [f"B{s:02d}" for s in rows["specimen"]]
    return cohort


@pytest.mark.parametrize(("random", "name"), [("subject", "subject"), ("subject/specimen", "specimen")])
def test_every_number_is_lmertests(fields: Cohort, random: str, name: str) -> None:
    found = mixed_model(fields, "mif", ["arm", "age", "depth"], unit="acquisition", random=random)
    assert found["x"].unique().tolist() == ["arm[b]", "age", "depth"]
    for feature, theirs in zip(found["y"].unique(), LMER[name], strict=True):
        rows = found[found["y"] == feature]
        np.testing.assert_allclose(rows["effect"], theirs["beta"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(rows["se"], theirs["se"], rtol=1e-4)
        np.testing.assert_allclose(rows["df"], theirs["df"], rtol=1e-3)
        np.testing.assert_allclose(rows["p"], theirs["p"], rtol=0, atol=1e-3)
    assert found.groupby("y", sort=False)["n_missing"].first().tolist() == [0, 5, 0, 0, 0, 0]
    assert found.groupby("y", sort=False)["n_subjects"].first().tolist() == [14, 13, 14, 14, 14, 14]


@pytest.mark.parametrize(("random", "name"), [("subject", "subject"), ("subject/specimen", "specimen")])
def test_variance_is_parted_as_lmer_parts_it(fields: Cohort, random: str, name: str) -> None:
    found = variance_partition(fields, "mif", ["arm", "age", "depth"], unit="acquisition", random=random)
    table = found.pivot(index="y", columns="x", values="variance")
    theirs = {"subject": "subject", "specimen": "specimen:subject", "residual": "Residual"}
    for feature, expected in zip(table.index, LMER[name], strict=True):
        assert table.loc[feature, "fixed"] == pytest.approx(expected["fixed"], abs=1e-4)
        for ours in set(theirs) & set(table.columns):
            assert table.loc[feature, ours] == pytest.approx(expected["variances"][theirs[ours]], abs=1e-4)
    np.testing.assert_allclose(found.groupby("y")["effect"].sum(), 1)


def test_with_one_row_each_way_it_is_the_paired_t_test(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(0)
    level = rng.normal(0, 3, 20)
    first, second = level + rng.normal(size=20), level + rng.normal(size=20) + 0.5
    obs = {"time": ["before"] * 20 + ["after"] * 20}
    cohort = make_cohort(unit="acquisition", of=[f"S{i}" for i in range(20)] * 2, obs=obs, a={"x": [*first, *second]})
    found = mixed_model(cohort, "x", "time", unit="acquisition").iloc[0]
    expected = stats.ttest_rel(first, second)
    assert found["x"] == "time[before]"
    assert found["effect"] == pytest.approx((first - second).mean())
    assert (found["df"], found["p"]) == pytest.approx((19, expected.pvalue), rel=1e-4)


def test_what_is_the_same_within_subjects_has_subjects_degrees_of_freedom(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(1)
    owner = np.repeat(np.arange(12), 5)
    values = rng.normal(size=12)[owner] + rng.normal(size=60)
    obs = {"arm": np.array(["a", "b"])[owner % 2]}
    cohort = make_cohort(unit="acquisition", of=[f"S{i:02d}" for i in owner], obs=obs, a={"x": values})
    found = mixed_model(cohort, "x", "arm", unit="acquisition").iloc[0]
    means = pd.Series(values).groupby(owner).mean()
    expected = stats.ttest_ind(means[1::2], means[::2])
    assert (found["df"], found["p"]) == pytest.approx((10, expected.pvalue), rel=1e-4)  # balanced: the test of means


def null_study(make_cohort: MakeCohort, *, features: int, seed: int) -> Cohort:
    """Return 16 subjects × 2 specimens × 4 fields of features that know nothing of the subjects' arms."""
    rng = np.random.default_rng(seed)
    field = np.arange(16 * 8)
    subject, specimen = field // 8, field // 4
    values = {
        f"f{i:04d}": 0.7 * rng.normal(size=16)[subject] + 0.5 * rng.normal(size=32)[specimen] + rng.normal(size=128)
        for i in range(features)
    }
    obs = {"arm": np.array(["a", "b"])[subject % 2]}
    cohort = make_cohort(unit="acquisition", of=[f"S{i:02d}" for i in subject], obs=obs, mif=values)
    cohort.obs["specimen_id"] = [f"B{i:02d}" for i in specimen]
    return cohort


@pytest.mark.parametrize("random", ["subject", "subject/specimen"])
def test_where_nothing_is_planted_one_feature_in_twenty_is_found(make_cohort: MakeCohort, random: str) -> None:
    cohort = null_study(make_cohort, features=1500, seed=6)
    found = mixed_model(cohort, "mif", "arm", unit="acquisition", random=random)
    assert 0.03 < (found["p"] < 0.05).mean() < 0.07
    with pytest.raises(UnitError, match=r"p-values would be too small.*mixed_model\(unit='acquisition', random="):
        associate(cohort, "mif", "arm", unit="acquisition")
    alone = replace(cohort, obs=cohort.obs.drop(columns="subject_id"))  # who hides the subjects finds what is not there
    assert (associate(alone, "mif", "arm", unit="acquisition")["p"] < 0.05).mean() > 0.2
    with pytest.raises(UnitError, match=r"128 acquisitions of 16 subjects.*or use reduce_units.*, or mixed_model"):
        associate(cohort, "mif", "arm", unit="subject")


def test_gaps_order_and_scale_change_nothing(fields: Cohort) -> None:
    ask: dict[str, Any] = {"unit": "acquisition", "random": "subject/specimen"}
    expected = mixed_model(fields, "f3", ["arm", "depth"], **ask)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(fields.obs))
    other = Cohort(
        fields.name, fields.unit, fields.obs.iloc[order], {"mif": fields.assays["mif"][order].copy()}, fields.report,
        fields.missing_reason.iloc[order],
    )  # fmt: skip
    other.assays["mif"].X = other.assays["mif"].X * 1e-4 + 3
    found = mixed_model(other, "f3", ["arm", "depth"], **ask)
    np.testing.assert_allclose(found["effect"] * 1e4, expected["effect"], rtol=1e-5)
    np.testing.assert_allclose(found[["df", "p"]], expected[["df", "p"]], rtol=1e-3)


def test_what_has_no_answer_says_why(fields: Cohort) -> None:
    ask: dict[str, Any] = {"unit": "acquisition"}
    mif = fields.assays["mif"]
    mif.X[:, 0] = 2
    mif.X[3:, 1] = np.nan
    mif.X[fields.obs["arm"].to_numpy() == "a", 2] = np.nan
    found = mixed_model(fields, "mif", ["arm", "age"], **ask).groupby("y", sort=False).first()
    assert found["reason"].str[:8].tolist()[:3] == ["constant", "not more", "a variab"]
    assert found["q"].notna().sum() == 3
    with pytest.raises(UnitError, match="rows are acquisitions, not subjects; say unit='acquisition'"):
        mixed_model(fields, "mif", "arm", unit="subject")
    with pytest.raises(ParameterError, match="explains numbers, and these are categorical: 'arm'"):
        mixed_model(fields, "arm", "age", **ask)
    with pytest.raises(ParameterError, match="no random 'patient'; known: 'subject', 'specimen'"):
        mixed_model(fields, "mif", "age", random="patient", **ask)
    fields.obs["one"] = "x"
    with pytest.raises(ParameterError, match="has one category only"):
        mixed_model(fields, "mif", "one", **ask)
    fields.obs["one"] = 1.0
    with pytest.raises(ParameterError, match="terms that do not vary among the 52 complete rows: 'one'"):
        mixed_model(fields, "mif", "one", **ask)
    del fields.obs["specimen_id"]
    with pytest.raises(ParameterError, match="do not say their specimen_id; random='subject' does without"):
        mixed_model(fields, "mif", "age", random="subject/specimen", **ask)


def test_a_cohort_of_subjects_has_nothing_random(make_cohort: MakeCohort) -> None:
    cohort = make_cohort(a={"x": np.arange(8.0)}, obs={"age": np.arange(8.0)})
    with pytest.raises(UnitError, match="no subject has two subjects"):
        mixed_model(cohort, "x", "age", unit="subject")
