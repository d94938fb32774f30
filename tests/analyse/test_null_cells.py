"""Cells are not subjects: counted as such they find what is not there, and the library does not count them so."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from integrate.analyse.associate import associate
from integrate.errors import UnitError
from integrate.join.link import link
from integrate.model.study import SAMPLE_MAP_COLUMNS, Study

SUBJECTS, CELLS, FEATURES = 20, 100, 400


def test_subject_tests_keep_five_percent_where_cell_counts_do_not() -> None:
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(SUBJECTS), CELLS)
    values = 0.4 * rng.normal(size=(SUBJECTS, FEATURES))[owner] + rng.normal(size=(len(owner), FEATURES))
    names = [f"S{i:02d}" for i in range(SUBJECTS)]
    empty = pd.DataFrame(columns=list(SAMPLE_MAP_COLUMNS))
    people = pd.DataFrame(index=pd.Index(names, name="subject_id", dtype=object))
    identifiers = pd.DataFrame(columns=["source_id", "entity", "entity_id"])
    study = Study(name="null", subjects=people, sample_map=empty, identifiers=identifiers, tables={}, datasets={})
    obs = pd.DataFrame({"subject_id": np.array(names, dtype=object)[owner]}, index=[f"c{i}" for i in range(len(owner))])
    cells = ad.AnnData(values, obs=obs, var=pd.DataFrame(index=[f"f{i:03d}" for i in range(FEATURES)]))
    drug = owner % 2 == 0
    counted = stats.ttest_ind(values[drug], values[~drug]).pvalue
    assert (counted < 0.05).mean() > 0.3
    with pytest.raises(UnitError, match=r"2000 rows .* for 20 subjects"):
        link(study, cells=cells, unit="subject")
    cohort = link(study, cells=cells, unit="subject", reduce={"cells": "mean"})
    cohort.obs["arm"] = np.array(["drug", "none"])[np.arange(SUBJECTS) % 2]
    found = associate(cohort, "cells", "arm", unit="subject")
    assert 0.03 < (found["p"] < 0.05).mean() < 0.07
    assert (found["q"] < 0.05).sum() == 0


def test_every_analysis_asks_for_its_unit() -> None:
    import inspect

    import integrate as ig

    asked: list[Any] = [
        ig.associate, ig.mixed_model, ig.variance_partition, ig.cox, ig.cox_scan, ig.kaplan_meier, ig.logrank,
        ig.cumulative_incidence, ig.compare_incidence, ig.restricted_mean_survival, ig.proportional_hazards,
        ig.table_one, ig.cross_modal,
        ig.evaluate_prediction, ig.confounding, ig.missing_balance,
    ]  # fmt: skip
    for function in asked:
        unit = inspect.signature(function).parameters["unit"]
        assert (unit.kind, unit.default) == (unit.KEYWORD_ONLY, unit.empty), function.__name__
