"""Correlations equal SciPy's where SciPy is right, and every permutation where the t distribution is not."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from integrate.analyse.correlate import EXACT_N, correlate


def some_data(n: int, columns: int, seed: int, *, gaps: float = 0.0, whole: bool = False) -> Any:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 1)) * 0.6 + rng.normal(size=(n, columns))
    values = np.round(values) if whole else values
    return np.where(rng.random(values.shape) < gaps, np.nan, values)


def found(x: Any, y: Any, *, method: str = "spearman", adjust: Any = None) -> Any:
    return correlate(x, y, method=method, adjust=adjust, subjects=np.arange(len(x)))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("method", ["spearman", "pearson"])
def test_every_pair_equals_scipy_on_its_complete_observations(method: str, whole: bool) -> None:
    x, y = some_data(40, 5, 0, gaps=0.15, whole=whole), some_data(40, 4, 1, gaps=0.1, whole=whole)
    result = found(x, y, method=method)
    function = stats.spearmanr if method == "spearman" else stats.pearsonr
    for i, j in itertools.product(range(5), range(4)):
        keep = ~np.isnan(x[:, i]) & ~np.isnan(y[:, j])
        expected = function(x[keep, i], y[keep, j])
        assert result.effect[i, j] == pytest.approx(expected.statistic, abs=1e-12)
        assert result.p[i, j] == pytest.approx(expected.pvalue, abs=1e-12)
        assert result.n[i, j] == keep.sum()


def test_pearson_limits_are_scipys() -> None:
    x, y = some_data(30, 1, 2), some_data(30, 1, 3)
    expected = stats.pearsonr(x[:, 0], y[:, 0]).confidence_interval()
    result = found(x, y, method="pearson")
    assert (result.ci_low.item(), result.ci_high.item()) == pytest.approx((expected.low, expected.high))


def test_spearman_limits_follow_bonett_and_wright() -> None:
    # rho = .5, n = 20: z = atanh(.5) = .5493, se = sqrt((1 + .125) / 17) = .25725, limits tanh(z -+ 1.96 se)
    x, y = (
        np.arange(20.0)[:, np.newaxis],
        np.random.default_rng(0).permuted(np.tile(np.arange(20.0), (5000, 1)), axis=1).T,
    )
    result = found(x, y)
    nearest = np.abs(result.effect[0] - 0.5).argmin()
    assert result.effect[0, nearest] == pytest.approx(0.5, abs=0.005)
    assert (result.ci_low[0, nearest], result.ci_high[0, nearest]) == pytest.approx((0.045, 0.782), abs=0.006)


def test_spearman_limits_cover_the_truth_in_95_percent() -> None:
    rng = np.random.default_rng(0)
    truth = 6 / np.pi * np.arcsin(0.6 / 2)
    x = rng.normal(size=(25, 1500))
    result = found(x, 0.6 * x + 0.8 * rng.normal(size=(25, 1500)))
    low, high = np.diag(result.ci_low), np.diag(result.ci_high)  # each pair by itself; the others are unrelated
    assert 0.935 < ((low <= truth) & (truth <= high)).mean() < 0.97


@pytest.mark.parametrize("n", [4, 6, 7])
@pytest.mark.parametrize("whole", [False, True])
def test_few_observations_have_the_p_of_all_permutations(n: int, whole: bool) -> None:
    x, y = some_data(n, 3, 5, whole=whole), some_data(n, 2, 6, whole=whole)
    result = found(x, y)
    for i, j in itertools.product(range(3), range(2)):
        if np.ptp(x[:, i]) == 0 or np.ptp(y[:, j]) == 0:
            assert result.constant[i, j]
            continue
        orders = stats.rankdata(np.array(list(itertools.permutations(y[:, j]))), axis=1)
        null = stats.zscore(orders, axis=1) @ stats.zscore(stats.rankdata(x[:, i])) / n
        expected = np.mean(np.abs(null) >= abs(result.effect[i, j]) - 1e-9)
        assert result.p[i, j] == pytest.approx(expected)
        assert result.exact[i, j]


def test_a_perfect_order_of_few_is_not_certain() -> None:
    # SciPy's t gives p = 0 here; one order in 24 and its reverse are as extreme.
    x = np.arange(4.0)[:, np.newaxis]
    assert found(x, x).p.item() == pytest.approx(2 / 24)
    assert stats.spearmanr(x, x).pvalue == 0
    ten = np.arange(10.0)[:, np.newaxis]
    assert found(ten, ten).p.item() == pytest.approx(2 / 3628800)


def test_the_known_critical_value_of_nine_is_exact() -> None:
    # Zar (1972), table of Spearman's rho: n = 9, two-sided 5 %: 0.700; the value below it is 0.683.
    x = np.arange(9.0)[:, np.newaxis]
    assert EXACT_N == 9
    y = np.random.default_rng(1).permuted(np.tile(np.arange(9.0), (1000, 1)), axis=1).T
    result = found(x, y)
    rho = np.round(np.abs(result.effect[0]), 3)
    assert result.p[0][rho == 0.7].max() <= 0.05 < result.p[0][rho == 0.683].min()


@pytest.mark.parametrize("method", ["spearman", "pearson"])
def test_partial_correlation_equals_that_of_residuals(method: str) -> None:
    x, y, z = some_data(30, 2, 0), some_data(30, 2, 1), some_data(30, 2, 2)
    z[3, 0] = np.nan
    result = found(x, y, method=method, adjust=z)
    keep = ~np.isnan(z).any(axis=1)
    prepare = (lambda a: stats.rankdata(a, axis=0)) if method == "spearman" else (lambda a: a)
    x, y, z = prepare(x[keep]), prepare(y[keep]), prepare(z[keep])
    design = sm.add_constant(z)
    for i, j in itertools.product(range(2), range(2)):
        left, right = (sm.OLS(values, design).fit().resid for values in (x[:, i], y[:, j]))
        assert result.effect[i, j] == pytest.approx(np.corrcoef(left, right)[0, 1])
        # the test of x's coefficient in y ~ x + z has the same t
        fit = sm.OLS(y[:, j], np.column_stack([design, x[:, i]])).fit()
        assert result.p[i, j] == pytest.approx(fit.pvalues[-1])
    assert result.n.tolist() == [[29, 29], [29, 29]]


def test_what_adjustment_explains_wholly_is_constant() -> None:
    z = some_data(20, 1, 0)
    result = found(2 * z + 1, some_data(20, 1, 1), method="pearson", adjust=z)
    assert result.constant.item()
    assert np.isnan(result.p.item())


def test_too_few_or_constant_observations_have_no_effect() -> None:
    x = np.array([[1.0, 5.0, 1.0], [2.0, 5.0, np.nan], [3.0, 5.0, np.nan], [4.0, 5.0, 2.0]])
    result = found(x, np.arange(4.0)[:, np.newaxis])
    assert np.isnan(result.effect[1:, 0]).all()
    assert result.constant[:, 0].tolist() == [False, True, False]
    assert result.n[:, 0].tolist() == [4, 4, 2]


def test_p_values_of_noise_are_uniform() -> None:
    rng = np.random.default_rng(0)
    for n in (6, 12, 30):
        p = found(rng.normal(size=(n, 40)), rng.normal(size=(n, 40))).p.ravel()
        assert 0.035 < (p <= 0.05).mean() <= 0.062 or n == 6
        assert (p <= 0.05).mean() <= 0.065
