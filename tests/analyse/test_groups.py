"""Groups are compared within strata and with covariates taken out, as R and every possible order say."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from integrate.analyse.associate import associate
from integrate.analyse.compare import compare_groups, compare_two_groups
from integrate.analyse.within import compare_adjusted, compare_in_strata
from integrate.errors import ParameterError
from integrate.join.cohort import Cohort

MakeCohort = Callable[..., Cohort]
FIXTURES = Path(__file__).parent / "fixtures"
R: dict[str, Any] = json.loads((FIXTURES / "groups.json").read_text(encoding="utf-8"))
FIRTH: dict[str, Any] = json.loads((FIXTURES / "firth.json").read_text(encoding="utf-8"))


@pytest.fixture
def people(make_cohort: MakeCohort) -> Cohort:
    table = {name: np.array(values) for name, values in R["table"].items() if name != "event"}
    numbers = {name: table.pop(name).astype(float) for name in ("marker", "age")}
    return make_cohort(obs={**table, **numbers})


def asked(cohort: Cohort, x: Any, y: str, **more: Any) -> Any:
    return associate(cohort, x, y, unit="subject", **more).iloc[0]


def test_van_elterens_test_has_the_mean_and_variance_of_all_orders() -> None:
    values = np.array([1.0, 2, 2, 5, 3, 1, 4, 4])
    first, strata = np.array([1, 0, 1, 0, 1, 0, 0, 1]), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    parts = []
    for layer in (0, 1):
        rows = np.flatnonzero(strata == layer)
        ranks = stats.rankdata(values[rows])
        sums = [ranks[list(chosen)].sum() for chosen in itertools.combinations(range(4), 2)]
        parts.append([total / 5 for total in sums])  # weight 1 / (size + 1)
    null = np.array([a + b for a in parts[0] for b in parts[1]])
    observed = sum(stats.rankdata(values[strata == layer])[first[strata == layer] == 1].sum() / 5 for layer in (0, 1))
    z = (observed - null.mean()) / null.std()
    found = compare_in_strata(values[:, None], 1 - first, 2, strata, alternative="greater")
    assert found.p[0] == pytest.approx(stats.norm.sf(z), abs=1e-12)
    two = compare_in_strata(values[:, None], 1 - first, 2, strata, alternative="two-sided")
    assert two.p[0] == pytest.approx(2 * stats.norm.sf(abs(z)), abs=1e-12)
    areas = [np.mean([(a > b) + 0.5 * (a == b) for a in values[(strata == s) & (first == 1)]
                      for b in values[(strata == s) & (first == 0)]]) for s in (0, 1)]  # fmt: skip
    assert found.effect[0] == pytest.approx(2 * np.mean(areas) - 1)  # equal strata weigh the same
    assert found.ci_low[0] < found.effect[0] < found.ci_high[0]


def test_one_stratum_is_no_stratum() -> None:
    rng = np.random.default_rng(0)
    values, codes = rng.normal(size=(40, 5)).round(1), rng.integers(0, 3, 40)
    values[rng.random(values.shape) < 0.1] = np.nan
    one = np.zeros(40, dtype=int)
    found, plain = compare_in_strata(values, codes, 3, one, alternative="two-sided"), compare_groups(values, codes, 3)
    np.testing.assert_allclose(found.p, plain.p, rtol=1e-9)
    np.testing.assert_allclose(found.effect, plain.effect, rtol=1e-9)
    np.testing.assert_array_equal(found.counts, plain.counts)
    pair = compare_in_strata(values, codes % 2, 2, one, alternative="two-sided")
    alone = compare_two_groups(values, codes % 2 == 0, alternative="two-sided")
    for ours, theirs in zip(pair[:3], alone[:3], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_two_groups_are_the_same_test_as_many() -> None:
    rng = np.random.default_rng(1)
    values, codes, strata = rng.normal(size=(60, 4)).round(1), rng.integers(0, 2, 60), rng.integers(0, 4, 60)
    two = compare_in_strata(values, codes, 2, strata, alternative="two-sided").p
    many = compare_in_strata(values, codes, 3, strata, alternative="two-sided").p  # the third group is empty
    np.testing.assert_allclose(two, many, rtol=1e-9)


def test_quades_test_is_rs(people: Cohort) -> None:
    for group in ("arm", "grade"):
        found = asked(people, "marker", group, adjust="age")
        assert found["p"] == pytest.approx(R["quade"][group]["p"], abs=1e-12)
    assert found["effect"] == pytest.approx(R["quade"]["grade"]["eta2"])
    assert found[["method", "effect_name"]].tolist() == ["adjusted kruskal (Quade)", "eta squared"]
    two = asked(people, "marker", "arm", adjust="age", groups=["b", "a"])
    assert two["method"] == "adjusted mannwhitney (Quade)"
    assert 0 < two["ci_low"] < two["effect"] < two["ci_high"]
    greater = asked(people, "marker", "arm", adjust="age", groups=["b", "a"], alternative="greater")
    assert greater["p"] == pytest.approx(two["p"] / 2)
    assert asked(people, "marker", "arm", adjust="age", strata="site")["p"] < two["p"]


def test_the_difference_of_means_is_rs_analysis_of_covariance(people: Cohort) -> None:
    found = asked(people, "marker", "arm", adjust=["age", "site"], method="ols")
    estimate, error, _, p = R["ancova"]
    assert found[["effect", "p"]].tolist() == pytest.approx([estimate, p], abs=1e-10)
    half = stats.t.ppf(0.975, 90 - 5) * error
    assert found[["ci_low", "ci_high"]].tolist() == pytest.approx([estimate - half, estimate + half], abs=1e-10)
    assert found[["method", "effect_name"]].tolist() == ["adjusted ols (ANCOVA)", "difference of means"]
    in_strata = asked(people, "marker", "arm", adjust="age", strata="site", method="ols")
    assert in_strata["effect"] == pytest.approx(found["effect"])


def test_odds_are_glms(people: Cohort) -> None:
    for name, x, more in (
        ("marker", "marker", {}),
        ("adjusted", "marker", {"adjust": ["age", "site"]}),
        ("adjusted", "marker", {"adjust": "age", "strata": "site"}),
        ("arm", "arm", {"adjust": "age"}),
    ):
        found = asked(people, x, "response", method="logistic", **more)
        effect, error, p = R["logistic"][name]
        assert found[["effect", "p"]].tolist() == pytest.approx([effect, p], abs=1e-6)
        assert (found["ci_high"] - found["ci_low"]) / 2 / 1.959963984540054 == pytest.approx(error, abs=1e-6)
        assert found["effect_name"] == "log odds ratio of yes"
    grades = associate(people, "grade", "response", unit="subject", method="logistic")
    assert grades["groups"].str.partition("; ")[2].tolist() == ["II against I", "III against I"]
    assert (grades["n_obs"] < 90).all()
    assert grades["n_missing"].tolist() == [0, 0]


def test_many_odds_are_statsmodels_one_by_one(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(80, 30)) * np.exp(rng.normal(size=30) * 4)
    x[rng.random(x.shape) < 0.02] = np.nan
    second = rng.random(80) < 0.5
    cohort = make_cohort(rna={f"g{i:02d}": x[:, i] for i in range(30)}, obs={"arm": np.where(second, "b", "a")})
    found = associate(cohort, "rna", "arm", unit="subject", method="logistic")
    for place in range(30):
        known = ~np.isnan(x[:, place])
        theirs = sm.Logit(second[known], sm.add_constant(x[known, place] / x[known, place].std())).fit(disp=0)
        assert found["effect"][place] * x[known, place].std() == pytest.approx(theirs.params[1], abs=1e-6)
        assert found["p"][place] == pytest.approx(theirs.pvalues[1], abs=1e-6)
        assert found["n_obs"][place] == known.sum()


def test_odds_of_what_tells_the_groups_apart_are_firths(make_cohort: MakeCohort) -> None:
    table = {name: np.array(column, dtype=float) for name, column in FIRTH["table"].items()}
    for name in ("response", "apart"):
        table[name] = np.where(table[name] == 1, "yes", "no")
    cohort = make_cohort(obs=table)
    for name, x, y, more in (
        ("rare", "rare", "response", {}),
        ("adjusted", "rare", "response", {"adjust": ["marker", "age"]}),
        ("apart", "age", "apart", {}),
    ):
        found = asked(cohort, x, y, method="logistic", **more)
        theirs = [FIRTH[name][key] for key in ("effect", "low", "high", "p")]
        assert found[["effect", "ci_low", "ci_high", "p"]].tolist() == pytest.approx(theirs, abs=1e-6)
        assert found["method"].endswith("logistic (Firth)")
        assert found["reason"] == "it tells the groups apart (separation): of a penalised likelihood"
    assert asked(cohort, "marker", "response", method="logistic")["method"] == "logistic"  # has odds of its own


def test_odds_of_a_twin_or_a_constant_are_missing(make_cohort: MakeCohort) -> None:
    x = np.arange(20.0)
    nearly = np.where((x < 10) | (x == 12), "no", "yes")
    cohort = make_cohort(obs={"x": x, "one": np.ones(20), "twice": 2 * x, "nearly": nearly})
    assert asked(cohort, "x", "nearly", method="logistic")[["method", "reason"]].tolist() == ["logistic", ""]
    assert asked(cohort, "one", "nearly", method="logistic")["reason"] == "constant"
    twin = asked(cohort, "x", "nearly", method="logistic", adjust="twice")
    assert twin["reason"] == "it follows from the covariates"
    assert np.isnan(twin["effect"])


def test_firths_odds_follow_a_change_of_scale(make_cohort: MakeCohort) -> None:
    x = np.arange(20.0)
    mirrored = make_cohort(obs={"x": x, "far": 1e6 - 1e3 * x, "apart": np.where(x < 10, "no", "yes")})
    one, other = (asked(mirrored, name, "apart", method="logistic") for name in ("x", "far"))
    assert one["ci_low"] > 0
    assert [-1e3 * other[key] for key in ("effect", "ci_high", "ci_low")] == pytest.approx(
        [one[key] for key in ("effect", "ci_low", "ci_high")], rel=1e-6
    )
    assert one["p"] == pytest.approx(other["p"], rel=1e-6)


def test_categories_within_strata_are_rs_mantelhaen(people: Cohort) -> None:
    found = asked(people, "arm", "response", strata="site")
    assert found["p"] == pytest.approx(R["cmh"]["p"], abs=1e-12)
    odds = np.exp(found[["effect", "ci_low", "ci_high"]].astype(float)).tolist()
    assert odds == pytest.approx([R["cmh"][key] for key in ("odds", "low", "high")], abs=1e-9)
    assert found[["method", "effect_name"]].tolist() == [
        "Cochran-Mantel-Haenszel", "log odds ratio (Mantel-Haenszel)",
    ]  # fmt: skip
    assert asked(people, "grade", "response", strata="site")["p"] == pytest.approx(R["wide"]["p"], abs=1e-12)
    three = asked(people, "grade", "site", strata="arm")
    assert three["p"] == pytest.approx(R["three"]["p"], abs=1e-12)
    assert 0 < three["effect"] < 1


def test_what_a_confounder_made_goes_and_what_is_there_stays(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(5)
    site = rng.integers(0, 3, 150)
    arm = np.where(rng.random(150) < 0.2 + 0.3 * site, "b", "a")
    columns = {"made": 2.0 * site + rng.normal(size=150), "real": 2.0 * site + (arm == "b") + rng.normal(size=150)}
    cohort = make_cohort(mif=columns, obs={"arm": arm, "site": np.array(list("nse"))[site]})
    plain = associate(cohort, "mif", "arm", unit="subject", groups=["b", "a"]).set_index("x")
    for more in ({"strata": "site"}, {"adjust": "site"}):
        within = associate(cohort, "mif", "arm", unit="subject", groups=["b", "a"], **more).set_index("x")
        assert plain.loc["mif/made", "p"] < 1e-4
        assert within.loc["mif/made", "p"] > 0.05
        assert within.loc["mif/real", "ci_low"] > 0


@pytest.mark.parametrize("kind", ["strata", "adjust"])
def test_where_nothing_is_one_in_twenty_is_found(kind: str) -> None:
    rng = np.random.default_rng(11)
    site = rng.integers(0, 4, 60)
    values = rng.exponential(size=(60, 2000)) + site[:, None]
    for groups in (2, 3):
        codes = rng.integers(0, groups, 60)
        if kind == "strata":
            found = compare_in_strata(values, codes, groups, site, alternative="two-sided")
        else:
            found = compare_adjusted(values, codes, groups, site[:, None] * 1.0, None, alternative="two-sided")
        assert 0.03 < (found.p < 0.05).mean() < 0.07


def test_the_limits_within_strata_cover_the_effect_in_95_percent() -> None:
    rng = np.random.default_rng(2)
    strata, codes = np.repeat([0, 1, 2], 20), np.tile([0, 1], 30)
    values = rng.normal(size=(60, 1500)) + 3.0 * strata[:, None] + 0.8 * (codes == 0)[:, None]
    found = compare_in_strata(values, codes, 2, strata, alternative="two-sided")
    truth = 2 * stats.norm.cdf(0.8 / np.sqrt(2)) - 1
    inside = ((found.ci_low < truth) & (truth < found.ci_high)).mean()
    assert 0.93 < inside < 0.98


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": "arm", "y": "marker", "method": "logistic"}, "'logistic' explains a categorical y"),
        ({"x": "marker", "y": "grade", "method": "logistic"}, "'grade' has 3 groups, and odds are of one against one"),
        ({"x": "arm", "y": "grade", "adjust": "age"}, "two categorical variables are adjusted by method='logistic'"),
        ({"x": "arm", "y": "response", "strata": "site", "method": "fisher"}, "'fisher' knows no strata"),
        ({"x": "marker", "y": "arm", "adjust": "age", "fdr": "permutation"}, "units cannot be shuffled where"),
        ({"x": "marker", "y": "arm", "method": "ols", "alternative": "less"}, "alternative= belongs to"),
    ],
)
def test_questions_that_cannot_be_adjusted_are_refused(people: Cohort, arguments: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        associate(people, unit="subject", **arguments)


def test_where_nobody_has_a_stratum_or_a_covariate_nothing_is_said(people: Cohort) -> None:
    people.obs["ward"] = pd.Categorical([None] * 90, categories=["u"])
    people.obs["height"] = np.nan
    for more in ({"strata": "ward"}, {"adjust": "height"}):
        for method in ("auto", "ols", "logistic"):
            found = asked(people, "marker", "arm", method=method, **more)
            assert np.isnan(found["effect"])
            assert found["reason"] != ""
            assert found[["n_obs", "n_missing"]].tolist() == [0, 90]


def test_missing_strata_and_covariates_count_as_missing(people: Cohort) -> None:
    people.obs["site"] = pd.Series(people.obs["site"]).where(np.arange(90) > 4)
    people.obs.loc[people.obs.index[10:12], "age"] = np.nan
    for more, missing in (({"strata": "site"}, 5), ({"adjust": "age"}, 2), ({"strata": "site", "adjust": "age"}, 7)):
        for method in ("auto", "ols", "logistic"):
            found = asked(people, "marker", "arm", method=method, **more)
            assert found[["n_obs", "n_missing"]].tolist() == [90 - missing, missing]
