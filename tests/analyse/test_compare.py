"""Comparisons of groups equal SciPy's, exactly where groups are small, with ties too."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats

from integrate.analyse.compare import compare_groups, compare_two_groups
from integrate.analyse.crosstab import compare_categories

ALTERNATIVES = ("two-sided", "greater", "less")


def columns(n: int, seed: int, *, gaps: float = 0.0, whole: bool = False) -> Any:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 4)) + (np.arange(n) < n // 3)[:, np.newaxis] * 0.8
    values = np.round(values * 2) if whole else values
    return np.where(rng.random(values.shape) < gaps, np.nan, values)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize(
    ("n_first", "n_second", "whole"), [(2, 6, False), (5, 60, False), (20, 24, False), (40, 30, False), (30, 25, True)]
)
def test_mann_whitney_equals_scipy(n_first: int, n_second: int, whole: bool, alternative: str) -> None:
    values = columns(n_first + n_second, 0, gaps=0.05, whole=whole)
    first = np.arange(len(values)) < n_first
    result = compare_two_groups(values, first, alternative=alternative)
    for column in range(4):
        a, b = (values[rows, column][~np.isnan(values[rows, column])] for rows in (first, ~first))
        exact = len(a) + len(b) <= 50 or n_first == 5
        expected = stats.mannwhitneyu(a, b, alternative=alternative, method="exact" if exact else "asymptotic")
        assert result.exact[column] == exact
        assert result.p[column] == pytest.approx(expected.pvalue, rel=1e-9)
        assert result.effect[column] == pytest.approx(2 * expected.statistic / (len(a) * len(b)) - 1)
        assert result.counts[column].tolist() == [len(a), len(b)]


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_small_groups_with_ties_are_counted_exactly(alternative: str) -> None:
    values = np.array([3.0, 3, 1, 2, 3, 1, 1, 2, 2])[:, np.newaxis]
    first = np.arange(9) < 3
    result = compare_two_groups(values, first, alternative=alternative)
    ranks = stats.rankdata(values[:, 0])
    sums = np.array([sum(ranks[list(chosen)]) for chosen in itertools.combinations(range(9), 3)])
    observed = ranks[first].sum()
    greater, less = np.mean(sums >= observed), np.mean(sums <= observed)
    expected = {"greater": greater, "less": less, "two-sided": min(1, 2 * min(greater, less))}[alternative]
    assert result.exact.all()
    assert result.p[0] == pytest.approx(expected)
    swapped = compare_two_groups(values, ~first, alternative=alternative)
    mirrored = {"greater": "less", "less": "greater"}.get(alternative, alternative)
    assert swapped.p[0] == pytest.approx(compare_two_groups(values, first, alternative=mirrored).p[0])


def test_two_groups_apart_have_the_smallest_p_and_limits_that_stay_open() -> None:
    values = np.arange(8.0)[::-1][:, np.newaxis]
    result = compare_two_groups(values, np.arange(8) < 2, alternative="greater")
    assert result.effect[0] == 1
    assert result.p[0] == pytest.approx(1 / 28)
    assert result.ci_low[0] < 0.6
    assert result.ci_high[0] == 1


def test_limits_of_the_effect_cover_it_in_95_percent() -> None:
    rng = np.random.default_rng(0)
    for n_first, n_second, shift in ((6, 10, 0.0), (6, 10, 1.5), (25, 20, 0.7)):
        values = rng.normal(size=(n_first + n_second, 1500))
        values[:n_first] += shift
        result = compare_two_groups(values, np.arange(len(values)) < n_first, alternative="two-sided")
        truth = 2 * stats.norm.cdf(shift / np.sqrt(2)) - 1
        covered = ((result.ci_low <= truth) & (truth <= result.ci_high)).mean()
        assert 0.93 < covered < 0.985


@pytest.mark.parametrize("whole", [False, True])
def test_kruskal_wallis_equals_scipy(whole: bool) -> None:
    values = columns(40, 3, gaps=0.1, whole=whole)
    codes = np.arange(40) % 3
    result = compare_groups(values, codes, 3)
    for column in range(4):
        groups = [values[codes == g, column] for g in range(3)]
        expected = stats.kruskal(*[g[~np.isnan(g)] for g in groups])
        n = (~np.isnan(values[:, column])).sum()
        assert result.p[column] == pytest.approx(expected.pvalue)
        assert result.effect[column] == pytest.approx(expected.statistic / (n - 1))


def test_a_group_without_observations_does_not_count() -> None:
    values = columns(20, 0)
    codes = np.arange(20) % 2 * 2
    np.testing.assert_allclose(compare_groups(values, codes, 3).p, compare_groups(values, codes // 2, 2).p)


def test_nothing_can_be_said_of_constants_and_single_observations() -> None:
    values = np.ones((6, 1))
    assert np.isnan(compare_groups(values, np.arange(6) % 2, 2).p).all()
    assert np.isnan(compare_two_groups(values, np.arange(6) < 3, alternative="two-sided").p).all()
    assert np.isnan(compare_groups(np.arange(6.0)[:, np.newaxis], np.arange(6), 6).p).all()
    assert np.isnan(compare_two_groups(values[:3], np.ones(3, dtype=bool), alternative="two-sided").effect).all()


def test_fishers_tea_has_its_published_p() -> None:
    # Fisher (1935): eight cups, three of four told right; one-sided 17/70, two-sided 34/70.
    x, y = np.array([0] * 4 + [1] * 4), np.array([0, 0, 0, 1, 0, 1, 1, 1])
    result = compare_categories(x, y, method="auto")
    assert result.p == pytest.approx(34 / 70)
    assert result.effect == pytest.approx(0.5)
    assert not result.well_filled


def test_chi_squared_equals_scipy_and_cramer_is_its_root() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 3, 90), rng.integers(0, 4, 90)
    result = compare_categories(x, y, method="chi2")
    expected = stats.chi2_contingency(stats.contingency.crosstab(x, y).count, correction=False)
    assert result.p == pytest.approx(expected.pvalue)
    assert result.effect == pytest.approx(
        stats.contingency.association(stats.contingency.crosstab(x, y).count, method="cramer")
    )


def test_one_category_is_associated_with_nothing() -> None:
    assert np.isnan(compare_categories(np.zeros(5, dtype=int), np.arange(5) % 2, method="auto").p)
    assert np.isnan(compare_categories(np.array([], dtype=int), np.array([], dtype=int), method="auto").p)
