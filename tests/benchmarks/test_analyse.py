"""Speed of scans beside lifelines, statsmodels and SciPy in the same run, results compared; ratios are asserted."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from lifelines import CoxPHFitter
from scipy import stats

from integrate.analyse.associate import associate
from integrate.analyse.cox import cox_scan
from integrate.analyse.mixed import mixed_model
from integrate.join.link import link
from integrate.model.outcome import TimeToEvent
from integrate.model.study import SAMPLE_MAP_COLUMNS, Study

pytestmark = pytest.mark.benchmark


def study_of(names: pd.Index, sample_map: pd.DataFrame | None = None) -> Study:
    rows = pd.DataFrame(sample_map, columns=list(SAMPLE_MAP_COLUMNS))
    identifiers = pd.DataFrame(columns=["source_id", "entity", "entity_id"])
    people = pd.DataFrame(index=names)
    return Study(name="bench", subjects=people, sample_map=rows, identifiers=identifiers, tables={}, datasets={})


def people(n: int) -> pd.Index:
    return pd.Index([f"P{i:04d}" for i in range(n)], name="subject_id", dtype=object)


def test_cox_scan_over_1500_genes_beside_lifelines() -> None:
    rng = np.random.default_rng(0)
    names = people(950)
    genes = pd.DataFrame(rng.normal(size=(950, 1500)), index=names, columns=[f"g{i}" for i in range(1500)])
    cohort = link(study_of(names), unit="subject", rna=genes)
    waiting, last = rng.exponential(np.exp(-0.2 * genes["g0"])) * 900, rng.exponential(400, 950)
    cohort.obs["days"], cohort.obs["died"] = np.ceil(np.minimum(waiting, last)), waiting <= last
    cohort.obs["age"] = rng.normal(60, 10, 950)
    outcome = TimeToEvent.from_columns(cohort.obs, time="days", event="died", unit="d", origin="start")
    cox_scan(cohort, outcome, ["g0", "g1"], unit="subject", adjust="age")  # compiles
    started = time.perf_counter()
    found = cox_scan(cohort, outcome, "rna", unit="subject", adjust="age")
    ours = time.perf_counter() - started
    started = time.perf_counter()
    for place in range(20):
        scores = stats.norm.ppf((stats.rankdata(genes[f"g{place}"]) - 0.375) / 950.25)
        table = cohort.obs[["days", "died", "age"]].assign(gene=scores)
        theirs = CoxPHFitter().fit(table, "days", "died", fit_options={"precision": 1e-12})
        assert found["effect"][place] == pytest.approx(theirs.params_["gene"], abs=1e-6)
        assert found["p"][place] == pytest.approx(theirs.summary["p"]["gene"], abs=1e-6)
    per_fit = (time.perf_counter() - started) / 20
    print(f"\nCox + age, 950 subjects, {int(outcome.n_events)} events: 1,500 genes in {ours:.2f} s; ", end="")
    print(f"lifelines {1000 * per_fit:.0f} ms a gene: {1500 * per_fit / ours:.0f} ×")
    assert 1500 * per_fit > 20 * ours


def test_10_000_mixed_models_beside_statsmodels() -> None:
    rng = np.random.default_rng(1)
    owner = np.repeat(np.arange(60), 4)
    rows = pd.DataFrame({"acquisition_id": [f"A{i:03d}" for i in range(240)], "assay": "mif"})
    rows["subject_id"] = people(60)[owner]
    values = rng.normal(size=(60, 10_000))[owner] + rng.normal(size=(240, 10_000))
    index = pd.Index(rows["acquisition_id"], name="acquisition_id", dtype=object)
    table = pd.DataFrame(values, index=index, columns=[f"f{i}" for i in range(10_000)])
    cohort = link(study_of(people(60), rows), unit="acquisition", mif=table)
    cohort.obs["arm"], cohort.obs["age"] = owner % 2 * 1.0, rng.normal(60, 10, 60)[owner]
    mixed_model(cohort, ["f0", "f1"], ["arm", "age"], unit="acquisition")  # compiles
    started = time.perf_counter()
    found = mixed_model(cohort, "mif", ["arm", "age"], unit="acquisition")
    ours = time.perf_counter() - started
    arms = found[found["x"] == "arm"].reset_index(drop=True)
    started = time.perf_counter()
    for place in range(20):
        data = cohort.obs[["arm", "age"]].assign(y=values[:, place], owner=owner)
        theirs = smf.mixedlm("y ~ arm + age", data, groups="owner").fit()
        assert arms["effect"][place] == pytest.approx(theirs.params["arm"], abs=1e-4)
        assert arms["se"][place] == pytest.approx(theirs.bse["arm"], rel=1e-3)
    per_fit = (time.perf_counter() - started) / 20
    print(f"\n10,000 mixed models, 240 rows of 60 subjects: {ours:.2f} s; ", end="")
    print(f"statsmodels {1000 * per_fit:.0f} ms each: {10_000 * per_fit / ours:.0f} ×")
    assert 10_000 * per_fit > 50 * ours


def test_ten_million_spearman_pairs_beside_a_scipy_loop() -> None:
    rng = np.random.default_rng(2)
    names = people(300)
    blocks = {
        name: pd.DataFrame(rng.normal(size=(300, n)), index=names, columns=[f"{name}{i}" for i in range(n)])
        for name, n in {"image": 500, "gene": 20_000}.items()
    }
    cohort = link(study_of(names), unit="subject", **blocks)
    started = time.perf_counter()
    found = associate(cohort, "image", "gene", unit="subject")
    ours = time.perf_counter() - started
    assert len(found) == 10_000_000
    image, gene = (block.to_numpy() for block in blocks.values())
    started = time.perf_counter()
    for pair in rng.integers(0, 10_000_000, 500):
        i, j = divmod(int(pair), 20_000)
        theirs = stats.spearmanr(image[:, i], gene[:, j])
        assert found["effect"][pair] == pytest.approx(theirs.statistic, abs=1e-12)
        assert found["p"][pair] == pytest.approx(theirs.pvalue, abs=1e-10)
    per_pair = (time.perf_counter() - started) / 500
    print(f"\n10 million Spearman pairs of 300 subjects, with limits and q: {ours:.1f} s; ", end="")
    print(f"SciPy {1e6 * per_pair:.0f} µs a pair: {1e7 * per_pair / ours:.0f} ×")
    assert 1e7 * per_pair > 100 * ours
