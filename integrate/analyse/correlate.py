"""Correlation of many numeric variables with many others, pairwise complete."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from integrate.analyse.results import Z_95

__all__ = ["Correlations", "correlate", "covariates_of", "patterns", "prepared", "residual"]

#: Up to this many observations p-values of Spearman's rho come from all permutations, not from the t distribution.
EXACT_N = 9
#: Elements of the largest intermediate of an exact test.
BLOCK = 20_000_000


class Correlations(NamedTuple):
    """Results per pair, each an (x, y) array.

    Parameters
    ----------
    effect, ci_low, ci_high, p
        The coefficient, its 95 % confidence limits and the two-sided p-value; NaN where they cannot be had.
    n
        Observations of the pair.
    subjects
        Different subjects among them.
    constant
        Whether x or y (or what is left of them after adjustment) does not vary over the pair's observations.
    exact
        Whether `p` is exact.
    """

    effect: Any
    ci_low: Any
    ci_high: Any
    p: Any
    n: Any
    subjects: Any
    constant: Any
    exact: Any


def correlate(x: Any, y: Any, *, method: str, adjust: Any, subjects: Any, strata: Any = None) -> Correlations:
    """Return the correlation of every column of x with every column of y.

    Parameters
    ----------
    x, y
        (observations, variables) floats, NaN where missing. A pair uses the observations in which both are known.
    method
        ``"spearman"``, ``"pearson"``, or ``"ols"``, whose effect is the slope of y on x.
    adjust
        (observations, covariates) floats whose linear part is removed from both (from their ranks for Spearman), or
        ``None``. Observations with a missing covariate are left out.
    subjects
        Subject of each observation, as integers.
    strata
        Stratum of each observation as integers, -1 where it is missing; ranks and means are those within the stratum.

    Notes
    -----
    Confidence limits are Fisher's z with the standard error of Bonett and Wright (2000) for Spearman. P-values are of
    Student's t with ``n - 2 - covariates`` degrees of freedom, and of all permutations for an unadjusted Spearman with
    at most 9 observations; none is smaller than one permutation in n! allows. Variables that miss the same observations
    are ranked once and correlated in one matrix product.
    """
    import numpy as np

    shape = (x.shape[1], y.shape[1])
    effect, ci_low, ci_high, p = (np.full(shape, np.nan) for _ in range(4))
    n, of_subjects = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    constant, exact = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    covered = np.ones(len(x), dtype=bool) if adjust is None else ~np.isnan(adjust).any(axis=1)
    if strata is not None:
        covered &= strata >= 0
    for x_known, x_columns in patterns(x):
        for y_known, y_columns in patterns(y):
            keep = np.flatnonzero(x_known & y_known & covered)
            block = np.ix_(x_columns, y_columns)
            n[block], of_subjects[block] = len(keep), len(np.unique(subjects[keep]))
            if len(keep) < 3:
                continue
            layers = None if strata is None else strata[keep]
            xs, ys = (prepared(v, method, layers) for v in (x[np.ix_(keep, x_columns)], y[np.ix_(keep, y_columns)]))
            covariates = 0
            known = covariates_of(adjust, keep, method, layers)
            if known is not None:
                xs, ys, covariates = residual(xs, known), residual(ys, known), _rank(known)
            scale = (
                np.sqrt(((ys - ys.mean(axis=0)) ** 2).sum(axis=0)),
                np.sqrt(((xs - xs.mean(axis=0)) ** 2).sum(axis=0)),
            )
            xs, ys = _standardised(xs), _standardised(ys)
            r = np.clip(xs.T @ ys, -1, 1)
            constant[block] = np.isnan(r)
            effect[block] = r
            if method == "ols":
                effect[block], ci_low[block], ci_high[block] = _slopes(r, *scale, len(keep) - 2 - covariates)
            else:
                ci_low[block], ci_high[block] = _limits(r, len(keep) - covariates, method)
            if method == "spearman" and known is None and len(keep) <= EXACT_N:
                p[block], exact[block] = _exact_p(xs, ys), ~np.isnan(r)
            else:
                p[block] = _t_p(r, len(keep), covariates, method)
    return Correlations(effect, ci_low, ci_high, p, n, of_subjects, constant, exact)


def patterns(values: Any) -> Iterator[tuple[Any, Any]]:
    """Yield which observations are known, and the columns that know exactly these."""
    import numpy as np

    if not values.shape[1]:
        return
    known = ~np.isnan(values)
    if not len(values):
        yield known[:, 0], np.arange(values.shape[1])
        return
    packed = np.packbits(known, axis=0)
    _, first, inverse = np.unique(packed, axis=1, return_index=True, return_inverse=True)
    for pattern, column in enumerate(first):
        yield known[:, column], np.flatnonzero(inverse.ravel() == pattern)


def prepared(values: Any, method: str, strata: Any = None) -> Any:
    """Return ranks for Spearman, within each stratum as shares of it; else the values."""
    import numpy as np
    from scipy import stats

    if method != "spearman":
        return values
    if strata is None:
        return stats.rankdata(values, axis=0)
    ranks = np.empty(values.shape)
    for layer in np.unique(strata):
        rows = strata == layer
        ranks[rows] = stats.rankdata(values[rows], axis=0) / (rows.sum() + 1)
    return ranks


def covariates_of(adjust: Any, keep: Any, method: str, strata: Any) -> Any:
    """Return what is taken out of both sides: covariates, and the level of each stratum but the first; or ``None``."""
    import numpy as np

    parts = [] if adjust is None else [prepared(adjust[keep], method)]
    if strata is not None:
        parts.append((strata[:, None] == np.unique(strata)[1:]).astype(float))
    return np.column_stack(parts) if parts else None


def _slopes(r: Any, of_y: Any, of_x: Any, freedom: int) -> tuple[Any, Any, Any]:
    """Return the slopes of y on x and their limits, from correlations and the lengths of both."""
    import numpy as np
    from scipy import stats

    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = of_y / of_x[:, None]
        slope = r * ratio
        half = stats.t.ppf(0.975, freedom) * ratio * np.sqrt((1 - r) * (1 + r) / freedom) if freedom > 0 else np.nan
    return slope, slope - half, slope + half


def residual(values: Any, covariates: Any) -> Any:
    """Return what an ordinary least-squares fit with intercept leaves."""
    import numpy as np

    design = np.column_stack([np.ones(len(values)), covariates])
    fitted = design @ np.linalg.lstsq(design, values, rcond=None)[0]
    left = values - fitted
    spread = np.sqrt(((values - values.mean(axis=0)) ** 2).sum(axis=0))
    left[:, np.sqrt((left**2).sum(axis=0)) <= 1e-10 * spread] = 0  # explained to the last digit: nothing is left
    return left


def _rank(covariates: Any) -> int:
    """Return the number of independent covariates beside the intercept."""
    import numpy as np

    return int(np.linalg.matrix_rank(np.column_stack([np.ones(len(covariates)), covariates]))) - 1


def _standardised(values: Any) -> Any:
    """Return columns of mean 0 and length 1; a constant one becomes NaN."""
    import numpy as np

    constant = np.ptp(values, axis=0) == 0
    centred = values - values.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = centred / np.sqrt((centred**2).sum(axis=0))
    scaled[:, constant] = np.nan
    return scaled


def _limits(r: Any, n: int, method: str) -> tuple[Any, Any]:
    import numpy as np

    if n <= 3:
        return np.nan, np.nan
    variance = (1 + r**2 / 2) / (n - 3) if method == "spearman" else np.full(r.shape, 1 / (n - 3))
    with np.errstate(divide="ignore"):
        z = np.where(np.abs(r) < 1, np.arctanh(np.where(np.abs(r) < 1, r, 0)), np.nan)
    half = Z_95 * np.sqrt(variance)
    return np.tanh(z - half), np.tanh(z + half)


def _t_p(r: Any, n: int, covariates: int, method: str) -> Any:
    import numpy as np
    from scipy import stats

    freedom = n - 2 - covariates
    if freedom < 1:
        return np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(r) * np.sqrt(freedom / ((1 - r) * (1 + r)))
    p = 2 * stats.t.sf(t, freedom)
    smallest = 2 / math.factorial(n) if method == "spearman" and n <= 170 else 0.0
    return np.where(np.isnan(r), np.nan, np.clip(p, smallest, 1))


@lru_cache(maxsize=EXACT_N)
def _permutations(n: int) -> Any:
    """Return all orders of n things, (n!, n)."""
    import numpy as np

    orders = np.zeros((1, 1), dtype=np.int8)
    for size in range(2, n + 1):
        before = np.repeat(orders, size, axis=0)
        place = np.tile(np.arange(size), len(orders))
        grown = np.empty((len(before), size), dtype=np.int8)
        for column in range(size):
            left = before[:, min(column, size - 2)]
            shifted = before[:, max(column - 1, 0)]
            grown[:, column] = np.where(column < place, left, np.where(column > place, shifted, size - 1))
        orders = grown
    return orders


def _exact_p(xs: Any, ys: Any) -> Any:
    """Return the share of all permutations with a correlation at least as far from 0, ties included."""
    import numpy as np

    orders = _permutations(len(xs))
    p = np.full((xs.shape[1], ys.shape[1]), np.nan)
    step = max(1, BLOCK // len(orders))
    distinct, place = np.unique(np.sort(ys, axis=0), axis=1, return_inverse=True)
    observed = np.abs(xs.T @ ys) - 1e-12
    for left in range(0, xs.shape[1], step):
        chosen = slice(left, left + step)
        for pattern in range(distinct.shape[1]):
            null = np.sort(np.abs(distinct[:, pattern][orders] @ xs[:, chosen]), axis=0)
            for column in np.flatnonzero(place.ravel() == pattern):
                for row in range(*chosen.indices(xs.shape[1])):
                    beyond = len(orders) - np.searchsorted(null[:, row - left], observed[row, column])
                    p[row, column] = beyond / len(orders)
    return np.where(np.isnan(xs.T @ ys), np.nan, p)
