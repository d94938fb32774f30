"""Grouped statistics equal the slow obvious version, with missing values left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from integrate.errors import ParameterError, UnitError
from integrate.join.grouped import grouped_count, grouped_mean, grouped_quantile
from integrate.join.reduce import Fraction, Quantile, Steps, parse_reduce

NUMBERS = st.floats(-1e6, 1e6, width=32) | st.just(np.nan)


@st.composite
def grouped_rows(draw: st.DrawFn) -> tuple[Any, Any]:
    n = draw(st.integers(1, 12))
    values = draw(hnp.arrays(np.float64, (n, 3), elements=NUMBERS))
    return values, draw(hnp.arrays(np.int64, n, elements=st.integers(0, 3)))


@settings(deadline=None, max_examples=40)
@given(grouped_rows())
def test_grouped_statistics_equal_pandas(rows: tuple[Any, Any]) -> None:
    values, codes = rows
    groups = pd.DataFrame(values).groupby(codes)
    mean, n = grouped_mean(values, codes, 4)
    np.testing.assert_allclose(mean, groups.mean().reindex(range(4)), rtol=1e-9, atol=1e-6)
    np.testing.assert_array_equal(n, groups.count().reindex(range(4), fill_value=0))
    for q in (0, 0.3, 0.5, 1):
        quantile, count = grouped_quantile(values, codes, 4, q=q)
        np.testing.assert_allclose(quantile, groups.quantile(q).reindex(range(4)), rtol=1e-9, atol=1e-6)
        np.testing.assert_array_equal(count, n)


@settings(deadline=None, max_examples=40)
@given(grouped_rows())
def test_sparse_and_dense_agree(rows: tuple[Any, Any]) -> None:
    values, codes = rows
    values = np.where(np.abs(values) < 1e5, 0, values)
    thin = sparse.csr_matrix(values)
    for dense, other in zip(grouped_mean(values, codes, 4), grouped_mean(thin, codes, 4), strict=True):
        np.testing.assert_allclose(dense, other)
    np.testing.assert_array_equal(
        grouped_quantile(values, codes, 4, q=0.3)[0], grouped_quantile(thin, codes, 4, q=0.3)[0]
    )
    np.testing.assert_array_equal(grouped_count(values, codes, 4), grouped_count(thin, codes, 4))


def test_weights_are_those_of_observed_values_only() -> None:
    values = np.array([[1.0], [5.0], [np.nan]])
    weights = np.array([[1.0], [3.0], [100.0]])
    mean, n = grouped_mean(values, np.zeros(3, dtype=int), 1, weights=weights)
    assert mean.item() == 4.0
    assert n.item() == 2


def test_a_group_whose_weights_are_all_zero_has_no_mean() -> None:
    mean, _ = grouped_mean(np.array([[1.0]]), np.array([0]), 1, weights=np.array([[0.0]]))
    assert np.isnan(mean.item())


def test_reductions_are_values() -> None:
    assert Quantile(0.9) == Quantile(0.9)
    assert hash(Steps(acquisition="mean", subject="mean"))
    assert Quantile(0.25).label == "quantile 0.25"


@pytest.mark.parametrize("q", [-0.1, 1.5, np.nan])
def test_a_quantile_lies_between_0_and_1(q: float) -> None:
    with pytest.raises(ParameterError, match="give a number between 0 and 1"):
        Quantile(q)


def test_a_fraction_is_asked_one_way() -> None:
    with pytest.raises(ParameterError, match="give equals= or above=, not both"):
        Fraction("x", equals="a", above=1)


def test_steps_run_from_fine_to_coarse_and_end_at_the_unit() -> None:
    steps = parse_reduce(Steps(subject="median", specimen="mean"), unit="subject", where="cells")
    assert [step.label for step in steps] == ["specimen: mean", "subject: median"]
    with pytest.raises(UnitError, match="ends at 'no level'"):
        parse_reduce(Steps(), unit="subject", where="cells")
    with pytest.raises(ParameterError, match="Steps cannot stand inside"):
        parse_reduce([Steps(subject="mean")], unit="subject", where="cells")
