"""Laws of every link: nobody is invented, lost or counted twice unlisted, and the order of rows changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from integrate.join.link import link
from integrate.keys import LEVELS
from integrate.model.identity import IDENTIFIER_COLUMNS
from integrate.model.study import SAMPLE_MAP_COLUMNS, Study

SUBJECTS = [f"Pt{i:02d}" for i in range(5)]
STRANGERS = ["Zz98", "Zz99"]


def build_study(acquisitions: list[tuple[str, str]]) -> Study:
    rows = [{"assay": "mif", "obs_id": a, "acquisition_id": a, "subject_id": s, "item": a} for a, s in acquisitions]
    return Study(
        name="law",
        subjects=pd.DataFrame(index=pd.Index(SUBJECTS, name="subject_id", dtype=object)),
        sample_map=pd.DataFrame(rows, columns=list(SAMPLE_MAP_COLUMNS), dtype=object),
        identifiers=pd.DataFrame(columns=list(IDENTIFIER_COLUMNS)),
        tables={},
        datasets={},
    )


@st.composite
def linked_rows(draw: st.DrawFn) -> tuple[Study, pd.DataFrame, str]:
    """A study, rows of known, unknown and missing owners, and a unit."""
    owners = draw(st.lists(st.sampled_from(SUBJECTS), min_size=1, max_size=6))
    study = build_study([(f"Aq{i}", owner) for i, owner in enumerate(owners)])
    unit = draw(st.sampled_from(["subject", "acquisition"]))
    known = SUBJECTS if unit == "subject" else [f"Aq{i}" for i in range(len(owners))]
    rows = draw(st.lists(st.sampled_from([*known, *STRANGERS, None]), max_size=12))
    values = draw(st.lists(st.integers(-5, 5) | st.none(), min_size=len(rows), max_size=len(rows)))
    return study, pd.DataFrame({LEVELS[unit]: pd.Series(rows, dtype=object), "x": pd.Series(values, dtype=float)}), unit


def linked(study: Study, rows: pd.DataFrame, unit: str) -> Any:
    return link(study, unit=unit, rows=rows, reduce={"rows": "mean"}, unmatched="drop")


@settings(deadline=None, max_examples=40)
@given(linked_rows())
def test_a_link_never_invents_loses_or_duplicates_a_unit_unlisted(case: tuple[Study, pd.DataFrame, str]) -> None:
    study, rows, unit = case
    cohort = linked(study, rows, unit)
    part, key = cohort.report["rows"], LEVELS[unit]
    expected = SUBJECTS if unit == "subject" else study.acquisitions.index.tolist()
    assert cohort.obs.index.tolist() == expected
    known = rows[rows[key].isin(expected)]
    assert sorted(cohort.assays["rows"].obs_names) == sorted(known[key].unique())
    assert part.matched + len(part.without_rows) == len(expected)
    assert len(known) + part.unmatched_rows == len(rows) == part.rows
    assert set(part.repeated) == {owner for owner, n in known[key].value_counts().items() if n > 1}
    means = known.groupby(key)["x"].mean().reindex(expected)
    np.testing.assert_allclose(cohort.values("x"), means, rtol=1e-12)
    counts = cohort.to_anndata().layers["n"].ravel() if rows.shape[1] > 1 else []
    assert list(counts) == known.groupby(key)["x"].count().reindex(expected, fill_value=0).tolist()
    assert (cohort.missing_reason["rows"] == "").tolist() == [owner in set(known[key]) for owner in expected]


@settings(deadline=None, max_examples=30)
@given(linked_rows(), st.randoms(use_true_random=False), st.sampled_from(["upper", "lower", "padded", "category"]))
def test_row_order_case_and_dtype_of_ids_change_nothing(
    case: tuple[Study, pd.DataFrame, str], random: Any, spelling: str
) -> None:
    study, rows, unit = case
    key = LEVELS[unit]
    order = list(range(len(rows)))
    random.shuffle(order)
    shuffled = rows.iloc[order].reset_index(drop=True)
    known = shuffled[key].isin(SUBJECTS) | shuffled[key].isin(study.acquisitions.index)
    spell = {"upper": str.upper, "lower": str.lower, "padded": lambda i: f" {i} ", "category": str}[spelling]
    shuffled.loc[known, key] = shuffled.loc[known, key].map(spell)
    if spelling == "category":
        shuffled[key] = shuffled[key].astype("category")
    before, after = linked(study, rows, unit), linked(study, shuffled, unit)
    np.testing.assert_allclose(after.values("x"), before.values("x"), rtol=1e-12)
    pd.testing.assert_frame_equal(after.missing_reason, before.missing_reason)
    one, other = before.report["rows"], after.report["rows"]
    assert [group[1:] for group in one.unmatched] == [group[1:] for group in other.unmatched]
    assert (one.matched, one.without_rows, set(one.repeated)) == (
        other.matched,
        other.without_rows,
        set(other.repeated),
    )
