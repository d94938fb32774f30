"""Survival is R's, an obvious version's and the planted truth's, and nobody dies twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.datasets import load_lung, load_rossi
from lifelines.statistics import multivariate_logrank_test
from scipy import optimize, stats

from integrate.analyse.cox import cox, cox_scan
from integrate.analyse.fdr import adjust_p_values
from integrate.analyse.logrank import logrank
from integrate.analyse.results import COLUMNS
from integrate.analyse.survival import at_risk, kaplan_meier, median_survival
from integrate.datasets.cohort import Effects, plan_cohort
from integrate.errors import DataError, ParameterError, UnitError
from integrate.join.cohort import Cohort
from integrate.model.outcome import TimeToEvent

MakeCohort = Callable[..., Cohort]

# library(survival); coxph(Surv(week, arrest) ~ fin + age + race + wexp + mar + paro + prio, data = Rossi)
# as printed by R in Fox & Weisberg, "Cox proportional-hazards regression for survival data in R" (coef, se(coef), p)
ROSSI = {
    "fin": (-0.37942, 0.19138, 0.04742),
    "age": (-0.05744, 0.02200, 0.00903),
    "race": (0.31390, 0.30799, 0.30812),
    "wexp": (-0.14980, 0.21222, 0.48029),
    "mar": (-0.43370, 0.38187, 0.25606),
    "paro": (-0.08487, 0.19576, 0.66461),
    "prio": (0.09150, 0.02865, 0.00140),
}
# coxph(Surv(week, arrest) ~ fin + age + strata(race, paro, mar, wexp) + prio), of lifelines' tests against R
ROSSI_STRATIFIED = [-0.3355, -0.0590, 0.1002]


def outcome_of(cohort: Cohort, time: str = "time", event: str = "event") -> TimeToEvent:
    return TimeToEvent.from_columns(cohort.obs, time=time, event=event, unit="d", origin="start")


@pytest.fixture
def rossi(make_cohort: MakeCohort) -> Cohort:
    table = load_rossi().rename(columns={"week": "time", "arrest": "event"})
    table["time"] = table["time"].astype(float)
    return make_cohort(obs={name: table[name].to_numpy() for name in table})


@pytest.fixture
def lung(make_cohort: MakeCohort) -> Cohort:
    table = load_lung()
    obs = {"time": table["time"].astype(float).to_numpy(), "event": table["status"].to_numpy()}
    return make_cohort(obs={**obs, "sex": table["sex"].astype(str).to_numpy(), "age": table["age"].to_numpy(float)})


def made(make_cohort: MakeCohort, n: int, *, seed: int, ties: bool) -> Cohort:
    """Return a cohort with tied or untied times, groups, strata, covariates and missing values."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    waiting = rng.exponential(np.exp(-0.6 * x[:, 0] + 0.3 * x[:, 1]))
    last = rng.exponential(1.5, n)
    time = np.minimum(waiting, last)
    time = np.ceil(time * 4) if ties else time
    x[rng.random((n, 3)) < 0.05] = np.nan
    site = pd.Categorical(rng.choice(["a", "b", "c"], n))
    arm = pd.Categorical(rng.choice(["control", "drug", "both"], n), categories=["control", "drug", "both"])
    features = {f"f{i}": x[:, i] for i in range(3)}
    return make_cohort(rna=features, obs={"time": time, "event": waiting <= last, "site": site, "arm": arm})


def likelihood(beta: Any, x: Any, time: Any, event: Any, strata: Any) -> float:
    """Return Efron's log partial likelihood, death by death, with the risk set looked up for each."""
    total = 0.0
    for layer in np.unique(strata):
        for now in np.unique(time[event & (strata == layer)]):
            risk = np.exp(x[(strata == layer) & (time >= now)] @ beta)
            dying = x[(strata == layer) & (time == now) & event]
            total += float((dying @ beta).sum())
            for number in range(len(dying)):
                total -= np.log(risk.sum() - number / len(dying) * np.exp(dying @ beta).sum())
    return total


def test_cox_is_what_r_prints_for_rossi(rossi: Cohort) -> None:
    found = cox(rossi, outcome_of(rossi), list(ROSSI), unit="subject").set_index("x")
    assert found["n_obs"].unique().tolist() == [432]
    assert found["n_events"].unique().tolist() == [114]
    for name, (effect, error, p) in ROSSI.items():
        row = found.loc[name]
        assert row["effect"] == pytest.approx(effect, abs=5.1e-6)
        assert (row["ci_high"] - row["ci_low"]) / (2 * 1.959964) == pytest.approx(error, abs=5.1e-6)
        assert row["p"] == pytest.approx(p, abs=5.1e-6)
        assert row["hr"] == pytest.approx(np.exp(row["effect"]))


def test_stratified_cox_is_rs(rossi: Cohort) -> None:
    for name in ("race", "paro", "mar", "wexp"):
        rossi.obs[name] = rossi.obs[name].astype(str)
    strata = ["race", "paro", "mar", "wexp"]
    found = cox(rossi, outcome_of(rossi), ["fin", "age", "prio"], unit="subject", strata=strata)
    np.testing.assert_allclose(found["effect"], ROSSI_STRATIFIED, atol=5.1e-5)


@pytest.mark.parametrize("ties", [False, True])
def test_cox_and_scan_are_lifelines_and_the_obvious_likelihoods(make_cohort: MakeCohort, ties: bool) -> None:
    cohort = made(make_cohort, 120, seed=3, ties=ties)
    outcome = outcome_of(cohort)
    terms = ["f0", "f1", "arm"]
    found = cox(cohort, outcome, terms, unit="subject", strata="site").set_index("x")
    table = cohort.obs.assign(f0=cohort.values("f0"), f1=cohort.values("f1"))
    table = table.assign(drug=(table["arm"] == "drug") * 1.0, both=(table["arm"] == "both") * 1.0).dropna()
    used = table[["time", "event", "f0", "f1", "drug", "both", "site"]].astype({"site": str})
    fitted = CoxPHFitter().fit(used, "time", "event", strata=["site"], fit_options={"precision": 1e-12})
    assert found.index.tolist() == ["rna/f0", "rna/f1", "arm[drug]", "arm[both]"]
    np.testing.assert_allclose(found["effect"], fitted.params_, atol=1e-6)
    np.testing.assert_allclose(found["ci_low"], fitted.confidence_intervals_.iloc[:, 0], atol=1e-6)
    np.testing.assert_allclose(found["p"], fitted.summary["p"], atol=1e-6)
    x = used[["f0", "f1", "drug", "both"]].to_numpy(float)
    arguments = (x, used["time"].to_numpy(), used["event"].to_numpy(bool), used["site"].to_numpy())
    peak = optimize.minimize(lambda b: -likelihood(b, *arguments), np.zeros(4), tol=1e-10)
    np.testing.assert_allclose(found["effect"], peak.x, atol=1e-4)
    best = likelihood(found["effect"].to_numpy(), *arguments)
    assert best >= -peak.fun - 1e-9

    scan = cox_scan(cohort, outcome, "rna", unit="subject", adjust="arm", strata="site", transform=None)
    assert tuple(scan.columns) == ("x", *COLUMNS, "hr", "hr_low", "hr_high", "n_events", "reason")
    for row, feature in enumerate(("f0", "f1", "f2")):
        alone = cox(cohort, outcome, [feature, "arm"], unit="subject", strata="site").iloc[0]
        same = ["x", "effect", "ci_low", "ci_high", "p", "n_obs", "n_events", "n_missing"]
        pd.testing.assert_series_equal(scan.loc[row, same], alone[same], check_names=False, atol=1e-9)
    np.testing.assert_allclose(scan["q"], adjust_p_values(scan["p"]))


def test_rows_in_another_order_and_time_in_another_unit_change_nothing(make_cohort: MakeCohort) -> None:
    cohort = made(make_cohort, 80, seed=5, ties=True)
    first = cox_scan(cohort, outcome_of(cohort), "rna", unit="subject")
    shuffled = cohort.obs.sample(frac=1, random_state=0)
    shuffled["time"] = shuffled["time"] * 30.4375
    outcome = TimeToEvent.from_columns(shuffled, time="time", event="event", unit="d", origin="start")
    second = cox_scan(cohort, outcome, "rna", unit="subject")
    np.testing.assert_allclose(first["effect"], second["effect"], rtol=1e-9)


def test_ranks_make_the_scan_blind_to_any_rising_scale(make_cohort: MakeCohort) -> None:
    cohort = made(make_cohort, 80, seed=6, ties=False)
    before = cox_scan(cohort, outcome_of(cohort), "rna", unit="subject")
    cohort.assays["rna"].X[:] = np.exp(3 * cohort.assays["rna"].X)
    after = cox_scan(cohort, outcome_of(cohort), "rna", unit="subject")
    np.testing.assert_allclose(before["effect"], after["effect"], rtol=1e-9)
    assert before["effect_name"].unique().tolist() == ["log hazard ratio per SD of ranks"]


def test_a_heavy_tail_does_not_send_the_estimate_astray(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(2)
    tail = np.exp(rng.normal(0, 3, 150))  # skewness 11
    obs = {"time": rng.exponential(size=150), "event": rng.random(150) < 0.4}
    cohort = make_cohort(rna={"tail": tail}, obs=obs)
    found = cox_scan(cohort, outcome_of(cohort), "tail", unit="subject", transform=None).iloc[0]
    x, strata = (tail / tail.std())[:, None], np.zeros(150)
    grid = np.linspace(-30, 5, 1401)
    values = [likelihood(np.array([b]), x, obs["time"], obs["event"], strata) for b in grid]
    assert found["effect"] * tail.std() == pytest.approx(grid[int(np.argmax(values))], abs=0.05)


def test_a_step_too_long_for_floats_is_taken_back(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(2)
    tails = np.exp(rng.normal(0, 4, (60, 150)))
    obs = {"time": rng.exponential(size=150), "event": rng.random(150) < 0.4}
    cohort = make_cohort(rna={f"g{i}": tail for i, tail in enumerate(tails)}, obs=obs)
    scan = cox_scan(cohort, outcome_of(cohort), "rna", unit="subject", transform=None)
    assert ((scan["reason"] == "") == scan["effect"].notna()).all()
    assert scan["effect"].notna().sum() > 30
    strata = np.zeros(150)
    for row in scan[scan["reason"] == ""].head(8).itertuples():
        x = tails[row.Index][:, None] / tails[row.Index].std()
        at = row.effect * tails[row.Index].std()
        near = [likelihood(np.array([at + d]), x, obs["time"], obs["event"], strata) for d in (-0.01, 0, 0.01)]
        assert max(near) == near[1]


def test_what_has_no_estimate_says_why(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(0)
    event = np.arange(40) % 2 == 0
    time = rng.exponential(size=40) + 1
    age = rng.normal(size=40)
    features = {
        "flat": np.ones(40), "tells": event * 1.0, "age2": 2 * age + 1, "empty": np.full(40, np.nan),
        "fine": rng.normal(size=40),
    }  # fmt: skip
    features["empty"][1] = 3.0
    cohort = make_cohort(rna=features, obs={"time": time, "event": event, "age": age})
    scan = cox_scan(cohort, outcome_of(cohort), "rna", unit="subject", adjust="age", transform=None).set_index("x")
    assert scan["reason"].str[:11].to_dict() == {
        "rna/flat": "constant", "rna/tells": "no finite e", "rna/age2": "it follows ", "rna/empty": "no event am",
        "rna/fine": "",
    }  # fmt: skip
    assert scan["effect"].notna().sum() == scan["q"].notna().sum() == 1
    assert scan.loc["rna/fine", "q"] == scan.loc["rna/fine", "p"]  # what was not asked is not in the family
    assert scan.loc["rna/empty", ["n_obs", "n_missing"]].tolist() == [1, 39]
    for name, message in (("flat", "constant among"), ("tells", "no finite estimate"), ("age2", "it follows from")):
        with pytest.raises(ParameterError, match=message):
            cox(cohort, outcome_of(cohort), [name, "age"], unit="subject")


def test_kaplan_meier_is_what_r_prints_for_lung(lung: Cohort) -> None:
    # survfit(Surv(time, status) ~ 1, lung): 228 165 310 285 363; ~ sex: 138 112 270 212 310; 90 53 426 348 550
    outcome = outcome_of(lung)
    curve = kaplan_meier(lung, outcome, unit="subject")
    assert median_survival(curve).iloc[0].tolist() == ["all", 228, 165, 310, 285, 363]
    by_sex = kaplan_meier(lung, outcome, unit="subject", by="sex")
    assert median_survival(by_sex).to_numpy().tolist() == [["1", 138, 112, 270, 212, 310], ["2", 90, 53, 426, 348, 550]]
    assert at_risk(by_sex, [0, 250, 500, 750, 1000]).to_numpy().tolist() == [[138, 62, 20, 7, 2], [90, 53, 21, 3, 0]]


def test_kaplan_meier_is_the_product_taken_by_hand_and_lifelines(make_cohort: MakeCohort) -> None:
    cohort = made(make_cohort, 60, seed=8, ties=True)
    outcome = outcome_of(cohort)
    curve = kaplan_meier(cohort, outcome, unit="subject")
    time, event = outcome.time.to_numpy(), outcome.event.to_numpy(bool)
    for row in curve.itertuples():
        alive = 1.0
        for now in sorted(set(time[event & (time <= row.time)])):
            alive *= 1 - (event & (time == now)).sum() / (time >= now).sum()
        assert row.survival == pytest.approx(alive)
        assert row.n_at_risk == (time >= row.time).sum()
    fitted = KaplanMeierFitter().fit(time, event).survival_function_["KM_estimate"]
    np.testing.assert_allclose(curve["survival"], fitted.loc[curve["time"]], atol=1e-12)
    assert curve["n_events"].sum() + curve["n_censored"].sum() == 60


def test_logrank_is_what_r_prints_for_lung(lung: Cohort) -> None:
    # survdiff(Surv(time, status) ~ sex, lung): observed 112, 53; expected 91.6, 73.4; Chisq = 10.3 on 1 df, p = 0.001
    found = logrank(lung, outcome_of(lung), "sex", unit="subject").iloc[0]
    assert found["groups"] == "1 = 138 (112 events, 91.6 expected), 2 = 90 (53 events, 73.4 expected)"
    assert round(found["statistic"], 1) == 10.3
    assert round(found["p"], 3) == 0.001


@pytest.mark.parametrize("ties", [False, True])
def test_logrank_of_three_groups_is_lifelines(make_cohort: MakeCohort, ties: bool) -> None:
    cohort = made(make_cohort, 90, seed=9, ties=ties)
    found = logrank(cohort, outcome_of(cohort), "arm", unit="subject").iloc[0]
    expected = multivariate_logrank_test(cohort.obs["time"], cohort.obs["arm"].astype(str), cohort.obs["event"])
    assert found["df"] == 2
    assert found["statistic"] == pytest.approx(expected.test_statistic, abs=1e-9)
    assert found["p"] == pytest.approx(expected.p_value, abs=1e-9)


def test_without_ties_the_stratified_logrank_is_coxs_score_test(make_cohort: MakeCohort) -> None:
    cohort = made(make_cohort, 70, seed=10, ties=False)
    cohort.obs["drug"] = pd.Categorical(np.where(cohort.obs["arm"] == "drug", "yes", "no"))
    found = logrank(cohort, outcome_of(cohort), "drug", unit="subject", strata="site").iloc[0]
    x = (cohort.obs["drug"] == "yes").to_numpy(float)[:, None]
    arguments = (x, *(cohort.obs[c].to_numpy() for c in ("time", "event")), cohort.obs["site"].astype(str).to_numpy())
    step = 1e-4
    low, middle, high = (likelihood(np.array([b]), *arguments) for b in (-step, 0.0, step))
    score, information = (high - low) / (2 * step), -(high - 2 * middle + low) / step**2
    assert found["statistic"] == pytest.approx(score**2 / information, rel=1e-5)
    assert found["method"] == "stratified logrank"


def test_unknown_outcomes_and_covariates_are_left_out_and_counted(make_cohort: MakeCohort) -> None:
    cohort = made(make_cohort, 60, seed=11, ties=False)
    cohort.obs.loc[cohort.obs.index[:4], "time"] = np.nan
    lost = int((cohort.obs["time"].isna() | cohort.values("f0").isna()).sum())
    found = cox_scan(cohort, outcome_of(cohort), "f0", unit="subject").iloc[0]
    assert (found["n_obs"], found["n_missing"]) == (60 - lost, lost)
    curve = kaplan_meier(cohort, outcome_of(cohort), unit="subject")
    assert curve.attrs["integrate"]["n_missing"] == 4
    part = TimeToEvent.from_columns(cohort.obs.iloc[10:], time="time", event="event", unit="d", origin="start")
    assert logrank(cohort, part, "arm", unit="subject")["n_missing"].tolist() == [10]


def test_nobody_dies_twice(make_cohort: MakeCohort) -> None:
    owners = [f"S{i // 2}" for i in range(20)]
    cohort = make_cohort(unit="acquisition", of=owners, rna={"a": np.arange(20.0)})
    cohort.obs["time"], cohort.obs["event"] = np.arange(20.0), True
    for unit in ("acquisition", "subject"):
        with pytest.raises(UnitError, match=r"20 acquisitions of 10 subjects.*one event would be counted again"):
            cox_scan(cohort, outcome_of(cohort), "rna", unit=unit)


def test_an_outcome_that_does_not_fit_is_refused(make_cohort: MakeCohort) -> None:
    cohort = made(make_cohort, 30, seed=1, ties=False)
    strange = cohort.obs.rename(index={"S003": "X003"})
    outcome = TimeToEvent.from_columns(strange, time="time", event="event", unit="d", origin="start")
    with pytest.raises(DataError, match=r"1 ids that are no subject of the cohort: 'X003'"):
        kaplan_meier(cohort, outcome, unit="subject")
    cohort.obs["nothing"] = False
    with pytest.raises(DataError, match="no unit has the event"):
        cox(cohort, outcome_of(cohort, event="nothing"), "f0", unit="subject")
    with pytest.raises(ParameterError, match="'f0' is not one categorical variable"):
        logrank(cohort, outcome_of(cohort), "f0", unit="subject")
    with pytest.raises(ParameterError, match="these are categorical: 'arm'"):
        cox_scan(cohort, outcome_of(cohort), ["f0", "arm"], unit="subject")


def planted(make_cohort: MakeCohort, seed: int, n: int) -> Cohort:
    people = plan_cohort(n, seed=seed, effects=Effects())
    stages = ("I", "II", "III", "IV")
    obs: dict[str, Any] = {"stage": [float(stages.index(person.stage)) for person in people]}
    obs |= {"time": [float(person.os_days) for person in people], "event": [person.os_event for person in people]}
    return make_cohort(immune={"density": [person.immune_density for person in people]}, obs=obs)


def test_the_planted_hazard_ratio_is_inside_the_limits_in_at_least_nine_of_ten_studies(
    make_cohort: MakeCohort,
) -> None:
    inside, truth = [], Effects().log_hazard_ratio_per_immune
    for seed in range(40):
        cohort = planted(make_cohort, seed, 60)
        found = cox(cohort, outcome_of(cohort), ["density", "stage"], unit="subject").iloc[0]
        inside.append(found["ci_low"] < truth < found["ci_high"])
    assert np.mean(inside) >= 0.9


def test_where_nothing_is_planted_one_feature_in_twenty_is_found(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(4)
    noise = {f"g{i}": rng.normal(size=100) for i in range(2000)}
    cohort = make_cohort(rna=noise, obs={"time": rng.exponential(size=100), "event": rng.random(100) < 0.6})
    scan = cox_scan(cohort, outcome_of(cohort), "rna", unit="subject")
    assert 0.03 < (scan["p"] < 0.05).mean() < 0.07
    assert stats.kstest(scan["p"], "uniform").pvalue > 0.001
    assert (scan["q"] < 0.05).sum() == 0
