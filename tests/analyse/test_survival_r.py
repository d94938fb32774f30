"""Survival is what R's survival and cmprsk compute on people with ties, strata and clusters."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from integrate.analyse import cox_kernels
from integrate.analyse.cox import cox, cox_scan
from integrate.analyse.fdr import adjust_p_values
from integrate.analyse.gray import compare_incidence
from integrate.analyse.hazards import proportional_hazards
from integrate.analyse.incidence import cumulative_incidence
from integrate.analyse.logrank import logrank
from integrate.analyse.restricted_mean import restricted_mean_survival
from integrate.analyse.survival import kaplan_meier
from integrate.errors import DataError, IntegrateWarning, ParameterError, UnitError
from integrate.join.cohort import Cohort
from integrate.model.outcome import TimeToEvent

MakeCohort = Callable[..., Cohort]
R: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "survival.json").read_text(encoding="utf-8"))


def outcome_of(cohort: Cohort, cause: int = 1) -> TimeToEvent:
    table = cohort.obs.assign(event=(cohort.obs["cause"] == cause).where(cohort.obs["cause"].notna()))
    return TimeToEvent.from_columns(table, time="time", event="event", unit="mo", origin="surgery")


@pytest.fixture
def people(make_cohort: MakeCohort) -> Cohort:
    table = {name: np.array(values) for name, values in R["table"].items() if name != "event"}
    table["time"] = table["time"].astype(float)
    heavy = {f"h{i}": one["x"] for i, one in enumerate(R["heavy"])}
    return make_cohort(obs=table, rna=heavy)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("plain", {}),
        ("strata", {"strata": "site"}),
        ("cluster", {"cluster": "family"}),
        ("cluster_strata", {"cluster": "family", "strata": "site"}),
    ],
)
def test_cox_is_coxph(people: Cohort, name: str, more: dict[str, str]) -> None:
    found = cox(people, outcome_of(people), ["age", "drug"], unit="subject", **more)  # type: ignore[arg-type]
    np.testing.assert_allclose(found["effect"], R[name]["coef"], rtol=0, atol=1e-6)
    np.testing.assert_allclose((found["ci_high"] - found["ci_low"]) / 2 / 1.959963984540054, R[name]["se"], atol=1e-6)
    np.testing.assert_allclose(found["p"], R[name]["p"], rtol=0, atol=1e-6)
    scan = cox_scan(people, outcome_of(people), "age", adjust="drug", unit="subject", transform=None, **more)  # type: ignore[arg-type]
    assert scan[["effect", "p"]].iloc[0].tolist() == pytest.approx(found[["effect", "p"]].iloc[0].tolist(), abs=1e-9)


def test_cox_of_heavy_tails_is_coxph(people: Cohort) -> None:
    found = cox_scan(people, outcome_of(people), "rna", unit="subject", transform=None)
    np.testing.assert_allclose(found["effect"], [one["coef"] for one in R["heavy"]], rtol=0, atol=1e-6)
    tail = cox(people, outcome_of(people), "tail", unit="subject").iloc[0]
    assert tail[["effect", "p"]].tolist() == pytest.approx([R["tail"]["coef"], R["tail"]["p"]], abs=1e-6)


def test_step_halving_matters(people: Cohort) -> None:
    rng = np.random.default_rng(1)
    given = outcome_of(people)
    order = np.argsort(-given.time.to_numpy(), kind="stable")
    time, event, stratum = given.time.to_numpy()[order], given.event.to_numpy(bool)[order], np.zeros(120, np.int64)
    strayed = 0
    for _ in range(40):
        x = np.exp(rng.normal(0, 4, (120, 1)))
        x = (x - x.mean()) / x.std()
        beta, covariance = np.zeros(1), np.zeros((1, 1))
        ended = cox_kernels.fit_cox(x, time, event, stratum, beta, covariance)
        plain, score, information = np.zeros(1), np.zeros(1), np.zeros((1, 1))
        for _ in range(30):  # Newton without looking back
            value = cox_kernels.partial_likelihood(x, time, event, stratum, plain, score, information)
            if not (np.isfinite(value) and information[0, 0] > 0):
                break
            plain = plain + score / information[0, 0]
        best = cox_kernels.partial_likelihood(x, time, event, stratum, beta, score, information)
        strays = not np.isfinite(plain[0]) or abs(plain[0] - beta[0]) > 1e-3
        strayed += ended == cox_kernels.FOUND and strays
        if ended == cox_kernels.FOUND and np.isfinite(plain[0]):
            reached = cox_kernels.partial_likelihood(x, time, event, stratum, plain, score, information)
            assert not reached > best + 1e-9
    assert strayed > 0


def test_curves_and_tests_are_survfits_and_survdiffs(people: Cohort) -> None:
    curve = kaplan_meier(people, outcome_of(people), unit="subject", by="drug")
    ours = curve[curve["time"] > 0].reset_index(drop=True)
    assert ours["group"].tolist() == R["km"]["group"]
    for column, theirs in {
        "time": "time",
        "survival": "surv",
        "ci_low": "low",
        "ci_high": "high",
        "n_at_risk": "n",
    }.items():
        expected = np.array(R["km"][theirs], dtype=float)
        if column == "ci_high":
            expected = np.minimum(expected, 1)
        np.testing.assert_allclose(ours[column], expected, rtol=0, atol=1e-9)
    for by, strata, name in (("drug", (), "chisq"), ("drug", "site", "stratified"), ("site", (), "sites")):
        found = logrank(people, outcome_of(people), by, unit="subject", strata=strata).iloc[0]
        assert found["statistic"] == pytest.approx(R["logrank"][name], abs=1e-9)


@pytest.mark.parametrize(("name", "strata"), [("zph", ()), ("zph_strata", "site")])
def test_proportional_hazards_is_cox_zph(people: Cohort, name: str, strata: Any) -> None:
    found = proportional_hazards(people, outcome_of(people), ["age", "drug"], unit="subject", strata=strata)
    assert found["x"].tolist() == ["age", "drug[yes]", "all terms"]
    np.testing.assert_allclose(found["statistic"], R[name]["chisq"], rtol=1e-6)
    np.testing.assert_allclose(found["p"], R[name]["p"], rtol=0, atol=1e-6)


def test_an_effect_that_fades_is_seen(make_cohort: MakeCohort) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    early = rng.exponential(np.exp(-1.5 * x))
    time = np.where(early < 0.5, early, 0.5 + rng.exponential(size=400))
    cohort = make_cohort(obs={"x": x, "z": rng.normal(size=400), "time": time, "cause": np.ones(400)})
    p = proportional_hazards(cohort, outcome_of(cohort), ["x", "z"], unit="subject").set_index("x")["p"]
    assert p["x"] < 1e-6 < 0.01 < p["z"]


def test_restricted_mean_is_survfits(people: Cohort) -> None:
    found = restricted_mean_survival(people, outcome_of(people), unit="subject", horizon=25, by="drug").set_index("x")
    np.testing.assert_allclose(found.loc[["no", "yes"], "effect"], R["rmst"]["mean"], rtol=1e-9)
    np.testing.assert_allclose(found.loc[["no", "yes"], "se"], R["rmst"]["se"], rtol=1e-9)
    apart = found.loc["yes - no"]
    assert apart["effect"] == pytest.approx(np.diff(R["rmst"]["mean"])[0])
    assert apart["se"] == pytest.approx(np.hypot(*R["rmst"]["se"]))
    with pytest.raises(ParameterError, match=r"nobody of 'no' is followed to horizon=99; the last is at"):
        restricted_mean_survival(people, outcome_of(people), unit="subject", horizon=99, by="drug")


def test_cumulative_incidence_is_cmprsks(people: Cohort) -> None:
    first, second = outcome_of(people), outcome_of(people, cause=2)
    for cause, pair in ((1, (first, second)), (2, (second, first))):
        found = cumulative_incidence(people, *pair, unit="subject", by="drug")
        for group, rows in found.groupby("group"):
            place = R["cif"]["names"].index(f"{group} {cause}")
            at = rows["time"].searchsorted(R["cif"]["at"], side="right") - 1
            np.testing.assert_allclose(rows["incidence"].iloc[at], R["cif"]["est"][place], rtol=0, atol=1e-9)
            early = at[:4]  # while more than a few are at risk the two estimates of the variance agree
            np.testing.assert_allclose(rows["variance"].iloc[early], R["cif"]["var"][place][:4], rtol=0.05)


@pytest.mark.parametrize("name", ["arm", "grade", "arm_by_site", "grade_by_site", "grade_coarse"])
@pytest.mark.parametrize("cause", [1, 2])
def test_grays_test_is_cmprsks(make_cohort: MakeCohort, name: str, cause: int) -> None:
    theirs = json.loads((Path(__file__).parent / "fixtures" / "incidence.json").read_text(encoding="utf-8"))
    table = {column: np.array(values) for column, values in theirs["table"].items()}
    table["time"] = table["coarse" if name.endswith("coarse") else "time"].astype(float)
    cohort = make_cohort(obs=table)
    mine, other = outcome_of(cohort, cause), outcome_of(cohort, 3 - cause)
    strata = "site" if name.endswith("site") else ()
    found = compare_incidence(cohort, mine, other, name.partition("_")[0], unit="subject", strata=strata).iloc[0]
    expected = {key: theirs[name][key][cause - 1] for key in ("stat", "p", "df")}
    assert found[["statistic", "p", "df"]].tolist() == pytest.approx(list(expected.values()), abs=1e-9)
    assert found["method"] == ("stratified Gray" if strata else "Gray")
    assert np.isnan(found["effect"]) == (expected["df"] == 2)
    assert bool(found["reason"]) == (expected["df"] == 2)


def test_incidences_of_all_causes_and_survival_are_everybody(people: Cohort) -> None:
    one, two = outcome_of(people), outcome_of(people, cause=2)
    table = people.obs.assign(any=people.obs["cause"] > 0)
    either = TimeToEvent.from_columns(table, time="time", event="any", unit="mo", origin="surgery")
    mine = cumulative_incidence(people, one, two, unit="subject").set_index("time")
    other = cumulative_incidence(people, two, one, unit="subject").set_index("time")
    alive = kaplan_meier(people, either, unit="subject").set_index("time")["survival"]
    np.testing.assert_allclose(mine["incidence"] + other["incidence"] + alive.loc[mine.index], 1, atol=1e-12)
    assert ((mine["ci_low"] <= mine["incidence"]) & (mine["incidence"] <= mine["ci_high"])).all()
    assert mine["ci_high"].max() <= 1
    with pytest.raises(DataError, match=r"have both events in the competing outcome"):
        cumulative_incidence(people, one, either, unit="subject")


def test_adjusted_p_values_are_r_s() -> None:
    for method, name in {"bh": "BH", "by": "BY", "bonferroni": "bonferroni"}.items():
        np.testing.assert_allclose(adjust_p_values(R["adjust"]["p"], method=method), R["adjust"][name], atol=1e-14)


def test_several_rows_of_a_subject_need_a_cluster(make_cohort: MakeCohort, people: Cohort) -> None:
    obs = {name: np.repeat(people.obs[name].to_numpy(), 2) for name in ("age", "time", "cause")}
    owners = [name for name in people.obs.index for _ in range(2)]
    twice = make_cohort(unit="acquisition", of=owners, obs=obs)
    ask: dict[str, Any] = {"unit": "acquisition"}
    with pytest.raises(UnitError, match=r"event would be counted again.*cluster='subject_id' to cox"):
        cox(twice, outcome_of(twice), "age", **ask)
    found = cox(twice, outcome_of(twice), "age", cluster="subject_id", **ask).iloc[0]
    once = cox(people, outcome_of(people), "age", unit="subject").iloc[0]
    assert (found["n_obs"], found["n_subjects"]) == (240, 120)
    width = [one["ci_high"] - one["ci_low"] for one in (found, once)]
    assert width[0] == pytest.approx(width[1], rel=0.25)  # two copies say no more than one
    with pytest.warns(IntegrateWarning, match="robust errors of 3 clusters are too small"):
        cox(people, outcome_of(people), "age", cluster="site", unit="subject")
