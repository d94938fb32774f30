"""Speed of a Cox scan beside lifelines in the same run, results compared; prints, asserts no time."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from scipy import stats

from integrate.analyse.cox import cox_scan
from integrate.join.link import link
from integrate.model.outcome import TimeToEvent
from integrate.model.study import SAMPLE_MAP_COLUMNS, Study

pytestmark = pytest.mark.benchmark


def test_cox_scan_over_1500_genes_beside_lifelines() -> None:
    rng = np.random.default_rng(0)
    names = pd.Index([f"P{i:04d}" for i in range(950)], name="subject_id", dtype=object)
    genes = pd.DataFrame(rng.normal(size=(950, 1500)), index=names, columns=[f"g{i}" for i in range(1500)])
    empty = pd.DataFrame(columns=list(SAMPLE_MAP_COLUMNS))
    people = pd.DataFrame(index=names)
    identifiers = pd.DataFrame(columns=["source_id", "entity", "entity_id"])
    study = Study(
        name="bench", subjects=people, sample_map=empty, identifiers=identifiers, tables={}, datasets={}
    )  # fmt: skip
    cohort = link(study, unit="subject", rna=genes)
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
