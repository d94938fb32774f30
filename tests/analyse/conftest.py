"""Cohorts made of two tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from integrate.join.cohort import Cohort
from integrate.join.link import link
from integrate.model.study import SAMPLE_MAP_COLUMNS, Study


def build_cohort(
    *, unit: str = "subject", of: list[str] | None = None, obs: Any = None, **assays: Mapping[str, Any]
) -> Cohort:
    """Return a cohort of columns; `obs` are clinical variables, `of` names the subject of each acquisition."""
    size = len(next(iter(next(iter(assays.values())).values()))) if assays else len(next(iter(obs.values())))
    names = [f"{unit[0].upper()}{i:03d}" for i in range(size)]
    subjects = list(dict.fromkeys(of or names))
    rows = pd.DataFrame({"acquisition_id": names, "subject_id": of, "assay": "mif"}) if of else None
    study = Study(
        name="toy",
        subjects=pd.DataFrame(index=pd.Index(subjects, name="subject_id", dtype=object)),
        sample_map=pd.DataFrame(rows, columns=list(SAMPLE_MAP_COLUMNS)),
        identifiers=pd.DataFrame(columns=["source_id", "entity", "entity_id"]),
        tables={},
        datasets={},
    )
    index = pd.Index(names, name=f"{unit}_id", dtype=object)
    tables = {}
    for name, columns in assays.items():
        table = pd.DataFrame({k: np.asarray(v, dtype=float) for k, v in columns.items()}, index=index)
        tables[name] = table[table.notna().any(axis=1)]
    cohort = link(study, unit=unit, **tables)
    for name, column in (obs or {}).items():
        cohort.obs[name] = pd.Series(column).set_axis(cohort.obs.index)
    return cohort


@pytest.fixture(scope="session")
def make_cohort() -> Callable[..., Cohort]:
    """A function that makes a cohort of columns."""
    return build_cohort
